//! Request rules of one endpoint, found by method and by the literal beginning of their path.
//!
//! Apart from `table` because a connection never looks here. A thousand rules cost a request about as
//! much as ten: their literal prefixes are sorted, and those that begin a path are one chain from the
//! longest to the shortest. Invariant: which rule matched first is nobody's question, so the order of
//! rules is free; looking up allocates nothing.

use std::ops::Range;

use crate::document::{EncodedSlash, Enforcement, Tls};
use crate::pattern::Glob;
use crate::request::{Matcher, Query};

/// `protocol: rest`, ready to be asked.
#[derive(Debug)]
pub(crate) struct RequestRules {
    pub(crate) tls: Tls,
    pub(crate) enforcement: Enforcement,
    pub(crate) encoded_slash: EncodedSlash,
    pub(crate) path: Glob,
    pub(crate) allow: RuleSet,
    pub(crate) deny: RuleSet,
}

impl RequestRules {
    /// Whether the endpoint speaks of this path.
    pub(crate) fn covers(&self, path: &[u8]) -> bool {
        self.path.matches_everything() || self.path.matches(path)
    }

    pub(crate) fn allows(&self, method: &[u8], path: &[u8], query: &Query<'_>) -> bool {
        self.allow
            .any(method, path, |matchers| query.satisfies(matchers))
    }

    pub(crate) fn denies(&self, method: &[u8], path: &[u8], query: &Query<'_>) -> bool {
        self.deny
            .any(method, path, |matchers| query.offends(matchers))
    }
}

/// Rules by method.
#[derive(Debug)]
pub(crate) struct RuleSet {
    /// `method: *`.
    any_method: PathIndex,
    /// Sorted by name.
    by_method: Box<[(Box<[u8]>, PathIndex)]>,
}

/// What is left of a rule once its method is known.
#[derive(Debug)]
pub(crate) struct PathRule {
    pub(crate) path: Glob,
    pub(crate) query: Box<[Matcher]>,
}

impl RuleSet {
    /// Takes rules as (method, rest); `*` is every method.
    pub(crate) fn new(mut rules: Vec<(&str, PathRule)>) -> RuleSet {
        rules.sort_by_key(|(method, _)| *method);
        let mut any_method = Vec::new();
        let mut by_method: Vec<(&str, Vec<PathRule>)> = Vec::new();
        for (method, rule) in rules {
            match by_method.last_mut() {
                _ if method == "*" => any_method.push(rule),
                Some((last, group)) if *last == method => group.push(rule),
                Some(_) | None => by_method.push((method, vec![rule])),
            }
        }
        let by_method = by_method
            .into_iter()
            .map(|(method, group)| (method.as_bytes().into(), PathIndex::new(group)));
        RuleSet {
            any_method: PathIndex::new(any_method),
            by_method: by_method.collect(),
        }
    }

    fn any(&self, method: &[u8], path: &[u8], query: impl Fn(&[Matcher]) -> bool) -> bool {
        // L7-10: a rule for GET covers HEAD.
        let covering: &[u8] = if method == b"HEAD" { b"GET" } else { b"" };
        self.any_method.any(path, &query)
            || self.of(method).is_some_and(|index| index.any(path, &query))
            || self
                .of(covering)
                .is_some_and(|index| index.any(path, &query))
    }

    fn of(&self, method: &[u8]) -> Option<&PathIndex> {
        let found = self
            .by_method
            .binary_search_by(|(listed, _)| (**listed).cmp(method));
        let (_, index) = self.by_method.get(found.ok()?)?;
        Some(index)
    }
}

/// Rules by the literal beginning of their path.
#[derive(Debug)]
struct PathIndex {
    /// Sorted, without duplicates.
    prefixes: Box<[Prefix]>,
    /// Those of one prefix stand together.
    rules: Box<[PathRule]>,
}

#[derive(Debug)]
struct Prefix {
    text: Box<[u8]>,
    rules: Range<usize>,
    /// The longest other prefix that begins this one.
    parent: Option<usize>,
}

impl PathIndex {
    fn new(mut rules: Vec<PathRule>) -> PathIndex {
        rules.sort_by(|one, other| one.path.literal_prefix().cmp(other.path.literal_prefix()));
        let mut prefixes: Vec<Prefix> = Vec::new();
        for (at, rule) in rules.iter().enumerate() {
            let text = rule.path.literal_prefix();
            match prefixes.last_mut() {
                Some(last) if *last.text == *text => last.rules.end = at + 1,
                Some(_) | None => {
                    let parent = beginning(&prefixes, text);
                    prefixes.push(Prefix {
                        text: text.into(),
                        rules: at..at + 1,
                        parent,
                    });
                }
            }
        }
        PathIndex {
            prefixes: prefixes.into(),
            rules: rules.into(),
        }
    }

    fn any(&self, path: &[u8], query: &impl Fn(&[Matcher]) -> bool) -> bool {
        let mut at = beginning(&self.prefixes, path);
        while let Some(prefix) = at.and_then(|at| self.prefixes.get(at)) {
            let rules = self.rules.get(prefix.rules.clone()).unwrap_or_default();
            if rules
                .iter()
                .any(|rule| rule.path.matches(path) && query(&rule.query))
            {
                return true;
            }
            at = prefix.parent;
        }
        false
    }
}

/// The longest prefix that begins `text`.
///
/// Why the last one that sorts before `text` leads to it: whatever stands between a prefix of `text`
/// and `text` itself begins with that prefix, so the one sought is the last one or one of its parents.
fn beginning(prefixes: &[Prefix], text: &[u8]) -> Option<usize> {
    let mut at = prefixes
        .partition_point(|prefix| *prefix.text <= *text)
        .checked_sub(1);
    while let Some(prefix) = at.and_then(|at| prefixes.get(at)) {
        if text.starts_with(&prefix.text) {
            return at;
        }
        at = prefix.parent;
    }
    None
}

#[cfg(test)]
mod tests;
