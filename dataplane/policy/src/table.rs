//! The decision table: (host, port) → endpoints in the order of POL-6.
//!
//! Apart from `compile`, which fills it once, because it is read at every connection. Invariant:
//! candidates come exact host first, then wildcards, then hostless, and within each by policy key;
//! looking up allocates nothing.

mod hash;
mod rules;

use std::cmp::{Ordering, Reverse};
use std::sync::Arc;

use wire::{Authority, Port};

pub(crate) use hash::PolicyMap;
pub(crate) use rules::{PathRule, RequestRules, RuleSet};

use crate::address::AllowedIps;
use crate::caller::Caller;
use crate::pattern::{Glob, HostPattern};

/// Everything a connection decision reads.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// By key, in byte order: an index into this is the order of POL-6.
    pub(crate) policies: Box<[CompiledPolicy]>,
    pub(crate) exact: PolicyMap<Authority, Vec<CompiledEndpoint>>,
    pub(crate) by_port: PolicyMap<Port, PortTable>,
}

/// What is left of a network policy: its name and who may use it.
#[derive(Debug)]
pub(crate) struct CompiledPolicy {
    pub(crate) key: Arc<str>,
    pub(crate) binaries: Binaries,
}

/// Endpoints of one port that are not found by their host.
#[derive(Debug, Default)]
pub(crate) struct PortTable {
    pub(crate) wildcard: Vec<(HostPattern, CompiledEndpoint)>,
    pub(crate) hostless: Vec<CompiledEndpoint>,
}

/// What is left of an endpoint.
#[derive(Debug)]
pub(crate) struct CompiledEndpoint {
    /// Index into `Table::policies`.
    pub(crate) policy: usize,
    pub(crate) rank: HostRank,
    pub(crate) allowed_ips: Option<Arc<AllowedIps>>,
    pub(crate) inspection: InspectionMode,
}

/// How an endpoint names its host (POL-6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum HostRank {
    Exact,
    Wildcard,
    AnyHost,
}

/// The order of POL-6 for requests: the least comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Order {
    rank: HostRank,
    /// Length of the literal beginning of the endpoint's `path`.
    prefix: Reverse<usize>,
    /// Index into `Table::policies`, which is the order of keys.
    pub(crate) policy: usize,
}

/// Whether, and how, requests of a connection are read.
#[derive(Debug)]
pub(crate) enum InspectionMode {
    /// No `protocol`.
    Raw,
    /// `protocol: rest`.
    Rest(Box<RequestRules>),
}

impl CompiledEndpoint {
    pub(crate) fn order(&self) -> Order {
        Order {
            rank: self.rank,
            prefix: Reverse(match &self.inspection {
                InspectionMode::Raw => 0,
                InspectionMode::Rest(rules) => rules.path.literal_prefix().len(),
            }),
            policy: self.policy,
        }
    }

    /// Whether it speaks of this path: without `protocol`, of all.
    pub(crate) fn covers(&self, path: &[u8]) -> bool {
        match &self.inspection {
            InspectionMode::Raw => true,
            InspectionMode::Rest(rules) => rules.covers(path),
        }
    }
}

impl Table {
    /// Every endpoint that matches host and port, first match first.
    pub(crate) fn candidates<'t>(
        &'t self,
        target: &'t Authority,
    ) -> impl Iterator<Item = &'t CompiledEndpoint> {
        let exact = self.exact.get(target).into_iter().flatten();
        let port = self.by_port.get(&target.port);
        let wildcard = port.into_iter().flat_map(|port| &port.wildcard);
        let wildcard = wildcard
            .filter(|(pattern, _)| pattern.matches(&target.host))
            .map(|(_, endpoint)| endpoint);
        let hostless = port.into_iter().flat_map(|port| &port.hostless);
        exact.chain(wildcard).chain(hostless)
    }

    /// Those among them that the caller may use.
    pub(crate) fn matching<'t>(
        &'t self,
        caller: &'t Caller,
        target: &'t Authority,
    ) -> impl Iterator<Item = &'t CompiledEndpoint> {
        // Endpoints of one policy often follow each other; its binaries are matched once.
        let mut last: Option<(usize, bool)> = None;
        self.candidates(target).filter(move |endpoint| {
            let held = match last {
                Some((policy, held)) if policy == endpoint.policy => held,
                Some(_) | None => self
                    .policies
                    .get(endpoint.policy)
                    .is_some_and(|policy| policy.binaries.hold(caller)),
            };
            last = Some((endpoint.policy, held));
            held
        })
    }
}

/// Executables a policy speaks of (POL-4).
#[derive(Debug, Default)]
pub(crate) struct Binaries {
    /// Sorted by length and then by bytes: most comparisons end at the length.
    exact: Box<[Box<[u8]>]>,
    globs: Box<[Glob]>,
}

impl Binaries {
    pub(crate) fn new(mut exact: Vec<Box<[u8]>>, globs: Vec<Glob>) -> Binaries {
        exact.sort_by(|one, other| by_length(one, other));
        exact.dedup();
        Binaries {
            exact: exact.into(),
            globs: globs.into(),
        }
    }

    /// True when the caller's executable or an ancestor's is listed.
    pub(crate) fn hold(&self, caller: &Caller) -> bool {
        caller.paths().any(|path| self.holds(path))
    }

    fn holds(&self, path: &[u8]) -> bool {
        self.exact
            .binary_search_by(|listed| by_length(listed, path))
            .is_ok()
            || self.globs.iter().any(|glob| glob.matches(path))
    }
}

fn by_length(one: &[u8], other: &[u8]) -> Ordering {
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}
