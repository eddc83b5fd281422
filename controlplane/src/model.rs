//! What there is, as of one generation, and the steps by which it changes.
//!
//! Apart from `store`, which keeps rows, and from the domain's files, which decide. Sandboxes and policies are the messages
//! that are stored and sent; a provider is a type of its own, because its credentials are sealed here and nowhere plain.
//!
//! Invariant: a `State` is what its rows say: `State::of(rows)` and applying the changes one after the other agree.

mod rows;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proto::inference::Deadlines;
use proto::v1;

pub use rows::UnreadableRow;

/// Everything, as of one generation. Cloning it shares every object.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The number of the change that made it.
    pub generation: u64,
    /// By name.
    pub providers: BTreeMap<String, Arc<Provider>>,
    /// Names of providers that were deleted by force while something referred to them (PRV-8).
    pub tombstones: BTreeSet<String>,
    /// The cluster's route.
    pub route: Option<Arc<Route>>,
    /// The version the route got last; it goes on after an unset (RPC-10).
    pub route_version: u64,
    /// By name.
    pub sandboxes: BTreeMap<String, Arc<v1::Sandbox>>,
    /// By sandbox id; oldest first, never empty.
    pub revisions: BTreeMap<String, Arc<Vec<Arc<Revision>>>>,
}

/// A provider. Debug shows no credential: the values are sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Made by the gateway.
    pub id: String,
    /// Chosen by the operator, unique.
    pub name: String,
    /// A type of PRV-1, canonical.
    pub kind: String,
    /// Sealed values by key.
    pub credentials: BTreeMap<String, Sealed>,
    /// Settings by key.
    pub config: BTreeMap<String, String>,
    /// PRV-11.
    pub allow_private_endpoint: bool,
    /// Milliseconds since 1970.
    pub created_at_ms: i64,
}

/// A credential as `secrets` sealed it: text that can lie in a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed(pub String);

/// The cluster's route: names, resolved when a snapshot is built (RTE-5).
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Provider, by name.
    pub provider_name: String,
    /// The model every request is pinned to.
    pub model_id: String,
    /// As they were given.
    pub deadlines: Deadlines,
    /// From 1, by one a set.
    pub version: u64,
}

/// One version of a sandbox's policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// Whose.
    pub sandbox_id: String,
    /// From 1.
    pub version: u32,
    /// The policy, completed (BAS-3).
    pub policy: Arc<v1::SandboxPolicy>,
    /// LIV-5.
    pub hash: String,
    /// Where it stands.
    pub status: v1::PolicyStatus,
    /// Why it failed.
    pub load_error: String,
    /// Milliseconds since 1970.
    pub created_at_ms: i64,
    /// Milliseconds since 1970; 0 until it was loaded.
    pub loaded_at_ms: i64,
}

/// One step of a change.
#[derive(Clone, Debug)]
pub enum Change {
    /// A provider is new or another one.
    PutProvider(Arc<Provider>),
    /// A provider goes.
    RemoveProvider(Arc<Provider>),
    /// A provider of that name was deleted by force.
    PutTombstone(String),
    /// Nothing refers to that name any more, or it exists again.
    LiftTombstone(String),
    /// The route is set; its version is the newest.
    PutRoute(Arc<Route>),
    /// The route goes.
    RemoveRoute,
    /// A sandbox is new or another one.
    PutSandbox(Arc<v1::Sandbox>),
    /// A sandbox goes, its policies with it.
    RemoveSandbox(Arc<v1::Sandbox>),
    /// A revision is new or has another status.
    PutRevision(Arc<Revision>),
    /// A revision is too old to be kept.
    RemoveRevision {
        /// Whose.
        sandbox_id: String,
        /// Which.
        version: u32,
    },
    /// The generation is at least this one, and all else stays: a host has one that this store lost (DPL-3).
    AdvanceTo(u64),
}

impl State {
    /// The sandbox of an id.
    pub fn sandbox_by_id(&self, id: &str) -> Option<&Arc<v1::Sandbox>> {
        self.sandboxes.values().find(|sandbox| sandbox.id == id)
    }

    /// The revisions of a sandbox, oldest first.
    pub fn revisions_of(&self, sandbox_id: &str) -> &[Arc<Revision>] {
        self.revisions
            .get(sandbox_id)
            .map_or(&[], |revisions| revisions.as_slice())
    }

    /// The state after `changes`, numbered `generation`.
    pub fn after(&self, changes: &[Change], generation: u64) -> State {
        let mut next = self.clone();
        next.generation = generation;
        for change in changes {
            next.apply(change);
        }
        next
    }

    /// Takes one step; the number stays.
    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::PutProvider(provider) => {
                self.providers
                    .insert(provider.name.clone(), Arc::clone(provider));
            }
            Change::RemoveProvider(provider) => {
                self.providers.remove(&provider.name);
            }
            Change::PutTombstone(name) => {
                self.tombstones.insert(name.clone());
            }
            Change::LiftTombstone(name) => {
                self.tombstones.remove(name);
            }
            Change::PutRoute(route) => {
                self.route_version = route.version;
                self.route = Some(Arc::clone(route));
            }
            Change::RemoveRoute => self.route = None,
            Change::PutSandbox(sandbox) => {
                self.sandboxes
                    .insert(sandbox.name.clone(), Arc::clone(sandbox));
            }
            Change::RemoveSandbox(sandbox) => {
                self.sandboxes.remove(&sandbox.name);
                self.revisions.remove(&sandbox.id);
            }
            Change::PutRevision(revision) => self.put_revision(Arc::clone(revision)),
            Change::RemoveRevision {
                sandbox_id,
                version,
            } => {
                if let Some(revisions) = self.revisions.get_mut(sandbox_id) {
                    Arc::make_mut(revisions).retain(|revision| revision.version != *version);
                }
            }
            // The store counts; `after` is told what came of it.
            Change::AdvanceTo(_) => {}
        }
    }

    fn put_revision(&mut self, revision: Arc<Revision>) {
        let revisions = self
            .revisions
            .entry(revision.sandbox_id.clone())
            .or_default();
        let revisions = Arc::make_mut(revisions);
        match revisions.binary_search_by_key(&revision.version, |revision| revision.version) {
            Ok(at) => revisions[at] = revision,
            Err(at) => revisions.insert(at, revision),
        }
    }
}
