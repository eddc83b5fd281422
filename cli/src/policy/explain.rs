//! `policy explain`: the verdict for one question, with its reasons (CLI-17).

use std::process::ExitCode;

use policy::Caller;
use policy::explain::{Entry, Outcome, Question, RequestLine, Trace};
use wire::{Authority, Host, Port};

use crate::args::{ExplainArgs, Output};
use crate::inputs;
use crate::print::{self, DENIED, FAILED, USAGE};

pub(crate) fn explain(args: &ExplainArgs) -> ExitCode {
    let mut loaded = match inputs::load_policy(&args.policy) {
        Ok(loaded) => loaded,
        Err(problems) => return print::fail(USAGE, problems),
    };
    // What `run` would make of it on this machine (IDN-8).
    loaded.document = inputs::with_links(loaded.document);
    let question = match question(args) {
        Ok(question) => question,
        Err(why) => return print::fail(USAGE, why),
    };
    let trace = if args.trace {
        Trace::Shown
    } else {
        Trace::Hidden
    };
    let explanation = match policy::explain::explain(&loaded, &question, trace) {
        Ok(explanation) => explanation,
        Err(error) => return print::fail(FAILED, error),
    };
    match args.output {
        // It ends with a line end of its own.
        Output::Table => print::data(explanation.to_string().trim_end()),
        Output::Json => match serde_json::to_value(&explanation) {
            Ok(json) => print::json(&json),
            Err(error) => return print::fail(FAILED, error),
        },
    }
    match explanation.verdict {
        Outcome::Allow | Outcome::Audit => ExitCode::SUCCESS,
        Outcome::Deny => ExitCode::from(DENIED),
    }
}

fn question(args: &ExplainArgs) -> Result<Question, String> {
    let host = Host::parse(args.host.as_bytes())
        .map_err(|error| format!("--host {}: {error}", args.host))?;
    let port = Port::new(args.port).ok_or("--port: expected a number 1–65535")?;
    let ancestors: Vec<&str> = args.ancestor.iter().map(String::as_str).collect();
    let request = args.method.as_deref().zip(args.path.as_deref());
    Ok(Question {
        caller: Caller::from_paths(&args.binary, &ancestors),
        target: Authority { host, port },
        entry: if args.forward {
            Entry::Forward
        } else {
            Entry::Tunnel
        },
        request: request.map(|(method, target)| RequestLine::new(method, target)),
        addresses: (!args.ip.is_empty()).then(|| args.ip.clone()),
    })
}
