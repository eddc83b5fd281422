//! What the checks saw, in words.
//!
//! Apart from the checks because these look at the document and decide nothing.

use std::collections::BTreeMap;

use wire::{Authority, CanonicalPath};

use crate::answer::{Answer, Outcome, Question, Stage};
use crate::document::{Endpoint, NetworkPolicy, PolicyDocument, Tls};
use crate::pattern::Glob;
use crate::source::Loaded;

/// The name of a check.
pub(super) fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Inference => "inference",
        Stage::InferenceBinaries => "inference_binaries",
        Stage::NetworkPolicies => "network_policies",
        Stage::Endpoint => "endpoint",
        Stage::Binary => "binary",
        Stage::SpecialName => "special_name",
        Stage::Address | Stage::RequestAddress => "address",
        Stage::Path => "path",
        Stage::Request => "request",
        Stage::AllowedIps => "allowed_ips",
        Stage::Private => "private",
    }
}

/// What a check saw.
pub(super) fn detail(
    stage: Stage,
    loaded: &Loaded,
    question: &Question,
    answer: &Answer,
) -> String {
    let failed = answer.failed == Some(stage);
    let document = &loaded.document;
    let text = match stage {
        Stage::Inference if failed => "inference.local is served on port 443 over TLS only",
        Stage::Inference => {
            "inference.local is answered by ringfence itself; no network policy is needed"
        }
        Stage::InferenceBinaries if failed => {
            "`inference.binaries` lists neither the caller nor an ancestor"
        }
        Stage::InferenceBinaries => "the caller may use it",
        Stage::NetworkPolicies => {
            return format!("{} in the policy", document.network_policies.len());
        }
        Stage::Endpoint => return endpoints(document, &question.target),
        Stage::Binary => return binaries(document, question),
        Stage::SpecialName => "this name is never looked up",
        Stage::Address | Stage::RequestAddress => return addresses(question, answer, stage),
        Stage::Path => "the path has no canonical form: servers read it in more than one way",
        Stage::Request => return request(question, answer),
        Stage::AllowedIps if failed => {
            "plain HTTP needs an endpoint with `allowed_ips`; https:// goes through a tunnel"
        }
        Stage::AllowedIps => "an endpoint lists addresses",
        Stage::Private if failed => {
            "plain HTTP is forwarded to private addresses only; https:// goes through a tunnel"
        }
        Stage::Private => "plain HTTP is forwarded to private addresses only",
    };
    text.to_owned()
}

/// Whether and how requests are judged.
pub(super) fn inspection(answer: &Answer) -> &'static str {
    let connection = answer.connection.as_ref();
    match connection.and_then(|connection| connection.inspection) {
        Some(Tls::Terminate) => "requests are judged one by one, in TLS or plain",
        Some(Tls::Passthrough) => "requests are judged one by one, in plain HTTP only",
        None => "none: what follows is not read",
    }
}

fn request(question: &Question, answer: &Answer) -> String {
    let asked = match &question.request {
        Some(line) => {
            let path = CanonicalPath::parse(line.path.as_bytes());
            let path = path.map(|path| String::from_utf8_lossy(path.as_bytes()).into_owned());
            format!(
                "{} {}",
                line.method,
                path.unwrap_or_else(|_| line.path.clone())
            )
        }
        None => String::new(),
    };
    let by = answer
        .policy
        .as_ref()
        .map(|policy| format!(" by `{policy}`"));
    match (answer.outcome, answer.failed) {
        (Outcome::Audit, _) => {
            format!("{asked} is allowed by nothing and enforced by nobody: forwarded and recorded")
        }
        (_, Some(Stage::Request)) => format!("{asked} not permitted by policy"),
        (Outcome::Allow | Outcome::Deny, _) => {
            format!("{asked} is allowed{}", by.unwrap_or_default())
        }
    }
}

fn addresses(question: &Question, answer: &Answer, stage: Stage) -> String {
    let literal = question.target.host.literal().map(|addr| vec![addr]);
    let Some(named) = literal.as_ref().or(question.addresses.as_ref()) else {
        return "not checked; nothing is looked up here".to_owned();
    };
    let named = list(named.iter());
    match (answer.failed == Some(stage), stage) {
        (true, Stage::RequestAddress) => {
            format!(
                "{named} may not be dialled for this request: the endpoints that allow it list others"
            )
        }
        (true, _) => format!("{named} may not be dialled"),
        (false, _) => format!("{named} may be dialled"),
    }
}

/// Host and port match.
pub(super) fn reaches(endpoint: &Endpoint, target: &Authority) -> bool {
    endpoint.port == target.port
        && endpoint
            .destination
            .host()
            .is_none_or(|host| host.matches(&target.host))
}

/// Policy and endpoint, for every endpoint that matches host and port.
pub(super) fn reaching<'d>(
    document: &'d PolicyDocument,
    target: &'d Authority,
) -> impl Iterator<Item = (&'d String, &'d NetworkPolicy, &'d Endpoint)> {
    document
        .network_policies
        .iter()
        .flat_map(move |(key, policy)| {
            policy
                .endpoints
                .iter()
                .filter(|endpoint| reaches(endpoint, target))
                .map(move |endpoint| (key, policy, endpoint))
        })
}

/// `host:port` of an endpoint as its author wrote it.
pub(super) fn place(endpoint: &Endpoint) -> String {
    match endpoint.destination.host() {
        Some(host) => format!("{host}:{}", endpoint.port),
        None => format!("any host:{}", endpoint.port),
    }
}

fn endpoints(document: &PolicyDocument, target: &Authority) -> String {
    let named = reaching(document, target)
        .map(|(key, _, endpoint)| format!("`{key}` ({})", place(endpoint)));
    match list(named) {
        none if none.is_empty() => format!("no endpoint matches {target}"),
        named => format!("{target} matches {named}"),
    }
}

/// The pattern of a policy that matches the caller or an ancestor, and which.
pub(super) fn listed(policy: &NetworkPolicy, question: &Question) -> Option<(String, Glob)> {
    question.caller.paths().find_map(|path| {
        let matches = |glob: &&Glob| glob.matches(path);
        let mut patterns = policy.binaries.iter().map(|binary| &binary.path);
        let pattern = patterns.find(matches)?;
        Some((String::from_utf8_lossy(path).into_owned(), pattern.clone()))
    })
}

fn binaries(document: &PolicyDocument, question: &Question) -> String {
    let mut words = BTreeMap::new();
    for (key, policy, _) in reaching(document, &question.target) {
        let sentence = match listed(policy, question) {
            Some((path, pattern)) => format!("`{key}` lists {path} as {pattern}"),
            None => format!("`{key}` lists neither the caller nor an ancestor"),
        };
        words.insert(key, sentence);
    }
    list(words.into_values())
}

pub(super) fn list(items: impl Iterator<Item = impl ToString>) -> String {
    items
        .map(|item| item.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}
