//! The connected hosts: what each is to be served, what each has confirmed (DPL, CLI-22).
//!
//! ```text
//!  engine: State ─► view: once a State, what every host is served ─► push: one task a stream, what changed for that host
//!                                                                      │
//!  shown, unconfirmed ◄─── hosts: streams, applied generation ◄── Report
//! ```
//!
//! Invariants: what a host says is a claim: it moves this file's numbers and nothing that is decided; a host that is gone
//! and has no sandboxes is forgotten, so there are no more entries than streams and bound hosts.

pub(crate) mod push;
mod shown;
#[cfg(test)]
mod tests;
pub mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::inference::ResolvedRoute;
use proto::v1::RouteReport;
use tokio::sync::{Notify, watch};

use crate::engine::{Engine, now_ms};
use crate::model::State;
use shown::{Bound, bound};
use view::{Share, View};

/// The hosts of a gateway.
pub struct Fleet {
    engine: Arc<Engine>,
    resolve: Resolve,
    views: watch::Sender<Arc<View>>,
    hosts: Mutex<BTreeMap<String, Host>>,
    /// Since when hosts can come.
    started_ms: i64,
    /// Told whenever a host's progress changed.
    progress: watch::Sender<()>,
}

/// Makes the routes of a state, keys included.
pub type Resolve = Box<dyn Fn(&State) -> Vec<ResolvedRoute> + Send + Sync>;

/// What is known of one host.
#[derive(Default)]
struct Host {
    /// By number; empty for a host whose stream was lost.
    streams: BTreeMap<u64, Stream>,
    next_stream: u64,
    applied: u64,
    last_seen_ms: i64,
    /// The newest last; one a name, and no more than `ROUTES_MAX`.
    routes: Vec<RouteReport>,
}

/// One stream of a host.
#[derive(Default)]
struct Stream {
    progress: Progress,
    /// Told when a view has something for this host.
    wake: Arc<Notify>,
}

/// How far a stream is.
#[derive(Clone, Copy, Default)]
struct Progress {
    /// The newest generation that was compared with what the host has.
    compared: u64,
    /// The generation of the last message.
    sent: u64,
}

impl Fleet {
    /// A fleet without hosts.
    pub fn new(engine: Arc<Engine>, resolve: Resolve) -> Arc<Fleet> {
        let state = engine.state();
        let view = View::of(&state, resolve(&state), &View::default());
        Arc::new(Fleet {
            engine,
            resolve,
            views: watch::channel(Arc::new(view)).0,
            hosts: Mutex::default(),
            started_ms: now_ms(),
            progress: watch::channel(()).0,
        })
    }

    /// Makes a view of every new state, for ever. Routes are resolved here, once for all streams.
    pub async fn follow(&self) {
        let mut states = self.engine.watch();
        loop {
            let state = Arc::clone(&states.borrow_and_update());
            if state.generation > self.views.borrow().generation {
                let last = Arc::clone(&self.views.borrow());
                let view = Arc::new(View::of(&state, (self.resolve)(&state), &last));
                self.views.send_replace(Arc::clone(&view));
                self.wake(&view, &last);
            }
            if states.changed().await.is_err() {
                return;
            }
        }
    }

    /// Wakes the streams for whose hosts there is something new; the others are as far as this view without having run.
    fn wake(&self, view: &View, last: &View) {
        self.hosts()
            .retain(|host_id, host| !host.streams.is_empty() || view.serves(host_id));
        for (host_id, host) in self.hosts().iter_mut() {
            let concerned = view.differs_for(host_id, last);
            for Stream { progress, wake } in host.streams.values_mut() {
                if concerned || progress.compared < last.generation {
                    wake.notify_one();
                } else {
                    progress.compared = progress.compared.max(view.generation);
                }
            }
        }
        self.progress.send_replace(());
    }

    /// What a host is served now.
    pub(crate) fn share(&self, host_id: &str) -> Option<Arc<Share>> {
        self.views.borrow().share(host_id).cloned()
    }

    /// Notes what a host says it has applied. An older number than one it gave before is late and ignored; one that was
    /// never given out is cut (TR-105, TR-110).
    pub fn applied(&self, host_id: &str, generation: u64) {
        let newest = self.engine.state().generation;
        {
            let mut hosts = self.hosts();
            let Some(host) = hosts.get_mut(host_id) else {
                return;
            };
            host.applied = host.applied.max(generation.min(newest));
            host.last_seen_ms = now_ms();
        }
        self.progress.send_replace(());
    }

