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
        if let Some(matched) = &self.matched {
            let at = At(matched.line, &matched.path);
            writeln!(f, "matched:\n  {at}: {}", matched.detail)?;
        }
        if !self.near.is_empty() {
            writeln!(f, "nearly:")?;
            for near in &self.near {
                writeln!(f, "  {}: {}", At(near.line, &near.path), near.missing)?;
            }
        }
        if let Some(remedy) = &self.remedy {
            writeln!(f, "would allow it:")?;
            for line in remedy.lines() {
                writeln!(f, "  {line}")?;
            }
        }
        if let Some(trace) = &self.trace {
            writeln!(f, "rules that have a value:")?;
            for rule in trace {
                writeln!(f, "  {} = {}", rule.rule, rule.value)?;
            }
        }
        Ok(())
    }
}

/// `line 7, network_policies.git`
struct At<'a>(Option<u32>, &'a str);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(line) => write!(f, "line {line}, {}", self.1),
            None => f.write_str(self.1),
        }
    }
}
