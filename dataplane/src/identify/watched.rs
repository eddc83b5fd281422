//! One sandbox as the watching thread sees it: what a call is about, who makes it, and what is kept of both.
//!
//! Apart from `watch.rs`, which owns the thread and says what may be relied on while a call waits.
//!
//! Invariants: what is kept is bounded and is looked at before it is used; nothing here waits for a file to be hashed.

use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use policy::IdentityError;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::sockopt::{socket_cookie, socket_protocol};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::Identity;
use super::call::Call;
use super::exe::Executables;
use super::filed::Filer;
use super::lineage::{Extent, Seen};
use super::process;
use super::watch::Watched;
use crate::offload::Offload;

/// A sandbox as the thread sees it.
pub(super) struct Sandbox {
    proc: OwnedFd,
    doors: Vec<SocketAddrV4>,
    shared: Arc<Shared>,
    threads: HashMap<u32, Thread>,
    processes: HashMap<u32, Arc<Seen>>,
    named: HashMap<u32, (Arc<Seen>, Identity)>,
}

/// What threads that hash need.
struct Shared {
    calls: Arc<OwnedFd>,
    gate: Gate,
    filer: Filer,
    executables: Executables,
    hashing: AtomicUsize,
    /// As many calls wait for a hash as may; the next one is taken in when one of them is done.
    is_paused: AtomicBool,
}

/// One call that waits for a hash.
struct Hashing(Arc<Shared>);

impl Drop for Hashing {
    fn drop(&mut self) {
        self.0.hashing.fetch_sub(1, Ordering::SeqCst);
        if self.0.is_paused.swap(false, Ordering::SeqCst) {
            self.0.gate.open(&self.0.calls);
        }
    }
}

/// Where a sandbox's calls are taken in, or left to wait in the kernel.
pub(super) struct Gate {
    pub(super) ready: Arc<OwnedFd>,
    /// What the sandbox is known by there.
    pub(super) key: u64,
}

impl Gate {
    fn open(&self, calls: &OwnedFd) {
        self.set(calls, epoll::EventFlags::IN);
    }

    fn close(&self, calls: &OwnedFd) {
        self.set(calls, epoll::EventFlags::empty());
    }

    fn set(&self, calls: &OwnedFd, flags: epoll::EventFlags) {
        let data = epoll::EventData::new_u64(self.key);
        // Why ignored: a sandbox that ended is not waited for any more.
        _ = epoll::modify(&*self.ready, calls, data, flags);
    }
}

/// A thread of a sandbox.
struct Thread {
    pidfd: OwnedFd,
    /// The descriptor is of the thread itself: once that has ended, asking by it fails. Otherwise it is of the process, which
    /// may live on when the number has passed to another one's thread, so it is not asked a second time.
    is_bound: bool,
    /// Its process, by the number that the sandbox knows it by.
    process: u32,
    /// Itself, by the same.
    inside: u32,
}

/// Who a caller is, as far as that can be said at once.
enum Judged {
    Named(Identity),
    /// A file of it, or of those above, has no hash yet.
    Unhashed(Arc<Seen>),
    Unknown(IdentityError),
}

impl Sandbox {
    pub(super) fn new(watched: Watched, gate: Gate) -> Sandbox {
        let Watched {
            calls,
            proc,
            doors,
            filer,
            executables,
        } = watched;
        Sandbox {
            proc,
            doors,
            shared: Arc::new(Shared {
                calls: Arc::new(calls),
                gate,
                filer,
                executables,
                hashing: AtomicUsize::new(0),
                is_paused: AtomicBool::new(false),
            }),
            threads: HashMap::new(),
            processes: HashMap::new(),
            named: HashMap::new(),
        }
    }

    /// The seccomp listener.
    pub(super) fn calls(&self) -> &Arc<OwnedFd> {
        &self.shared.calls
    }

    /// Whether another call may be taken in. When not, the sandbox's calls wait in the kernel until a hash is done.
    pub(super) fn takes_in(&self) -> bool {
        let Shared {
            calls,
            gate,
            hashing,
            is_paused,
            ..
        } = &*self.shared;
        let has_room = || hashing.load(Ordering::SeqCst) < HASHING_MAX;
        if has_room() {
            return true;
        }
        is_paused.store(true, Ordering::SeqCst);
        gate.close(calls);
        // A hash that was done in between has opened what was still open.
        if has_room() {
            gate.open(calls);
        }
        false
    }

