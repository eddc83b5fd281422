//! The only file that prints. Data goes to stdout, messages to stderr; a reader that went away is no error.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

/// Refused or failed (CLI-2).
pub(crate) const FAILED: u8 = 1;
/// Usage or invalid local input (CLI-2).
pub(crate) const USAGE: u8 = 2;
/// A verdict of deny (CLI-2).
pub(crate) const DENIED: u8 = 3;
/// `run` could not start the sandbox (CLI-6).
pub(crate) const NOT_STARTED: u8 = 125;

/// Prints data.
pub(crate) fn data(text: impl Display) {
    _ = writeln!(std::io::stdout(), "{text}");
}

/// Prints data as JSON.
pub(crate) fn json(value: &serde_json::Value) {
    // The alternate form of a JSON value is the indented one.
    data(format_args!("{value:#}"));
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
