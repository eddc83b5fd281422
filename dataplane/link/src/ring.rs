//! The way of a record from a worker to the link thread: bounded, never blocking, full means drop and count (LOG-4).
//!
//! It exists apart from `ship.rs` so that a worker's side is small enough to read for what it may cost. A push is one
//! lock-free send and one atomic swap; only the first push after the link thread has emptied the queue wakes it, and that
//! wake costs a system call. Workers pushing at full speed therefore cost about forty wakes a second together.
//!
//! Invariant: every record that was pushed is either handed to the shipper or counted in `lost`, exactly once (TR-097).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tokio::sync::Notify;

use crate::record::Record;

/// A worker's handle to the record queue. Cloning is cheap; all clones feed one queue.
#[derive(Clone)]
pub struct Records {
    // Why std's: its bounded channel is an array; `try_send` takes no lock while the receiver never waits in it, and
    // ours only ever calls `try_recv`.
    queue: SyncSender<Record>,
    shared: Arc<Shared>,
}

/// The link thread's end.
pub(crate) struct Intake {
    queue: Receiver<Record>,
    shared: Arc<Shared>,
}

struct Shared {
    lost: AtomicU64,
    /// The shipper knows that something waits.
    awake: AtomicBool,
    wake: Notify,
}

/// A queue of `capacity` records.
pub(crate) fn ring(capacity: usize) -> (Records, Intake) {
    let (sender, receiver) = sync_channel(capacity);
    let shared = Arc::new(Shared {
        lost: AtomicU64::new(0),
        awake: AtomicBool::new(false),
        wake: Notify::new(),
    });
    (
        Records {
            queue: sender,
            shared: shared.clone(),
        },
        Intake {
            queue: receiver,
            shared,
        },
    )
}

impl Records {
    /// Hands the record over, or counts it as lost when the queue is full or the link has ended. Never blocks.
    pub fn push(&self, record: Record) {
        if self.queue.try_send(record).is_err() {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
        if !self.shared.awake.swap(true, Ordering::AcqRel) {
            self.shared.wake.notify_one();
        }
    }

    /// Records lost since the start: the queue was full, or the file took them too slowly or not at all.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

impl Intake {
    /// Waits until something was pushed since the last [`Intake::rest`].
    pub(crate) async fn stirred(&self) {
        self.shared.wake.notified().await;
    }

    /// From here on the next push wakes. To be called before the queue is emptied: what is pushed in between then
    /// costs a needless wake, never a record left lying.
    pub(crate) fn rest(&self) {
        // Why a swap: it synchronises with the pushes whose wake it swallows, so that their records are seen.
        self.shared.awake.swap(false, Ordering::AcqRel);
    }

    pub(crate) fn next(&self) -> Option<Record> {
        self.queue.try_recv().ok()
    }

    pub(crate) fn count_lost(&self, records: u64) {
        self.shared.lost.fetch_add(records, Ordering::Relaxed);
    }

    pub(crate) fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
