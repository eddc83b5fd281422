//! Callers that were seen at their connect(2), on their way to the worker that accepts what they connected.
//!
//! Apart from `watch.rs`, which finds out who they are. One end belongs to whoever files, the other to one worker: a
//! bounded channel, drained into a plain map at every accept. Keyed by the cookie of the client's socket, which the
//! kernel never gives twice, and not by its port, which several sockets can have (TR-046).
//!
//! Invariants: an entry is there before the call it is about goes on; it is taken once, and is nobody's after
//! [`Limits::caller_filed_time`](crate::Limits); two programs that called connect(2) for one socket leave no caller; what
//! finds no room is not filed.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use policy::{Caller, IdentityError};

use super::Identity;
use crate::clock;

/// Who called connect(2), or why that is not known.
pub(super) type Who = Result<Identity, IdentityError>;

/// A filed caller.
struct Entry {
    cookie: u64,
    who: Who,
    at: Instant,
}

/// The end of those who file.
#[derive(Clone)]
pub(super) struct Filer {
    entries: flume::Sender<Entry>,
    open: Arc<AtomicUsize>,
    max: usize,
}

/// The worker's end.
pub(super) struct Filed {
    entries: flume::Receiver<Entry>,
    by_cookie: HashMap<u64, Entry>,
    open: Arc<AtomicUsize>,
    keep: Duration,
}

/// There is no room for another entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// Both ends for one sandbox: at most `max` entries, each for `keep`.
pub(super) fn pair(max: usize, keep: Duration) -> (Filer, Filed) {
    let (sender, receiver) = flume::bounded(max);
    let open = Arc::new(AtomicUsize::new(0));
    let filer = Filer {
        entries: sender,
        open: Arc::clone(&open),
        max,
    };
    let filed = Filed {
        entries: receiver,
        by_cookie: HashMap::new(),
        open,
        keep,
    };
    (filer, filed)
}

impl Filer {
    /// Files a caller for the worker.
    pub(super) fn file(&self, cookie: u64, who: Who) -> Result<(), Full> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.max {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Full);
        }
        let at = clock::now();
        let entry = Entry { cookie, who, at };
        self.entries.try_send(entry).map_err(|_| {
            self.open.fetch_sub(1, Ordering::Relaxed);
            Full
        })
    }
}

impl Filed {
    /// Takes the caller that was filed for a socket.
    pub(super) fn take(&mut self, cookie: u64) -> Option<Who> {
        self.drain();
        let entry = self.by_cookie.remove(&cookie)?;
        self.open.fetch_sub(1, Ordering::Relaxed);
        (clock::now().saturating_duration_since(entry.at) < self.keep).then_some(entry.who)
    }

    /// Forgets what nobody took in time.
    pub(super) fn sweep(&mut self) {
        self.drain();
        let (now, before) = (clock::now(), self.by_cookie.len());
        self.by_cookie
            .retain(|_, entry| now.saturating_duration_since(entry.at) < self.keep);
        let forgotten = before - self.by_cookie.len();
        self.open.fetch_sub(forgotten, Ordering::Relaxed);
    }

    fn drain(&mut self) {
        while let Ok(mut entry) = self.entries.try_recv() {
            if let Some(earlier) = self.by_cookie.remove(&entry.cookie) {
                self.open.fetch_sub(1, Ordering::Relaxed);
                if !agree(&earlier.who, &entry.who) {
                    entry.who = Err(IdentityError::Unavailable);
                }
            }
            self.by_cookie.insert(entry.cookie, entry);
        }
    }
}

/// Whether two calls for one socket came from one program: executable, hash, and the set formed with the ancestors.
fn agree(one: &Who, other: &Who) -> bool {
    fn set(caller: &Caller) -> BTreeSet<(&[u8], [u8; 32])> {
        std::iter::once(&caller.exe)
            .chain(&caller.ancestors)
            .map(|exe| (&*exe.path, exe.sha256))
            .collect()
    }
    match (one, other) {
        (Ok(one), Ok(other)) => {
            Arc::ptr_eq(&one.caller, &other.caller)
                || (one.caller.exe == other.caller.exe && set(&one.caller) == set(&other.caller))
        }
        (Err(one), Err(other)) => one == other,
        (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
    }
}

#[cfg(test)]
mod tests;
