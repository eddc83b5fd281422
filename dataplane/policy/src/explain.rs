//! Why a connection or a request is allowed or denied, in the order of the checks (CLI-17).
//!
//! Apart from `decide` because it answers people: it asks the Rego rules for the verdict and the
//! document for the details. Invariant: nothing is looked up; addresses are judged only when the
//! asker names them.

mod print;
mod query;
#[cfg(test)]
mod tests;
mod words;

use std::net::IpAddr;

use serde::Serialize;
use wire::Authority;

use crate::address::{self, Class, SPECIAL_NAME, Site, special_name};
use crate::caller::Caller;
use crate::compile::Policy;
use crate::decide;
use crate::decision::{Decision, ENDPOINT_NOT_ALLOWED, NO_NETWORK_POLICIES};
use crate::document::PolicyDocument;
use crate::rego::{self, Inspection, Reference, ReferenceError};

/// What is asked.
#[derive(Debug)]
pub struct Question<'q> {
    /// Who; `Caller::from_paths` makes one.
    pub caller: Caller,
    /// Where to.
    pub target: Authority,
    /// Method and origin-form target of a request.
    pub request: Option<(&'q str, &'q str)>,
    /// The answer a name server would give; nothing is looked up.
    pub addresses: Option<&'q [IpAddr]>,
}

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
    /// One entry for each address that was asked about.
    pub addresses: Vec<Judged>,
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

/// One address and its class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// The address.
    pub address: IpAddr,
    /// `public`, `internal`, `always_blocked` or `metadata`.
    pub class: &'static str,
}

/// Answers a question.
///
/// # Errors
/// When the Rego engine refuses the rules or the data.
pub fn explain(
    document: &PolicyDocument,
    question: &Question<'_>,
) -> Result<Explanation, ReferenceError> {
    let mut walk = Walk {
        explanation: Explanation::begin(question),
    };
    if question.target.host.is_inference() {
        walk.inference(document, question);
    } else {
        let mut reference = Reference::new(document)?;
        // `None` ends the walk at the check that failed.
        let _: Option<()> = walk.connection(document, question, &mut reference);
    }
    Ok(walk.explanation)
}

impl Explanation {
    fn begin(question: &Question<'_>) -> Explanation {
        let judged = |addr: &IpAddr| Judged {
            address: *addr,
            class: class_name(Site::default().classify(*addr)),
        };
        Explanation {
            verdict: Outcome::Allow,
            policy: None,
            code: None,
            reason: None,
            inspected: false,
            checks: Vec::new(),
            addresses: question
                .addresses
                .unwrap_or_default()
                .iter()
                .map(judged)
                .collect(),
        }
    }
}

/// The checks as they are made.
struct Walk {
    explanation: Explanation,
}

impl Walk {
    fn connection(
        &mut self,
        document: &PolicyDocument,
        question: &Question<'_>,
        reference: &mut Reference,
    ) -> Option<()> {
        let Question { caller, target, .. } = question;
        let verdict = reference.connect(caller, target);
        let failed_at = match &verdict {
            rego::Verdict::Deny { reason, policy } => {
                self.explanation.policy.clone_from(policy);
                Some(reason.as_str())
            }
            rego::Verdict::Allow { policy, inspection } => {
                self.explanation.policy = Some(policy.clone());
                self.explanation.inspected = *inspection == Inspection::Requests;
                None
            }
            rego::Verdict::Audit => None,
        };
        let count = document.network_policies.len();
        self.step(
            "network_policies",
            failed_at,
            NO_NETWORK_POLICIES,
            &format!("{count} in the policy"),
        )?;
        self.step(
            "endpoint",
            failed_at,
            ENDPOINT_NOT_ALLOWED,
            &words::endpoints(document, target),
        )?;
        let failure = failed_at.unwrap_or_default();
        self.step(
            "binary",
            failed_at,
            failure,
            &words::binaries(document, question),
        )?;
        if special_name(&target.host) {
            return self.fail(
                "special_name",
                "destination_denied",
                SPECIAL_NAME,
                "this name is never looked up",
            );
        }
        self.pass(
            "inspection",
            if self.explanation.inspected {
                "requests are judged one by one"
            } else {
                "none"
            },
        );
        self.request(question, reference)?;
        self.addresses(document, question)
    }

