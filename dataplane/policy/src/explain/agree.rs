//! Table and Rego rules, asked the same.
//!
//! Apart from the explanation because `policy test` demands it of every case as well.

use wire::{CanonicalPath, Code};

use super::ExplainError;
use crate::answer::{Answer, Outcome, Question, Stage};
use crate::rego::{Inspection, Reference, Request, Verdict, query_values};

/// Asks the rules what the table answered.
///
/// # Errors
/// When they say otherwise.
pub(crate) fn agree(
    reference: &mut Reference,
    question: &Question,
    answer: &Answer,
) -> Result<(), ExplainError> {
    if question.target.host.is_inference() {
        return Ok(());
    }
    let rules = reference.connect(&question.caller, &question.target);
    compare(&connection(answer), &rules)?;
    let line = question.request.as_ref();
    let judged = line.and_then(|line| Some((line, request(answer)?)));
    let Some((line, table)) = judged else {
        return Ok(());
    };
    let Ok(path) = CanonicalPath::parse(line.path.as_bytes()) else {
        return Ok(());
    };
    let asked = Request {
        method: &line.method,
        path: &String::from_utf8_lossy(path.as_bytes()),
        query: query_values(line.query.as_deref().unwrap_or_default().as_bytes()),
    };
    let rules = reference.request(&question.caller, &question.target, &asked);
    compare(&table, &rules)
}

/// What the table said of the connection, in the words of the rules.
fn connection(answer: &Answer) -> Verdict {
    match &answer.connection {
        Some(connection) => Verdict::Allow {
            policy: connection.policy.clone(),
            inspection: match connection.inspection {
                Some(_) => Inspection::Requests,
                None => Inspection::Raw,
            },
        },
        // Names that are never looked up are the table's alone (DST-11).
        None if answer.failed == Some(Stage::SpecialName) => Verdict::Allow {
            policy: answer.policy.clone().unwrap_or_default(),
            inspection: Inspection::Raw,
        },
        None => denial(answer),
    }
}

/// What it said of the request, where it came to that.
fn request(answer: &Answer) -> Option<Verdict> {
    answer.connection.as_ref()?.inspection?;
    let inspection = Inspection::Requests;
    let policy = answer.policy.clone();
    match (answer.failed, answer.outcome) {
        (None, Outcome::Allow) => Some(Verdict::Allow {
            policy: policy?,
            inspection,
        }),
        (None, Outcome::Audit) => Some(Verdict::Audit { policy: policy? }),
        (Some(Stage::Request), _) if answer.code == Some(Code::InvalidRequestTarget) => {
            Some(Verdict::RefuseTarget { policy: policy? })
        }
        (Some(Stage::Request), _) if answer.code == Some(Code::PolicyDenied) => {
            Some(denial(answer))
        }
        (Some(_), _) | (None, Outcome::Deny) => None,
    }
}

fn denial(answer: &Answer) -> Verdict {
    Verdict::Deny {
        reason: answer.reason.clone(),
        policy: answer.policy.clone(),
    }
}

fn compare(table: &Verdict, rules: &Verdict) -> Result<(), ExplainError> {
    let same = match (table, rules) {
        // The inspection of a name that is never looked up is nobody's question.
        (Verdict::Allow { policy: one, .. }, Verdict::Allow { policy: other, .. }) => one == other,
        (one, other) => one == other,
    };
    if same {
        return Ok(());
    }
    Err(ExplainError::Disagreement {
        table: words(table),
        rules: words(rules),
    })
}

fn words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Allow { policy, .. } => format!("allow by {policy}"),
        Verdict::Audit { policy } => format!("audit by {policy}"),
        Verdict::RefuseTarget { policy } => format!("invalid_request_target by {policy}"),
        Verdict::Deny { reason, policy } => {
            format!("deny {reason} by {}", policy.as_deref().unwrap_or("-"))
        }
    }
}
