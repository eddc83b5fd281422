//! What people are shown of hosts: who is there, and whether what a sandbox said last still says anything (CLI-18, CLI-22).
//!
//! Apart from `fleet`, which pushes: nothing is decided by what is here. Invariants: a phase is worked out when it is read
//! and never stored, because silence is no report; what a host says of its routes is cut to size (TR-110).

use std::collections::BTreeMap;
use std::time::Duration;

use proto::v1::{DataPlaneStatus, RouteReport, Sandbox, SandboxPhase};

use super::{Fleet, Host};
use crate::api::auth::host_of;
use crate::clamp::clamp;
use crate::engine::now_ms;
use crate::model::State;

/// The sandboxes of one host.
#[derive(Default)]
pub(super) struct Bound {
    all: u32,
    /// Those that did not say that they ended.
    running: u32,
}

impl Bound {
    pub(super) fn has_ended(&self) -> bool {
        self.running == 0
    }
}

/// Every host that a sandbox is bound to.
pub(super) fn bound(state: &State) -> BTreeMap<&str, Bound> {
    let mut hosts: BTreeMap<&str, Bound> = BTreeMap::new();
    for sandbox in state.sandboxes.values() {
        let host_id = host_of(sandbox);
        if !host_id.is_empty() {
            let bound = hosts.entry(host_id).or_default();
            bound.all += 1;
            bound.running += u32::from(runs(sandbox));
        }
    }
    hosts
}

/// As far as its host said.
fn runs(sandbox: &Sandbox) -> bool {
    match sandbox.phase() {
        SandboxPhase::Provisioning | SandboxPhase::Ready => true,
        SandboxPhase::Unspecified
        | SandboxPhase::Error
        | SandboxPhase::Deleting
        | SandboxPhase::Unknown => false,
    }
}

impl Fleet {
    /// Every host that is connected or has sandboxes that did not end, as far as this gateway knows.
    pub fn hosts_shown(&self) -> Vec<DataPlaneStatus> {
        let state = self.engine.state();
        let bound = bound(&state);
        let routes = std::sync::Arc::clone(&self.views.borrow().routes);
        let is_served = |report: &&RouteReport| routes.iter().any(|it| it.name == report.name);
        let hosts = self.hosts();
        let mut all: BTreeMap<&str, DataPlaneStatus> = BTreeMap::new();
        for host_id in bound
            .keys()
            .copied()
            .chain(hosts.keys().map(String::as_str))
        {
            let host = hosts.get(host_id);
            let connected = host.is_some_and(|host| !host.streams.is_empty());
            let sandboxes = bound.get(host_id);
            if !connected && sandboxes.is_none_or(Bound::has_ended) {
                continue;
            }
            let reports = host.map_or(&[][..], |host| &host.routes).iter();
            all.entry(host_id).or_insert_with(|| DataPlaneStatus {
                host_id: host_id.to_owned(),
                connected,
                applied_generation: host.map_or(0, |host| host.applied),
                last_seen_ms: host.map_or(0, |host| host.last_seen_ms),
                sandboxes: sandboxes.map_or(0, |bound| bound.all),
                routes: reports.filter(is_served).cloned().collect(),
            });
        }
        all.into_values().collect()
    }

    /// A sandbox as it is shown: how one fares whose host is silent is not known.
    pub fn shown(&self, mut sandbox: Sandbox, silent: Duration) -> Sandbox {
        let host_id = host_of(&sandbox);
        if !host_id.is_empty() && runs(&sandbox) && self.is_silent(host_id, silent) {
            sandbox.phase = SandboxPhase::Unknown.into();
        }
        sandbox
    }

    /// Whether a host has no stream and was not heard for that long. To one that this gateway never saw, its own start is
    /// the beginning of the silence.
    fn is_silent(&self, host_id: &str, silent: Duration) -> bool {
        let hosts = self.hosts();
        let since_ms = match hosts.get(host_id) {
            Some(host) if !host.streams.is_empty() => return false,
            Some(host) => host.last_seen_ms,
            None => self.started_ms,
        };
        let silent_ms = i64::try_from(silent.as_millis()).unwrap_or(i64::MAX);
        now_ms().saturating_sub(since_ms) > silent_ms
    }

    /// Notes what a host says of its routes.
    pub(crate) fn routes_told(&self, host_id: &str, reports: Vec<RouteReport>) {
        if let Some(host) = self.hosts().get_mut(host_id) {
            reports.into_iter().for_each(|report| host.told(report));
        }
    }
}

impl Host {
    pub(super) fn told(&mut self, report: RouteReport) {
        let report = RouteReport {
            name: clamp(&report.name, NAME_BYTES_MAX).to_owned(),
            error_code: clamp(&report.error_code, CODE_BYTES_MAX).to_owned(),
            ..report
        };
        self.routes.retain(|known| known.name != report.name);
        self.routes.push(report);
        let excess = self.routes.len().saturating_sub(ROUTES_MAX);
        self.routes.drain(..excess);
    }
}

const ROUTES_MAX: usize = 16;
const NAME_BYTES_MAX: usize = 253;
const CODE_BYTES_MAX: usize = 64;
