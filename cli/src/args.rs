//! What was typed: verbs and flags as a table. What it means is worked out by the verbs.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// The network gate for AI-agent sandboxes.
#[derive(Parser)]
#[command(name = "ringfence", version, about, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Run one command in a fence: no network but what the policy allows, and a model at https://inference.local
    Run(Box<RunArgs>),
    /// What this user runs on this machine, with the policy in force and the last reload that was refused
    Status(StatusArgs),
    /// Check and explain policies, without a connection
    #[command(subcommand)]
    Policy(PolicyVerb),
}

#[derive(Args)]
pub(crate) struct RunArgs {
    /// The policy (YAML); without it /etc/ringfence/policy.yaml, else a restrictive default without network
    #[arg(long, value_name = "FILE", env = "RINGFENCE_POLICY")]
    pub(crate) policy: Option<PathBuf>,
    /// Own Rego rules (package ringfence.sandbox) in place of the built-in ones
    #[arg(long, value_name = "FILE", env = "RINGFENCE_POLICY_RULES")]
    pub(crate) policy_rules: Option<PathBuf>,
    /// The data that own Rego rules judge by (JSON or YAML), in place of the policy
    #[arg(
        long,
        value_name = "FILE",
        env = "RINGFENCE_POLICY_DATA",
        requires = "policy_rules"
    )]
    pub(crate) policy_data: Option<PathBuf>,
    /// Inference routes (YAML)
    #[arg(
        long,
        value_name = "FILE",
        env = "RINGFENCE_ROUTES",
        conflicts_with = "model"
    )]
    pub(crate) routes: Option<PathBuf>,
    /// One route: openai, anthropic or nvidia, a slash, and the model's id; the key comes from the environment
    #[arg(long, value_name = "TYPE/MODEL_ID", env = "RINGFENCE_MODEL")]
    pub(crate) model: Option<String>,
    /// Read policy, rules, data and routes again when they change; SIGHUP does it at any time
    #[arg(long, env = "RINGFENCE_WATCH")]
    pub(crate) watch: bool,
    /// Name of the sandbox
    #[arg(long, env = "RINGFENCE_NAME")]
    pub(crate) name: Option<String>,
    /// Working directory of the command; the current one by default
    #[arg(long, value_name = "DIR", env = "RINGFENCE_WORKDIR")]
    pub(crate) workdir: Option<PathBuf>,
    /// End the command after so many seconds; the exit code is then 124
    #[arg(long, value_name = "SECONDS", env = "RINGFENCE_TIMEOUT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: Option<u64>,
    /// A variable for the command; KEY alone takes the value from the caller
    #[arg(long = "env", value_name = "KEY[=VALUE]")]
    pub(crate) variables: Vec<OsString>,
    /// Append one JSON line a decision to this file
    #[arg(long, value_name = "FILE", env = "RINGFENCE_RECORD")]
    pub(crate) record: Option<PathBuf>,
    /// Say nothing about what was denied
    #[arg(long, env = "RINGFENCE_QUIET")]
    pub(crate) quiet: bool,
    /// Leave out RINGFENCE_INFERENCE_URL, OPENAI_BASE_URL and ANTHROPIC_BASE_URL
    #[arg(long, env = "RINGFENCE_NO_INFERENCE_HINTS")]
    pub(crate) no_inference_hints: bool,
    /// Run as this user (and group), in place of the policy's
    #[arg(long, value_name = "USER[:GROUP]", env = "RINGFENCE_USER")]
    pub(crate) user: Option<String>,
    /// The command and its arguments; RINGFENCE_SANDBOX_COMMAND or /bin/bash without
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Args)]
pub(crate) struct StatusArgs {
    /// How to print
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

#[derive(Subcommand)]
pub(crate) enum PolicyVerb {
    /// Check policy files: all errors and warnings, with line and column
    Check(CheckArgs),
    /// Say what a policy decides, and why; no packet is sent
    Explain(Box<ExplainArgs>),
    /// Say what a second policy opens and closes compared with a first
    Diff(DiffArgs),
    /// Hold a policy against a table of expected verdicts
    Test(TestArgs),
}

#[derive(Args)]
pub(crate) struct CheckArgs {
    /// The policies (YAML)
    #[arg(required_unless_present = "policy_rules", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Own Rego rules to check as well
    #[arg(long, value_name = "FILE")]
    pub(crate) policy_rules: Option<PathBuf>,
    /// The data those rules judge by (JSON or YAML), in place of the first policy
    #[arg(long, value_name = "FILE", requires = "policy_rules")]
    pub(crate) policy_data: Option<PathBuf>,
    /// Fail on warnings as on errors
    #[arg(long)]
    pub(crate) strict: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

#[derive(Args)]
pub(crate) struct ExplainArgs {
    /// The policy (YAML)
    #[arg(long, value_name = "FILE", required_unless_present = "policy_rules")]
    pub(crate) policy: Option<PathBuf>,
    /// Own Rego rules in place of the built-in ones
    #[arg(long, value_name = "FILE", conflicts_with = "trace")]
    pub(crate) policy_rules: Option<PathBuf>,
    /// The data those rules judge by (JSON or YAML), in place of the policy
    #[arg(long, value_name = "FILE", requires = "policy_rules")]
    pub(crate) policy_data: Option<PathBuf>,
    /// Executable of the calling process
    #[arg(long, value_name = "PATH")]
    pub(crate) binary: String,
    /// Executable of an ancestor, parent first
    #[arg(long, value_name = "PATH")]
    pub(crate) ancestor: Vec<String>,
    /// Host asked for
    #[arg(long)]
    pub(crate) host: String,
    /// Port asked for
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: u16,
    /// An address the host resolves to; given, the address classes are judged too
    #[arg(long, value_name = "ADDR")]
    pub(crate) ip: Vec<IpAddr>,
    /// Ask as plain HTTP through the forward proxy, not as a tunnel
    #[arg(long)]
    pub(crate) forward: bool,
    /// Show every Rego rule that has a value
    #[arg(long)]
    pub(crate) trace: bool,
    /// Method of a request on an inspected endpoint
    #[arg(long, requires = "path")]
    pub(crate) method: Option<String>,
    /// Path of a request on an inspected endpoint
    #[arg(long, requires = "method")]
    pub(crate) path: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

#[derive(Args)]
pub(crate) struct DiffArgs {
    /// The first policy (YAML)
    #[arg(value_name = "OLD")]
    pub(crate) old: PathBuf,
    /// The second policy (YAML)
    #[arg(value_name = "NEW")]
    pub(crate) new: PathBuf,
    /// How to print
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

#[derive(Args)]
pub(crate) struct TestArgs {
    /// Tables (YAML); each names its policy
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

/// Forms of printed data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// One JSON document.
    Json,
}