    /// Sees to it that the call is answered, now or when its files are hashed. `proc` is by which numbers of threads are
    /// understood.
    pub(super) fn judge(&mut self, call: Call, proc: BorrowedFd<'_>, offload: &Offload) {
        if !call.leads_to(&self.doors) {
            return call.go_on();
        }
        let Some(cookie) = self.socket(&call, proc) else {
            return call.go_on();
        };
        match self.caller(call.told.thread) {
            Judged::Named(identity) => {
                if !call.waits() {
                    // Withdrawn, so its thread may have been another than the one that was read.
                    self.forget();
                    return call.fail();
                }
                answer(call, &self.shared, cookie, Ok(identity));
            }
            Judged::Unknown(error) => answer(call, &self.shared, cookie, Err(error)),
            Judged::Unhashed(seen) => self.hash(call, cookie, seen, offload),
        }
    }

    /// The cookie of the socket that the call is about; `None` for what cannot become a connection to the gate.
    fn socket(&mut self, call: &Call, proc: BorrowedFd<'_>) -> Option<u64> {
        let number = call.told.thread;
        let take = |thread: &Thread| {
            pidfd_getfd(
                &thread.pidfd,
                call.told.descriptor,
                PidfdGetfdFlags::empty(),
            )
        };
        let known = self.threads.get(&number);
        let mut socket = known.filter(|thread| thread.is_bound).map(take);
        if matches!(socket, None | Some(Err(Errno::SRCH))) {
            // Unknown, or the number has passed to another thread.
            let thread = Thread::open(proc, number)?;
            // It is found again by its number, which must have been its own all the time.
            if !call.waits() {
                return None;
            }
            socket = Some(take(&thread));
            if self.threads.len() >= KEPT_MAX {
                self.threads.clear();
            }
            self.threads.insert(number, thread);
        }
        let socket = socket?.ok()?;
        let is_tcp = socket_protocol(&socket) == Ok(Some(rustix::net::ipproto::TCP));
        (is_tcp && is_closed(&socket))
            .then(|| socket_cookie(&socket).ok())
            .flatten()
    }

    fn caller(&mut self, thread: u32) -> Judged {
        let Some(thread) = self.threads.get(&thread) else {
            return Judged::Unknown(IdentityError::Unavailable);
        };
        let (process, inside) = (thread.process, thread.inside);
        if let Some((seen, identity)) = self.named.get(&process)
            && seen.is_same_caller()
        {
            return Judged::Named(identity.clone());
        }
        // A process above may end just now, and the caller gets another parent while it is read.
        let read = (0..READS_MAX).find_map(|_| self.read(process).ok());
        // The first thread of a process can end before the others, and its number then shows a process without a program.
        let Some((seen, extent)) = read.or_else(|| self.read(inside).ok()) else {
            return Judged::Unknown(IdentityError::Unavailable);
        };
        let executables = &self.shared.executables;
        let is_hashed = |seen: &Seen| executables.knows(&seen.program.fingerprint);
        if !seen.lineage().all(is_hashed) {
            return Judged::Unhashed(seen);
        }
        match name(executables, &seen, process) {
            Ok(identity) => {
                // What changed a moment ago may change again without a trace.
                let is_settled = |seen: &Seen| !seen.program.fingerprint.is_young();
                if extent == Extent::Whole && seen.lineage().all(is_settled) {
                    self.named.insert(process, (seen, identity.clone()));
                }
                Judged::Named(identity)
            }
            Err(error) => Judged::Unknown(error),
        }
    }

    fn read(&mut self, process: u32) -> Result<(Arc<Seen>, Extent), process::ReadError> {
        let known = |above: u32| {
            let seen = self.processes.get(&above)?;
            (seen.is_unchanged() && seen.is_unchanged_above()).then(|| Arc::clone(seen))
        };
        let (seen, extent) = Seen::read(self.proc.as_fd(), process, &known)?;
        let seen = Arc::new(seen);
        if extent == Extent::Whole {
            if self.processes.len() + seen.depth >= KEPT_MAX {
                self.processes.clear();
                self.named.clear();
            }
            let mut next = Some(&seen);
            while let Some(kept) = next {
                self.processes.insert(kept.pid, Arc::clone(kept));
                next = kept.above.as_ref();
            }
        }
        Ok((seen, extent))
    }

