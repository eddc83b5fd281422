//! The fallback of IDN-3: from a connection's four-tuple to the process that holds its client socket.
//!
//! It exists apart from `identify.rs`, which says when to ask, and from `exe.rs`, which hashes. It runs on helper
//! threads and blocks. The question is asked after the fact, so all that hold the socket must agree, and whatever cannot
//! be read counts against the caller.
//!
//! Invariants: only processes of the sandbox are looked at, through its own `/proc`, and only sockets of its own network
//! namespace, through its own netlink socket; process 1 in there is ours, is never an owner and never an ancestor; start
//! time, parent and executable of every process that counts are read again at the end.
//!
//! What it cannot see, and `watch.rs` can: a program that connects and then executes another before the look-up; and a
//! descriptor that lies in a Unix socket's queue, which no process holds. A policy that names programs should know.

mod hints;

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::PoisonError;

use policy::{Caller, Executable, IdentityError};

use super::descriptors::{Look, Met};
use super::diag::Diag;
use super::exe::Executables;
use super::process::{self, Process, Program, ReadError};
use hints::{Hint, Hints};

#[expect(
    clippy::disallowed_types,
    reason = "for helper threads; a worker never comes here"
)]
type Lock<T> = std::sync::Mutex<T>;

/// Finds the callers of one sandbox. Shared by helper threads.
pub struct Lookup {
    diag: Lock<Diag>,
    proc: OwnedFd,
    executables: Executables,
    hints: Hints,
}

impl Lookup {
    /// `diag` is a NETLINK_SOCK_DIAG socket made in the sandbox's network namespace, which nobody else reads; `proc` is
    /// the sandbox's own `/proc`, open as a directory.
    pub fn new(diag: OwnedFd, proc: OwnedFd) -> Lookup {
        Lookup {
            diag: Lock::new(Diag::new(diag)),
            proc,
            executables: Executables::new(),
            hints: Hints::default(),
        }
    }

    /// Who connected from `client` to `proxy`, both as the accepted socket shows them. Blocks: it reads `/proc` and
    /// hashes files.
    ///
    /// # Errors
    /// `Unavailable` when nobody or no one program holds the socket, or something changed meanwhile; `Changed` when a
    /// path has other content than at its first use.
    pub fn identify(
        &self,
        client: SocketAddrV4,
        proxy: SocketAddrV4,
    ) -> Result<Caller, IdentityError> {
        let inode = self
            .inode(client, proxy)
            .ok_or(IdentityError::Unavailable)?;
        let mut scan = Scan::new(self.proc.as_fd(), self.hints.of(inode));
        let owners = scan.owners(inode)?;
        let mut agreed: Option<Named> = None;
        for owner in &owners {
            let named = self.name(owner)?;
            match &agreed {
                None => agreed = Some(named),
                Some(first) if first.agrees(&named) => {}
                Some(_) => return Err(IdentityError::Unavailable),
            }
        }
        let (Some(named), Some(owner)) = (agreed, owners.first()) else {
            return Err(IdentityError::Unavailable);
        };
        let caller = owner.first().ok_or(IdentityError::Unavailable)?;
        let cmdline = caller.cmdline();
        // After everything else that was read: what changed since must not pass for what it was (IDN-6).
        if !owners
            .iter()
            .flatten()
            .all(|process| process.is_unchanged())
        {
            return Err(IdentityError::Unavailable);
        }
        self.hints.learn(caller.pid, inode, scan.number, scan.met);
        Ok(Caller {
            pid: caller.pid,
            exe: named.exe,
            ancestors: named.ancestors,
            cmdline,
        })
    }

    /// The inode of the client's socket.
    fn inode(&self, client: SocketAddrV4, proxy: SocketAddrV4) -> Option<u32> {
        let diag = self.diag.lock().unwrap_or_else(PoisonError::into_inner);
        diag.find(client, proxy)?.inode()
    }

    /// What it is made of, for a sandbox whose calls are seen and that needs no look-up.
    pub(super) fn into_parts(self) -> (Diag, OwnedFd, Executables) {
        let diag = self
            .diag
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        (diag, self.proc, self.executables)
    }

    /// The hashes of an owner and its ancestors.
    fn name(&self, lineage: &Lineage) -> Result<Named, IdentityError> {
        let mut executables = Vec::with_capacity(lineage.len());
        for process in lineage {
            let program = process.program().ok_or(IdentityError::Unavailable)?;
            executables.push(self.executables.identify(
                &program.path,
                program.fingerprint,
                || process.open_exe(),
            )?);
        }
        let mut executables = executables.into_iter();
        let exe = executables.next().ok_or(IdentityError::Unavailable)?;
        Ok(Named {
            exe,
            ancestors: executables.collect(),
        })
    }
}

/// A process and its ancestors, parent by parent up to the entry process of the sandbox.
type Lineage = Vec<Rc<Process>>;

/// An owner's identity.
struct Named {
    exe: Executable,
    ancestors: Vec<Executable>,
}

impl Named {
    /// Executable, hash, and the set formed with the ancestors (IDN-3).
    fn agrees(&self, other: &Named) -> bool {
        self.exe == other.exe && self.set() == other.set()
    }

    fn set(&self) -> BTreeSet<(&[u8], [u8; 32])> {
        std::iter::once(&self.exe)
            .chain(&self.ancestors)
            .map(|exe| (&*exe.path, exe.sha256))
            .collect()
    }
}

