//! What an operator can say: a policy as typed data (POL-1).
//!
//! Apart from `source`, which reads text, and from `compile`, which prepares decisions. Invariant:
//! a document that exists is valid by construction: patterns are parsed, lists that must not be
//! empty are not, and fields that need each other live in one type. Every field of POL-1 is here,
//! so serialising keeps all of it.

mod baseline;
mod canonical;
mod path;
mod serialise;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Serialize;
use wire::Port;

pub use path::{PathError, PolicyPath};

pub(crate) use baseline::{READ_ONLY as BASELINE_READ_ONLY, READ_WRITE as BASELINE_READ_WRITE};
pub(crate) use canonical::hash;

use crate::address::AllowedIps;
use crate::pattern::{Glob, HostPattern};

/// A policy, one YAML document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyDocument {
    /// Files; absent is not the same as empty (BAS-2).
    pub filesystem: Option<Filesystem>,
    /// How file rules are enforced.
    pub landlock: Landlock,
    /// As whom the command runs.
    pub process: Process,
    /// Who may reach what, by key. Empty means no network.
    pub network_policies: BTreeMap<String, NetworkPolicy>,
    /// Who may use inference.local, and how much.
    pub inference: Option<Inference>,
}

/// `filesystem_policy`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Filesystem {
    /// Whether the working directory is writable.
    pub include_workdir: bool,
    /// Paths that may be read.
    pub read_only: Vec<PolicyPath>,
    /// Paths that may be read and written.
    pub read_write: Vec<PolicyPath>,
}

/// `landlock`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Landlock {
    /// What happens where the kernel cannot do all of it.
    pub compatibility: Compatibility,
}

/// `landlock.compatibility`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compatibility {
    /// Enforce what can be enforced.
    #[default]
    BestEffort,
    /// Refuse to start with less than all.
    HardRequirement,
}

/// `process`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Process {
    /// User name or number; empty keeps the caller's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub run_as_user: String,
    /// Group name or number; empty keeps the caller's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub run_as_group: String,
}

/// One entry of `network_policies`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NetworkPolicy {
    /// A name for people; the key by default. Decisions are named by the key.
    pub name: String,
    /// Where to.
    pub endpoints: Vec<Endpoint>,
    /// Who: the caller's executable or one of its ancestors' (POL-4).
    pub binaries: Vec<Binary>,
}

/// One entry of `binaries`: an absolute path, or a glob over paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Binary {
    /// Without `*` it matches exactly.
    #[serde(serialize_with = "serialise::display")]
    pub path: Glob,
}

/// One entry of `endpoints`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Host and addresses.
    pub destination: Destination,
    /// Port.
    pub port: Port,
    /// Request rules; absent means the connection is not inspected (L7-1).
    pub inspection: Option<Inspection>,
}

/// The endpoint forms of DST-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A host, at public addresses.
    Host(HostPattern),
    /// A host, at listed addresses.
    HostAt(HostPattern, AllowedIps),
    /// Any host, at listed addresses.
    AnyHostAt(AllowedIps),
}

impl Destination {
    /// The host pattern, when there is one.
    pub fn host(&self) -> Option<&HostPattern> {
        match self {
            Destination::Host(host) | Destination::HostAt(host, _) => Some(host),
            Destination::AnyHostAt(_) => None,
        }
    }

    /// `allowed_ips`, when set.
    pub fn allowed_ips(&self) -> Option<&AllowedIps> {
        match self {
            Destination::HostAt(_, list) | Destination::AnyHostAt(list) => Some(list),
            Destination::Host(_) => None,
        }
    }
}

/// `protocol: rest` and the fields that need it (POL-2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Which paths this endpoint speaks of.
    pub path: Glob,
    /// Whether TLS is ended here.
    pub tls: Tls,
    /// What happens to a request nothing allows.
    pub enforcement: Enforcement,
    /// Which requests are allowed.
    pub grant: Grant,
    /// Which are refused whatever allows them; needs `enforcement: enforce`.
    pub deny_rules: Vec<Rule>,
    /// Whether `%2F` may stand in a path.
    pub encoded_slash: EncodedSlash,
}

/// `tls`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// End TLS and read the requests.
    Terminate,
    /// Leave TLS alone.
    #[default]
    Passthrough,
}

/// `enforcement`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Enforcement {
    /// Refuse.
    Enforce,
    /// Forward and record.
    #[default]
    Audit,
}

/// `allow_encoded_slash`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EncodedSlash {
    /// `%2F` in a path is passed on as it is.
    Allow,
    /// `%2F` in a path is refused.
    #[default]
    Refuse,
}

/// `access` or `rules`: one of them, never both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// A preset.
    Access(Access),
    /// A list; at least one.
    Rules(Vec<Rule>),
}

/// `access` (L7-12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// GET, HEAD, OPTIONS.
    ReadOnly,
    /// `read-only`, POST, PUT, PATCH.
    ReadWrite,
    /// Every method.
    Full,
}

impl Access {
    /// The methods it stands for; `*` is every method.
    pub fn methods(self) -> &'static [&'static str] {
        match self {
            Access::ReadOnly => &["GET", "HEAD", "OPTIONS"],
            Access::ReadWrite => &["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH"],
            Access::Full => &["*"],
        }
    }
}

/// Whether a method that is written down stands for `method`: `*` for all, and GET for HEAD (L7-10).
pub(crate) fn covers_method(written: &str, method: &str) -> bool {
    written == "*" || written == method || written == "GET" && method == "HEAD"
}

/// One request rule (L7-10).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Upper-case token, or `*`.
    pub method: String,
    /// Glob over the canonical path.
    #[serde(serialize_with = "serialise::display")]
    pub path: Glob,
    /// Globs over decoded query values, by name.
    #[serde(
        serialize_with = "serialise::globs",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub query: BTreeMap<String, Glob>,
}

/// `inference`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Inference {
    /// Who may use the service; absent is every process, a list is never empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binaries: Option<Vec<Binary>>,
    /// Which models may be sent; absent is any, a list is never empty.
    #[serde(
        serialize_with = "serialise::models",
        skip_serializing_if = "Option::is_none"
    )]
    pub models: Option<Vec<Glob>>,
    /// Requests a minute; absent is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    /// Tokens a minute, input and output together; absent is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    /// Requests in flight; absent is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u64>,
}

impl PolicyDocument {
    /// The policy with nothing but a version: no files beyond the baseline, no network.
    pub fn empty() -> PolicyDocument {
        PolicyDocument {
            filesystem: None,
            landlock: Landlock::default(),
            process: Process::default(),
            network_policies: BTreeMap::new(),
            inference: None,
        }
    }

    /// LIV-5: lower-case hex SHA-256; equal documents have equal hashes, others do not.
    pub fn hash(&self) -> String {
        hash(self)
    }
}
