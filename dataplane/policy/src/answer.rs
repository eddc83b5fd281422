//! One question, and what the gate answers to it: the compiled table, the request rules and the
//! address checks, in the order of both ways in (CON-4, FWD-4).
//!
//! Apart from `explain`, which finds the words, and from the data plane, which does the same with
//! sockets between the steps. `policy explain`, `policy test` and `policy diff` all ask here.
//! Invariant: nothing is looked up; addresses are judged only when the asker names them.

use std::net::IpAddr;

use serde::Serialize;
use wire::{Authority, CanonicalPath, Code};

use crate::address::{self, SPECIAL_NAME};
use crate::caller::Caller;
use crate::compile::Policy;
use crate::decide;
use crate::decision::{
    Admitted, BINARY_NOT_ALLOWED, Decision, Denial, ENDPOINT_NOT_ALLOWED, NO_NETWORK_POLICIES,
    RequestDecision,
};
use crate::document::Tls;
use crate::request::{Asked, request};

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// Who; `Caller::from_paths` makes one.
    pub caller: Caller,
    /// Where to.
    pub target: Authority,
    /// Which way in.
    pub entry: Entry,
    /// A request, which counts where the connection is inspected.
    pub request: Option<RequestLine>,
    /// The answer a name server would give.
    pub addresses: Option<Vec<IpAddr>>,
}

/// Method and origin-form target of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestLine {
    /// Exact case.
    pub method: String,
    /// Path as a client would send it.
    pub path: String,
    /// What follows `?`.
    pub query: Option<String>,
}

impl RequestLine {
    /// From method and origin-form target.
    pub fn new(method: &str, target: &str) -> RequestLine {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        RequestLine {
            method: method.to_owned(),
            path: path.to_owned(),
            query,
        }
    }
}

/// The two ways in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Entry {
    /// CONNECT.
    #[default]
    Tunnel,
    /// Plain HTTP with an absolute target.
    Forward,
}

/// Allowed or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It goes through.
    Allow,
    /// It goes through and is recorded as `audit` (L7-9).
    Audit,
    /// It is refused.
    Deny,
}

/// What the gate answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// All checks together.
    pub outcome: Outcome,
    /// Code of the refusal.
    pub code: Option<Code>,
    /// Its reason; empty for codes that have none, and for no refusal.
    pub reason: String,
    /// Key of the policy the outcome is about.
    pub policy: Option<String>,
    /// The check that failed.
    pub failed: Option<Stage>,
    /// What was decided of the connection, when it was allowed.
    pub connection: Option<Connection>,
}

/// An allowed connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Key of the policy that admitted it.
    pub policy: String,
    /// Whether, and how, its requests are judged.
    pub inspection: Option<Tls>,
}

/// The checks, in no order of their own: the two ways in differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// `inference.local`, by its port and way in.
    Inference,
    /// `inference.binaries`.
    InferenceBinaries,
    /// Whether there are policies at all.
    NetworkPolicies,
    /// Host and port.
    Endpoint,
    /// The caller.
    Binary,
    /// Names that are never looked up.
    SpecialName,
    /// What the answer of a name server is worth for the connection.
    Address,
    /// Whether the path has a canonical form.
    Path,
    /// Request rules.
    Request,
    /// The same for the endpoints that let the request through (TR-078).
    RequestAddress,
    /// FWD-4: `allowed_ips` on a matching endpoint.
    AllowedIps,
    /// FWD-5.
    Private,
}

/// Answers a question.
pub fn answer(policy: &Policy, question: &Question) -> Answer {
    let Question { caller, target, .. } = question;
    answer_by(
        policy,
        question,
        || decide::connect(policy, caller, target),
        |asked| request(policy, caller, target, asked),
    )
}

