//! Flags of `provider`.
//!
//! Invariant: a credential is typed as `OsString` and looked into by `provider`, never by a value parser: clap repeats a
//! value it refuses.

use std::ffi::OsString;

use clap::{Args, Subcommand};

use super::Printed;
use crate::completions;

#[derive(Subcommand)]
pub(crate) enum ProviderVerb {
    /// Create a provider
    Create(ProviderCreate),
    /// Show a provider; of its credentials the names
    Get(ProviderGet),
    /// Show all providers
    List(ListArgs),
    /// Change a provider; what is not named stays
    Update(ProviderUpdate),
    /// Delete providers nothing refers to
    Delete(ProviderDelete),
    /// Send one small request with a provider's credential and say what is wrong
    Test(ProviderTest),
}

#[derive(Args)]
pub(crate) struct ProviderCreate {
    /// Its name; made up without
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// openai, anthropic, nvidia, claude, codex, opencode, github (gh), gitlab (glab), generic or outlook
    #[arg(long = "type", value_name = "TYPE", add = completions::provider_types())]
    pub(crate) kind: String,
    #[command(flatten)]
    pub(crate) content: Content,
    /// Let the base URL lead to a private or loopback address
    #[arg(long)]
    pub(crate) allow_private_endpoint: bool,
    #[command(flatten)]
    pub(crate) printed: Printed,
}

/// What a provider holds.
#[derive(Args)]
pub(crate) struct Content {
    /// Take the credentials from the variables usual for the type
    #[arg(long, conflicts_with = "credential")]
    pub(crate) from_existing: bool,
    /// A credential, repeatable; KEY alone takes its value from the environment, out of sight of other users
    #[arg(long, value_name = "KEY[=VALUE]")]
    pub(crate) credential: Vec<OsString>,
    /// A setting such as OPENAI_BASE_URL=https://…, repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) config: Vec<OsString>,
}

#[derive(Args)]
pub(crate) struct ProviderGet {
    /// The provider
    #[arg(add = completions::providers())]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) printed: Printed,
}

/// Of `provider list` and `sandbox list`.
#[derive(Args)]
pub(crate) struct ListArgs {
    /// At most so many, up to 1,000
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: u32,
    /// Leave out the first N
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) offset: u32,
    /// Names only, one a line
    #[arg(long)]
    pub(crate) names: bool,
    #[command(flatten)]
    pub(crate) printed: Printed,
}

#[derive(Args)]
pub(crate) struct ProviderUpdate {
    /// The provider
    #[arg(add = completions::providers())]
    pub(crate) name: String,
    /// KEY= deletes the entry
    #[command(flatten)]
    pub(crate) content: Content,
    /// Whether the base URL may lead to a private or loopback address
    #[arg(
        long,
        value_name = "true|false",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub(crate) allow_private_endpoint: Option<bool>,
    #[command(flatten)]
    pub(crate) printed: Printed,
}

#[derive(Args)]
pub(crate) struct ProviderDelete {
    /// The providers
    #[arg(required = true, value_name = "NAME", add = completions::providers())]
    pub(crate) names: Vec<String>,
    /// Delete it even where something refers to it: its credential is revoked everywhere, its route answers 503
    #[arg(long)]
    pub(crate) force: bool,
    /// Ask nothing
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) printed: Printed,
}

#[derive(Args)]
pub(crate) struct ProviderTest {
    /// The provider
    #[arg(add = completions::providers())]
    pub(crate) name: String,
    /// The model to ask; one that the provider lists without
    #[arg(long, value_name = "ID")]
    pub(crate) model: Option<String>,
    #[command(flatten)]
    pub(crate) printed: Printed,
}
