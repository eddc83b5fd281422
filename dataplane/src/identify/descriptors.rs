//! Looking for one socket among the descriptors of processes.
//!
//! Apart from `process.rs` because it is bounded by a budget and learns on its way: a process that has one connection of
//! a client has its neighbours mostly, and those are asked for next.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, Mode, OFlags, openat, readlinkat_raw, statat};
use rustix::io::Errno;

use super::process::{DIRECTORY, Process, ReadError, Walk, each_number, read_program};

impl Process {
    /// Whether the descriptor `number` of the process is the socket. `false` says nothing of its other descriptors.
    pub(super) fn holds_at(&self, link: &[u8], number: u32) -> bool {
        let mut buf = [0; LINK_BYTES_MAX];
        readlinkat_raw(&self.directory, format!("fd/{number}"), &mut buf[..])
            .is_ok_and(|count| buf.get(..count) == Some(link))
    }

    /// Whether a descriptor near `number` is the socket, as one of many connections opened in a row is. All of these
    /// are looked at, so that what is met covers the questions that follow.
    pub(super) fn holds_near(&self, link: &[u8], number: u32, look: &mut Look) -> bool {
        let mut found = false;
        for number in number.saturating_sub(NEAR)..=number.saturating_add(NEAR) {
            let mut buf = [0; LINK_BYTES_MAX];
            let read = readlinkat_raw(&self.directory, format!("fd/{number}"), &mut buf[..]);
            let target = read.ok().and_then(|count| buf.get(..count));
            if let Some(target) = target {
                look.meets(number, target);
                found |= target == link;
            }
        }
        found
    }

    /// Whether any thread holds the socket.
    pub(super) fn holds(&self, link: &[u8], look: &mut Look) -> Result<bool, ReadError> {
        // One thread has the process's table. More may each have one of their own (unshare(2) with CLONE_FILES), and the
        // first may have ended and left its table empty.
        // The directory of the threads has a link for each, and two of its own.
        if statat(&self.directory, c"task", AtFlags::empty())?.st_nlink <= 3 {
            return holds(self.directory.as_fd(), c"fd", link, look);
        }
        let tasks = openat(
            &self.directory,
            c"task",
            OFlags::RDONLY | DIRECTORY,
            Mode::empty(),
        )?;
        let mut found = Ok(false);
        each_number(tasks.as_fd(), |task| {
            found = match openat(&tasks, task, OFlags::PATH | DIRECTORY, Mode::empty()) {
                Ok(task) => holds(task.as_fd(), c"fd", link, look),
                Err(error) => Err(error.into()),
            };
            // A thread that ended holds nothing.
            if matches!(found, Err(ReadError::Ended)) {
                found = Ok(false);
            }
            if matches!(found, Ok(false)) {
                Walk::On
            } else {
                Walk::Stop
            }
        })?;
        found
    }
}

/// What a search for a socket may still look at, and the sockets it met: they may be asked for next.
pub(super) struct Look {
    budget: usize,
    pub(super) met: Vec<Met>,
}

/// A socket among the descriptors of a process, as it was at one moment.
#[derive(Clone, Copy)]
pub(super) struct Met {
    pub(super) inode: u32,
    pub(super) number: u32,
}

impl Look {
    /// At so many descriptors.
    pub(super) fn at_most(budget: usize) -> Look {
        Look {
            budget,
            met: Vec::new(),
        }
    }

    /// Descriptors that may still be looked at.
    #[cfg(test)]
    pub(super) fn left(&self) -> usize {
        self.budget
    }

    fn meets(&mut self, number: u32, link: &[u8]) {
        let inode = link
            .strip_prefix(b"socket:[")
            .and_then(|rest| rest.strip_suffix(b"]"));
        if let Some(inode) = inode.and_then(parsed) {
            // The newest descriptors of a long table are what is asked for.
            if self.met.len() == MET_MAX {
                self.met.drain(..MET_MAX / 2);
            }
            self.met.push(Met { inode, number });
        }
    }
}

fn parsed(digits: &[u8]) -> Option<u32> {
    str::from_utf8(digits).ok()?.parse().ok()
}

/// Whether a process, or one thread of it, has the socket in its table.
fn holds(
    process: BorrowedFd<'_>,
    table: &CStr,
    link: &[u8],
    look: &mut Look,
) -> Result<bool, ReadError> {
    let table = match openat(process, table, OFlags::RDONLY | DIRECTORY, Mode::empty()) {
        Ok(table) => table,
        // What ends gives its memory back first and its descriptors next, and from then on, also as a zombie, its table is
        // shown to root alone. So it has nothing, or is about to: as if it had been asked a moment later. By now somebody
        // may have waited for it.
        Err(Errno::ACCESS) if matches!(read_program(process), Ok(None) | Err(ReadError::Ended)) => {
            return Ok(false);
        }
        Err(error) => return Err(error.into()),
    };
    let mut found = Ok(false);
    let mut beyond = 0;
    each_number(table.as_fd(), |descriptor| {
        if matches!(found, Ok(true)) {
            beyond += 1;
        } else if look.budget == 0 {
            found = Err(ReadError::Hidden);
            return Walk::Stop;
        }
        look.budget = look.budget.saturating_sub(1);
        let mut buf = [0; LINK_BYTES_MAX];
        match readlinkat_raw(&table, descriptor, &mut buf[..]) {
            Ok(count) => {
                let target = buf.get(..count).unwrap_or_default();
                if let Some(number) = parsed(descriptor.to_bytes()) {
                    look.meets(number, target);
                }
                if target == link {
                    found = Ok(true);
                }
            }
            // Closed meanwhile.
            Err(Errno::NOENT) => {}
            Err(error) if matches!(found, Ok(false)) => found = Err(error.into()),
            Err(_) => return Walk::Stop,
        }
        if found.is_err() || beyond == BEYOND_MAX {
            Walk::Stop
        } else {
            Walk::On
        }
    })?;
    found
}

/// Descriptors that are looked at behind the one that was found: clients with many connections at once open them in a
/// row, and the next question is about a neighbour.
const BEYOND_MAX: usize = 64;
/// Descriptors on either side of a likely one that are looked at before all are.
const NEAR: u32 = 24;
/// Sockets that are remembered of one search.
const MET_MAX: usize = 256;
/// Longer than any `socket:[4294967295]`; a longer link is cut and is no socket.
const LINK_BYTES_MAX: usize = 32;

#[cfg(test)]
mod tests;
