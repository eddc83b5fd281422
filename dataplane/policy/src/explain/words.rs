//! What the checks saw, in words.
//!
//! Apart from the checks because these look at the document and decide nothing.

use std::collections::BTreeMap;

use wire::Authority;

use super::Question;
use crate::document::{Endpoint, NetworkPolicy, PolicyDocument};
use crate::pattern::Glob;

fn reaches(endpoint: &Endpoint, target: &Authority) -> bool {
    endpoint.port == target.port
        && endpoint
            .destination
            .host()
            .is_none_or(|host| host.matches(&target.host))
}

fn reaching<'d>(
    document: &'d PolicyDocument,
    target: &'d Authority,
) -> impl Iterator<Item = (&'d String, &'d NetworkPolicy, &'d Endpoint)> {
    document
        .network_policies
        .iter()
        .flat_map(move |(key, policy)| {
            policy
                .endpoints
                .iter()
                .filter(|endpoint| reaches(endpoint, target))
                .map(move |endpoint| (key, policy, endpoint))
        })
}

pub(super) fn endpoints(document: &PolicyDocument, target: &Authority) -> String {
    let named =
        reaching(document, target).map(|(key, _, endpoint)| match endpoint.destination.host() {
            Some(host) => format!("`{key}` ({host}:{})", endpoint.port),
            None => format!("`{key}` (any host:{})", endpoint.port),
        });
    match list(named) {
        none if none.is_empty() => format!("no endpoint matches {target}"),
        named => format!("{target} matches {named}"),
    }
}

pub(super) fn binaries(document: &PolicyDocument, question: &Question<'_>) -> String {
    let mut words = BTreeMap::new();
    for (key, policy, _) in reaching(document, &question.target) {
        let matched = question.caller.paths().find_map(|path| {
            let matches = |glob: &&Glob| glob.matches(path);
            let pattern = policy
                .binaries
                .iter()
                .map(|binary| &binary.path)
                .find(matches)?;
            Some(format!(
                "`{key}` lists {} as {pattern}",
                String::from_utf8_lossy(path)
            ))
        });
        words.insert(
            key,
            matched.unwrap_or_else(|| format!("`{key}` lists neither the caller nor an ancestor")),
        );
    }
    list(words.into_values())
}

pub(super) fn list(items: impl Iterator<Item = impl ToString>) -> String {
    items
        .map(|item| item.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}
