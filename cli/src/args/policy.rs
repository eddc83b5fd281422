//! Flags of the `policy` verbs that talk to a gateway. A name that is left out is the last one used (CLI-3).

use std::path::PathBuf;

use clap::Args;

use super::Printed;
use crate::completions;

#[derive(Args)]
pub(crate) struct PolicySet {
    /// The sandbox; the last one used without
    #[arg(add = completions::sandboxes())]
    pub(crate) name: Option<String>,
    /// The policy (YAML)
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: PathBuf,
    /// Own Rego rules (package ringfence.sandbox) in place of the built-in ones
    #[arg(long, value_name = "FILE")]
    pub(crate) policy_rules: Option<PathBuf>,
    /// Wait until the sandbox's data plane has loaded it, or refused it
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait; the exit code is then 124
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "wait", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) timeout: u32,
    #[command(flatten)]
    pub(crate) printed: Printed,
}

#[derive(Args)]
pub(crate) struct PolicyGet {
    /// The sandbox; the last one used without
    #[arg(add = completions::sandboxes())]
    pub(crate) name: Option<String>,
    /// The version; 0 for the newest
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) rev: u32,
    /// The text too, after a line of ---
    #[arg(long)]
    pub(crate) full: bool,
    #[command(flatten)]
    pub(crate) printed: Printed,
}

#[derive(Args)]
pub(crate) struct PolicyList {
    /// The sandbox; the last one used without
    #[arg(add = completions::sandboxes())]
    pub(crate) name: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) printed: Printed,
}
