//! Empties the record queue: every record is tallied, written as a JSON line when there is a file, and laid on the
//! shelf for the gateway when there is one.
//!
//! It exists apart from `ring.rs` because it may wait and workers may not. After the first record of a batch it lets
//! `BATCH_WINDOW` pass, so that a busy queue costs one write for many records and no wake for a worker.
//!
//! Invariants: whole lines reach the file in order, or none of the line; a file that takes nothing more (a full disk, a
//! reader that stopped reading) makes `pending` fill up to its bound, after which records are counted as lost: the link
//! thread never waits for a file.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use tokio::sync::watch;

use crate::report::{Line, Shelf};
use crate::ring::Intake;
use crate::summary::{Summary, Tally};

/// The file of `--record`.
pub(crate) struct Sink {
    file: File,
    /// Lines not yet written; the first may be the rest of one.
    pending: Vec<u8>,
    pending_lines: u64,
}

impl Sink {
    /// Opens the file for appending, creating it for its owner alone.
    pub(crate) fn open(path: &Path) -> io::Result<Sink> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            // A named pipe whose reader sleeps must not stop the thread that also resolves names.
            .custom_flags(libc::O_NONBLOCK)
            .open(path)?;
        Ok(Sink {
            file,
            pending: Vec::new(),
            pending_lines: 0,
        })
    }
}

/// Runs until `closing` turns true and the queue is empty.
pub(crate) async fn run(
    intake: Intake,
    mut sink: Option<Sink>,
    shelf: &Shelf,
    mut closing: watch::Receiver<bool>,
) -> Summary {
    let mut tally = Tally::new();
    loop {
        let waiting = sink.as_ref().is_some_and(|sink| !sink.pending.is_empty());
        // Why a select: the three ways on are alike in cost and none loses anything when dropped.
        tokio::select! {
            () = intake.stirred() => {}
            _ = closing.wait_for(|closing| *closing) => break,
            () = tokio::time::sleep(RETRY), if waiting => {}
        }
        tokio::select! {
            () = tokio::time::sleep(BATCH_WINDOW) => {}
            _ = closing.wait_for(|closing| *closing) => {}
        }
        intake.rest();
        while empty(&intake, sink.as_mut(), shelf, &mut tally) == Left::Some {
            tokio::task::yield_now().await;
        }
    }
    while empty(&intake, sink.as_mut(), shelf, &mut tally) == Left::Some {}
    if let Some(sink) = sink {
        intake.count_lost(sink.pending_lines);
    }
    tally.finish(intake.lost())
}

/// What a pass left in the queue.
#[derive(PartialEq)]
enum Left {
    None,
    Some,
}

/// One pass over what is queued now.
fn empty(intake: &Intake, mut sink: Option<&mut Sink>, shelf: &Shelf, tally: &mut Tally) -> Left {
    let is_shipped = shelf.is_open();
    let mut line = String::new();
    let mut left = Left::Some;
    for _ in 0..BATCH_RECORDS_MAX {
        let Some(record) = intake.next() else {
            left = Left::None;
            break;
        };
        tally.add(&record);
        if sink.is_none() && !is_shipped {
            continue;
        }
        line.clear();
        record.write_line(&mut line);
        if is_shipped {
            shelf.put(Line::new(&record, &line));
        }
        let Some(sink) = sink.as_deref_mut() else {
            continue;
        };
        if sink.pending.len() + line.len() > PENDING_BYTES_MAX {
            sink.flush();
        }
        if sink.pending.len() + line.len() > PENDING_BYTES_MAX {
            intake.count_lost(1);
            continue;
        }
        sink.pending.extend_from_slice(line.as_bytes());
        sink.pending_lines += 1;
    }
    if let Some(sink) = sink {
        sink.flush();
    }
    left
}

impl Sink {
    /// Writes as much of `pending` as the file takes now.
    fn flush(&mut self) {
        let mut written = 0;
        while let Some(rest) = self.pending.get(written..).filter(|rest| !rest.is_empty()) {
            match self.file.write(rest) {
                Ok(0) => break,
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Tried again with the next batch; what does not fit then is counted as lost.
                Err(_) => break,
            }
        }
        let lines = self
            .pending
            .iter()
            .take(written)
            .filter(|byte| **byte == b'\n')
            .count();
        self.pending_lines = self.pending_lines.saturating_sub(lines as u64);
        self.pending.drain(..written.min(self.pending.len()));
    }
}

/// How long a batch gathers. With the wake it stays well below the 100 ms after which a record must be in the file.
const BATCH_WINDOW: Duration = Duration::from_millis(25);
/// How soon a file that took nothing is tried again.
const RETRY: Duration = Duration::from_millis(75);
/// Lines kept for a file that takes nothing.
const PENDING_BYTES_MAX: usize = 1 << 20;
/// Records taken before the thread looks at its other work.
const BATCH_RECORDS_MAX: usize = 1_024;

#[cfg(test)]
mod tests;
