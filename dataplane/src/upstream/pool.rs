//! Idle upstream connections of one worker, by route.
//!
//! A plain map, because one core owns it: no lock, no sharing. The key is the route object itself, which
//! holds origin, TLS and credential, so a connection opened with one credential can never serve another
//! (TR-082), and a changed route starts with an empty pool.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use policy::Route;

use crate::clock;
use crate::limits::Limits;
use crate::stream::Stream;

/// The idle connections.
#[derive(Default)]
pub(crate) struct Pool {
    /// By the address of the route; each entry keeps that route alive, so addresses are not reused.
    idle: RefCell<HashMap<usize, Vec<Idle>>>,
}

struct Idle {
    stream: Stream,
    since: Instant,
    _route: Arc<Route>,
}

impl Pool {
    /// A connection of this route that is open and silent, the most recently used one first.
    pub(crate) fn take(&self, route: &Arc<Route>) -> Option<Stream> {
        let mut idle = self.idle.borrow_mut();
        let list = idle.get_mut(&key(route))?;
        while let Some(mut entry) = list.pop() {
            if entry.stream.is_idle() {
                return Some(entry.stream);
            }
        }
        None
    }

    /// Keeps a connection whose answer was read to its end.
    pub(crate) fn give(&self, limits: &Limits, route: &Arc<Route>, stream: Stream) {
        if !stream.input().is_empty() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let total: usize = idle.values().map(Vec::len).sum();
        let list = idle.entry(key(route)).or_default();
        if list.len() < limits.pool_idle_per_key_max && total < limits.pool_idle_max {
            stream.socket.alarm.rest();
            list.push(Idle {
                stream,
                since: clock::now(),
                _route: Arc::clone(route),
            });
        }
    }

    /// Drops what was idle for too long; called now and then by the worker.
    pub(crate) fn sweep(&self, limits: &Limits) {
        let now = clock::now();
        self.idle.borrow_mut().retain(|_, list| {
            list.retain(|entry| now.saturating_duration_since(entry.since) < limits.pool_idle_time);
            !list.is_empty()
        });
    }
}

fn key(route: &Arc<Route>) -> usize {
    Arc::as_ptr(route) as usize
}
