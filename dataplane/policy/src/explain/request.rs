//! The request of a question, held against rules as they are written.
//!
//! Apart from `crate::request`, which asks the compiled table and so cannot say which line it was.

use wire::CanonicalPath;

use crate::answer::Question;
use crate::document::{Access, Grant, Inspection, Rule, covers_method};
use crate::pattern::Glob;
use crate::request::{Matcher, Query};

/// The request of a question, as rules see it.
pub(super) struct Request<'q> {
    pub(super) method: &'q str,
    pub(super) path: CanonicalPath,
    query: Query<'q>,
}

impl<'q> Request<'q> {
    pub(super) fn of(question: &'q Question) -> Option<Request<'q>> {
        let line = question.request.as_ref()?;
        Some(Request {
            method: &line.method,
            path: CanonicalPath::parse(line.path.as_bytes()).ok()?,
            query: Query::new(line.query.as_deref().map(str::as_bytes)),
        })
    }

    pub(super) fn is_covered_by(&self, inspection: &Inspection) -> bool {
        inspection.path.matches(self.path.as_bytes())
    }

    pub(super) fn shown(&self) -> String {
        format!(
            "{} {}",
            self.method,
            String::from_utf8_lossy(self.path.as_bytes())
        )
    }

    /// What of a rule does not match, in words.
    pub(super) fn differences(&self, rule: &Rule) -> Vec<String> {
        let mut differences = Vec::new();
        if !covers_method(&rule.method, self.method) {
            differences.push(format!("the method is {}", self.method));
        }
        if !rule.path.matches(self.path.as_bytes()) {
            let path = String::from_utf8_lossy(self.path.as_bytes());
            differences.push(format!("the path is {path}"));
        }
        let unmet = rule
            .query
            .iter()
            .filter(|(name, glob)| !self.query.satisfies(&[matcher(name, glob)]));
        differences.extend(unmet.map(|(name, glob)| format!("the query has no {name}={glob}")));
        differences
    }

    pub(super) fn is_allowed_by(&self, grant: &Grant) -> bool {
        match grant {
            Grant::Access(access) => allows(*access, self.method),
            Grant::Rules(rules) => rules.iter().any(|rule| self.differences(rule).is_empty()),
        }
    }

    /// The first deny rule that matches, and its place.
    pub(super) fn denied<'i>(&self, inspection: &'i Inspection) -> Option<(usize, &'i Rule)> {
        let mut rules = inspection.deny_rules.iter().enumerate();
        rules.find(|(_, rule)| self.is_denied_by(rule))
    }

    /// Whether a deny rule matches: one value of each name is enough.
    fn is_denied_by(&self, rule: &Rule) -> bool {
        covers_method(&rule.method, self.method)
            && rule.path.matches(self.path.as_bytes())
            && rule
                .query
                .iter()
                .all(|(name, glob)| self.query.offends(&[matcher(name, glob)]))
    }
}

fn matcher(name: &str, glob: &Glob) -> Matcher {
    Matcher {
        name: name.as_bytes().into(),
        value: glob.clone(),
    }
}

/// `GET /repos/**`, with what it asks of the query.
pub(super) fn shown(rule: &Rule) -> String {
    let query: Vec<String> = rule
        .query
        .iter()
        .map(|(name, glob)| format!("{name}={glob}"))
        .collect();
    let behind = if query.is_empty() {
        String::new()
    } else {
        format!("?{}", query.join("&"))
    };
    format!("{} {}{behind}", rule.method, rule.path)
}

/// Whether a preset lets a method through.
pub(super) fn allows(access: Access, method: &str) -> bool {
    access
        .methods()
        .iter()
        .any(|allowed| covers_method(allowed, method))
}

/// A preset and what it stands for.
pub(super) fn preset(access: Access) -> String {
    match access {
        Access::ReadOnly => "read-only (GET, HEAD, OPTIONS)",
        Access::ReadWrite => "read-write (GET, HEAD, OPTIONS, POST, PUT, PATCH)",
        Access::Full => "full (every method)",
    }
    .to_owned()
}
