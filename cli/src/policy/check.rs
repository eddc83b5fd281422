//! `policy check`: all errors and warnings of policy files (CLI-16).

use std::path::Path;
use std::process::ExitCode;

use policy::{PolicyDocument, Problem};
use serde_json::{Value, json};

use crate::args::CheckArgs;
use crate::inputs;
use crate::print::{self, FAILED, Form};
use crate::settings::Settings;

/// What was found in one file.
struct Report {
    file: String,
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
}

pub(crate) fn check(args: &CheckArgs, settings: &Settings) -> ExitCode {
    let mut reports: Vec<Report> = args.files.iter().map(|file| examine(file)).collect();
    if let Some(rules) = &args.policy_rules {
        reports.push(examine_rules(rules, args));
    }
    match settings.form(args.printed) {
        Form::Table => reports.iter().for_each(tell),
        Form::Data(encoding) => {
            print::encoded(encoding, &Value::from_iter(reports.iter().map(report)))
        }
    }
    let fails =
        |report: &Report| !report.errors.is_empty() || args.strict && !report.warnings.is_empty();
    if reports.iter().any(fails) {
        return ExitCode::from(FAILED);
    }
    ExitCode::SUCCESS
}

fn examine(path: &Path) -> Report {
    let file = path.display().to_string();
    match inputs::read_policy(path) {
        Ok(loaded) => Report {
            file,
            errors: Vec::new(),
            warnings: policy::lint::lint(&loaded),
        },
        Err(problems) => Report {
            file,
            errors: problems.as_slice().to_vec(),
            warnings: Vec::new(),
        },
    }
}

/// An operator's own rules, with what they would judge by.
fn examine_rules(path: &Path, args: &CheckArgs) -> Report {
    // A policy with errors has its own report; its rules are looked into all the same.
    let document = args
        .files
        .first()
        .and_then(|file| inputs::read_policy(file).ok())
        .map_or_else(PolicyDocument::empty, |loaded| loaded.document);
    let checked = inputs::check_rules(path, args.policy_data.as_deref(), &document);
    Report {
        file: path.display().to_string(),
        errors: match checked {
            Ok(_) => Vec::new(),
            Err(problems) => problems.as_slice().to_vec(),
        },
        warnings: Vec::new(),
    }
}

/// Findings are messages; that a file is in order, or how far from it, is the data.
fn tell(report: &Report) {
    let Report {
        file,
        errors,
        warnings,
    } = report;
    for error in errors {
        print::message(format_args!("error: {error}"));
    }
    for warning in warnings {
        print::message(format_args!("warning: {warning}"));
    }
    match (errors.len(), warnings.len()) {
        (0, 0) => print::data(format_args!("{file}: ok")),
        (0, 1) => print::data(format_args!("{file}: ok, 1 warning")),
        (0, many) => print::data(format_args!("{file}: ok, {many} warnings")),
        (1, _) => print::data(format_args!("{file}: 1 error")),
        (many, _) => print::data(format_args!("{file}: {many} errors")),
    }
}

fn report(report: &Report) -> Value {
    let problem = |problem: &Problem| {
        json!({
            "line": problem.line,
            "column": problem.column,
            "path": problem.path,
            "message": problem.message,
        })
    };
    json!({
        "file": report.file,
        "ok": report.errors.is_empty(),
        "errors": report.errors.iter().map(problem).collect::<Vec<_>>(),
        "warnings": report.warnings.iter().map(problem).collect::<Vec<_>>(),
    })
}
