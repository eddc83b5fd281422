//! What is asked and told only where somebody looks: on a terminal.

use std::io::{BufRead, IsTerminal, Write};

use super::{Stop, printable};

/// Whether a question was answered before it was asked (`--yes`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Confirmed {
    Already,
    NotYet,
}

impl From<bool> for Confirmed {
    fn from(yes: bool) -> Self {
        match yes {
            true => Confirmed::Already,
            false => Confirmed::NotYet,
        }
    }
}

/// Asks whether to go on. Without a terminal there is nobody to ask, and the verb was meant.
pub(crate) fn confirm(question: &str, confirmed: Confirmed) -> Result<(), Stop> {
    let somebody = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if confirmed == Confirmed::Already || !somebody {
        return Ok(());
    }
    let mut err = std::io::stderr();
    _ = write!(err, "{}? [y/N] ", printable(question));
    _ = err.flush();
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    match read.is_ok() && is_yes(&answer) {
        true => Ok(()),
        false => Err(Stop::failed("nothing was changed")),
    }
}

pub(super) fn is_yes(answer: &str) -> bool {
    let answer = answer.trim();
    answer.eq_ignore_ascii_case("y") || answer.eq_ignore_ascii_case("yes")
}

/// A line on stderr that says what is waited for, gone when the wait is over.
pub(crate) struct Waiting {
    shown: bool,
}

impl Waiting {
    /// Says it, on a terminal.
    pub(crate) fn begin(what: &str) -> Waiting {
        let shown = std::io::stderr().is_terminal();
        if shown {
            let mut err = std::io::stderr();
            _ = write!(err, "\rwaiting for {} …", printable(what));
            _ = err.flush();
        }
        Waiting { shown }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.shown {
            let mut err = std::io::stderr();
            _ = write!(err, "\r\u{1b}[K");
            _ = err.flush();
        }
    }
}
