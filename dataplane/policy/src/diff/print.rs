//! Differences for people: one line each.

use std::fmt;

use super::{Change, Difference, Subject};

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Change::Opens => "opens",
            Change::Changes => "changes",
            Change::Closes => "closes",
        })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Subject::Connection => "connection",
            Subject::Inspection => "inspection",
            Subject::Request => "request",
            Subject::Addresses => "addresses",
            Subject::Inference => "inference",
            Subject::Filesystem => "files",
            Subject::Process => "process",
        })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<7}  {:<10} ", self.change, self.subject)?;
        let mut parts = Vec::new();
        if !self.programs.is_empty() {
            parts.push(format!(
                "{} → {}",
                self.programs.join(", "),
                self.targets.join(", ")
            ));
        }
        if !self.methods.is_empty() {
            parts.push(self.methods.join(", "));
        }
        parts.extend(self.what.clone());
        write!(f, " {}: {} → {}", parts.join(" "), self.before, self.after)
    }
}
