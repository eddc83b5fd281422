//! What a host says of itself to its gateway (DPL-8).
//!
//! Apart from `subscribe`, which sends it. Every object has one newest state; a state is owed until a report that held it
//! arrived, and everything is owed again to a gateway that was just found. Invariants: a message stays within what a
//! gateway takes, however many objects there are; a state that changed while its report was under way is owed still.

mod line;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use proto::v1::{PolicyReport, ReportRequest, RouteReport, SandboxLogLine, SandboxReport};

pub(crate) use line::Line;

/// The newest state of every object, and which of them the gateway has not heard.
#[derive(Default)]
pub(crate) struct Reports {
    generation: Owed<u64>,
    policies: BTreeMap<String, Owed<PolicyReport>>,
    sandboxes: BTreeMap<String, Owed<SandboxReport>>,
    routes: BTreeMap<String, Owed<RouteReport>>,
}

/// A state and whether it was heard.
#[derive(Debug, Default)]
struct Owed<T> {
    state: T,
    heard: Heard,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Heard {
    #[default]
    Nothing,
    Newest,
}

impl<T: Clone + PartialEq> Owed<T> {
    fn set(&mut self, state: T) {
        if self.state != state {
            *self = Owed {
                state,
                heard: Heard::Nothing,
            };
        }
    }

    fn due(&self) -> Option<&T> {
        (self.heard == Heard::Nothing).then_some(&self.state)
    }

    fn hear(&mut self, sent: &T) {
        if self.state == *sent {
            self.heard = Heard::Newest;
        }
    }
}

impl Reports {
    /// A generation is in force.
    pub(crate) fn applied(&mut self, generation: u64) {
        self.generation.set(generation);
    }

    /// A policy came into force, or did not.
    pub(crate) fn policy(&mut self, mut report: PolicyReport) {
        truncate(&mut report.load_error);
        put(&mut self.policies, report.sandbox_id.clone(), report);
    }

    /// How a sandbox fares.
    pub(crate) fn sandbox(&mut self, mut report: SandboxReport) {
        truncate(&mut report.message);
        report.skipped_paths.truncate(SKIPPED_PATHS_MAX);
        put(&mut self.sandboxes, report.sandbox_id.clone(), report);
    }

    /// All routes there are.
    pub(crate) fn routes(&mut self, reports: Vec<RouteReport>) {
        self.routes
            .retain(|name, _| reports.iter().any(|report| report.name == *name));
        for report in reports {
            put(&mut self.routes, report.name.clone(), report);
        }
    }

    /// A sandbox is gone.
    pub(crate) fn forget(&mut self, sandbox_id: &str) {
        self.policies.remove(sandbox_id);
        self.sandboxes.remove(sandbox_id);
    }

    /// Another gateway, or the same one again: it may have heard nothing.
    pub(crate) fn owe_all(&mut self) {
        self.generation.heard = Heard::Nothing;
        unhear(&mut self.policies);
        unhear(&mut self.sandboxes);
        unhear(&mut self.routes);
    }

    /// The next message, if anything is owed. Before the first generation nothing is.
    pub(crate) fn due(&self, host_id: &str) -> Option<ReportRequest> {
        let message = ReportRequest {
            host_id: host_id.to_owned(),
            applied_generation: self.generation.state,
            policies: due(&self.policies),
            sandboxes: due(&self.sandboxes),
            routes: due(&self.routes),
            records: Vec::new(),
        };
        let nothing = self.generation.due().is_none()
            && message.policies.is_empty()
            && message.sandboxes.is_empty()
            && message.routes.is_empty();
        (!nothing && self.generation.state > 0).then_some(message)
    }

    /// A message arrived.
    pub(crate) fn heard(&mut self, message: &ReportRequest) {
        self.generation.hear(&message.applied_generation);
        for report in &message.policies {
            hear(&mut self.policies, &report.sandbox_id, report);
        }
        for report in &message.sandboxes {
            hear(&mut self.sandboxes, &report.sandbox_id, report);
        }
        for report in &message.routes {
            hear(&mut self.routes, &report.name, report);
        }
    }
}

fn put<T: Clone + PartialEq + Default>(all: &mut BTreeMap<String, Owed<T>>, key: String, state: T) {
    all.entry(key).or_default().set(state);
}

fn unhear<T>(all: &mut BTreeMap<String, Owed<T>>) {
    for owed in all.values_mut() {
        owed.heard = Heard::Nothing;
    }
}

fn due<T: Clone + PartialEq>(all: &BTreeMap<String, Owed<T>>) -> Vec<T> {
    let due = all.values().filter_map(Owed::due);
    due.take(OBJECTS_MAX).cloned().collect()
}

fn hear<T: Clone + PartialEq>(all: &mut BTreeMap<String, Owed<T>>, key: &str, sent: &T) {
    if let Some(owed) = all.get_mut(key) {
        owed.hear(sent);
    }
}

fn truncate(text: &mut String) {
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
}

/// Records on their way to the gateway: the newest of them, since a gateway keeps no more of a sandbox either. Clones are
/// the same shelf.
#[derive(Clone, Default)]
pub(crate) struct Shelf(Arc<Mutex<Option<VecDeque<Line>>>>);

impl Shelf {
    /// From now on somebody wants them.
    pub(crate) fn open(&self) {
        self.with(|lines| _ = lines.get_or_insert_default());
    }

    /// Whether anybody does.
    pub(crate) fn is_open(&self) -> bool {
        self.with(|lines| lines.is_some())
    }

    /// Keeps a record; the oldest makes room (best effort, LOG-1).
    pub(crate) fn put(&self, line: Line) {
        self.with(|lines| {
            if let Some(lines) = lines {
                if lines.len() >= RECORDS_KEPT_MAX {
                    lines.pop_front();
                }
                lines.push_back(line);
            }
        });
    }

    /// The next ones, as they are sent. `id` names a sandbox as the gateway knows it.
    pub(crate) fn take(&self, id: impl Fn(&str) -> Option<String>) -> Vec<SandboxLogLine> {
        let taken: Vec<Line> = self.with(|lines| {
            let lines = lines.as_mut();
            lines.map_or_else(Vec::new, |lines| {
                let count = lines.len().min(RECORDS_SENT_MAX);
                lines.drain(..count).collect()
            })
        });
        taken
            .into_iter()
            .filter_map(|line| {
                let id = id(line.sandbox())?;
                line.message(id)
            })
            .collect()
    }

    fn with<T>(&self, act: impl FnOnce(&mut Option<VecDeque<Line>>) -> T) -> T {
        // What lies there is whole whenever the lock is free.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Objects of a kind in one message. With texts of 1 KiB a message stays below the 1 MiB that a gateway takes.
const OBJECTS_MAX: usize = 250;
/// Text of one object.
const TEXT_BYTES_MAX: usize = 1_024;
/// Paths of one sandbox.
const SKIPPED_PATHS_MAX: usize = 64;
/// Records that wait; a gateway keeps as many of one sandbox (DPL-8).
const RECORDS_KEPT_MAX: usize = 2_000;
/// Records of one message; a line that is sent has 6 KiB at the most.
const RECORDS_SENT_MAX: usize = 80;

#[cfg(test)]
mod tests;
