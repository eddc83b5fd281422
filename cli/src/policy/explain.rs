//! `policy explain`: the verdict for one question, with its reasons (CLI-17), by a file or by what a gateway serves.

use std::cell::RefCell;
use std::path::Path;
use std::process::ExitCode;

use policy::custom::Rules;
use policy::explain::{Entry, Explanation, Outcome, Question, RequestLine, Trace};
use policy::{Caller, Loaded, PolicyDocument};
use proto::v1::GetSandboxPolicyRequest;
use wire::{Authority, Host, Port};

use crate::args::ExplainArgs;
use crate::client::Client;
use crate::inputs;
use crate::print::{self, DENIED, Ending, Form, Stop};
use crate::sandbox;
use crate::settings::Settings;

pub(crate) fn explain(args: &ExplainArgs, settings: &Settings) -> Ending {
    let question = question(args).map_err(Stop::usage)?;
    let explanation = match (&args.policy_rules, &args.policy) {
        (Some(rules), policy) => by_rules(args, rules, policy.as_deref(), &question)?,
        (None, Some(policy)) => {
            let loaded = inputs::load_policy(policy).map_err(Stop::usage)?;
            by_policy(args, loaded, &question)?
        }
        (None, None) => by_gateway(args, settings, &question)?,
    };
    match settings.form(args.printed) {
        // It ends with a line end of its own.
        Form::Table => print::data(explanation.to_string().trim_end()),
        Form::Data(encoding) => {
            let json = serde_json::to_value(&explanation).map_err(Stop::failed)?;
            print::encoded(encoding, &json);
        }
    }
    Ok(match explanation.verdict {
        Outcome::Allow | Outcome::Audit => ExitCode::SUCCESS,
        Outcome::Deny => ExitCode::from(DENIED),
    })
}

/// By the policy that a sandbox is served with. Its lines are those of the text that `policy get --full` shows.
fn by_gateway(
    args: &ExplainArgs,
    settings: &Settings,
    question: &Question,
) -> Result<Explanation, Stop> {
    let name = sandbox::meant(args.name.clone(), settings)?;
    let client = Client::connect(settings)?;
    let sandbox_id = sandbox::named(&client, &name)?.id;
    let request = GetSandboxPolicyRequest { sandbox_id };
    let served = client.call(client.ringfence().get_sandbox_policy(request))?;
    sandbox::remember(&name, settings);
    let policy = served.policy.ok_or_else(|| {
        Stop::failed(format_args!(
            "{name} has no policy; `ringfence policy set {name} --policy FILE` gives it one"
        ))
    })?;
    let file = format!("{name}, version {}", served.version);
    let loaded = policy::parse(&policy_proto::yaml(&policy), &file).map_err(Stop::failed)?;
    let Some(rules) = policy_proto::rules(&loaded.document, &policy.rego) else {
        return by_policy(args, loaded, question);
    };
    if args.trace {
        return Err(Stop::usage(format_args!(
            "--trace is of the built-in rules, and {name} has its own"
        )));
    }
    inputs::check(&rules).map_err(Stop::failed)?;
    ask(rules, loaded.document, question)
}

fn by_policy(
    args: &ExplainArgs,
    mut loaded: Loaded,
    question: &Question,
) -> Result<Explanation, Stop> {
    // What `run` would make of it on this machine (IDN-8).
    loaded.document = inputs::with_links(loaded.document);
    let trace = if args.trace {
        Trace::Shown
    } else {
        Trace::Hidden
    };
    policy::explain::explain(&loaded, question, trace).map_err(Stop::failed)
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
            let loaded = inputs::load_policy(policy).map_err(Stop::usage)?;
            loaded.document
        }
        None => PolicyDocument::empty(),
    };
    let rules =
        inputs::read_rules(rules, args.policy_data.as_deref(), &document).map_err(Stop::usage)?;
    ask(rules, document, question)
}

/// Asks rules that were looked into.
fn ask(rules: Rules, document: PolicyDocument, question: &Question) -> Result<Explanation, Stop> {
    let evaluators = inputs::evaluators();
    let prepared = evaluators.open(&rules).map_err(Stop::failed)?;
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