/// One walk over the sandbox's processes. What was read of one is kept for its descendants.
struct Scan<'a> {
    proc: BorrowedFd<'a>,
    seen: HashMap<u32, Rc<Process>>,
    look: Look,
    hint: Hint,
    /// The descriptor by which the hint turned out right.
    number: Option<u32>,
    /// Sockets of the first owner, where it had to be searched.
    met: Vec<Met>,
}

impl<'a> Scan<'a> {
    fn new(proc: BorrowedFd<'a>, hint: Hint) -> Scan<'a> {
        Scan {
            proc,
            seen: HashMap::new(),
            look: Look::at_most(DESCRIPTORS_MAX),
            hint,
            number: None,
            met: Vec::new(),
        }
    }

    /// Every holder of the socket that differs from the ones before it. A process with the program and the ancestors of
    /// one that was found would agree with it, so whether it holds the socket too need not be known: a thousand workers
    /// of one program cost a few reads each, whatever they have open.
    fn owners(&mut self, inode: u32) -> Result<Vec<Lineage>, IdentityError> {
        let link = format!("socket:[{inode}]");
        let pids = process::pids(self.proc).map_err(|_| IdentityError::Unavailable)?;
        if pids.len() > PROCESSES_MAX {
            return Err(IdentityError::Unavailable);
        }
        let mut owners: Vec<Lineage> = Vec::new();
        let last = self.hint.pid;
        let likely = pids.iter().filter(|pid| **pid == last);
        for pid in likely
            .chain(pids.iter().filter(|pid| **pid != last))
            .copied()
            .filter(|pid| *pid != INIT_PID)
        {
            match self.owner(pid, link.as_bytes(), &owners) {
                Ok(Some(lineage)) => owners.push(lineage),
                Ok(None) | Err(ReadError::Ended) => {}
                Err(ReadError::Hidden) => return Err(IdentityError::Unavailable),
            }
            if owners.len() > OWNERS_MAX {
                return Err(IdentityError::Unavailable);
            }
        }
        Ok(owners)
    }

    fn owner(
        &mut self,
        pid: u32,
        link: &[u8],
        owners: &[Lineage],
    ) -> Result<Option<Lineage>, ReadError> {
        let process = self.process(pid)?;
        if owners.iter().any(|owner| {
            owner
                .first()
                .is_some_and(|owner| owner.program() == process.program())
        }) {
            let lineage = self.lineage(&process);
            if lineage.is_ok_and(|lineage| owners.iter().any(|owner| would_agree(owner, &lineage)))
            {
                return Ok(None);
            }
        }
        if !self.is_as_hinted(&process, link) {
            self.look.met.clear();
            let is_near = process.pid == self.hint.pid
                && process.holds_near(link, self.hint.number, &mut self.look);
            if !is_near && !process.holds(link, &mut self.look)? {
                return Ok(None);
            }
            if owners.is_empty() {
                self.met = std::mem::take(&mut self.look.met);
            }
        }
        // A holder whose identity cannot be read is a holder all the same.
        self.lineage(&process)
            .map(Some)
            .map_err(|_| ReadError::Hidden)
    }

    fn is_as_hinted(&mut self, process: &Process, link: &[u8]) -> bool {
        let is_right = process.pid == self.hint.pid && process.holds_at(link, self.hint.number);
        if is_right {
            self.number = Some(self.hint.number);
        }
        is_right
    }

    fn process(&mut self, pid: u32) -> Result<Rc<Process>, ReadError> {
        if let Some(seen) = self.seen.get(&pid) {
            return Ok(seen.clone());
        }
        let process = Rc::new(Process::read(self.proc, pid)?);
        self.seen.insert(pid, process.clone());
        Ok(process)
    }

    /// Fails when an ancestor cannot be read, has no program, or lies outside the sandbox.
    fn lineage(&mut self, process: &Rc<Process>) -> Result<Lineage, ReadError> {
        let mut lineage = vec![process.clone()];
        let mut parent = process.parent()?;
        while parent != INIT_PID && lineage.len() <= ANCESTORS_MAX {
            // A process that was put into the namespace from outside has no parent in it.
            if parent == 0 {
                return Err(ReadError::Hidden);
            }
            let next = self.process(parent)?;
            parent = next.parent()?;
            lineage.push(next);
        }
        if lineage.iter().any(|process| process.program().is_none()) {
            return Err(ReadError::Hidden);
        }
        Ok(lineage)
    }
}

/// The same files at the same paths: then hashes agree as well.
fn would_agree(one: &Lineage, other: &Lineage) -> bool {
    fn programs(lineage: &Lineage) -> impl Iterator<Item = &Program> {
        lineage.iter().filter_map(|process| process.program())
    }
    programs(one).next() == programs(other).next()
        && programs(one).collect::<BTreeSet<_>>() == programs(other).collect::<BTreeSet<_>>()
}

/// The sandbox's process 1 is ringfence's own.
pub(super) const INIT_PID: u32 = 1;
pub(super) const ANCESTORS_MAX: usize = 64;
/// Owners that differ in a file's fingerprint; more than a few are no accident.
const OWNERS_MAX: usize = 8;
/// At 1 µs a descriptor, a quarter of a second on a helper thread. A sandbox with more open cannot be searched.
const DESCRIPTORS_MAX: usize = 1 << 18;
const PROCESSES_MAX: usize = 1 << 15;

#[cfg(test)]
pub(super) mod tests;
