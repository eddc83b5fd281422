//! The decision table: (host, port) → endpoints in the order of POL-6.
//!
//! Apart from `compile`, which fills it once, because it is read at every connection. Invariant:
//! candidates come exact host first, then wildcards, then hostless, and within each by policy key;
//! looking up allocates nothing.

mod hash;

use std::cmp::Ordering;
use std::sync::Arc;

use wire::{Authority, Port};

pub(crate) use hash::PolicyMap;

use crate::address::AllowedIps;
use crate::caller::Caller;
use crate::document::Tls;
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
#[derive(Clone, Debug)]
pub(crate) struct CompiledEndpoint {
    /// Index into `Table::policies`.
    pub(crate) policy: usize,
    pub(crate) allowed_ips: Option<Arc<AllowedIps>>,
    pub(crate) inspection: InspectionMode,
}

/// Whether, and how, requests of a connection are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InspectionMode {
    /// No `protocol`.
    Raw,
    /// `protocol: rest`, with what `tls` says.
    Rest(Tls),
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
