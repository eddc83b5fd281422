//! Endpoints of the document and where they stand: those a question is about.
//!
//! Apart from `near` and `fix`, which say something of them.

use super::Near;
use super::request::Request;
use super::words::{self, reaches};
use crate::answer::{Answer, Question};
use crate::document::{Endpoint, NetworkPolicy};
use crate::lint::policy_path;
use crate::source::Loaded;

/// An endpoint and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Placed<'d> {
    pub(super) key: &'d str,
    pub(super) policy: &'d NetworkPolicy,
    pub(super) index: usize,
    pub(super) endpoint: &'d Endpoint,
}

impl Placed<'_> {
    pub(super) fn path(&self) -> String {
        format!("{}.endpoints[{}]", policy_path(self.key), self.index)
    }

    pub(super) fn near(&self, loaded: &Loaded, path: String, missing: String) -> Near {
        Near {
            policy: self.key.to_owned(),
            line: loaded.places.line(&path),
            path,
            missing,
        }
    }
}

/// Every endpoint, in the order of POL-6 as far as the keys go.
pub(super) fn all(loaded: &Loaded) -> impl Iterator<Item = Placed<'_>> {
    loaded
        .document
        .network_policies
        .iter()
        .flat_map(|(key, policy)| {
            let endpoints = policy.endpoints.iter().enumerate();
            endpoints.map(move |(index, endpoint)| Placed {
                key,
                policy,
                index,
                endpoint,
            })
        })
}

/// Endpoints that match host, port and caller, the decision's own policy first.
pub(super) fn matching<'d>(
    loaded: &'d Loaded,
    question: &Question,
    answer: &Answer,
) -> Vec<Placed<'d>> {
    let mut matching: Vec<Placed<'_>> = all(loaded)
        .filter(|placed| reaches(placed.endpoint, &question.target))
        .filter(|placed| words::listed(placed.policy, question).is_some())
        .collect();
    matching.sort_by_key(|placed| Some(placed.key) != answer.policy.as_deref());
    matching
}

/// Of those, the endpoints that let the request through, whose addresses count for it (TR-078): the
/// ones that allow it, or when nothing does, the ones that speak of it.
pub(super) fn admitting<'d>(
    loaded: &'d Loaded,
    question: &Question,
    answer: &Answer,
) -> Vec<Placed<'d>> {
    let matching = matching(loaded, question, answer);
    let inspected = matching
        .iter()
        .any(|placed| placed.endpoint.inspection.is_some());
    let Some(request) = Request::of(question).filter(|_| inspected) else {
        return matching;
    };
    let allows = |placed: &Placed<'_>| match &placed.endpoint.inspection {
        None => true,
        Some(inspection) => {
            request.is_covered_by(inspection) && request.is_allowed_by(&inspection.grant)
        }
    };
    let covers = |placed: &Placed<'_>| {
        let inspection = placed.endpoint.inspection.as_ref();
        inspection.is_none_or(|inspection| request.is_covered_by(inspection))
    };
    let allowing: Vec<Placed<'_>> = matching
        .iter()
        .copied()
        .filter(|placed| allows(placed))
        .collect();
    if !allowing.is_empty() {
        return allowing;
    }
    matching.into_iter().filter(covers).collect()
}
