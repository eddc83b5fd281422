//! Messages of a stream → whole changes (DPL-2, DPL-3).
//!
//! Apart from `subscribe`, which reads the stream, because it is a state machine without a clock or a socket. Invariants:
//! a change is given out whole, never a part of it; it follows what was applied, or replaces it; generations only grow.

use proto::inference::ResolvedRoute;
use proto::v1::{SandboxSnapshot, Snapshot};

/// What has come of a generation, and which one is in force.
#[derive(Debug, Default)]
pub(crate) struct Merge {
    applied: Option<u64>,
    parts: Option<Parts>,
}

/// The parts of one generation so far.
#[derive(Debug)]
struct Parts {
    base: u64,
    count: usize,
    change: Change,
}

/// One generation, or what it changes.
#[derive(Debug, PartialEq)]
pub(crate) struct Change {
    /// Its number.
    pub(crate) generation: u64,
    /// Whether what it does not mention is gone or stays.
    pub(crate) scope: Scope,
    /// The routes; absent when they stay.
    pub(crate) routes: Option<Vec<ResolvedRoute>>,
    /// Sandboxes that came or changed.
    pub(crate) sandboxes: Vec<SandboxSnapshot>,
    /// Sandboxes that are gone.
    pub(crate) removed: Vec<String>,
}

/// What a change is to what was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// It replaces it.
    Complete,
    /// It follows it.
    Delta,
}

/// What a message leads to.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    /// A generation is whole.
    Apply(Change),
    /// There is nothing to do: a heartbeat, or a part that others follow.
    Wait,
    /// The stream cannot be followed: a new one begins with a complete message.
    Resubscribe(&'static str),
}

impl Merge {
    /// The generation in force, if any.
    pub(crate) fn applied(&self) -> Option<u64> {
        self.applied
    }

    /// A new stream begins: parts of the old one are nothing.
    pub(crate) fn begin(&mut self) {
        self.parts = None;
    }

    /// Takes the next message of the stream. A change that is given out counts as applied.
    pub(crate) fn take(&mut self, message: Snapshot) -> Next {
        let next = self.followed(message);
        match &next {
            Next::Apply(change) => self.applied = Some(change.generation),
            Next::Resubscribe(_) => self.parts = None,
            Next::Wait => {}
        }
        next
    }

    fn followed(&mut self, message: Snapshot) -> Next {
        if self.is_heartbeat(&message) {
            return Next::Wait;
        }
        let base = message.base_generation;
        let mut parts = match self.parts.take() {
            Some(parts) => {
                if (parts.change.generation, parts.base) != (message.generation, base) {
                    return Next::Resubscribe("a part of another generation");
                }
                parts
            }
            None => match self.first_part(&message) {
                Ok(parts) => parts,
                Err(why) => return Next::Resubscribe(why),
            },
        };
        if parts.count >= PARTS_MAX {
            return Next::Resubscribe("a generation in too many parts");
        }
        parts.count += 1;
        let more = message.more;
        parts.change.add(message);
        if more {
            self.parts = Some(parts);
            return Next::Wait;
        }
        Next::Apply(parts.change)
    }

    /// A message that says that the generation in force still is the newest.
    fn is_heartbeat(&self, message: &Snapshot) -> bool {
        self.applied == Some(message.generation)
            && message.generation == message.base_generation
            && message.routes.is_empty()
            && !message.routes_changed
            && message.sandboxes.is_empty()
            && message.removed_sandbox_ids.is_empty()
            && !message.more
    }

    fn first_part(&self, message: &Snapshot) -> Result<Parts, &'static str> {
        let (generation, base) = (message.generation, message.base_generation);
        let scope = match (base, self.applied) {
            (0, Some(applied)) if generation < applied => {
                return Err("a complete message that is older than what is in force");
            }
            (0, _) => Scope::Complete,
            (base, Some(applied)) if base == applied && generation > base => Scope::Delta,
            (_, _) => return Err("a change of a generation that is not in force"),
        };
        Ok(Parts {
            base,
            count: 0,
            change: Change {
                generation,
                scope,
                routes: (scope == Scope::Complete).then(Vec::new),
                sandboxes: Vec::new(),
                removed: Vec::new(),
            },
        })
    }
}

impl Change {
    fn add(&mut self, part: Snapshot) {
        if part.routes_changed || !part.routes.is_empty() {
            self.routes.get_or_insert_default().extend(part.routes);
        }
        self.sandboxes.extend(part.sandboxes);
        self.removed.extend(part.removed_sandbox_ids);
    }
}

/// Parts of one generation. A part is at most a message of 4 MiB, and the sandboxes of a host are a few thousand.
const PARTS_MAX: usize = 1_024;

#[cfg(test)]
mod tests;
