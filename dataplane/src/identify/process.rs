//! A process as the sandbox's own `/proc` shows it: parent, start time, executable.
//!
//! It exists apart from `owner.rs` and `lineage.rs` because it only reads, and from `descriptors.rs`, which looks for one
//! socket. An open `/proc/PID` is bound to that process and not to the number: after its end every read fails, so a
//! reused number is never taken for it.
//!
//! What a link shows: the kernel writes the target of `/proc/PID/exe` as a path from the root of the mount namespace
//! *of the file*, as far as the reader's root does not lie on the way, which it does not when the reader lives in
//! another mount namespace. A data plane outside therefore reads the path by which the sandbox knows its program, also
//! for programs on mounts that only the sandbox has. Opening the link opens the very file, whatever lies at that path.

use std::cell::OnceCell;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Mode, OFlags, RawDir, ResolveFlags, openat, openat2, readlinkat_raw, statat,
};
use rustix::io::{Errno, read};

use super::exe::Fingerprint;

/// A process that has a program.
pub(super) struct Process {
    pub(super) directory: OwnedFd,
    pub(super) pid: u32,
    /// Read when it is asked for: of most processes only the program and the descriptors matter, and `stat` costs more
    /// than both.
    state: OnceCell<State>,
    /// `None` for a zombie.
    program: Option<Program>,
}

/// The executable of a process, not yet hashed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Program {
    pub(super) path: Box<[u8]>,
    pub(super) fingerprint: Fingerprint,
}

/// From `/proc/PID/stat`.
#[derive(Debug, PartialEq, Clone, Copy)]
pub(super) struct State {
    pub(super) parent: u32,
    start_ticks: u64,
}

/// Why a process could not be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReadError {
    /// It has ended.
    Ended,
    /// It is there and cannot be read, so nothing can be said about it.
    Hidden,
}

impl From<Errno> for ReadError {
    fn from(error: Errno) -> ReadError {
        match error {
            Errno::NOENT | Errno::SRCH => ReadError::Ended,
            _ => ReadError::Hidden,
        }
    }
}

impl Process {
    pub(super) fn read(proc: BorrowedFd<'_>, pid: u32) -> Result<Process, ReadError> {
        let directory = openat(
            proc,
            pid.to_string(),
            OFlags::PATH | DIRECTORY,
            Mode::empty(),
        )?;
        let program = read_program(directory.as_fd())?;
        Ok(Process {
            directory,
            pid,
            state: OnceCell::new(),
            program,
        })
    }

    pub(super) fn parent(&self) -> Result<u32, ReadError> {
        self.state().map(|state| state.parent)
    }

    fn state(&self) -> Result<State, ReadError> {
        if let Some(state) = self.state.get() {
            return Ok(*state);
        }
        let state = read_state(self.directory.as_fd())?;
        Ok(*self.state.get_or_init(|| state))
    }

    /// `None` for a zombie.
    pub(super) fn program(&self) -> Option<&Program> {
        self.program.as_ref()
    }

    pub(super) fn open_exe(&self) -> Result<OwnedFd, Errno> {
        openat(
            &self.directory,
            c"exe",
            OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY,
            Mode::empty(),
        )
    }

    /// Start time, parent and executable are what they were.
    pub(super) fn is_unchanged(&self) -> bool {
        let now = (
            read_state(self.directory.as_fd()),
            read_program(self.directory.as_fd()),
        );
        matches!(now, (Ok(state), Ok(program)) if program == self.program && self.state() == Ok(state))
    }

    /// Arguments, each ended by NUL, at most 4 KiB of them; empty when they cannot be read.
    pub(super) fn cmdline(&self) -> Vec<u8> {
        read_cmdline(self.directory.as_fd())
    }
}

/// The numbers of all processes, the newest number first.
pub(super) fn pids(proc: BorrowedFd<'_>) -> Result<Vec<u32>, ReadError> {
    let listing = openat(proc, c".", OFlags::RDONLY | DIRECTORY, Mode::empty())?;
    let mut pids = Vec::new();
    each_number(listing.as_fd(), |name| {
        pids.extend(name.to_str().ok().and_then(|name| name.parse::<u32>().ok()));
        Walk::On
    })?;
    pids.reverse();
    Ok(pids)
}

