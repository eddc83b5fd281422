//! A process and those above it, kept so that the next question about them is cheap.
//!
//! Apart from `process.rs`, which reads a process anew each time. A [`Seen`] holds descriptors that are bound to what
//! was read: `mem` to the memory of that very program, the executable to that very file. Reading one byte at address
//! zero, which is never mapped, is an error while that memory lives and the end of the file once the process has executed
//! something else or ended; 0.7 µs instead of 4 for reading both links again.
//!
//! Invariants: a link to the parent is right as long as the parent lives, because a process gets another parent only
//! when its own ends; process 1 is ringfence's and is never in a lineage; what is kept of an ancestor is used only after
//! all above it were found unchanged.
//!
//! What `mem` cannot tell: that a process executed something while another shares its memory (CLONE_VM without a
//! thread) and lives on. So the caller's own links are read each time, and only ancestors are judged by it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, fstat, openat};
use rustix::io::{Errno, pread};

use super::exe::Fingerprint;
use super::owner::{ANCESTORS_MAX, INIT_PID};
use super::process::{self, Program, ReadError};
use crate::sys;

/// A process as it was when it was read, and its ancestors.
pub(super) struct Seen {
    pub(super) pid: u32,
    pub(super) program: Program,
    pub(super) cmdline: Vec<u8>,
    pub(super) above: Option<Arc<Seen>>,
    /// How many are above.
    pub(super) depth: usize,
    directory: OwnedFd,
    memory: OwnedFd,
    executable: OwnedFd,
}

/// How much of a lineage was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Up to the entry process of the sandbox.
    Whole,
    /// Less: as far as ancestors count (IDN-4), or to one that is ending. Not to be kept.
    Cut,
}

impl Seen {
    /// Reads a process and those above it. `known` answers for what need not be read again.
    pub(super) fn read(
        proc: BorrowedFd<'_>,
        pid: u32,
        known: &dyn Fn(u32) -> Option<Arc<Seen>>,
    ) -> Result<(Seen, Extent), ReadError> {
        Seen::read_below(proc, pid, known, ANCESTORS_MAX)
    }

    fn read_below(
        proc: BorrowedFd<'_>,
        pid: u32,
        known: &dyn Fn(u32) -> Option<Arc<Seen>>,
        above_max: usize,
    ) -> Result<(Seen, Extent), ReadError> {
        let directory = openat(
            proc,
            pid.to_string(),
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let open = |name, flags| openat(&directory, name, flags | OFlags::CLOEXEC, Mode::empty());
        // A process that said it may not be dumped shows its `mem` to root alone; its `maps` are bound to the same.
        let memory = open(c"mem", OFlags::RDONLY).or_else(|_| open(c"maps", OFlags::RDONLY))?;
        let program = process::read_program(directory.as_fd())?.ok_or(ReadError::Ended)?;
        // Open for reading, because it may have to be hashed when the process is gone. One that may only be executed can
        // still be told from another.
        let executable = open(c"exe", OFlags::RDONLY | OFlags::NOCTTY)
            .or_else(|_| open(c"exe", OFlags::PATH))?;
        let state = process::read_state(directory.as_fd())?;
        let (above, extent) = match state.parent {
            INIT_PID => (None, Extent::Whole),
            // A process that was put into the namespace from outside has no parent in it.
            0 => return Err(ReadError::Hidden),
            _ if above_max == 0 => (None, Extent::Cut),
            parent => match known(parent).filter(|above| above.depth < above_max) {
                Some(above) => (Some(above), Extent::Whole),
                None => match Seen::read_below(proc, parent, known, above_max - 1) {
                    Ok((above, extent)) => (Some(Arc::new(above)), extent),
                    // It is ending: it has no program any more, and process 1 or another takes its children over when it
                    // is done, which can take long. Fewer ancestors never allow more.
                    Err(ReadError::Ended) => (None, Extent::Cut),
                    Err(ReadError::Hidden) => return Err(ReadError::Hidden),
                },
            },
        };
        let seen = Seen {
            pid,
            program,
            cmdline: process::read_cmdline(directory.as_fd()),
            depth: above.as_ref().map_or(0, |above| above.depth + 1),
            above,
            directory,
            memory,
            executable,
        };
        // After everything else: the number of the parent must not have passed to another meanwhile, nor the program.
        let is_same = process::read_state(seen.directory.as_fd())? == state && seen.is_unchanged();
        if is_same {
            Ok((seen, extent))
        } else {
            Err(ReadError::Ended)
        }
    }

    /// The process, then parent by parent, as far as ancestors count.
    pub(super) fn lineage(&self) -> impl Iterator<Item = &Seen> {
        std::iter::successors(Some(self), |seen| seen.above.as_deref()).take(1 + ANCESTORS_MAX)
    }

    /// The process is there and runs the program it ran, and its file is what it was.
    pub(super) fn is_unchanged(&self) -> bool {
        let is_alive = matches!(
            pread(&self.memory, &mut [0_u8; 1][..], 0),
            Err(Errno::IO) | Ok(1..)
        );
        // Its memory outlives a process whose vfork(2) child has not executed anything yet, and its number does not.
        is_alive
            && sys::is_there(self.directory.as_fd())
            && fstat(&self.executable)
                .is_ok_and(|stat| Fingerprint::of(&stat) == Some(self.program.fingerprint))
    }

    /// All above the process run the programs they ran, and so they are still the ones above it.
    pub(super) fn is_unchanged_above(&self) -> bool {
        std::iter::successors(self.above.as_deref(), |seen| seen.above.as_deref())
            .all(Seen::is_unchanged)
    }

    /// The process itself runs the program it ran, by its own links; all above it as well.
    pub(super) fn is_same_caller(&self) -> bool {
        let now = process::read_program(self.directory.as_fd());
        now.is_ok_and(|now| now.as_ref() == Some(&self.program)) && self.is_unchanged_above()
    }

    /// The file that runs, to be read.
    pub(super) fn open_executable(&self) -> Result<OwnedFd, Errno> {
        rustix::io::fcntl_dupfd_cloexec(&self.executable, 0)
    }
}

#[cfg(test)]
mod tests;
