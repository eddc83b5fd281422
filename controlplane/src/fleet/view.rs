//! What every host is to be served, of one state.
//!
//! Apart from `push` because it is made once a state and shared by all streams. What did not change since the last view is
//! the same allocation, so pointers are compared: a thousand hosts that a change does not concern cost a thousand comparisons,
//! and none of their tasks runs. Invariant: a sandbox is in the share of the host it is bound to and in no other.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::inference::ResolvedRoute;
use proto::v1::{self, SandboxSnapshot};

use crate::api::auth::host_of;
use crate::model::State;
use crate::policy;

/// The shares of all hosts.
#[derive(Default)]
pub struct View {
    /// Of the state.
    pub generation: u64,
    /// For every host that has a sandbox.
    pub routes: Arc<Vec<ResolvedRoute>>,
    hosts: BTreeMap<String, Arc<Share>>,
}

/// The sandboxes of one host, by id.
pub type Share = BTreeMap<String, Arc<SandboxSnapshot>>;

impl View {
    /// The view of a state. What equals the last one's is taken from there.
    pub fn of(state: &State, routes: Vec<ResolvedRoute>, last: &View) -> View {
        let mut shares: BTreeMap<&str, Share> = BTreeMap::new();
        for sandbox in state.sandboxes.values() {
            let host_id = host_of(sandbox);
            if host_id.is_empty() {
                continue;
            }
            let before = last.hosts.get(host_id);
            let before = before.and_then(|share| share.get(&sandbox.id));
            let snapshot = snapshot(state, sandbox, before);
            let share = shares.entry(host_id).or_default();
            share.insert(sandbox.id.clone(), snapshot);
        }
        let routes = if routes == *last.routes {
            Arc::clone(&last.routes)
        } else {
            Arc::new(routes)
        };
        let hosts = shares.into_iter().map(|(host_id, share)| {
            let before = last
                .hosts
                .get(host_id)
                .filter(|before| same(before, &share));
            let share = before.map_or_else(|| Arc::new(share), Arc::clone);
            (host_id.to_owned(), share)
        });
        View {
            generation: state.generation,
            routes,
            hosts: hosts.collect(),
        }
    }

    /// What a host is served; nothing when no sandbox is bound to it.
    pub fn share(&self, host_id: &str) -> Option<&Arc<Share>> {
        self.hosts.get(host_id)
    }

    /// Whether a sandbox is bound to a host.
    pub fn serves(&self, host_id: &str) -> bool {
        self.hosts.contains_key(host_id)
    }

    /// Whether a host is to have something else than in an earlier view.
    pub fn differs_for(&self, host_id: &str, last: &View) -> bool {
        match (self.share(host_id), last.share(host_id)) {
            (None, None) => false,
            (Some(now), Some(before)) => {
                !Arc::ptr_eq(now, before) || !Arc::ptr_eq(&self.routes, &last.routes)
            }
            (Some(_), None) | (None, Some(_)) => true,
        }
    }

    /// How many hosts have sandboxes.
    pub fn hosts_len(&self) -> usize {
        self.hosts.len()
    }
}

fn same(before: &Share, share: &Share) -> bool {
    before.len() == share.len()
        && before
            .values()
            .zip(share.values())
            .all(|(before, now)| Arc::ptr_eq(before, now))
}

/// What a sandbox is served (LIV-8); without a version that did not fail, no policy.
fn snapshot(
    state: &State,
    sandbox: &v1::Sandbox,
    before: Option<&Arc<SandboxSnapshot>>,
) -> Arc<SandboxSnapshot> {
    let served = policy::served(state, &sandbox.id);
    let (version, hash) = served.map_or((0, ""), |revision| {
        (revision.version, revision.hash.as_str())
    });
    let unchanged = before.filter(|before| {
        before.policy_version == version
            && before.policy_hash == hash
            && before.name == sandbox.name
    });
    if let Some(before) = unchanged {
        return Arc::clone(before);
    }
    Arc::new(SandboxSnapshot {
        sandbox_id: sandbox.id.clone(),
        name: sandbox.name.clone(),
        policy: served.map(|revision| (*revision.policy).clone()),
        policy_version: version,
        policy_hash: hash.to_owned(),
        error_code: String::new(),
    })
}
