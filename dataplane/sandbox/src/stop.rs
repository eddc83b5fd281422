//! Pid 1 while the command runs: reaps what ends, passes signals on, and ends the tree.
//!
//! The end (SBX-8): SIGTERM to every process, SIGKILL five seconds later, which is what pid 1's own exit does.
//! Invariant: the status reported is that of the entry process, whoever else ended when.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, WaitOptions, wait};

use crate::handover;
use crate::report::{Exit, Order};
use crate::spec::Terminal;
use crate::sys;

/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(5);

/// Every process this one may signal: in pid 1, the whole sandbox but itself.
const EVERYBODY: i32 = -1;

/// Watches until the tree has ended or may be killed. An error means the launcher is gone.
pub(crate) fn watch(
    channel: &UnixStream,
    ended_children: &OwnedFd,
    entry: i32,
    terminal: Terminal,
) -> io::Result<Exit> {
    let mut ended = None;
    let mut kill_at: Option<Instant> = None;
    loop {
        if let Reaped::Nobody = reap(entry, &mut ended) {
            // Why the default: only a process that was never ours could leave the entry's status unknown.
            return Ok(ended.unwrap_or(Exit::Signalled(libc::SIGKILL)));
        }
        if ended.is_some() && kill_at.is_none() {
            kill_at = Some(terminate());
        }
        let left = kill_at.map(|at| at.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(ended.unwrap_or(Exit::Signalled(libc::SIGKILL)));
        }
        match turn(channel, ended_children, left)? {
            Some(Order::Signal(signal)) => pass_on(entry, terminal, signal),
            Some(Order::Stop) => kill_at = kill_at.or_else(|| Some(terminate())),
            Some(Order::Launch(_) | Order::Go) | None => {}
        }
    }
}

enum Reaped {
    /// No child is left.
    Nobody,
    /// Some still run.
    Some,
}

/// Collects every ended child and keeps the status of the entry process.
fn reap(entry: i32, ended: &mut Option<Exit>) -> Reaped {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid.as_raw_nonzero().get() == entry => {
                *ended = status
                    .exit_status()
                    .map(Exit::Exited)
                    .or_else(|| status.terminating_signal().map(Exit::Signalled));
            }
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return Reaped::Some,
            Err(_) => return Reaped::Nobody,
        }
    }
}

/// Waits for an order, an ended child or the time.
fn turn(
    channel: &UnixStream,
    ended_children: &OwnedFd,
    left: Option<Duration>,
) -> io::Result<Option<Order>> {
    let timeout = left.and_then(|left| Timespec::try_from(left).ok());
    let mut ready = [
        PollFd::new(channel, PollFlags::IN),
        PollFd::new(ended_children, PollFlags::IN),
    ];
    match poll(&mut ready, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let [order, child] = ready.map(|fd| !fd.revents().is_empty());
    if child {
        // The content is not of interest: `reap` asks the kernel. An empty read is another turn.
        let mut event = [0; 128];
        rustix::io::read(ended_children, &mut event).ok();
    }
    if order {
        handover::receive(channel).map(|(order, _)| Some(order))
    } else {
        Ok(None)
    }
}

/// SIGTERM to all; stopped processes are woken to receive it.
fn terminate() -> Instant {
    // Why ignored: there may be nobody left to signal.
    drop(sys::kill(EVERYBODY, Signal::TERM.as_raw()));
    drop(sys::kill(EVERYBODY, Signal::CONT.as_raw()));
    Instant::now() + GRACE
}

/// Detached, the group is the command's own and gets the signal. In the foreground the command alone does, and not
/// what a terminal sends to its whole group: it would arrive twice, and many programs leave at the second Ctrl-C.
fn pass_on(entry: i32, terminal: Terminal, signal: i32) {
    let target = match terminal {
        Terminal::Foreground if FROM_TERMINAL.contains(&signal) => return,
        Terminal::Foreground => entry,
        Terminal::Detached => -entry,
    };
    // Why ignored: it may have ended, and a number that is no signal changes nothing.
    drop(sys::kill(target, signal));
}

/// What a terminal sends to the foreground group by itself.
const FROM_TERMINAL: [i32; 4] = [libc::SIGINT, libc::SIGQUIT, libc::SIGTSTP, libc::SIGWINCH];
