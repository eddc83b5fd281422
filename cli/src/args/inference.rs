//! Flags of `cluster inference`.

use clap::{Args, Subcommand};

use super::Printed;
use crate::completions;

#[derive(Subcommand)]
pub(crate) enum ClusterVerb {
    /// Where https://inference.local leads
    #[command(subcommand)]
    Inference(InferenceVerb),
}

#[derive(Subcommand)]
pub(crate) enum InferenceVerb {
    /// Set the route; its version grows by one
    Set(SetArgs),
    /// Change parts of the route and keep the rest
    Update(UpdateArgs),
    /// Show the route in force
    Get(Printed),
    /// Remove the route; the NVIDIA default may take its place
    Unset(InferenceUnset),
}

#[derive(Args)]
pub(crate) struct SetArgs {
    /// The provider whose credential and base URL are used
    #[arg(long, value_name = "NAME", add = completions::providers())]
    pub(crate) provider: String,
    /// The model, as the provider calls it; what a request names is replaced by it
    #[arg(long, value_name = "ID")]
    pub(crate) model: String,
    #[command(flatten)]
    pub(crate) route: RouteArgs,
}

#[derive(Args)]
#[group(required = true, multiple = true, args = [
    "provider", "model", "connect_timeout", "header_timeout", "idle_timeout", "total_timeout",
])]
pub(crate) struct UpdateArgs {
    /// Another provider
    #[arg(long, value_name = "NAME", add = completions::providers())]
    pub(crate) provider: Option<String>,
    /// Another model
    #[arg(long, value_name = "ID")]
    pub(crate) model: Option<String>,
    #[command(flatten)]
    pub(crate) route: RouteArgs,
}

/// What `set` and `update` share.
#[derive(Args)]
pub(crate) struct RouteArgs {
    #[command(flatten)]
    pub(crate) timeouts: Timeouts,
    /// Send one small request to the provider first, and save nothing when it fails
    #[arg(long)]
    pub(crate) verify: bool,
    #[command(flatten)]
    pub(crate) printed: Printed,
}

/// Deadlines of an inference request; 0s puts the default back.
#[derive(Args, Clone, Copy, Default)]
pub(crate) struct Timeouts {
    /// Until a connection to the provider stands [default: 10s]
    #[arg(long = "connect-timeout", value_name = "DURATION", value_parser = Millis::parse)]
    pub(crate) connect_timeout: Option<Millis>,
    /// Until the head of its answer [default: 300s]
    #[arg(long = "header-timeout", value_name = "DURATION", value_parser = Millis::parse)]
    pub(crate) header_timeout: Option<Millis>,
    /// Between two pieces of its answer [default: 300s]
    #[arg(long = "idle-timeout", value_name = "DURATION", value_parser = Millis::parse)]
    pub(crate) idle_timeout: Option<Millis>,
    /// Until the end of its answer [default: none]
    #[arg(long = "total-timeout", value_name = "DURATION", value_parser = Millis::parse)]
    pub(crate) total_timeout: Option<Millis>,
}

#[derive(Args)]
pub(crate) struct InferenceUnset {
    /// Ask nothing
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) printed: Printed,
}

/// A span of time as it travels: milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Millis(pub(crate) u32);

impl Millis {
    /// Reads `500ms`, `10s`, `2m`, `1h`.
    pub(crate) fn parse(text: &str) -> Result<Millis, String> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit_ms: u64 = match text.get(digits.len()..) {
            Some("ms") => 1,
            Some("s") => 1_000,
            Some("m") => 60_000,
            Some("h") => 3_600_000,
            Some(_) | None => return Err("expected a number with ms, s, m or h: 10s".to_owned()),
        };
        let number: u64 = match digits.bytes().all(|byte| byte.is_ascii_digit()) {
            true => digits.parse().map_err(|_| LARGE.to_owned()),
            false => Err("expected a whole number with ms, s, m or h: 10s".to_owned()),
        }?;
        let total = number.checked_mul(unit_ms).ok_or(LARGE)?;
        u32::try_from(total)
            .map(Millis)
            .map_err(|_| LARGE.to_owned())
    }
}

const LARGE: &str = "longer than 49 days";
