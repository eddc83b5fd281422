//! Why a connection or a request is allowed or denied, in the order of the checks, and what was
//! missing when it is denied (CLI-17).
//!
//! Apart from `answer` because it speaks to people: the verdict is the table's, the Rego rules are
//! asked the same and must agree, and the document gives the details. Invariant: an explanation never
//! says other than what the gate would do; where table and rules differ there is none.

mod agree;
mod fix;
mod near;
mod placed;
mod print;
mod request;
#[cfg(test)]
mod tests;
mod words;

use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

pub use crate::answer::{Entry, Outcome, Question, RequestLine};
pub use fix::Fix;

use crate::address::{Class, Site};
use crate::answer::{Answer, Stage, answer};
use crate::compile::Policy;
use crate::rego::{Reference, ReferenceError};
use crate::source::Loaded;

pub(crate) use agree::agree;

/// The answer, for people (`Display`) and programs (`Serialize`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The outcome of all checks together.
    pub verdict: Outcome,
    /// Key of the policy the outcome is about.
    pub policy: Option<String>,
    /// Code of the refusal.
    pub code: Option<&'static str>,
    /// The reason of a denial.
    pub reason: Option<String>,
    /// Whether requests on the connection are judged one by one.
    pub inspected: bool,
    /// In order; the first that fails is the last.
    pub checks: Vec<Check>,
    /// The entry that decided, where one did.
    pub matched: Option<Matched>,
    /// On a denial: the entries that nearly matched, the nearest first.
    pub near: Vec<Near>,
    /// On a denial: lines of policy that would allow it, where lines can.
    pub remedy: Option<Fix>,
    /// One entry for each address that was asked about.
    pub addresses: Vec<Judged>,
    /// Every Rego rule that has a value, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<Vec<Rule>>,
}

/// One check and what it found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Which check.
    pub check: &'static str,
    /// What it said.
    pub outcome: Outcome,
    /// What it saw.
    pub detail: String,
}

/// The entry that decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Matched {
    /// Its path, as problems spell it.
    pub path: String,
    /// Its line.
    pub line: Option<u32>,
    /// What it says.
    pub detail: String,
}

/// An entry that nearly allowed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Near {
    /// Key of its policy.
    pub policy: String,
    /// Its path, as problems spell it.
    pub path: String,
    /// Its line.
    pub line: Option<u32>,
    /// What it says, and what differs.
    pub missing: String,
}

/// One address and its class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// The address.
    pub address: IpAddr,
    /// `public`, `internal`, `always_blocked` or `metadata`.
    pub class: &'static str,
}

/// One Rego rule and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Name of the rule in package `ringfence.sandbox`.
    pub rule: String,
    /// Its value.
    pub value: serde_json::Value,
}

/// Whether the Rego rules are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trace {
    /// Yes.
    Shown,
    /// No.
    Hidden,
}

/// Why there is no explanation.
#[derive(Debug)]
pub enum ExplainError {
    /// The Rego engine refused the rules or the data.
    Rules(ReferenceError),
    /// Table and rules answer differently: a fault of ringfence, which must not be talked over.
    Disagreement {
        /// What the table says, which is what the gate would do.
        table: String,
        /// What the rules say.
        rules: String,
    },
}

/// Answers a question.
///
/// # Errors
/// When the Rego rules cannot be asked, or answer otherwise than the table.
pub fn explain(
    loaded: &Loaded,
    question: &Question,
    trace: Trace,
) -> Result<Explanation, ExplainError> {
    let policy = Policy::compile(loaded.document.clone());
    let mut reference = Reference::new(&loaded.document).map_err(ExplainError::Rules)?;
    explain_by(loaded, &policy, &mut reference, question, trace)
}

/// What the gate answers where an operator's own rules judge ([`crate::custom::answer`]). Such rules are asked and not
/// taken apart, so there is no entry that nearly matched; their own `deny_reason` says why.
pub fn explain_rules(answer: &Answer, question: &Question, file: &str) -> Explanation {
    let check = |check, outcome, detail| Check {
        check,
        outcome,
        detail,
    };
    let mut checks = Vec::new();
    if answer.connection.is_some() {
        let detail = format!("{file} allows the connection");
        checks.push(check("rules", Outcome::Allow, detail));
    }
    match answer.failed {
        None if answer.outcome == Outcome::Audit => {
            let detail = format!("{file} does not allow the request and does not enforce");
            checks.push(check("request", Outcome::Audit, detail));
        }
        None => {}
        Some(Stage::NetworkPolicies | Stage::Endpoint | Stage::Binary) => {
            let detail = format!("{file} denies the connection: {}", answer.reason);
            checks.push(check("rules", Outcome::Deny, detail));
        }
        Some(stage) => checks.push(check(
            words::name(stage),
            Outcome::Deny,
            answer.reason.clone(),
        )),
    }
    Explanation::of(answer, question, checks)
}

