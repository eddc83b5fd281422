//! The environment of the command, built from nothing (ENV-1…3, TLS-7). Pure.
//!
//! The first source of a name wins: ringfence's own four, what the user typed, the proxy and trust variables,
//! credentials of providers, a few of the caller's, hints. Invariant: no variable of the launcher that is not in
//! [`CALLER`] gets in, so no key of a provider does.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What the environment is made of.
pub struct Environment<'a> {
    /// `RINGFENCE_SANDBOX_ID`.
    pub id: &'a str,
    /// `RINGFENCE_SANDBOX_NAME`.
    pub name: &'a str,
    /// `RINGFENCE_RUNTIME_DIR`, with the trust files in it.
    pub runtime_dir: &'a Path,
    /// `--env`, in the order typed; the last of a name counts. See [`user_entry`].
    pub user: &'a [(OsString, OsString)],
    /// Credentials of attached providers.
    pub providers: &'a [(OsString, OsString)],
    /// Whether to hint at `inference.local`.
    pub hints: Hints,
}

/// Whether the hints of ENV-3 are set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Hints {
    /// Set, unless the user or a provider speaks for them.
    Set,
    /// `--no-inference-hints`.
    LeaveOut,
}

/// An `--env` that cannot be used.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// The name is empty or has a `=` or NUL.
    Name(String),
    /// A bare name that the caller does not have.
    Unset(String),
}

impl fmt::Display for EnvironmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(text) => write!(f, "`--env {text}`: not KEY or KEY=VALUE"),
            Self::Unset(name) => write!(
                f,
                "`--env {name}`: not set here; write `--env {name}=VALUE`"
            ),
        }
    }
}

impl std::error::Error for EnvironmentError {}

/// Reads one `--env KEY=VALUE`, or `--env KEY`, whose value `caller` knows.
///
/// # Errors
/// [`EnvironmentError`] for a name that is none, or that the caller does not have. It never holds a value.
pub fn user_entry(
    text: &OsStr,
    caller: impl Fn(&OsStr) -> Option<OsString>,
) -> Result<(OsString, OsString), EnvironmentError> {
    let bytes = text.as_bytes();
    let cut = bytes.iter().position(|byte| *byte == b'=');
    let name = OsStr::from_bytes(bytes.get(..cut.unwrap_or(bytes.len())).unwrap_or_default());
    if name.is_empty() || bytes.contains(&0) {
        return Err(EnvironmentError::Name(name.to_string_lossy().into_owned()));
    }
    let value = match cut {
        Some(at) => {
            OsStr::from_bytes(bytes.get(at.saturating_add(1)..).unwrap_or_default()).to_owned()
        }
        None => caller(name)
            .ok_or_else(|| EnvironmentError::Unset(name.to_string_lossy().into_owned()))?,
    };
    Ok((name.to_owned(), value))
}

impl Environment<'_> {
    /// The child's whole environment. `caller` is the launcher's.
    #[must_use]
    pub fn build(
        &self,
        caller: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Vec<(OsString, OsString)> {
        let mut built = Built(Vec::new());
        built.set("RINGFENCE_SANDBOX", "1");
        built.set("RINGFENCE_SANDBOX_ID", self.id);
        built.set("RINGFENCE_SANDBOX_NAME", self.name);
        built.set("RINGFENCE_RUNTIME_DIR", self.runtime_dir);
        for (name, value) in self.user.iter().rev() {
            built.set(name, value);
        }
        for name in PROXY {
            built.set(name, PROXY_URL);
        }
        for name in NO_PROXY {
            built.set(name, "localhost,127.0.0.1,::1");
        }
        built.set("NODE_USE_ENV_PROXY", "1");
        for (name, file) in TRUST {
            built.set(name, self.runtime_dir.join(file));
        }
        for (name, value) in self.providers.iter().filter(|(name, _)| !is_reserved(name)) {
            built.set(name, value);
        }
        for (name, value) in caller.into_iter().filter(|(name, _)| is_taken_over(name)) {
            built.set(name, value);
        }
        if self.hints == Hints::Set {
            built.set("RINGFENCE_INFERENCE_URL", "https://inference.local/v1");
            for (name, value, credential) in VENDORS {
                if !self
                    .providers
                    .iter()
                    .any(|(supplied, _)| supplied == credential)
                {
                    built.set(name, value);
                }
            }
        }
        built.0
    }
}

/// Names and values; the first of a name stays.
struct Built(Vec<(OsString, OsString)>);

impl Built {
    fn set(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) {
        // Quadratic in a few dozen names.
        if !self.0.iter().any(|(have, _)| have == name.as_ref()) {
            self.0
                .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        }
    }
}

/// PRV-4: names no provider may supply, whatever its gateway thought of it: they decide what runs, or where it connects.
fn is_reserved(name: &OsStr) -> bool {
    let starts = |prefix: &[u8]| name.as_bytes().starts_with(prefix);
    RESERVED.iter().any(|reserved| name == *reserved)
        || starts(b"LD_")
        || starts(b"RINGFENCE_")
        || PROXY.iter().chain(&NO_PROXY).any(|own| name == *own)
        || TRUST.iter().any(|(own, _)| name == *own)
        || name.is_empty()
        || name.as_bytes().contains(&b'=')
}

fn is_taken_over(name: &OsStr) -> bool {
    CALLER.iter().any(|taken| name == *taken) || name.as_bytes().starts_with(b"LC_")
}

/// The proxy's door inside every sandbox (GEN-3).
const PROXY_URL: &str = "http://127.0.0.1:3128";

const PROXY: [&str; 7] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "grpc_proxy",
];

const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// TLS-7: variable and file in the runtime directory.
const TRUST: [(&str, &str); 6] = [
    ("NODE_EXTRA_CA_CERTS", "ca.pem"),
    ("DENO_CERT", "ca.pem"),
    ("SSL_CERT_FILE", "ca-bundle.pem"),
    ("REQUESTS_CA_BUNDLE", "ca-bundle.pem"),
    ("CURL_CA_BUNDLE", "ca-bundle.pem"),
    ("GIT_SSL_CAINFO", "ca-bundle.pem"),
];

/// PRV-4, beside the variables set here.
const RESERVED: [&str; 10] = [
    "PATH",
    "HOME",
    "SHELL",
    "IFS",
    "ENV",
    "BASH_ENV",
    "NODE_OPTIONS",
    "NODE_USE_ENV_PROXY",
    "PYTHONPATH",
    "PYTHONSTARTUP",
];

/// Taken over from the caller, with every `LC_*`.
const CALLER: [&str; 8] = [
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TERM", "TZ",
];

/// ENV-3: variable, value, and the credential of a provider that speaks for it.
const VENDORS: [(&str, &str, &str); 2] = [
    (
        "OPENAI_BASE_URL",
        "https://inference.local/v1",
        "OPENAI_API_KEY",
    ),
    (
        "ANTHROPIC_BASE_URL",
        "https://inference.local",
        "ANTHROPIC_API_KEY",
    ),
];

#[cfg(test)]
mod tests;
