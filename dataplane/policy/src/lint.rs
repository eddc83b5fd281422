//! What is legal in a policy and most likely not meant: entries that can never match, entries that
//! others make pointless, and grants wider than they look (CLI-16).
//!
//! Apart from `source`, whose warnings come with every load, because these cost a search and are
//! asked for by `policy check` alone. Invariant: a warning is true. What is called shadowed can be
//! taken out and no verdict changes; `tests` takes it out of random policies and compares. Where a
//! search gives up, nothing is said.

pub(crate) mod cover;
mod endpoints;
mod requests;
#[cfg(test)]
mod tests;
mod wide;

use crate::document::{NetworkPolicy, PolicyDocument};
use crate::source::{Loaded, Problem, join_key};

/// All findings about a policy, those of its loading included, in the order of the text.
pub fn lint(loaded: &Loaded) -> Vec<Problem> {
    let mut findings = Findings::default();
    for (key, policy) in &loaded.document.network_policies {
        own(&mut findings, &loaded.document, key, policy);
    }
    endpoints::shadowed(&mut findings, &loaded.document);
    wide::inference(&mut findings, &loaded.document);
    let own = findings
        .0
        .into_iter()
        .map(|finding| loaded.places.problem(&finding.path, finding.message));
    let mut problems: Vec<Problem> = loaded.warnings.iter().cloned().chain(own).collect();
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems
}

/// What one network policy says, for itself.
fn own(findings: &mut Findings, document: &PolicyDocument, key: &str, policy: &NetworkPolicy) {
    let at = policy_path(key);
    wide::binaries(
        findings,
        document,
        &format!("{at}.binaries"),
        &policy.binaries,
    );
    for (index, endpoint) in policy.endpoints.iter().enumerate() {
        let at = format!("{at}.endpoints[{index}]");
        endpoints::reach(findings, &at, endpoint);
        wide::endpoint(findings, &at, endpoint);
        if let Some(inspection) = &endpoint.inspection {
            requests::rules(findings, &at, inspection);
        }
    }
}

/// Findings with the paths they are about.
#[derive(Default)]
struct Findings(Vec<Finding>);

/// One finding. What can be taken out without changing a verdict is named by its path.
struct Finding {
    path: String,
    message: String,
    #[cfg(test)]
    effect: Effect,
}

/// Whether the entry could as well be left out: what the tests do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// Leaving it out changes no verdict.
    None,
    /// It does something, which is the point of the warning.
    Some,
}

impl Findings {
    fn add(&mut self, path: impl Into<String>, effect: Effect, message: impl Into<String>) {
        let (path, message) = (path.into(), message.into());
        #[cfg(not(test))]
        let _: Effect = effect;
        self.0.push(Finding {
            path,
            message,
            #[cfg(test)]
            effect,
        });
    }
}

/// The path of a network policy, as problems spell it.
pub(crate) fn policy_path(key: &str) -> String {
    join_key("network_policies", key)
}
