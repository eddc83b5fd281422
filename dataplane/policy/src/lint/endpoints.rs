//! Endpoints that are never reached, or that others make pointless.
//!
//! Apart from `requests` because these compare endpoints and policies with each other.

use super::{Effect, Findings, cover, policy_path};
use crate::address::special_name;
use crate::document::{Binary, Destination, EncodedSlash, Endpoint, Inspection, PolicyDocument};
use crate::pattern::HostPattern;

/// What of one endpoint can never be dialled.
pub(super) fn reach(findings: &mut Findings, at: &str, endpoint: &Endpoint) {
    let (Destination::Host(host) | Destination::HostAt(host, _)) = &endpoint.destination else {
        return blocks(findings, at, endpoint);
    };
    let name = match host {
        HostPattern::Exact(name) | HostPattern::OneLabel(name) | HostPattern::AnyLabels(name) => {
            name
        }
    };
    if special_name(name) {
        let message = format!("`{host}` is never looked up: every connection there is refused");
        findings.add(format!("{at}.host"), Effect::Some, message);
    }
    if let (Some(literal), Some(list)) = (name.literal(), endpoint.destination.allowed_ips())
        && !list.contains(literal)
    {
        let message = format!(
            "does not list {literal}, the `host` of this endpoint: every connection is refused"
        );
        findings.add(format!("{at}.allowed_ips"), Effect::Some, message);
        return;
    }
    blocks(findings, at, endpoint);
}

/// Entries of one list that others of it contain.
fn blocks(findings: &mut Findings, at: &str, endpoint: &Endpoint) {
    let Some(list) = endpoint.destination.allowed_ips() else {
        return;
    };
    let literal = match endpoint.destination.host() {
        Some(HostPattern::Exact(host)) => host.literal(),
        Some(HostPattern::OneLabel(_) | HostPattern::AnyLabels(_)) | None => None,
    };
    let mut kept = Vec::new();
    // From the narrowest to the widest would reorder; an entry counts against those before it and the
    // wider ones behind it.
    for (index, inner) in list.blocks().iter().enumerate() {
        let path = format!("{at}.allowed_ips[{index}]");
        if let Some(literal) = literal.filter(|literal| !inner.contains(*literal)) {
            let message = format!("never matches: the `host` of this endpoint is {literal}");
            findings.add(path, Effect::None, message);
            continue;
        }
        let wider = list.blocks().iter().enumerate().find(|(other, outer)| {
            *other != index
                && cover::block(outer, inner)
                && (*other < index || !cover::block(inner, outer))
        });
        match wider {
            Some((_, outer)) if outer == inner => {
                findings.add(path, Effect::None, "is listed twice")
            }
            Some((_, outer)) => {
                findings.add(
                    path,
                    Effect::None,
                    format!("adds nothing: `{outer}` contains it"),
                );
            }
            None => kept.push(inner),
        }
    }
    super::wide::blocks(findings, at, &kept);
}

/// One endpoint among all.
struct Placed<'d> {
    key: &'d str,
    index: usize,
    endpoint: &'d Endpoint,
    binaries: &'d [Binary],
}

impl Placed<'_> {
    fn path(&self) -> String {
        format!("{}.endpoints[{}]", policy_path(self.key), self.index)
    }

    /// For every caller that this one's policy lists, `other`'s policy decides as well.
    fn callers_within(&self, other: &Placed<'_>) -> bool {
        self.key == other.key || cover::binaries(other.binaries, self.binaries)
    }

    /// Everything this one allows or refuses, `other` does.
    fn is_shadowed_by(&self, other: &Placed<'_>) -> bool {
        self.endpoint.port == other.endpoint.port
            && self.endpoint.inspection == other.endpoint.inspection
            && cover::destination(&other.endpoint.destination, &self.endpoint.destination)
            && self.callers_within(other)
    }
}

/// Endpoints that others make pointless, from the last to the first, each judged by those that remain.
pub(super) fn shadowed(findings: &mut Findings, document: &PolicyDocument) {
    let mut placed: Vec<Placed<'_>> = Vec::new();
    for (key, policy) in &document.network_policies {
        for (index, endpoint) in policy.endpoints.iter().enumerate() {
            placed.push(Placed {
                key,
                index,
                endpoint,
                binaries: &policy.binaries,
            });
        }
    }
    let mut index = placed.len();
    while index > 0 {
        index -= 1;
        let Some(inner) = placed.get(index) else {
            continue;
        };
        let others = placed
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != index);
        let by = others
            .map(|(_, other)| other)
            .find(|other| inner.is_shadowed_by(other));
        if let Some(other) = by {
            let message = if inner.endpoint == other.endpoint && inner.key == other.key {
                format!("says the same as `{}`", other.path())
            } else {
                format!("adds nothing: `{}` is as wide", other.path())
            };
            findings.add(inner.path(), Effect::None, message);
            placed.remove(index);
        }
    }
    for inner in &placed {
        unrestricted(findings, inner, &placed);
    }
}

/// OV-5: an endpoint without `protocol` allows every request at its hosts, whatever others grant.
fn unrestricted(findings: &mut Findings, inner: &Placed<'_>, all: &[Placed<'_>]) {
    // With `allow_encoded_slash` its rules decide over paths that the open endpoint refuses.
    let plain = |inspection: &Inspection| inspection.encoded_slash == EncodedSlash::Refuse;
    if !inner.endpoint.inspection.as_ref().is_some_and(plain) {
        return;
    }
    let open = all.iter().find(|other| {
        other.endpoint.inspection.is_none()
            && other.endpoint.port == inner.endpoint.port
            && cover::destination(&other.endpoint.destination, &inner.endpoint.destination)
            && inner.callers_within(other)
    });
    if let Some(open) = open {
        let message = format!(
            "restricts nothing but by `deny_rules`: `{}` allows every request there, having no `protocol`",
            open.path()
        );
        findings.add(inner.path(), Effect::Some, message);
    }
}
