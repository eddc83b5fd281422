//! What may stand in a provider: names, keys and values (PRV-4).
//!
//! Apart from `provider` so that create, update and use ask the same questions (TR-111). Invariant: a refusal names the
//! field and the key and never a value.

use std::fmt;

use crate::refused::Refused;

/// Which of the two maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Map {
    Credentials,
    Config,
}

impl Map {
    /// How many entries it may have.
    pub(super) fn entries_max(self) -> usize {
        match self {
            Map::Credentials => CREDENTIALS_MAX,
            Map::Config => CONFIG_MAX,
        }
    }
}

/// A name, trimmed; `None` for a blank one.
pub(super) fn name(text: &str) -> Result<Option<&str>, Refused> {
    let name = text.trim();
    if name.len() > NAME_BYTES_MAX {
        return invalid(format_args!("name: at most {NAME_BYTES_MAX} bytes"));
    }
    if name.chars().any(char::is_control) {
        return invalid(format_args!("name: no control characters"));
    }
    Ok(Some(name).filter(|name| !name.is_empty()))
}

/// One entry that is set.
pub(super) fn check(map: Map, key: &str, value: &str) -> Result<(), Refused> {
    if key.len() > KEY_BYTES_MAX {
        return invalid(format_args!(
            "{map}: a key has at most {KEY_BYTES_MAX} bytes"
        ));
    }
    if !is_key(key) {
        return invalid(format_args!(
            "{map}: the key {key:?} is not of the form [A-Za-z_][A-Za-z0-9_]*"
        ));
    }
    if map == Map::Credentials && is_reserved(key) {
        return invalid(format_args!(
            "{map}[{key}]: this name is reserved; it steers programs inside a sandbox"
        ));
    }
    if value.len() > VALUE_BYTES_MAX {
        return invalid(format_args!(
            "{map}[{key}]: a value has at most {VALUE_BYTES_MAX} bytes"
        ));
    }
    if value == super::REDACTED {
        return invalid(format_args!(
            "{map}[{key}]: `{}` stands for a value that is kept; leave the key out to keep it",
            super::REDACTED
        ));
    }
    if !is_one_line(value) {
        return invalid(format_args!("{map}[{key}]: a value holds no CR, LF or NUL"));
    }
    Ok(())
}

/// Whether a value can carry nothing but itself into a header or an environment (TR-085).
pub(super) fn is_one_line(value: &str) -> bool {
    !value.contains(['\r', '\n', '\0'])
}

fn is_key(key: &str) -> bool {
    let mut bytes = key.bytes();
    let first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    bytes.next().is_some_and(first) && bytes.all(|byte| first(byte) || byte.is_ascii_digit())
}

fn is_reserved(key: &str) -> bool {
    RESERVED.contains(&key)
        || RESERVED_BEGINNINGS
            .iter()
            .any(|begin| key.starts_with(begin))
}

fn invalid<T>(why: fmt::Arguments<'_>) -> Result<T, Refused> {
    Err(Refused::Invalid(why.to_string()))
}

impl fmt::Display for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Map::Credentials => "credentials",
            Map::Config => "config",
        })
    }
}

/// What decides how programs in a sandbox start, find code, or trust (PRV-4), with the proxy and trust variables that
/// every sandbox has (ENV-2, TLS-7).
const RESERVED: [&str; 25] = [
    "PATH",
    "HOME",
    "SHELL",
    "IFS",
    "ENV",
    "BASH_ENV",
    "NODE_OPTIONS",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "grpc_proxy",
    "NO_PROXY",
    "no_proxy",
    "NODE_USE_ENV_PROXY",
    "NODE_EXTRA_CA_CERTS",
    "DENO_CERT",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
];

const RESERVED_BEGINNINGS: [&str; 2] = ["LD_", "RINGFENCE_"];

/// PRV-4.
const NAME_BYTES_MAX: usize = 253;
pub(super) const TYPE_BYTES_MAX: usize = 64;
const CREDENTIALS_MAX: usize = 32;
const CONFIG_MAX: usize = 64;
const KEY_BYTES_MAX: usize = 256;
const VALUE_BYTES_MAX: usize = 8_192;
