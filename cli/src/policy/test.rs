//! `policy test`: tables of expected verdicts, for users' CI.
//!
//! A table is judged by the text of its policy alone, so that it says the same on every machine:
//! symbolic links are not followed here.

use std::path::Path;
use std::process::ExitCode;

use policy::cases::{self, Ran};
use serde_json::{Value, json};

use crate::args::TestArgs;
use crate::inputs;
use crate::print::{self, FAILED, Form, USAGE};
use crate::settings::Settings;

pub(crate) fn test(args: &TestArgs, settings: &Settings) -> ExitCode {
    let mut reports = Vec::new();
    for file in &args.files {
        match run(file) {
            Ok(ran) => reports.push((file.display().to_string(), ran)),
            Err((code, why)) => return print::fail(code, why),
        }
    }
    match settings.form(args.printed) {
        Form::Table => reports.iter().for_each(|(file, ran)| tell(file, ran)),
        Form::Data(encoding) => {
            let reports = reports.iter().map(|(file, ran)| {
                let ok = ran.iter().all(|ran| ran.ok);
                json!({"file": file, "ok": ok, "cases": ran})
            });
            print::encoded(encoding, &Value::from_iter(reports));
        }
    }
    if reports.iter().flat_map(|(_, ran)| ran).all(|ran| ran.ok) {
        return ExitCode::SUCCESS;
    }
    ExitCode::from(FAILED)
}

fn run(file: &Path) -> Result<Vec<Ran>, (u8, String)> {
    let usage = |why: String| (USAGE, why);
    let text = inputs::read(file).map_err(usage)?;
    let table = cases::parse(&text, &file.display().to_string())
        .map_err(|problems| usage(problems.to_string()))?;
    let beside = file.parent().unwrap_or(Path::new("")).join(&table.policy);
    let loaded = inputs::load_policy(&beside).map_err(usage)?;
    // Table and rules that disagree are nothing a case could have expected.
    cases::run(&loaded, &table.cases).map_err(|error| (FAILED, error.to_string()))
}

fn tell(file: &str, ran: &[Ran]) {
    let failed = ran.iter().filter(|ran| !ran.ok);
    for ran in failed.clone() {
        print::data(format_args!("{file}:{}: FAILED: {}", ran.line, ran.name));
        print::data(format_args!("  expected: {}", ran.expected));
        print::data(format_args!("  got:      {}", ran.outcome()));
        for line in ran.got.to_string().lines() {
            print::data(format_args!("    {line}"));
        }
    }
    match failed.count() {
        0 => print::data(format_args!("{file}: ok, {} cases", ran.len())),
        count => print::data(format_args!(
            "{file}: {count} of {} cases failed",
            ran.len()
        )),
    }
}