/// Whether a walk goes on.
pub(super) enum Walk {
    On,
    Stop,
}

/// Calls `visit` with every entry that begins with a digit.
pub(super) fn each_number(
    directory: BorrowedFd<'_>,
    mut visit: impl FnMut(&CStr) -> Walk,
) -> Result<(), ReadError> {
    let mut buf = [MaybeUninit::uninit(); 4_096];
    let mut entries = RawDir::new(directory, &mut buf);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_bytes().first().is_some_and(u8::is_ascii_digit)
            && matches!(visit(name), Walk::Stop)
        {
            break;
        }
    }
    Ok(())
}

pub(super) fn read_state(process: BorrowedFd<'_>) -> Result<State, ReadError> {
    let mut buf = [0; 1_024];
    let count = read_file(process, c"stat", &mut buf)?;
    parse_state(buf.get(..count).unwrap_or_default()).ok_or(ReadError::Hidden)
}

pub(super) fn read_cmdline(process: BorrowedFd<'_>) -> Vec<u8> {
    let mut buf = [0; CMDLINE_BYTES_MAX];
    let count = read_file(process, c"cmdline", &mut buf).unwrap_or(0);
    // It lives as long as the connection, and is a few dozen bytes mostly.
    buf.get(..count).unwrap_or_default().to_vec()
}

/// proc_pid_stat(5). The name in parentheses is the process's own and may hold anything, so fields are counted from the
/// last parenthesis.
fn parse_state(stat: &[u8]) -> Option<State> {
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let mut fields = str::from_utf8(stat.get(name_end + 1..)?)
        .ok()?
        .split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let start_ticks = fields.nth(17)?.parse().ok()?;
    Some(State {
        parent,
        start_ticks,
    })
}

/// `None` for a zombie: it has no program any more.
pub(super) fn read_program(process: BorrowedFd<'_>) -> Result<Option<Program>, ReadError> {
    let mut buf = [0; 4_096];
    let count = match readlinkat_raw(process, c"exe", &mut buf[..]) {
        Ok(count) => count,
        // The process is there, or reading its state would have failed.
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let link = buf.get(..count).unwrap_or_default();
    let stat = match statat(process, c"exe", AtFlags::empty()) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let fingerprint = Fingerprint::of(&stat).ok_or(ReadError::Hidden)?;
    // A link as long as the buffer may be cut.
    if count >= buf.len() {
        return Err(ReadError::Hidden);
    }
    Ok(Some(Program {
        path: without_deleted(process, link).into(),
        fingerprint,
    }))
}

/// IDN-7: the kernel marks an unlinked file with a suffix that a file's name may also have of its own.
fn without_deleted<'a>(process: BorrowedFd<'_>, link: &'a [u8]) -> &'a [u8] {
    let Some(stripped) = link.strip_suffix(b" (deleted)") else {
        return link;
    };
    if exists(process, link) {
        link
    } else {
        stripped
    }
}

/// Whether the sandbox has something at `path`. Links in the path are followed inside its root and nowhere else.
fn exists(process: BorrowedFd<'_>, path: &[u8]) -> bool {
    let Ok(root) = openat(process, c"root", OFlags::PATH | DIRECTORY, Mode::empty()) else {
        return false;
    };
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    openat2(
        root,
        path,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
        inside,
    )
    .is_ok()
}

pub(super) fn read_file(
    process: BorrowedFd<'_>,
    name: &CStr,
    buf: &mut [u8],
) -> Result<usize, ReadError> {
    let file = openat(
        process,
        name,
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut filled = 0;
    while let Some(room) = buf.get_mut(filled..).filter(|room| !room.is_empty()) {
        match read(&file, &mut *room) {
            Ok(count) => {
                // These files are made at the read, whole: what does not fill the room is the end.
                let is_end = count < room.len();
                filled += count;
                if is_end {
                    break;
                }
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(filled)
}

pub(super) const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);
const CMDLINE_BYTES_MAX: usize = 4_096;
#[cfg(test)]
pub(super) mod tests;