    fn request(&mut self, question: &Question<'_>, reference: &mut Reference) -> Option<()> {
        let Some((method, origin_form)) = question.request.filter(|_| self.explanation.inspected)
        else {
            return Some(());
        };
        let (path, query) = origin_form.split_once('?').unwrap_or((origin_form, ""));
        let request = rego::Request {
            method,
            path,
            query: query::decoded(query),
        };
        let asked = format!("{method} {path}");
        match reference.request(&question.caller, &question.target, &request) {
            rego::Verdict::Allow { policy, .. } => {
                self.pass("request", &format!("{asked} is allowed by `{policy}`"));
                self.explanation.policy = Some(policy);
            }
            rego::Verdict::Audit => {
                let detail = format!(
                    "{asked} is allowed by nothing and enforced by nobody: forwarded and recorded"
                );
                self.explanation.checks.push(Check {
                    check: "request",
                    outcome: Outcome::Audit,
                    detail,
                });
                self.explanation.verdict = Outcome::Audit;
            }
            rego::Verdict::Deny { reason, policy } => {
                self.explanation.policy = policy;
                let detail = format!("{asked} not permitted by policy");
                return self.fail("request", "policy_denied", &reason, &detail);
            }
        }
        Some(())
    }

    /// The receipts themselves: what the data plane would do with this answer.
    fn addresses(&mut self, document: &PolicyDocument, question: &Question<'_>) -> Option<()> {
        let literal = question.target.host.literal().map(|addr| vec![addr]);
        let Some(answer) = literal.as_deref().or(question.addresses) else {
            self.pass("address", "not checked; nothing is looked up here");
            return Some(());
        };
        let policy = Policy::compile(document.clone());
        let (Decision::Tunnel(admitted) | Decision::Inspect(admitted)) =
            decide::connect(&policy, &question.caller, &question.target)
        else {
            return self.fail(
                "address",
                "policy_denied",
                "policy_evaluation_failed",
                "table and rules disagree",
            );
        };
        match address::verify(&admitted, answer) {
            Ok(_) => {
                self.pass(
                    "address",
                    &format!("{} may be dialled", words::list(answer.iter())),
                );
                Some(())
            }
            Err(denial) => {
                let detail = format!("{} may not be dialled", words::list(answer.iter()));
                self.fail("address", denial.code.as_str(), &denial.reason, &detail)
            }
        }
    }

    /// inference.local needs no network policy (INF-1).
    fn inference(&mut self, document: &PolicyDocument, question: &Question<'_>) {
        let ended = if question.target.port.number() == 443 {
            self.pass(
                "inference",
                "inference.local is answered by ringfence itself; no network policy is needed",
            );
            match decide::infer(&Policy::compile(document.clone()), Ok(&question.caller)) {
                Ok(_) => {
                    self.pass("inference_binaries", "the caller may use it");
                    Some(())
                }
                Err(denial) => self.fail(
                    "inference_binaries",
                    denial.code.as_str(),
                    &denial.reason,
                    "not listed",
                ),
            }
        } else {
            let reason = if document.network_policies.is_empty() {
                NO_NETWORK_POLICIES
            } else {
                ENDPOINT_NOT_ALLOWED
            };
            self.fail(
                "inference",
                "policy_denied",
                reason,
                "inference.local is served on port 443 only",
            )
        };
        debug_assert!(
            ended.is_some() || self.explanation.verdict == Outcome::Deny,
            "a failed check denies"
        );
    }

    /// Passes unless the rules named `own` as their reason.
    fn step(
        &mut self,
        check: &'static str,
        reason: Option<&str>,
        own: &str,
        detail: &str,
    ) -> Option<()> {
        match reason {
            Some(reason) if reason == own => self.fail(check, "policy_denied", reason, detail),
            Some(_) | None => {
                self.pass(check, detail);
                Some(())
            }
        }
    }

    fn pass(&mut self, check: &'static str, detail: &str) {
        self.explanation.checks.push(Check {
            check,
            outcome: Outcome::Allow,
            detail: detail.to_owned(),
        });
    }

    fn fail(
        &mut self,
        check: &'static str,
        code: &'static str,
        reason: &str,
        detail: &str,
    ) -> Option<()> {
        self.explanation.checks.push(Check {
            check,
            outcome: Outcome::Deny,
            detail: detail.to_owned(),
        });
        self.explanation.verdict = Outcome::Deny;
        self.explanation.code = Some(code);
        self.explanation.reason = (!reason.is_empty()).then(|| reason.to_owned());
        None
    }
}

fn class_name(class: Class) -> &'static str {
    match class {
        Class::Public => "public",
        Class::Internal => "internal",
        Class::AlwaysBlocked => "always_blocked",
        Class::Metadata => "metadata",
    }
}
