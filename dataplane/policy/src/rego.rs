//! The rules as Rego, judged by an interpreter: what the table is compared with (RGO).
//!
//! Apart from `table` on purpose: nothing is shared between the two but the glob matcher, so their
//! agreement means something. It is slow and never on the way of a connection; `explain` and the
//! tests ask it. Invariant: no builtin with a clock, I/O or randomness is compiled in, and a rule
//! that is undefined or fails is a denial (RGO-4).

mod data;
#[cfg(test)]
mod differential;
mod query;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use regorus::{Engine, Value};
use serde_json::json;
use wire::Authority;

pub use data::data;
pub use query::query_values;

use crate::caller::Caller;
use crate::decision::POLICY_EVALUATION_FAILED;
use crate::document::PolicyDocument;
use crate::pattern::Glob;

/// The built-in module, package `ringfence.sandbox`.
pub const RULES: &str = include_str!("rego/ringfence.rego");

/// One policy, judged by Rego.
pub struct Reference {
    engine: Engine,
    /// Every rule's value for the last question.
    rules: Result<Value, String>,
    failure: Option<String>,
}

/// What Rego says of a connection or a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Allowed.
    Allow {
        /// Key of the policy that names the decision.
        policy: String,
        /// Whether requests are judged one by one.
        inspection: Inspection,
    },
    /// No rule allows it, and nobody enforces: forwarded and recorded (L7-9).
    Audit {
        /// Key of the policy that names the decision.
        policy: String,
    },
    /// Only `%2F` in the path keeps it from being let through: `invalid_request_target` (L7-5).
    RefuseTarget {
        /// Key of the policy that would have let it through.
        policy: String,
    },
    /// Refused.
    Deny {
        /// A reason of `policy_denied`.
        reason: String,
        /// Key of the policy the refusal is about.
        policy: Option<String>,
    },
}

/// Whether a connection is inspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inspection {
    /// Bytes are passed on unread.
    Raw,
    /// Requests are read (L7-1).
    Requests,
}

/// A request as the rules see it.
#[derive(Clone, Debug)]
pub struct Request<'r> {
    /// Method, exact case.
    pub method: &'r str,
    /// Canonical path (L7-5).
    pub path: &'r str,
    /// Decoded query values by name, as `query_values` reads them.
    pub query: BTreeMap<String, Vec<String>>,
}

/// The engine did not take the rules or the data.
#[derive(Debug)]
pub struct ReferenceError(String);

impl Reference {
    /// Loads the rules and one document.
    ///
    /// # Errors
    /// When the engine refuses either; the text names the rule.
    pub fn new(document: &PolicyDocument) -> Result<Reference, ReferenceError> {
        let mut engine = Engine::new();
        let glob_matches = Box::new(|arguments: Vec<Value>| Ok(glob_matches(&arguments)));
        engine
            .add_extension("glob_matches".to_owned(), 2, glob_matches)
            .map_err(ReferenceError::new)?;
        engine
            .add_policy("ringfence.rego".to_owned(), RULES.to_owned())
            .map_err(ReferenceError::new)?;
        engine
            .add_data(Value::from(data(document)))
            .map_err(ReferenceError::new)?;
        Ok(Reference {
            engine,
            rules: Err("nothing was asked".to_owned()),
            failure: None,
        })
    }

    /// Judges a connection.
    pub fn connect(&mut self, caller: &Caller, target: &Authority) -> Verdict {
        self.evaluate(input(caller, target));
        let verdict = self.connection_verdict();
        self.or_failed(verdict)
    }

    /// Judges a request on a connection; whether the connection is allowed comes first (LR-7).
    pub fn request(
        &mut self,
        caller: &Caller,
        target: &Authority,
        request: &Request<'_>,
    ) -> Verdict {
        let mut input = input(caller, target);
        input["request"] =
            json!({"method": request.method, "path": request.path, "query": request.query});
        self.evaluate(input);
        let verdict = self.request_verdict();
        self.or_failed(verdict)
    }

    /// All rules at once: they share what they are made of, and asked one by one they would not.
    fn evaluate(&mut self, input: serde_json::Value) {
        self.engine.set_input(Value::from(input));
        let package = self.engine.eval_query(PACKAGE.to_owned(), false);
        self.rules = match package {
            Ok(found) => {
                let row = found.result.into_iter().next();
                let column = row.and_then(|row| row.expressions.into_iter().next());
                column
                    .map(|column| column.value)
                    .ok_or_else(|| "no value".to_owned())
            }
            Err(error) => Err(error.to_string()),
        };
    }

