//! Where to look first: the process that was found last, and numbers of its descriptors.
//!
//! It exists apart from `owner.rs` because nothing depends on it but time. A client that opens and closes one connection
//! after the other gets the same descriptor again; one with many at once was seen with its others when one of them was
//! searched. Looking at one descriptor costs a microsecond, looking at all of a process three for each that it has.
//!
//! Invariant: a hint is never an answer. Whoever takes one looks at that descriptor of that process.

use std::sync::PoisonError;

use super::super::descriptors::Met;

#[expect(
    clippy::disallowed_types,
    reason = "for helper threads; a worker never comes here"
)]
type Lock<T> = std::sync::Mutex<T>;

/// What was found last.
#[derive(Default)]
pub(super) struct Hints(Lock<Seen>);

#[derive(Default)]
struct Seen {
    pid: u32,
    /// The descriptor that was the socket.
    number: u32,
    /// All sockets that were met when the process was last searched.
    met: Vec<Met>,
}

/// Where one socket may be.
pub(super) struct Hint {
    /// The process; 0 when none was found yet.
    pub(super) pid: u32,
    /// Its descriptor.
    pub(super) number: u32,
}

impl Hints {
    pub(super) fn of(&self, inode: u32) -> Hint {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let met = seen.met.iter().find(|met| met.inode == inode);
        Hint {
            pid: seen.pid,
            number: met.map_or(seen.number, |met| met.number),
        }
    }

    /// The process has the socket `inode`: at `number`, or among `met` where it had to be searched.
    pub(super) fn learn(&self, pid: u32, inode: u32, number: Option<u32>, met: Vec<Met>) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let searched = met.iter().find(|met| met.inode == inode);
        seen.number = number
            .or(searched.map(|met| met.number))
            .unwrap_or(seen.number);
        if seen.pid != pid || !met.is_empty() {
            seen.met = met;
        }
        seen.pid = pid;
    }
}
