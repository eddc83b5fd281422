//! `KEY=VALUE` as typed → entries of a provider (CLI-10, CLI-12).
//!
//! Apart from `args` because clap repeats what it refuses. Invariant: no error has a value in it, nor a key that is not
//! shaped like one: it may be a secret in the wrong place.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use crate::print::Stop;

/// Where a bare KEY finds its value.
pub(super) type Environment<'a> = dyn Fn(&str) -> Option<OsString> + 'a;

/// What `KEY=` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blank {
    /// A mistake.
    Refused,
    /// The entry shall be gone.
    Deletes,
}

/// Credentials: `KEY=VALUE`, or `KEY` for the value the environment has.
pub(super) fn credentials(
    typed: &[OsString],
    env: &Environment<'_>,
    blank: Blank,
) -> Result<BTreeMap<String, String>, Stop> {
    entries("--credential", typed, |key, value| match value {
        Some(value) => given("--credential", key, value, blank),
        None => {
            let value = env(key).ok_or_else(|| {
                Stop::usage(format_args!(
                    "--credential {key}: the variable {key} is not set"
                ))
            })?;
            let value = text("--credential", key, &value)?;
            if value.trim().is_empty() {
                let why = format_args!("--credential {key}: the variable {key} is blank");
                return Err(Stop::usage(why));
            }
            Ok(value)
        }
    })
}

/// Settings: `KEY=VALUE`.
pub(super) fn config(typed: &[OsString], blank: Blank) -> Result<BTreeMap<String, String>, Stop> {
    entries("--config", typed, |key, value| match value {
        Some(value) => given("--config", key, value, blank),
        None => Err(Stop::usage(format_args!(
            "--config {key}: expected KEY=VALUE"
        ))),
    })
}

fn entries(
    flag: &str,
    typed: &[OsString],
    value_of: impl Fn(&str, Option<&OsStr>) -> Result<String, Stop>,
) -> Result<BTreeMap<String, String>, Stop> {
    let mut entries = BTreeMap::new();
    for entry in typed {
        let (key, value) = split(entry);
        let key = key.to_str().filter(|key| is_key(key)).ok_or_else(|| {
            let forms = if flag == "--config" { "KEY=VALUE" } else { "KEY=VALUE or KEY" };
            Stop::usage(format_args!(
                "{flag}: expected {forms}; a key is of letters, digits and `_` and does not begin with a digit"
            ))
        })?;
        let value = value_of(key, value)?;
        if entries.insert(key.to_owned(), value).is_some() {
            return Err(Stop::usage(format_args!("{flag} {key}: given twice")));
        }
    }
    Ok(entries)
}

fn given(flag: &str, key: &str, value: &OsStr, blank: Blank) -> Result<String, Stop> {
    let value = text(flag, key, value)?;
    match (value.trim().is_empty(), blank) {
        (false, _) => Ok(value),
        (true, Blank::Deletes) => Ok(String::new()),
        (true, Blank::Refused) => Err(Stop::usage(format_args!(
            "{flag} {key}: the value is blank"
        ))),
    }
}

fn text(flag: &str, key: &str, value: &OsStr) -> Result<String, Stop> {
    let why = || Stop::usage(format_args!("{flag} {key}: the value is not UTF-8"));
    value.to_str().map(str::to_owned).ok_or_else(why)
}

/// At the first `=`.
fn split(entry: &OsStr) -> (&OsStr, Option<&OsStr>) {
    use std::os::unix::ffi::OsStrExt;
    let bytes = entry.as_bytes();
    let Some(at) = bytes.iter().position(|&byte| byte == b'=') else {
        return (entry, None);
    };
    let (key, value) = bytes.split_at(at);
    let value = value.get(1..).unwrap_or_default();
    (OsStr::from_bytes(key), Some(OsStr::from_bytes(value)))
}

/// PRV-4
fn is_key(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    text.starts_with(letter) && text.chars().all(|c| letter(c) || c.is_ascii_digit())
}