/// The same, with table and rules already made.
pub(crate) fn explain_by(
    loaded: &Loaded,
    policy: &Policy,
    reference: &mut Reference,
    question: &Question,
    trace: Trace,
) -> Result<Explanation, ExplainError> {
    let answer = answer(policy, question);
    agree(reference, question, &answer)?;
    let checks = checks(loaded, question, &answer);
    Ok(Explanation {
        matched: near::matched(loaded, question, &answer),
        near: near::near(loaded, question, &answer),
        remedy: fix::remedy(loaded, question, &answer),
        trace: (trace == Trace::Shown).then(|| traced(reference)),
        ..Explanation::of(&answer, question, checks)
    })
}

impl Explanation {
    /// What can be said without looking into a document.
    fn of(answer: &Answer, question: &Question, checks: Vec<Check>) -> Explanation {
        let judged = |addr: &IpAddr| Judged {
            address: *addr,
            class: class_name(Site::default().classify(*addr)),
        };
        let addresses = question.addresses.as_deref().unwrap_or_default();
        Explanation {
            verdict: answer.outcome,
            policy: answer.policy.clone(),
            code: answer.code.map(wire::Code::as_str),
            reason: (!answer.reason.is_empty()).then(|| answer.reason.clone()),
            inspected: answer.is_inspected(),
            checks,
            matched: None,
            near: Vec::new(),
            remedy: None,
            addresses: addresses.iter().map(judged).collect(),
            trace: None,
        }
    }
}

/// Every check up to the one that failed.
fn checks(loaded: &Loaded, question: &Question, answer: &Answer) -> Vec<Check> {
    let mut checks = Vec::new();
    for stage in stages(question, answer) {
        let failed = answer.failed == Some(stage);
        let outcome = match (failed, stage, answer.outcome) {
            (true, _, _) => Outcome::Deny,
            (false, Stage::Request, Outcome::Audit) => Outcome::Audit,
            (false, _, _) => Outcome::Allow,
        };
        let detail = words::detail(stage, loaded, question, answer);
        let check = words::name(stage);
        checks.push(Check {
            check,
            outcome,
            detail,
        });
        if failed {
            break;
        }
        if stage == Stage::Binary && answer.failed != Some(Stage::SpecialName) {
            checks.push(Check {
                check: "inspection",
                outcome: Outcome::Allow,
                detail: words::inspection(answer).to_owned(),
            });
        }
    }
    checks
}

/// The checks of this question, in order; those that only speak up when they fail are left out unless
/// they did.
fn stages(question: &Question, answer: &Answer) -> Vec<Stage> {
    if question.target.host.is_inference() {
        return vec![Stage::Inference, Stage::InferenceBinaries];
    }
    let judged = answer.is_inspected() && question.request.is_some();
    let quiet = |stage: Stage| answer.failed == Some(stage);
    let mut stages = vec![Stage::NetworkPolicies, Stage::Endpoint, Stage::Binary];
    let request = [
        quiet(Stage::Path).then_some(Stage::Path),
        judged.then_some(Stage::Request),
    ];
    stages.extend(quiet(Stage::SpecialName).then_some(Stage::SpecialName));
    match question.entry {
        Entry::Tunnel => {
            stages.push(Stage::Address);
            stages.extend(request.into_iter().flatten());
            stages.extend(quiet(Stage::RequestAddress).then_some(Stage::RequestAddress));
        }
        Entry::Forward => {
            stages.extend(request.into_iter().flatten());
            stages.extend([Stage::AllowedIps, Stage::Address, Stage::Private]);
        }
    }
    stages
}

fn traced(reference: &Reference) -> Vec<Rule> {
    let rules = reference.trace().into_iter();
    rules.map(|(rule, value)| Rule { rule, value }).collect()
}

fn class_name(class: Class) -> &'static str {
    match class {
        Class::Public => "public",
        Class::Internal => "internal",
        Class::AlwaysBlocked => "always_blocked",
        Class::Metadata => "metadata",
    }
}

impl fmt::Display for ExplainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExplainError::Rules(error) => error.fmt(f),
            ExplainError::Disagreement { table, rules } => write!(
                f,
                "the compiled policy answers `{table}` and the Rego rules answer `{rules}`: this is a fault in ringfence; please report it with the policy and the question"
            ),
        }
    }
}

impl std::error::Error for ExplainError {}
