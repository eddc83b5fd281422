//! Pid 1 of a sandbox: mounts, hands the listeners over, waits for the word, forks the command, then only watches.
//!
//! Its own end is the end of every process of the sandbox: the kernel sees to that (SBX-8). Invariants: it cannot be
//! dumped or traced, keeps no descriptor of the sandbox's sockets, and has the identity of the command and no
//! capability before the command's first instruction runs.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags, open};

use crate::calls;
use crate::child::{self, Word};
use crate::fence;
use crate::handover;
use crate::identity::Identity;
use crate::listener::Inside;
use crate::mounts;
use crate::report::{Failure, Order, Report, Started, Step};
use crate::spec::Spec;
use crate::stop;
use crate::sys::{self, Forked};
use crate::{runtime, seccomp};

/// How long the launcher may take to confirm (GEN-5).
const CONFIRMATION: Duration = Duration::from_secs(10);

/// What the fence process decided before its fork.
pub(crate) struct Plan {
    pub(crate) spec: Box<Spec>,
    pub(crate) identity: Identity,
    /// The uid the host knows the command by.
    pub(crate) uid_outside: u32,
    /// The Unix sockets the host had then.
    pub(crate) sockets: Vec<PathBuf>,
}

/// Never returns: its last act is to exit.
pub(crate) fn run(
    channel: &UnixStream,
    plan: &Plan,
    inside: Inside,
    ended_children: &OwnedFd,
) -> ! {
    let failure = match start(channel, plan, inside) {
        Ok(entry) => match stop::watch(channel, ended_children, entry, plan.spec.terminal) {
            Ok(exit) => {
                drop(handover::send(channel, &Report::Ended(exit), &[]));
                std::process::exit(0)
            }
            // The launcher is gone, and there is nobody to tell.
            Err(_) => std::process::exit(125),
        },
        Err(failure) => failure,
    };
    drop(handover::send(channel, &Report::Failed(failure), &[]));
    std::process::exit(125)
}

/// The start up to the running command; its process number in the sandbox.
fn start(channel: &UnixStream, plan: &Plan, inside: Inside) -> Result<i32, Failure> {
    let (spec, identity) = (&plan.spec, plan.identity);
    fence::hide(Step::Namespace)?;
    let memfd = seccomp::forbid_executable_memfd();
    let proc = mounts::arrange(plan)?;
    let (calls, connects) = calls::observe(&spec.observe);
    let descriptors: Vec<_> = [&inside.proxy, &inside.direct, &inside.diag, &proc]
        .into_iter()
        .chain(&calls)
        .map(AsFd::as_fd)
        .collect();
    handover::send(channel, &Report::Ready, &descriptors)
        .map_err(Step::Listener.because("hand-over"))?;
    drop((inside, proc, calls));
    confirmed(channel)?;
    for listed in &spec.filesystem.read_write {
        // Why ignored: what cannot be made is missing, and a missing path is judged when its rule is opened.
        runtime::make_directories(&listed.path, identity).ok();
    }
    let (ours, theirs) = UnixStream::pair().map_err(Step::Fork.because("socketpair"))?;
    match sys::fork().map_err(Step::Fork.because("fork"))? {
        Forked::Child => {
            drop(ours);
            let failure = match child::run(spec, identity, &theirs, memfd) {
                Ok(never) => match never {},
                Err(failure) => failure,
            };
            drop(handover::send(&theirs, &Word::Failed(failure), &[]));
            std::process::exit(125)
        }
        Forked::Parent(pid) => {
            drop(theirs);
            let entry = pid.as_raw_nonzero().get();
            let (landlock, skipped) = ready(&ours)?;
            step_back(identity, memfd)?;
            (&ours)
                .write_all(&[1])
                .map_err(Step::Fork.because("entry process"))?;
            executed(&ours)?;
            let started = Started {
                landlock,
                skipped,
                entry_pid_inside: entry.unsigned_abs(),
                connects,
            };
            handover::send(channel, &Report::Started(started), &[])
                .map_err(Step::Confirmation.because("report"))?;
            Ok(entry)
        }
    }
}

/// Waits for the launcher's word.
fn confirmed(channel: &UnixStream) -> Result<(), Failure> {
    channel
        .set_read_timeout(Some(CONFIRMATION))
        .map_err(Step::Confirmation.because("timeout"))?;
    match handover::receive(channel) {
        Ok((Order::Go, _)) => channel
            .set_read_timeout(None)
            .map_err(Step::Confirmation.because("timeout")),
        Ok((Order::Launch(_) | Order::Signal(_) | Order::Stop, _)) => {
            Err(Step::Confirmation.failed("stopped before the start"))
        }
        Err(error) => Err(Step::Confirmation.failed(format!(
            "no confirmation from the data plane within 10 s: {error}"
        ))),
    }
}

/// What the child enforces, once it does.
fn ready(
    child: &UnixStream,
) -> Result<(crate::report::LandlockState, Vec<crate::report::Skipped>), Failure> {
    match handover::receive(child) {
        Ok((Word::Fenced { landlock, skipped }, _)) => Ok((landlock, skipped)),
        Ok((Word::Failed(failure), _)) => Err(failure),
        Err(error) => Err(Step::Fork.failed(format!("the entry process is gone: {error}"))),
    }
}

/// Success is the end of the stream: the exec closed it.
fn executed(child: &UnixStream) -> Result<(), Failure> {
    match handover::receive::<Word>(child) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
        Ok((Word::Failed(failure), _)) => Err(failure),
        Ok((Word::Fenced { .. }, _)) => Err(Step::Fork.failed("the entry process spoke twice")),
        Err(error) => Err(Step::Fork.failed(error.to_string())),
    }
}

/// From here on pid 1 needs only to signal and to reap, and can do no more.
fn step_back(identity: Identity, memfd: seccomp::Memfd) -> Result<(), Failure> {
    leave_stdio().map_err(Step::Drop.because("/dev/null"))?;
    rustix::process::chdir("/").map_err(Step::Drop.because("chdir /"))?;
    identity.assume()?;
    fence::hide(Step::Drop)?;
    seccomp::enforce(memfd)
}

/// Lets go of the launcher's standard streams, so that their readers see an end when the command closes them.
pub(crate) fn leave_stdio() -> io::Result<()> {
    let null = open(
        Path::new("/dev/null"),
        OFlags::RDWR | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}

/// Waits, in the child, until pid 1 has stepped back.
pub(crate) fn await_parent(mut parent: &UnixStream) -> Result<(), Failure> {
    parent
        .read_exact(&mut [0])
        .map_err(Step::Drop.because("pid 1"))
}
