//! When one entry makes another pointless.
//!
//! Apart from the warnings because these are relations between patterns and nothing else.
//! Invariant: `true` is certain, `false` may be "not known".

use wire::Slashes;

use crate::address::{AllowedIps, Block};
use crate::document::{Binary, Destination, Rule, covers_method};
use crate::pattern::{Glob, HostPattern};
use crate::witness::{self, Domain};

/// Every host of `inner` is one of `outer`.
pub(crate) fn host(outer: &HostPattern, inner: &HostPattern) -> bool {
    match (outer, inner) {
        (_, HostPattern::Exact(name)) => outer.matches(name),
        (HostPattern::Exact(_), HostPattern::OneLabel(_) | HostPattern::AnyLabels(_)) => false,
        (HostPattern::OneLabel(one), HostPattern::OneLabel(other)) => one == other,
        (HostPattern::OneLabel(_), HostPattern::AnyLabels(_)) => false,
        (
            HostPattern::AnyLabels(suffix),
            HostPattern::OneLabel(other) | HostPattern::AnyLabels(other),
        ) => suffix == other || outer.matches(other),
    }
}

/// Every address the list `inner` permits is permitted by `outer`.
fn list(outer: &AllowedIps, inner: &AllowedIps) -> bool {
    inner
        .blocks()
        .iter()
        .all(|one| outer.blocks().iter().any(|other| block(other, one)))
}

/// Every address of `inner` is in `outer`.
///
/// FWD-5 asks whether an entry lies inside 100.64.0.0/10. One around that range does not load, for the
/// metadata address in it, so what contains such an entry is such an entry.
pub(super) fn block(outer: &Block, inner: &Block) -> bool {
    outer.len_bits() <= inner.len_bits() && outer.contains(inner.base())
}

/// Every connection `inner` allows, at every address, is allowed by `outer`.
pub(super) fn destination(outer: &Destination, inner: &Destination) -> bool {
    let addresses = match (outer.allowed_ips(), inner.allowed_ips()) {
        (None, None) => true,
        (Some(outer), Some(inner)) => list(outer, inner),
        (None, Some(_)) | (Some(_), None) => false,
    };
    let hosts = match (outer.host(), inner.host()) {
        (None, _) => true,
        (Some(outer), Some(inner)) => host(outer, inner),
        (Some(_), None) => false,
    };
    addresses && hosts
}

/// Every caller `inner` lists is listed by `outer`.
///
/// An exact path may be a symbolic link, and then its target is listed too (IDN-8): a glob covers an
/// exact path for certain only when it matches everything.
pub(super) fn binaries(outer: &[Binary], inner: &[Binary]) -> bool {
    inner.iter().all(|one| {
        let globs = || outer.iter().map(|other| &other.path);
        if one.path.is_literal() {
            return globs().any(|other| *other == one.path || matches_every_program(other));
        }
        let globs: Vec<&Glob> = globs().filter(|other| !other.is_literal()).collect();
        witness::covered(Domain::Program, &[&one.path], &globs)
    })
}

/// True for `/**` and its like.
pub(super) fn matches_every_program(glob: &Glob) -> bool {
    matches!(glob.as_str(), "/**" | "**")
}

/// Every request that `inner` matches on a path that `within` covers is matched by one of `outer`:
/// the methods and the queries by each, the paths by all of them together.
pub(super) fn rule(outer: &[&Rule], inner: &Rule, within: &Glob) -> bool {
    let paths: Vec<&Glob> = outer
        .iter()
        .filter(|outer| covers_method(&outer.method, &inner.method) && query(outer, inner))
        .map(|outer| &outer.path)
        .collect();
    !paths.is_empty()
        && witness::covered(
            Domain::Path(Slashes::Escaped),
            &[&inner.path, within],
            &paths,
        )
}

/// What `inner` asks of a query includes all that `outer` asks.
fn query(outer: &Rule, inner: &Rule) -> bool {
    outer.query.iter().all(|(name, glob)| {
        inner
            .query
            .get(name)
            .is_some_and(|inner| witness::covered(Domain::Text, &[inner], &[glob]))
    })
}
