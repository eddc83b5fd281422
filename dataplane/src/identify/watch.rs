//! Who calls, taken when connect(2) is called: the helper thread that sees every such call of every sandbox (IDN-2).
//!
//! The kernel stops a process that calls connect(2) and tells its seccomp listener. This thread finds out which socket
//! the call is about and who calls, files both for the worker, and lets the call go on: the entry is there before the
//! connection can reach the listener, and what becomes of the process or the descriptor afterwards changes nothing.
//! `owner.rs` is for where the kernel cannot do that.
//!
//! What it may rely on. While a call waits ([`Call::waits`]) its thread is there, in that call, and its number is its
//! own; so all that is read by that number before is about it. The kernel reads descriptor and address a second time
//! when the call goes on, and another thread may have changed both. A descriptor that names another socket by then has
//! a cookie under which nobody is filed, and an address that did not lead to a door when it was read has no entry
//! either: both are refused. So the address is read only to leave alone the calls that concern nobody.
//!
//! Invariants: nothing is filed for a socket that is connected or connecting; a call waits for no other call's file to
//! be hashed; a sandbox that has more calls than another gets one turn for one; a call for which nobody can be named
//! goes on without an entry, and is `identity_unavailable` at the gate.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use policy::IdentityError;
use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, epoll, eventfd, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::net::sockopt::{socket_cookie, socket_protocol};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::Identity;
use super::call::Call;
use super::exe::Executables;
use super::filed::Filer;
use super::lineage::{Extent, Seen};
use super::process;
use crate::offload::Offload;
use crate::sys;

/// The helper thread. It ends when the last of these is dropped.
pub(crate) struct Watch {
    orders: flume::Sender<Order>,
    wake: Arc<OwnedFd>,
}

/// A sandbox whose calls are to be seen.
pub(super) struct Watched {
    /// Its seccomp listener.
    pub(super) calls: OwnedFd,
    /// Its own `/proc`.
    pub(super) proc: OwnedFd,
    /// Where the gate listens in it.
    pub(super) doors: Vec<SocketAddrV4>,
    pub(super) filer: Filer,
    pub(super) executables: Executables,
}

enum Order {
    Watch(Box<Watched>, flume::Sender<io::Result<()>>),
}

impl Watch {
    /// Starts the thread, if this process may do what it takes.
    ///
    /// # Errors
    /// With the likely cause. Then callers must be looked for afterwards.
    pub(crate) fn start(offload: Offload) -> io::Result<Watch> {
        let proc = own_proc()?;
        try_out(proc.as_fd())?;
        let ready = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        epoll::add(
            &ready,
            &*wake,
            epoll::EventData::new_u64(WAKE),
            epoll::EventFlags::IN,
        )?;
        let (orders, receive) = flume::bounded(ORDERS_MAX);
        let watching = Watching {
            ready,
            wake: Arc::clone(&wake),
            orders: receive,
            proc,
            offload,
            sandboxes: HashMap::new(),
            next: WAKE + 1,
        };
        thread::Builder::new()
            .name("identify".to_owned())
            .spawn(move || watching.run())?;
        Ok(Watch { orders, wake })
    }

    /// Returns when the sandbox's calls are seen.
    pub(super) fn add(&self, watched: Watched) -> io::Result<()> {
        let gone = || io::Error::other("the thread that sees calls is gone");
        let (confirm, confirmed) = flume::bounded(1);
        self.orders
            .send(Order::Watch(Box::new(watched), confirm))
            .map_err(|_| gone())?;
        rustix::io::write(&*self.wake, &1_u64.to_ne_bytes())?;
        confirmed.recv_timeout(CONFIRM_TIME).map_err(|_| gone())?
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let (orders, _) = flume::bounded(0);
        self.orders = orders;
        // The thread then finds that nobody can give an order any more. It is not waited for.
        _ = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes());
    }
}

/// `/proc` by which numbers of threads are understood: it must be that of this process's own pid namespace.
fn own_proc() -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = open(c"/proc", flags, Mode::empty())?;
    let own = rustix::fs::readlinkat(&proc, c"self", Vec::new())?;
    if own.as_bytes() == std::process::id().to_string().as_bytes() {
        Ok(proc)
    } else {
        Err(io::Error::other(
            "/proc shows another pid namespace than ringfence's own",
        ))
    }
}

/// Does to this process what will be done to callers, so that a missing right is known before the first call.
fn try_out(proc: BorrowedFd<'_>) -> io::Result<()> {
    let because = |what: &'static str| {
        move |error: io::Error| {
            io::Error::other(format!(
                "{what}: {error}; a seccomp filter around ringfence may forbid it, as container runtimes do by default"
            ))
        }
    };
    let own = pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
        .map_err(|error| because("pidfd_open")(error.into()))?;
    pidfd_getfd(
        &own,
        std::os::fd::AsRawFd::as_raw_fd(&own),
        PidfdGetfdFlags::empty(),
    )
    .map_err(|error| because("pidfd_getfd")(error.into()))?;
    let (byte, mut buf) = (1_u8, [0]);
    let address = (&raw const byte).expose_provenance() as u64;
    sys::read_memory(std::process::id(), address, &mut buf).map_err(because("process_vm_readv"))?;
    // Own processes are always open; this setting closes all others, for everybody.
    let mut scope = [0; 2];
    let yama = process::read_file(proc, c"sys/kernel/yama/ptrace_scope", &mut scope);
    if yama.is_ok() && scope.starts_with(b"3") {
        return Err(io::Error::other("kernel.yama.ptrace_scope is 3"));
    }
    Ok(())
}

