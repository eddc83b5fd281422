//! `policy diff`: what a second policy opens and closes. Exit codes are those of `diff`: 0 for no
//! difference, 1 for some, 2 for trouble (decision 0015).

use std::process::ExitCode;

use crate::args::DiffArgs;
use crate::inputs;
use crate::print::{self, Form, USAGE};
use crate::settings::Settings;

pub(crate) fn diff(args: &DiffArgs, settings: &Settings) -> ExitCode {
    let load = |path| inputs::load_policy(path).map(|loaded| loaded.document);
    let (old, new) = match (load(&args.old), load(&args.new)) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(problems), Ok(_)) | (Ok(_), Err(problems)) => return print::fail(USAGE, problems),
        (Err(one), Err(other)) => return print::fail(USAGE, format_args!("{one}\n{other}")),
    };
    let comparison = policy::diff::diff(&old, &new);
    match settings.form(args.printed) {
        Form::Table => comparison.differences.iter().for_each(print::data),
        Form::Data(encoding) => match serde_json::to_value(&comparison) {
            Ok(json) => print::encoded(encoding, &json),
            Err(error) => return print::fail(USAGE, error),
        },
    }
    if comparison.cut {
        let why = "the policies have too many combinations to ask about all; there may be more differences";
        return print::fail(USAGE, why);
    }
    if !comparison.differences.is_empty() {
        return ExitCode::from(DIFFERENT);
    }
    if old.hash() != new.hash() {
        print::message("the policies differ in their text and in no verdict");
    }
    ExitCode::SUCCESS
}

/// As `diff` ends when its inputs differ.
const DIFFERENT: u8 = 1;
