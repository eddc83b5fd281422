//! What was typed: verbs and flags as a table. What it means is worked out by `settings` and the verbs.
//!
//! The verbs that talk to a gateway have their flags below `args/`, one noun a file.

mod gateway;
mod inference;
mod policy;
mod provider;
mod sandbox;
mod shell;

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::completions;

pub(crate) use gateway::{Enroll, GatewayArgs, GatewayVerb, NvidiaDefault, Place, RotateKey};
pub(crate) use inference::{
    ClusterVerb, InferenceUnset, InferenceVerb, Millis, SetArgs, Timeouts, UpdateArgs,
};
pub(crate) use policy::{PolicyGet, PolicyList, PolicySet};
pub(crate) use provider::{
    Content, ListArgs, ProviderCreate, ProviderDelete, ProviderGet, ProviderTest, ProviderUpdate,
    ProviderVerb,
};
pub(crate) use sandbox::{SandboxDelete, SandboxGet, SandboxLogs, SandboxVerb};
pub(crate) use shell::{CompletionsArgs, ManArgs, Shell};

/// The network gate for AI-agent sandboxes.
#[derive(Parser)]
#[command(name = "ringfence", version, about, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Run one command in a fence: no network but what the policy allows, and a model at https://inference.local
    Run(Box<RunArgs>),
    /// The gateway with its hosts and route, and what this user runs on this machine
    Status(Printed),
    /// Set and show the policies of sandboxes; check and explain policies without a connection
    #[command(subcommand)]
    Policy(PolicyVerb),
    /// The sandboxes a gateway knows
    #[command(subcommand)]
    Sandbox(SandboxVerb),
    /// Credentials and where they lead
    #[command(subcommand)]
    Provider(ProviderVerb),
    /// What holds for all sandboxes of a gateway
    #[command(subcommand)]
    Cluster(ClusterVerb),
    /// Short for `cluster inference`
    #[command(subcommand)]
    Inference(InferenceVerb),
    /// Run the control plane: it keeps providers, the route and policies, and pushes them to every host
    Gateway(GatewayArgs),
    /// Print what a shell needs to complete ringfence's commands, with the names the gateway knows
    Completions(CompletionsArgs),
    /// Write the manual pages
    Man(ManArgs),
}

/// Flags of every verb.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Global {
    /// Whose client certificates to use: a directory below clusters/ in the configuration [default: default]
    #[arg(
        short,
        long,
        value_name = "NAME",
        env = "RINGFENCE_CLUSTER",
        hide_env_values = true,
        global = true,
        help_heading = "Gateway"
    )]
    pub(crate) cluster: Option<String>,
    /// Where the gateway is, unix:PATH or https://HOST:PORT [default: gateway.sock in the state directory]
    #[arg(
        long,
        value_name = "URL",
        env = "RINGFENCE_GATEWAY",
        hide_env_values = true,
        global = true,
        help_heading = "Gateway"
    )]
    pub(crate) gateway: Option<String>,
    /// Say more on stderr; repeat for more
    #[arg(short, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
}

/// Of every verb that prints data.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Printed {
    /// How to print [default: table]
    #[arg(long, value_enum, env = "RINGFENCE_OUTPUT", hide_env_values = true)]
    pub(crate) output: Option<Output>,
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
    /// Name of the sandbox; its record at the gateway stays when the command has ended
    #[arg(long, env = "RINGFENCE_NAME")]
    pub(crate) name: Option<String>,
    /// Attach a provider of the gateway: its credentials become variables of the command; repeat for more
    #[arg(
        long = "provider",
        value_name = "NAME",
        env = "RINGFENCE_PROVIDER",
        value_delimiter = ','
    )]
    pub(crate) providers: Vec<String>,
    /// Without the gateway for so long its routes are not used any more; 0 for never [default: 1h]
    #[arg(long, value_name = "DURATION", env = "RINGFENCE_MAX_STALE")]
    pub(crate) max_stale: Option<String>,
    /// Directory of this host's ca.crt, tls.crt and tls.key, for a gateway at https://…
    #[arg(
        long,
        value_name = "DIR",
        env = "RINGFENCE_HOST_CERTIFICATE",
        requires = "host_id"
    )]
    pub(crate) host_certificate: Option<PathBuf>,
    /// The host that certificate names
    #[arg(long, value_name = "ID", env = "RINGFENCE_HOST_ID")]
    pub(crate) host_id: Option<String>,
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

#[derive(Subcommand)]
pub(crate) enum PolicyVerb {
    /// Give a sandbox another policy
    Set(PolicySet),
    /// Show a sandbox's policy: the version, its state, and with --full the text
    Get(PolicyGet),
    /// Show the versions a sandbox's policy has had, newest first
    List(PolicyList),
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
    #[command(flatten)]
    pub(crate) printed: Printed,
}

#[derive(Args)]
pub(crate) struct ExplainArgs {
    /// The sandbox whose policy a gateway serves; the last one used without, and without a file
    #[arg(conflicts_with_all = ["policy", "policy_rules"], add = completions::sandboxes())]
    pub(crate) name: Option<String>,
    /// The policy (YAML)
    #[arg(long, value_name = "FILE")]
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
    #[command(flatten)]
    pub(crate) printed: Printed,
}

#[derive(Args)]
pub(crate) struct DiffArgs {
    /// The first policy (YAML)
    #[arg(value_name = "OLD")]
    pub(crate) old: PathBuf,
    /// The second policy (YAML)
    #[arg(value_name = "NEW")]
    pub(crate) new: PathBuf,
    #[command(flatten)]
    pub(crate) printed: Printed,
}

#[derive(Args)]
pub(crate) struct TestArgs {
    /// Tables (YAML); each names its policy
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) printed: Printed,
}

/// Forms of printed data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// One JSON document.
    Json,
    /// The same in YAML.
    Yaml,
}

#[cfg(test)]
mod tests;