/// Answers a question with somebody else's word on connection and request; everything around them is the same.
pub(crate) fn answer_by(
    policy: &Policy,
    question: &Question,
    connect: impl FnOnce() -> Decision,
    request: impl FnOnce(&Asked<'_>) -> RequestDecision,
) -> Answer {
    if question.target.host.is_inference() {
        return inference(policy, question, connect);
    }
    let (admitted, inspected) = match connect() {
        Decision::Deny(denial) => return Answer::deny(connection_stage(&denial), denial, None),
        Decision::Tunnel(admitted) => (admitted, false),
        Decision::Inspect(admitted) => (admitted, true),
    };
    let connection = Connection {
        policy: admitted.policy_name().to_string(),
        inspection: inspected.then(|| admitted.tls()),
    };
    match beyond(question, admitted, inspected, request) {
        Ok((outcome, admitted)) => Answer {
            outcome,
            code: None,
            reason: String::new(),
            policy: Some(admitted.policy_name().to_string()),
            failed: None,
            connection: Some(connection),
        },
        Err((stage, denial)) => Answer::deny(stage, denial, Some(connection)),
    }
}

/// What follows once the connection was admitted.
fn beyond(
    question: &Question,
    admitted: Admitted,
    inspected: bool,
    request: impl FnOnce(&Asked<'_>) -> RequestDecision,
) -> Result<(Outcome, Admitted), (Stage, Denial)> {
    let literal = question.target.host.literal().map(|addr| vec![addr]);
    let addresses = literal.as_deref().or(question.addresses.as_deref());
    let verify = |admitted: &Admitted| addresses.map(|answer| address::verify(admitted, answer));
    if let (Entry::Tunnel, Some(Err(denial))) = (question.entry, verify(&admitted)) {
        return Err((Stage::Address, denial));
    }
    let line = question.request.as_ref().filter(|_| inspected);
    let (outcome, admitted) = match line {
        None => (Outcome::Allow, admitted),
        Some(line) => {
            let path = CanonicalPath::parse(line.path.as_bytes())
                .map_err(|error| (Stage::Path, Denial::code(error.code())))?;
            let asked = Asked {
                method: line.method.as_bytes(),
                path: &path,
                query: line.query.as_deref().map(str::as_bytes),
            };
            match request(&asked) {
                RequestDecision::Allow(admitted) => (Outcome::Allow, admitted),
                RequestDecision::Audit(admitted) => (Outcome::Audit, admitted),
                RequestDecision::Deny(denial) => return Err((Stage::Request, denial)),
            }
        }
    };
    match question.entry {
        Entry::Tunnel => match verify(&admitted) {
            Some(Err(denial)) => Err((Stage::RequestAddress, denial)),
            Some(Ok(_)) | None => Ok((outcome, admitted)),
        },
        Entry::Forward => {
            if !admitted.has_allowed_ips() {
                let denial = Denial::code(Code::ForwardRequiresAllowedIps);
                return Err((Stage::AllowedIps, denial));
            }
            match verify(&admitted) {
                None => {}
                Some(Err(denial)) => return Err((Stage::Address, denial)),
                Some(Ok(verified)) => address::require_private(&admitted, &verified)
                    .map_err(|denial| (Stage::Private, denial))?,
            }
            Ok((outcome, admitted))
        }
    }
}

/// inference.local needs no network policy (INF-1), is served on one port (CON-10) and over TLS
/// (FWD-3).
fn inference(policy: &Policy, question: &Question, connect: impl FnOnce() -> Decision) -> Answer {
    if question.entry == Entry::Forward {
        let denial = Denial::code(Code::InferenceRequiresHttps);
        return Answer::deny(Stage::Inference, denial, None);
    }
    if question.target.port.number() != 443 {
        return match connect() {
            Decision::Deny(denial) => Answer::deny(Stage::Inference, denial, None),
            // `connect` has no way to admit this name; should it ever, the answer is still no.
            Decision::Tunnel(admitted) | Decision::Inspect(admitted) => {
                let denial = Denial::destination(SPECIAL_NAME, admitted.policy_name());
                Answer::deny(Stage::Inference, denial, None)
            }
        };
    }
    match decide::infer(policy, Ok(&question.caller)) {
        Ok(_) => Answer {
            outcome: Outcome::Allow,
            code: None,
            reason: String::new(),
            policy: None,
            failed: None,
            connection: None,
        },
        Err(denial) => Answer::deny(Stage::InferenceBinaries, denial, None),
    }
}

/// The check a refused connection failed.
fn connection_stage(denial: &Denial) -> Stage {
    match &*denial.reason {
        NO_NETWORK_POLICIES => Stage::NetworkPolicies,
        ENDPOINT_NOT_ALLOWED => Stage::Endpoint,
        BINARY_NOT_ALLOWED => Stage::Binary,
        SPECIAL_NAME => Stage::SpecialName,
        _ => Stage::NetworkPolicies,
    }
}

impl Answer {
    /// Whether requests on the connection are judged one by one.
    pub fn is_inspected(&self) -> bool {
        let connection = self.connection.as_ref();
        connection.is_some_and(|connection| connection.inspection.is_some())
    }

    fn deny(failed: Stage, denial: Denial, connection: Option<Connection>) -> Answer {
        Answer {
            outcome: Outcome::Deny,
            code: Some(denial.code),
            reason: denial.reason.into_owned(),
            policy: denial.policy.map(|policy| policy.to_string()),
            failed: Some(failed),
            connection,
        }
    }
}
