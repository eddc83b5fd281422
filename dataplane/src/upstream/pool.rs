//! Idle upstream connections of one worker, by what they may be used for.
//!
//! A plain map, because one core owns it: no lock, no sharing. For inference the key is the route object itself, which
//! holds origin, TLS and credential, so a connection opened with one credential can never serve another
//! (TR-082), and a changed route starts with an empty pool. For inspected tunnels it is the sandbox, the authority
//! and whether there is TLS (decision 0012).

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use policy::{Route, SandboxId};
use wire::{Authority, Scheme};

use crate::clock;
use crate::stream::Stream;

/// The idle connections.
pub(crate) struct Pool<K> {
    bounds: Bounds,
    idle: RefCell<HashMap<K, Vec<Idle>>>,
}

/// How many a pool keeps, and how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) per_key_max: usize,
    pub(crate) max: usize,
    pub(crate) time: Duration,
}

struct Idle {
    stream: Stream,
    since: Instant,
}

impl<K: Hash + Eq + Clone> Pool<K> {
    pub(crate) fn new(bounds: Bounds) -> Pool<K> {
        Pool {
            bounds,
            idle: RefCell::default(),
        }
    }

    /// A connection of this key that is open and silent, the most recently used one first.
    pub(crate) fn take(&self, key: &K) -> Option<Stream> {
        let mut idle = self.idle.borrow_mut();
        let list = idle.get_mut(key)?;
        while let Some(mut entry) = list.pop() {
            if entry.stream.is_idle() {
                return Some(entry.stream);
            }
        }
        None
    }

    /// Keeps a connection whose answer was read to its end.
    pub(crate) fn give(&self, key: &K, stream: Stream) {
        if !stream.input().is_empty() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let total: usize = idle.values().map(Vec::len).sum();
        let list = idle.entry(key.clone()).or_default();
        if list.len() < self.bounds.per_key_max && total < self.bounds.max {
            stream.socket.alarm.rest();
            list.push(Idle {
                stream,
                since: clock::now(),
            });
        }
    }

    /// Drops what is idle under keys that are not wanted any more.
    pub(crate) fn keep(&self, is_wanted: impl Fn(&K) -> bool) {
        self.idle.borrow_mut().retain(|key, _| is_wanted(key));
    }

    /// Drops what was idle for too long; called now and then by the worker.
    pub(crate) fn sweep(&self) {
        let now = clock::now();
        let time = self.bounds.time;
        self.idle.borrow_mut().retain(|_, list| {
            list.retain(|entry| now.saturating_duration_since(entry.since) < time);
            !list.is_empty()
        });
    }
}

/// A route as a key: by identity. It keeps the route alive, so that its address is not used again.
#[derive(Clone)]
pub(crate) struct ByRoute(pub(crate) Arc<Route>);

impl PartialEq for ByRoute {
    fn eq(&self, other: &ByRoute) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ByRoute {}

impl Hash for ByRoute {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

/// Whose, where to, and how.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Inspected {
    pub(crate) sandbox: SandboxId,
    pub(crate) target: Authority,
    pub(crate) form: Form,
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// HTTP.
    Plain,
    /// HTTP inside TLS.
    Tls,
}

impl Form {
    /// The scheme of what is asked for there.
    pub(crate) fn scheme(self) -> Scheme {
        match self {
            Form::Plain => Scheme::Http,
            Form::Tls => Scheme::Https,
        }
    }
}