    /// Has the files hashed by a helper thread, which then answers the call (IDN-9).
    fn hash(&self, call: Call, cookie: u64, seen: Arc<Seen>, offload: &Offload) {
        let shared = Arc::clone(&self.shared);
        shared.hashing.fetch_add(1, Ordering::SeqCst);
        let process = self
            .threads
            .get(&call.told.thread)
            .map_or(seen.pid, |thread| thread.process);
        let hashing = Hashing(Arc::clone(&shared));
        // A full queue drops the call with the work, and so answers it.
        let work = move || {
            let _hashing = hashing;
            let named = name(&shared.executables, &seen, process);
            // Those above were read at the call and their files are open: what becomes of them meanwhile is of no
            // interest. The caller itself waits, or the call is gone.
            if call.waits() {
                answer(call, &shared, cookie, named);
            }
        };
        drop(offload.submit(work));
    }

    /// Lets all that is kept go.
    pub(super) fn forget(&mut self) {
        self.threads.clear();
        self.processes.clear();
        self.named.clear();
    }
}

/// Files the caller and lets the call go on; fails it when there is no room.
fn answer(call: Call, shared: &Shared, cookie: u64, who: Result<Identity, IdentityError>) {
    match shared.filer.file(cookie, who) {
        Ok(()) => call.go_on(),
        Err(super::filed::Full) => call.fail(),
    }
}

/// The hashes of a caller and those above it, and the trust in their paths.
fn name(executables: &Executables, seen: &Seen, pid: u32) -> Result<Identity, IdentityError> {
    let mut named = Vec::with_capacity(1 + seen.depth);
    for seen in seen.lineage() {
        let program = &seen.program;
        named.push(
            executables.identify(&program.path, program.fingerprint, || {
                seen.open_executable()
            })?,
        );
    }
    let mut named = named.into_iter();
    let exe = named.next().ok_or(IdentityError::Unavailable)?;
    Ok(Identity::new(policy::Caller {
        pid,
        exe,
        ancestors: named.collect(),
        cmdline: seen.cmdline.clone(),
    }))
}

/// A socket in the state CLOSE hangs up; one that is connecting or connected does not. Asked without its lock, which a
/// sender can hold for long.
fn is_closed(socket: &OwnedFd) -> bool {
    let mut asked = [PollFd::new(socket, PollFlags::empty())];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut asked, Some(&now)).is_ok()
        && asked
            .iter()
            .all(|asked| asked.revents().contains(PollFlags::HUP))
}

impl Thread {
    fn open(proc: BorrowedFd<'_>, number: u32) -> Option<Thread> {
        let pid = Pid::from_raw(number.cast_signed())?;
        let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory =
            rustix::fs::openat(proc, number.to_string(), directory, Mode::empty()).ok()?;
        let mut buf = [0; STATUS_BYTES_MAX];
        let count = process::read_file(directory.as_fd(), c"status", &mut buf).ok()?;
        let status = buf.get(..count)?;
        let outside = field(status, b"Tgid:")?;
        // Why the second try: kernels before 6.9 have descriptors of processes only. A thread with a descriptor table of its
        // own is then asked for the wrong one, and its socket is nobody's.
        let own = pidfd_open(pid, PidfdFlags::from_bits_retain(PIDFD_THREAD));
        let is_bound = own.is_ok();
        let pidfd = own
            .or_else(|_| {
                let process = Pid::from_raw(outside.cast_signed()).ok_or(Errno::SRCH)?;
                pidfd_open(process, PidfdFlags::empty())
            })
            .ok()?;
        Some(Thread {
            pidfd,
            is_bound,
            process: field(status, b"NStgid:")?,
            inside: field(status, b"NSpid:")?,
        })
    }
}

/// The last number of a line of proc_pid_status(5): of the innermost namespace, where there are several.
fn field(status: &[u8], name: &[u8]) -> Option<u32> {
    status
        .split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(name))
        .and_then(|numbers| str::from_utf8(numbers).ok())
        .and_then(|numbers| numbers.split_ascii_whitespace().next_back())
        .and_then(|number| number.parse().ok())
}

/// PIDFD_THREAD, which is O_EXCL.
const PIDFD_THREAD: u32 = 0o200;
/// Processes and threads kept of a sandbox; four descriptors for each pair. When there are more, all are read anew.
const KEPT_MAX: usize = 32;
/// How often a caller is read whose parents change.
const READS_MAX: usize = 3;
/// Calls of one sandbox that may wait for a hash; each may hold the descriptors of a whole lineage.
const HASHING_MAX: usize = 64;
/// A process can be in many groups, which come after what is read here.
const STATUS_BYTES_MAX: usize = 4_096;

#[cfg(test)]
mod tests;
