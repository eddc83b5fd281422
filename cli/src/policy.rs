//! `ringfence policy`: check and explain, without a connection.

use std::path::Path;
use std::process::ExitCode;

use crate::args::ExplainArgs;
use crate::inputs;
use crate::print::{self, FAILED};

/// All errors and warnings of a file (CLI-16).
pub(crate) fn check(file: &Path) -> ExitCode {
    match inputs::load_policy(file) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                print::message(format_args!("warning: {warning}"));
            }
            print::data(format_args!("{}: ok", file.display()));
            ExitCode::SUCCESS
        }
        Err(problems) => print::fail(FAILED, problems),
    }
}

/// The verdict for one question, with its reasons (CLI-17).
pub(crate) fn explain(_args: &ExplainArgs) -> ExitCode {
    print::fail(FAILED, "not here yet")
}
