//! An explanation for people.
//!
//! Apart from the checks so that the words on a terminal can change without them.

use std::fmt;

use super::{Explanation, Outcome};

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Outcome::Allow => "allow",
            Outcome::Audit => "audit",
            Outcome::Deny => "deny",
        })
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "verdict: {}", self.verdict)?;
        writeln!(f, "policy:  {}", self.policy.as_deref().unwrap_or("-"))?;
        match (self.code, &self.reason) {
            (Some(code), Some(reason)) => writeln!(f, "reason:  {reason} ({code})")?,
            (Some(code), None) => writeln!(f, "reason:  {code}")?,
            (None, _) => writeln!(f, "reason:  -")?,
        }
        writeln!(f, "checks:")?;
        for check in &self.checks {
            writeln!(
                f,
                "  {:<5}  {}: {}",
                check.outcome, check.check, check.detail
            )?;
        }
        for judged in &self.addresses {
            writeln!(f, "  {} is {}", judged.address, judged.class)?;
        }
        Ok(())
    }
}
