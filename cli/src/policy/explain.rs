//! `policy explain`: the verdict for one question, with its reasons (CLI-17).

use std::process::ExitCode;

use policy::Caller;
use policy::explain::{Outcome, Question};
use wire::{Authority, Host, Port};

use crate::args::{ExplainArgs, Output};
use crate::inputs;
use crate::print::{self, DENIED, FAILED, USAGE};

pub(crate) fn explain(args: &ExplainArgs) -> ExitCode {
    let document = match inputs::load_policy(&args.policy) {
        Ok(loaded) => loaded.document,
        Err(problems) => return print::fail(USAGE, problems),
    };
    let target = match (Host::parse(args.host.as_bytes()), Port::new(args.port)) {
        (Ok(host), Some(port)) => Authority { host, port },
        (Err(error), _) => {
            return print::fail(USAGE, format_args!("--host {}: {error}", args.host));
        }
        (Ok(_), None) => return print::fail(USAGE, "--port: expected a number 1–65535"),
    };
    let ancestors: Vec<&str> = args.ancestor.iter().map(String::as_str).collect();
    let question = Question {
        caller: Caller::from_paths(&args.binary, &ancestors),
        target,
        request: args.method.as_deref().zip(args.path.as_deref()),
        addresses: (!args.ip.is_empty()).then_some(&*args.ip),
    };
    let explanation = match policy::explain::explain(&document, &question) {
        Ok(explanation) => explanation,
        Err(error) => return print::fail(FAILED, error),
    };
    match args.output {
        Output::Table => print::data(&explanation),
        Output::Json => match serde_json::to_string_pretty(&explanation) {
            Ok(json) => print::data(json),
            Err(error) => return print::fail(FAILED, error),
        },
    }
    match explanation.verdict {
        Outcome::Allow | Outcome::Audit => ExitCode::SUCCESS,
        Outcome::Deny => ExitCode::from(DENIED),
    }
}
