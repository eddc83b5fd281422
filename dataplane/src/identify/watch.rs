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
use std::thread;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::call::Call;
use super::exe::Executables;
use super::filed::Filer;
use super::process;
use super::watched::{Gate, Sandbox};
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
        let ready = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?);
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        epoll::add(
            &*ready,
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
    ready: Arc<OwnedFd>,
    wake: Arc<OwnedFd>,
    orders: flume::Receiver<Order>,
    /// Of this process's own pid namespace.
    proc: OwnedFd,
    offload: Offload,
    sandboxes: HashMap<u64, Sandbox>,
    next: u64,
}

impl Watching {
    fn run(mut self) {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        loop {
            match epoll::wait(&*self.ready, spare_capacity(&mut events), None) {
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
                    if let Some(sandbox) = self.sandboxes.remove(&key) {
                        // A call that waits for a hash may keep the listener open, and it would be reported again and again.
                        _ = epoll::delete(&*self.ready, &**sandbox.calls());
                    }
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
        sys::hand_over_in_step(watched.calls.as_fd());
        let key = self.next;
        let data = epoll::EventData::new_u64(key);
        epoll::add(&*self.ready, &watched.calls, data, epoll::EventFlags::IN)?;
        self.next += 1;
        let gate = Gate {
            ready: Arc::clone(&self.ready),
            key,
        };
        let sandbox = Sandbox::new(watched, gate);
        self.sandboxes.insert(key, sandbox);
        Ok(())
    }

    /// One call of one sandbox.
    fn turn(&mut self, key: u64) {
        let Some(sandbox) = self.sandboxes.get_mut(&key) else {
            return;
        };
        if !sandbox.takes_in() {
            return;
        }
        let Some(call) = Call::receive(sandbox.calls()) else {
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

const WAKE: u64 = 0;
/// Sandboxes that may be ready in one turn; more wait for the next.
const EVENTS_MAX: usize = 64;
const ORDERS_MAX: usize = 64;
const CONFIRM_TIME: Duration = Duration::from_secs(10);