/// What the thread owns.
struct Watching {
    ready: OwnedFd,
    wake: Arc<OwnedFd>,
    orders: flume::Receiver<Order>,
    /// Of this process's own pid namespace.
    proc: OwnedFd,
    offload: Offload,
    sandboxes: HashMap<u64, Sandbox>,
    next: u64,
}

/// A sandbox as the thread sees it.
struct Sandbox {
    calls: Arc<OwnedFd>,
    proc: OwnedFd,
    doors: Vec<SocketAddrV4>,
    shared: Arc<Shared>,
    threads: HashMap<u32, Thread>,
    processes: HashMap<u32, Arc<Seen>>,
    named: HashMap<u32, (Arc<Seen>, Identity)>,
}

/// What threads that hash need.
struct Shared {
    filer: Filer,
    executables: Executables,
    hashing: AtomicUsize,
}

/// One call that waits for a hash.
struct Hashing(Arc<Shared>);

impl Drop for Hashing {
    fn drop(&mut self) {
        self.0.hashing.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A thread of a sandbox. The descriptor is bound to it: once it has ended, asking by it fails.
struct Thread {
    pidfd: OwnedFd,
    /// Its process, by the number that the sandbox knows it by.
    process: u32,
    /// Itself, by the same.
    inside: u32,
}

impl Watching {
    fn run(mut self) {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        loop {
            match epoll::wait(&self.ready, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
            for event in events.drain(..) {
                let (key, flags) = (event.data.u64(), event.flags);
                if key == WAKE {
                    if self.obey() == Told::Gone {
                        return;
                    }
                } else if flags.contains(epoll::EventFlags::IN) {
                    self.turn(key);
                } else {
                    // Every process of the sandbox has ended.
                    self.sandboxes.remove(&key);
                }
            }
        }
    }

    fn obey(&mut self) -> Told {
        // The number read is of no interest.
        _ = rustix::io::read(&*self.wake, &mut [0; 8]);
        loop {
            match self.orders.try_recv() {
                Ok(Order::Watch(watched, confirm)) => {
                    _ = confirm.send(self.watch(*watched));
                }
                Err(flume::TryRecvError::Empty) => return Told::All,
                Err(flume::TryRecvError::Disconnected) => return Told::Gone,
            }
        }
    }

    fn watch(&mut self, watched: Watched) -> io::Result<()> {
        let Watched {
            calls,
            proc,
            doors,
            filer,
            executables,
        } = watched;
        sys::hand_over_in_step(calls.as_fd());
        let key = self.next;
        let data = epoll::EventData::new_u64(key);
        epoll::add(&self.ready, &calls, data, epoll::EventFlags::IN)?;
        self.next += 1;
        let shared = Arc::new(Shared {
            filer,
            executables,
            hashing: AtomicUsize::new(0),
        });
        let sandbox = Sandbox {
            calls: Arc::new(calls),
            proc,
            doors,
            shared,
            threads: HashMap::new(),
            processes: HashMap::new(),
            named: HashMap::new(),
        };
        self.sandboxes.insert(key, sandbox);
        Ok(())
    }

    /// One call of one sandbox.
    fn turn(&mut self, key: u64) {
        let Some(sandbox) = self.sandboxes.get_mut(&key) else {
            return;
        };
        let Some(call) = Call::receive(&sandbox.calls) else {
            return;
        };
        // A panic ends one call, which then fails. What is kept may be half made, so it is let go.
        let (proc, offload) = (self.proc.as_fd(), &self.offload);
        let done = catch_unwind(AssertUnwindSafe(|| sandbox.judge(call, proc, offload)));
        if done.is_err() {
            sandbox.forget();
        }
    }
}

/// What the orders said.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    All,
    Gone,
}

/// Who a caller is, as far as that can be said at once.
enum Judged {
    Named(Identity),
    /// A file of it, or of those above, has no hash yet.
    Unhashed(Arc<Seen>),
    Unknown(IdentityError),
}

impl Sandbox {
    fn judge(&mut self, call: Call, proc: BorrowedFd<'_>, offload: &Offload) {
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
        let mut socket = self.threads.get(&number).map(take);
        if matches!(socket, None | Some(Err(Errno::SRCH))) {
            // Unknown, or the number has passed to another thread.
            let thread = Thread::open(proc, number)?;
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
        if shared.hashing.fetch_add(1, Ordering::Relaxed) >= HASHING_MAX {
            shared.hashing.fetch_sub(1, Ordering::Relaxed);
            return answer(call, &shared, cookie, Err(IdentityError::Unavailable));
        }
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

    fn forget(&mut self) {
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
        let pidfd = pidfd_open(pid, PidfdFlags::from_bits_retain(PIDFD_THREAD))
            .or_else(|_| {
                let process = Pid::from_raw(outside.cast_signed()).ok_or(Errno::SRCH)?;
                pidfd_open(process, PidfdFlags::empty())
            })
            .ok()?;
        Some(Thread {
            pidfd,
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

const WAKE: u64 = 0;
/// Sandboxes that may be ready in one turn; more wait for the next.
const EVENTS_MAX: usize = 64;
const ORDERS_MAX: usize = 64;
const CONFIRM_TIME: Duration = Duration::from_secs(10);
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
