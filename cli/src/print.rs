//! The only file that prints. Data goes to stdout, messages to stderr; a reader that went away is no error.
//!
//! What is printed as data is worked out once, as a JSON value: JSON and YAML hold the same keys (CLI-1), and a table says
//! the same for people. What a verb ends with is here too ([`Stop`]), because its words are printed.

mod table;
mod terminal;
#[cfg(test)]
mod tests;
mod yaml;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

pub(crate) use table::{align, facts, fates, lines, printable, table, words};
pub(crate) use terminal::{Waiting, confirm};

/// Refused or failed (CLI-2).
pub(crate) const FAILED: u8 = 1;
/// Usage or invalid local input (CLI-2).
pub(crate) const USAGE: u8 = 2;
/// A verdict of deny (CLI-2).
pub(crate) const DENIED: u8 = 3;
/// The gateway is not reachable or not trusted (CLI-2).
pub(crate) const UNREACHABLE: u8 = 4;
/// The time was up (CLI-2).
pub(crate) const TIMED_OUT: u8 = 124;
/// `run` could not start the sandbox (CLI-6).
pub(crate) const NOT_STARTED: u8 = 125;

/// In which form data is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// For people.
    Table,
    /// For programs.
    Data(Encoding),
}

/// How much of a list is printed (`--names`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// Nothing but the names.
    Only,
    /// All that is known.
    Among,
}

impl From<bool> for Names {
    fn from(names: bool) -> Self {
        match names {
            true => Names::Only,
            false => Names::Among,
        }
    }
}

/// How a program wants its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Yaml,
}

impl Encoding {
    /// The value as text, without a line end behind it.
    fn text(self, value: &Value) -> String {
        match self {
            // The alternate form of a JSON value is the indented one.
            Encoding::Json => format!("{value:#}"),
            Encoding::Yaml => yaml::text(value),
        }
    }
}

/// Why a verb ends early, and the code it ends with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) code: u8,
    pub(crate) why: String,
}

impl Stop {
    /// Refused or failed.
    pub(crate) fn failed(why: impl Display) -> Stop {
        Stop::new(FAILED, why)
    }

    /// Usage or invalid local input.
    pub(crate) fn usage(why: impl Display) -> Stop {
        Stop::new(USAGE, why)
    }

    /// Any code of CLI-2.
    pub(crate) fn new(code: u8, why: impl Display) -> Stop {
        let why = why.to_string();
        Stop { code, why }
    }
}

/// How a verb ended: a code, or why it ended early.
pub(crate) type Ending = Result<ExitCode, Stop>;

/// The code of a verb; says why it ended early.
pub(crate) fn ending(ending: Ending) -> ExitCode {
    ending.unwrap_or_else(|Stop { code, why }| fail(code, why))
}

/// Prints data.
pub(crate) fn data(text: impl Display) {
    _ = writeln!(std::io::stdout(), "{text}");
}

/// Prints data that is text already, as it is.
pub(crate) fn raw(bytes: &[u8]) {
    _ = std::io::stdout().write_all(bytes);
}

/// Prints data for programs.
pub(crate) fn encoded(encoding: Encoding, value: &Value) {
    data(encoding.text(value));
}

/// Prints data in the form asked for. `people` ends without a line end, and is empty when there is nothing to say.
pub(crate) fn shown(form: Form, value: &Value, people: impl FnOnce() -> String) {
    match form {
        Form::Data(encoding) => encoded(encoding, value),
        Form::Table => match people() {
            text if text.is_empty() => {}
            text => data(text),
        },
    }
}

/// A time as it travels, milliseconds since 1970, as text; nothing for 0.
pub(crate) fn time(ms: i64) -> Option<String> {
    let ms = u64::try_from(ms).ok().filter(|&ms| ms > 0)?;
    let at = UNIX_EPOCH.checked_add(Duration::from_millis(ms))?;
    Some(link::record::rfc3339(at))
}

/// Prints a message.
pub(crate) fn message(text: impl Display) {
    _ = writeln!(std::io::stderr(), "ringfence: {text}");
}

/// Prints a block of text as it is, to stderr.
pub(crate) fn block(text: &str) {
    _ = std::io::stderr().write_all(text.as_bytes());
}

/// Prints why, and gives the code to end with.
pub(crate) fn fail(code: u8, why: impl Display) -> ExitCode {
    message(why);
    ExitCode::from(code)
}