    fn connection_verdict(&self) -> Result<Verdict, Undefined> {
        if self.text("network_action")? != "allow" {
            return Ok(Verdict::Deny {
                reason: self.text("deny_reason")?,
                policy: self.text("reached_network_policy").ok(),
            });
        }
        let inspection = if self.truth("inspected")? {
            Inspection::Requests
        } else {
            Inspection::Raw
        };
        Ok(Verdict::Allow {
            policy: self.text("matched_connection_policy")?,
            inspection,
        })
    }

    fn request_verdict(&self) -> Result<Verdict, Undefined> {
        match self.connection_verdict()? {
            Verdict::Allow {
                inspection: Inspection::Requests,
                ..
            } => {}
            verdict @ (Verdict::Allow { .. }
            | Verdict::Audit { .. }
            | Verdict::RefuseTarget { .. }
            | Verdict::Deny { .. }) => {
                return Ok(verdict);
            }
        }
        let policy = self.text("matched_network_policy")?;
        if self.truth("allow_request")? {
            return Ok(Verdict::Allow {
                policy,
                inspection: Inspection::Requests,
            });
        }
        if self.truth("request_audited")? {
            return Ok(Verdict::Audit { policy });
        }
        if self.truth("request_target_refused")? {
            return Ok(Verdict::RefuseTarget { policy });
        }
        Ok(Verdict::Deny {
            reason: self.text("deny_reason")?,
            policy: Some(policy),
        })
    }

    /// Every rule that has a value for the last question, by name; the sections of the policy are
    /// left out.
    pub fn trace(&self) -> Vec<(String, serde_json::Value)> {
        let value = self.rules.as_ref().ok();
        let value = value.and_then(|rules| serde_json::to_value(rules).ok());
        let Some(serde_json::Value::Object(rules)) = value else {
            return Vec::new();
        };
        let rules = rules.into_iter();
        rules
            .filter(|(name, _)| !SECTIONS.contains(&name.as_str()))
            .collect()
    }

    /// What went wrong when the last verdict was `policy_evaluation_failed`.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// RGO-4: what is undefined or fails is denied.
    fn or_failed(&mut self, verdict: Result<Verdict, Undefined>) -> Verdict {
        match verdict {
            Ok(verdict) => {
                self.failure = None;
                verdict
            }
            Err(Undefined(failure)) => {
                self.failure = Some(failure);
                Verdict::Deny {
                    reason: POLICY_EVALUATION_FAILED.to_owned(),
                    policy: None,
                }
            }
        }
    }

    fn text(&self, rule: &str) -> Result<String, Undefined> {
        let value = self.rule(rule)?;
        value
            .as_string()
            .map(ToString::to_string)
            .map_err(|error| Undefined(format!("{rule}: {error}")))
    }

    fn truth(&self, rule: &str) -> Result<bool, Undefined> {
        let value = self.rule(rule)?;
        value
            .as_bool()
            .copied()
            .map_err(|error| Undefined(format!("{rule}: {error}")))
    }

    /// `Value::Undefined` where the rule has no value.
    fn rule(&self, rule: &str) -> Result<&Value, Undefined> {
        match &self.rules {
            Ok(rules) => Ok(&rules[rule]),
            Err(error) => Err(Undefined(format!("{rule}: {error}"))),
        }
    }
}

/// Where the rules live.
const PACKAGE: &str = "data.ringfence.sandbox";

/// Rules that repeat the policy.
const SECTIONS: &[&str] = &[
    "filesystem_policy",
    "landlock_policy",
    "process_policy",
    "inference_policy",
];

/// A rule gave no value, or not one of its kind.
#[derive(Debug)]
struct Undefined(String);

impl ReferenceError {
    fn new(error: impl fmt::Display) -> ReferenceError {
        ReferenceError(error.to_string())
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reference").finish_non_exhaustive()
    }
}

impl fmt::Display for ReferenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the policy rules could not be loaded: {}", self.0)
    }
}

impl std::error::Error for ReferenceError {}

/// RGO-1. A path that is no UTF-8 is shown with replacement characters, which wildcards cover.
fn input(caller: &Caller, target: &Authority) -> serde_json::Value {
    let path = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let ancestors: Vec<String> = caller
        .ancestors
        .iter()
        .map(|ancestor| path(&ancestor.path))
        .collect();
    let sha256: String = caller
        .exe
        .sha256
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    json!({
        "exec": {"path": path(&caller.exe.path), "sha256": sha256, "ancestors": ancestors},
        "network": {"host": target.host.as_str(), "port": target.port.number()},
    })
}

/// The builtin of the module (L7-11): undefined for anything but two texts.
pub(crate) fn glob_matches(arguments: &[Value]) -> Value {
    let text = |at: usize| arguments.get(at).and_then(|value| value.as_string().ok());
    match (text(0), text(1)) {
        (Some(pattern), Some(text)) => Value::from(Glob::new(pattern).matches(text.as_bytes())),
        (None, _) | (_, None) => Value::Undefined,
    }
}
