//! `policy explain`: the verdict for one question, with its reasons (CLI-17).

use std::cell::RefCell;
use std::path::Path;
use std::process::ExitCode;

use policy::explain::{Entry, Explanation, Outcome, Question, RequestLine, Trace};
use policy::{Caller, PolicyDocument};
use wire::{Authority, Host, Port};

use crate::args::{ExplainArgs, Output};
use crate::inputs;
use crate::print::{self, DENIED, FAILED, USAGE};

pub(crate) fn explain(args: &ExplainArgs) -> ExitCode {
    let question = match question(args) {
        Ok(question) => question,
        Err(why) => return print::fail(USAGE, why),
    };
    let explained = match (&args.policy_rules, &args.policy) {
        (Some(rules), policy) => by_rules(args, rules, policy.as_deref(), &question),
        (None, Some(policy)) => by_policy(args, policy, &question),
        // One of the two is required.
        (None, None) => return print::fail(USAGE, "--policy or --policy-rules is needed"),
    };
    let explanation = match explained {
        Ok(explanation) => explanation,
        Err((code, why)) => return print::fail(code, why),
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

/// What stopped it, and the code to end with.
type Stop = (u8, String);

fn by_policy(args: &ExplainArgs, policy: &Path, question: &Question) -> Result<Explanation, Stop> {
    let mut loaded = inputs::load_policy(policy).map_err(|problems| (USAGE, problems))?;
    // What `run` would make of it on this machine (IDN-8).
    loaded.document = inputs::with_links(loaded.document);
    let trace = if args.trace {
        Trace::Shown
    } else {
        Trace::Hidden
    };
    policy::explain::explain(&loaded, question, trace).map_err(|error| (FAILED, error.to_string()))
}

/// By an operator's own rules, within the bounds they have in `run` (RGO-6).
fn by_rules(
    args: &ExplainArgs,
    rules: &Path,
    policy: Option<&Path>,
    question: &Question,
) -> Result<Explanation, Stop> {
    let document = match policy {
        Some(policy) => {
            let loaded = inputs::load_policy(policy).map_err(|problems| (USAGE, problems))?;
            loaded.document
        }
        None => PolicyDocument::empty(),
    };
    let rules = inputs::read_rules(rules, args.policy_data.as_deref(), &document)
        .map_err(|problem| (USAGE, problem))?;
    let prepared = inputs::evaluators()
        .open(&rules)
        .map_err(|error| (FAILED, error.to_string()))?;
    let prepared = RefCell::new(prepared);
    let file = rules.file().to_owned();
    let ask = |asked: &[u8]| prepared.borrow_mut().ask(asked);
    let policy = inputs::compile(document, Some(rules));
    let answer = policy::custom::answer(&policy, question, ask);
    Ok(policy::explain::explain_rules(&answer, question, &file))
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
