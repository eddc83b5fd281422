//! What one host has been sent, and what it is to be sent next. Pure.
//!
//! Apart from `push` because it neither waits nor knows a channel. Invariant: applying the messages one after the other
//! gives what the host's share of the newest view says.

use std::sync::Arc;

use prost::Message;
use proto::inference::ResolvedRoute;
use proto::v1::{SandboxSnapshot, Snapshot};

use crate::fleet::view::{Share, View};

/// One host's side of the views.
pub(super) struct Feed {
    host_id: String,
    /// What it claimed and does not get; told once, with the complete message.
    refused: Vec<SandboxSnapshot>,
    bytes_max: usize,
    /// None until the complete message.
    sent: Option<Sent>,
}

struct Sent {
    generation: u64,
    routes: Arc<Vec<ResolvedRoute>>,
    share: Arc<Share>,
}

impl Feed {
    /// A host that has been sent nothing.
    pub(super) fn new(host_id: &str, refused: Vec<SandboxSnapshot>, bytes_max: usize) -> Feed {
        Feed {
            host_id: host_id.to_owned(),
            refused,
            bytes_max,
            sent: None,
        }
    }

    /// The generation of the last message; 0 before the first.
    pub(super) fn sent(&self) -> u64 {
        self.sent.as_ref().map_or(0, |sent| sent.generation)
    }

    /// What brings the host to this view, in parts; nothing when it is there.
    pub(super) fn changes(&mut self, view: &View, now_ms: i64) -> Vec<Snapshot> {
        // Why: a host without sandboxes has no use for a key (RPC-2).
        let (share, routes) = match view.share(&self.host_id) {
            Some(share) => (Arc::clone(share), Arc::clone(&view.routes)),
            None => (Arc::default(), Arc::default()),
        };
        let next = Sent {
            generation: view.generation,
            routes,
            share,
        };
        let message = match &self.sent {
            None => next.complete(std::mem::take(&mut self.refused)),
            Some(sent) if view.generation <= sent.generation => return Vec::new(),
            Some(sent) => match next.since(sent) {
                Some(message) => message,
                None => return Vec::new(),
            },
        };
        self.sent = Some(next);
        let message = Snapshot {
            sent_at_ms: now_ms,
            ..message
        };
        split(message, self.bytes_max)
    }

    /// A sign of life. When generations passed that did not concern the host, it takes it over them: its number would
    /// otherwise look stale for ever.
    pub(super) fn beat(&mut self, view: &View, now_ms: i64) -> Snapshot {
        let base = self.sent();
        let generation = view.generation.max(base);
        if let Some(sent) = &mut self.sent {
            sent.generation = generation;
        }
        Snapshot {
            generation,
            base_generation: base,
            sent_at_ms: now_ms,
            ..Snapshot::default()
        }
    }
}

impl Sent {
    fn complete(&self, refused: Vec<SandboxSnapshot>) -> Snapshot {
        let served = self.share.values().map(|sandbox| (**sandbox).clone());
        Snapshot {
            generation: self.generation,
            routes: (*self.routes).clone(),
            routes_changed: true,
            sandboxes: refused.into_iter().chain(served).collect(),
            ..Snapshot::default()
        }
    }

    /// What changed since `last`; none when nothing did.
    fn since(&self, last: &Sent) -> Option<Snapshot> {
        let routes_changed = !Arc::ptr_eq(&self.routes, &last.routes) && self.routes != last.routes;
        let share_changed = !Arc::ptr_eq(&self.share, &last.share);
        if !routes_changed && !share_changed {
            return None;
        }
        let mut message = Snapshot {
            generation: self.generation,
            base_generation: last.generation,
            routes_changed,
            ..Snapshot::default()
        };
        if routes_changed {
            message.routes = (*self.routes).clone();
        }
        if share_changed {
            let kept = |id: &String, sandbox: &Arc<SandboxSnapshot>| {
                let before = last.share.get(id);
                before.is_some_and(|before| Arc::ptr_eq(before, sandbox))
            };
            let changed = self.share.iter().filter(|(id, sandbox)| !kept(id, sandbox));
            message.sandboxes = changed.map(|(_, sandbox)| (**sandbox).clone()).collect();
            let gone = last.share.keys().filter(|id| !self.share.contains_key(*id));
            message.removed_sandbox_ids = gone.cloned().collect();
        }
        let empty = !routes_changed
            && message.sandboxes.is_empty()
            && message.removed_sandbox_ids.is_empty();
        (!empty).then_some(message)
    }
}

/// Cuts a message between sandboxes where it becomes larger than `bytes_max`. Routes and removals are in the first part.
fn split(message: Snapshot, bytes_max: usize) -> Vec<Snapshot> {
    let (generation, base_generation, sent_at_ms) = (
        message.generation,
        message.base_generation,
        message.sent_at_ms,
    );
    let follower = || Snapshot {
        generation,
        base_generation,
        sent_at_ms,
        ..Snapshot::default()
    };
    let mut part = Snapshot {
        sandboxes: Vec::new(),
        ..message
    };
    let mut bytes = part.encoded_len();
    let mut parts = Vec::new();
    for sandbox in message.sandboxes {
        let more = sandbox.encoded_len();
        if bytes + more > bytes_max && !part.sandboxes.is_empty() {
            part.more = true;
            parts.push(std::mem::replace(&mut part, follower()));
            bytes = 0;
        }
        bytes += more;
        part.sandboxes.push(sandbox);
    }
    parts.push(part);
    parts
}

#[cfg(test)]
mod tests;