    /// Waits at most `patience` for the connected hosts to confirm `generation`, and names those that did not; one that
    /// lost its stream is named while it may still serve from its last snapshot, and so is one whose sandboxes have not ended
    /// and that never was connected here (PRV-8).
    pub async fn unconfirmed(&self, generation: u64, patience: Duration) -> Vec<String> {
        let mut progress = self.progress.subscribe();
        let confirmed = async {
            while !self.open(generation, Lost::Left).is_empty() {
                if progress.changed().await.is_err() {
                    return;
                }
            }
        };
        // Who is late is named below.
        _ = tokio::time::timeout(patience, confirmed).await;
        self.open(generation, Lost::Named)
    }

    fn open(&self, generation: u64, lost: Lost) -> Vec<String> {
        let now = now_ms();
        let state = self.engine.state();
        let bound = bound(&state);
        let ended = |host_id: &str| bound.get(host_id).is_some_and(Bound::has_ended);
        let serves_on = |host: &Host| {
            now.saturating_sub(host.last_seen_ms) < MAX_STALE_MS && host.applied < generation
        };
        let hosts = self.hosts();
        let open = hosts.iter().filter(|(host_id, host)| match lost {
            _ if !host.streams.is_empty() => !host.confirmed(generation),
            Lost::Named => serves_on(host) && !ended(host_id),
            Lost::Left => false,
        });
        let mut open: BTreeSet<String> = open.map(|(host_id, _)| host_id.clone()).collect();
        if matches!(lost, Lost::Named) {
            // Why: they had a snapshot of another gateway, or of this one before it started again.
            let elsewhere = bound
                .iter()
                .filter(|(host_id, bound)| !bound.has_ended() && !hosts.contains_key(**host_id));
            open.extend(elsewhere.map(|(host_id, _)| (*host_id).to_owned()));
        }
        open.into_iter().collect()
    }

    fn connect(&self, host_id: &str, applied: u64) -> (u64, Arc<Notify>) {
        let newest = self.engine.state().generation;
        let mut hosts = self.hosts();
        let host = hosts.entry(host_id.to_owned()).or_default();
        // Why: not the greater of both. A data plane that started again has applied nothing.
        host.applied = applied.min(newest);
        host.last_seen_ms = now_ms();
        host.routes.clear();
        let number = host.next_stream;
        host.next_stream += 1;
        let stream = Stream::default();
        let wake = Arc::clone(&stream.wake);
        host.streams.insert(number, stream);
        (number, wake)
    }

    fn disconnect(&self, host_id: &str, stream: u64) {
        let bound = self.views.borrow().serves(host_id);
        {
            let mut hosts = self.hosts();
            if let Some(host) = hosts.get_mut(host_id) {
                host.streams.remove(&stream);
                // Why: a stream is a sign of life until it ends.
                host.last_seen_ms = now_ms();
                if host.streams.is_empty() && !bound {
                    hosts.remove(host_id);
                }
            }
            if hosts.len() > self.views.borrow().hosts_len() {
                let view = self.views.borrow();
                hosts.retain(|host_id, host| !host.streams.is_empty() || view.serves(host_id));
            }
        }
        self.progress.send_replace(());
    }

    fn progressed(&self, host_id: &str, stream: u64, progress: Progress) {
        {
            let mut hosts = self.hosts();
            let stream = hosts
                .get_mut(host_id)
                .and_then(|host| host.streams.get_mut(&stream));
            let Some(stream) = stream else { return };
            // Why: a view that came meanwhile may have been found to be none of this host's business.
            let compared = stream.progress.compared.max(progress.compared);
            stream.progress = Progress {
                compared,
                ..progress
            };
        }
        self.progress.send_replace(());
    }

    fn hosts(&self) -> MutexGuard<'_, BTreeMap<String, Host>> {
        // Why: numbers that a panicking task left are still numbers.
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host {
    /// Whether nothing older than `generation` is in force here: it applied that or a later one, or what it was sent last
    /// is in force and nothing of `generation` concerned it.
    fn confirmed(&self, generation: u64) -> bool {
        let on = |Stream { progress, .. }: &Stream| {
            progress.compared >= generation && self.applied >= progress.sent
        };
        self.applied >= generation || self.streams.values().all(on)
    }
}

/// What becomes of hosts without a stream in a list.
#[derive(Clone, Copy)]
enum Lost {
    Named,
    Left,
}

/// What a data plane serves at most without a gateway, by default (DPL-9).
const MAX_STALE_MS: i64 = 60 * 60 * 1_000;
