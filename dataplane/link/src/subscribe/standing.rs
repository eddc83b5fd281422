//! How a host stands with its gateway, for whoever asks from another thread.
//!
//! Apart from `subscribe`, which changes it, because the launcher waits for it without tokio. Invariant: the lock is held
//! for no longer than a copy of three words takes.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How a host stands with its gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The stream.
    pub stream: Stream,
    /// The generation in force; absent before the first.
    pub generation: Option<u64>,
    /// Whether routes still count.
    pub freshness: Freshness,
}

/// Whether there is a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stream {
    /// Not now; it is tried again.
    #[default]
    Down,
    /// Messages come.
    Up,
}

/// Whether what a gateway said last still counts (DPL-9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Freshness {
    /// It does.
    #[default]
    Fresh,
    /// Its routes do not: it was away for too long.
    Stale,
}

/// The place where the newest standing lies. Clones are the same place.
#[derive(Clone, Default)]
pub(crate) struct Shared(Arc<(Mutex<Standing>, Condvar)>);

impl Shared {
    pub(crate) fn get(&self) -> Standing {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, standing: Standing) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = standing;
        self.0.1.notify_all();
    }

    /// Waits until a generation is in force.
    pub(crate) fn wait_ready(&self, timeout: Duration) -> Option<u64> {
        let until = Instant::now() + timeout;
        let mut standing = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(generation) = standing.generation {
                return Some(generation);
            }
            let left = until.checked_duration_since(Instant::now())?;
            let woken = self.0.1.wait_timeout(standing, left);
            standing = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
