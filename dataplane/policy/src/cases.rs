//! Tables of expected verdicts, for users' CI (`policy test`).
//!
//! Apart from `explain`, which answers one question, because a table is a file with errors of its own:
//! read by the reader of policies, so that line, column and key are named alike. Invariant: a case
//! holds only when table and Rego rules agree and every expectation that was written is met.

mod read;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::Serialize;

use crate::answer::{Outcome, Question};
use crate::compile::Policy;
use crate::explain::{ExplainError, Explanation, Trace, explain_by};
use crate::rego::Reference;
use crate::source::Loaded;

pub use read::parse;

/// A table.
#[derive(Clone, Debug)]
pub struct Cases {
    /// The policy it is about, as written: a path beside the table.
    pub policy: String,
    /// Its rows; at least one.
    pub cases: Vec<Case>,
}

/// One row.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// Where it begins.
    pub line: u32,
    /// What is asked.
    pub question: Question,
    /// What must come out.
    pub expected: Expected,
}

/// What must come out; what is absent may be anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Expected {
    /// `expect`.
    pub verdict: Outcome,
    /// Key of the policy that decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The reason of a denial, or its code where it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether requests are judged one by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inspected: Option<bool>,
}

/// What became of one row.
#[derive(Clone, Debug, Serialize)]
pub struct Ran {
    /// Its name.
    pub name: String,
    /// Its line.
    pub line: u32,
    /// Whether everything expected came out.
    pub ok: bool,
    /// What was expected.
    pub expected: Expected,
    /// What came out, and why.
    pub got: Explanation,
}

/// Judges every row.
///
/// # Errors
/// When the Rego rules cannot be asked, or answer otherwise than the table.
pub fn run(loaded: &Loaded, cases: &[Case]) -> Result<Vec<Ran>, ExplainError> {
    let policy = Policy::compile(loaded.document.clone());
    let mut reference = Reference::new(&loaded.document).map_err(ExplainError::Rules)?;
    let judge = |case: &Case| {
        let got = explain_by(
            loaded,
            &policy,
            &mut reference,
            &case.question,
            Trace::Hidden,
        )?;
        Ok(Ran {
            name: case.name.clone(),
            line: case.line,
            ok: case.expected.is_met_by(&got),
            expected: case.expected.clone(),
            got,
        })
    };
    cases.iter().map(judge).collect()
}

impl Expected {
    fn is_met_by(&self, got: &Explanation) -> bool {
        let reason = got.reason.as_deref().or(got.code);
        let named = |expected: &Option<String>, got: Option<&str>| {
            expected
                .as_deref()
                .is_none_or(|expected| got == Some(expected))
        };
        self.verdict == got.verdict
            && named(&self.policy, got.policy.as_deref())
            && named(&self.reason, reason)
            && self
                .inspected
                .is_none_or(|inspected| inspected == got.inspected)
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.verdict)?;
        if let Some(reason) = &self.reason {
            write!(f, " {reason}")?;
        }
        if let Some(policy) = &self.policy {
            write!(f, " by `{policy}`")?;
        }
        match self.inspected {
            Some(true) => f.write_str(", inspected"),
            Some(false) => f.write_str(", not inspected"),
            None => Ok(()),
        }
    }
}

impl Ran {
    /// What came out, in the words of an expectation.
    pub fn outcome(&self) -> Expected {
        let got = &self.got;
        Expected {
            verdict: got.verdict,
            policy: got.policy.clone(),
            reason: got.reason.clone().or(got.code.map(str::to_owned)),
            inspected: self.expected.inspected.map(|_| got.inspected),
        }
    }
}
