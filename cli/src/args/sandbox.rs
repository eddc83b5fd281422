//! Flags of `sandbox`. A name that is left out is the last one used (CLI-3).

use clap::{Args, Subcommand, ValueEnum};

use super::{ListArgs, Millis, Printed};
use crate::completions;

#[derive(Subcommand)]
pub(crate) enum SandboxVerb {
    /// Show a sandbox: state, effective policy, Landlock, skipped paths, grants
    Get(SandboxGet),
    /// Show all sandboxes
    List(ListArgs),
    /// Delete sandboxes and end what runs in them
    Delete(SandboxDelete),
    /// Show a sandbox's records, oldest first
    Logs(SandboxLogs),
}

#[derive(Args)]
pub(crate) struct SandboxGet {
    /// The sandbox; the last one used without
    #[arg(add = completions::sandboxes())]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) printed: Printed,
}

#[derive(Args)]
pub(crate) struct SandboxDelete {
    /// The sandboxes; the last one used without
    #[arg(value_name = "NAME", add = completions::sandboxes())]
    pub(crate) names: Vec<String>,
    /// Ask nothing
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) printed: Printed,
}

#[derive(Args)]
pub(crate) struct SandboxLogs {
    /// The sandbox; the last one used without
    #[arg(add = completions::sandboxes())]
    pub(crate) name: Option<String>,
    /// The newest N records, at most 2,000
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    pub(crate) lines: u32,
    /// Only what is younger: 10s, 5m, 1h
    #[arg(long, value_name = "DURATION", value_parser = Millis::parse)]
    pub(crate) since: Option<Millis>,
    /// Only records of this source, repeatable
    #[arg(long, value_name = "SOURCE")]
    pub(crate) source: Vec<String>,
    /// Only records of this level and above
    #[arg(long, value_enum)]
    pub(crate) level: Option<Level>,
    #[command(flatten)]
    pub(crate) printed: Printed,
}

/// Levels of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    /// Everything.
    Info,
    /// What needs a look.
    Warn,
    /// What failed.
    Error,
}

impl Level {
    /// As it travels.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }
}
