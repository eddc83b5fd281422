//! What a process that evaluates rules needs of the kernel (`judge::keeper`). It has one thread.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::Pid;

/// Which side of a fork this is.
pub(crate) enum Forked {
    Parent(Pid),
    Child,
}

/// Forks. Only a process of one thread calls it, so that the child may allocate.
pub(crate) fn fork() -> std::io::Result<Forked> {
    // SAFETY: the caller's process has one thread, so no lock is held by a thread the child does not have.
    match unsafe { libc::fork() } {
        0 => Ok(Forked::Child),
        pid => Pid::from_raw(pid)
            .filter(|_| pid > 0)
            .map(Forked::Parent)
            .ok_or_else(std::io::Error::last_os_error),
    }
}

/// Ends this process without unwinding it: what it shares with its parent is not its to tidy up.
pub(crate) fn exit_now() -> ! {
    // SAFETY: _exit takes any number and does not return.
    unsafe { libc::_exit(0) }
}

/// Closes every descriptor from `first` on; nothing that owns one of them may be used after it.
pub(crate) fn close_from(first: u32) -> std::io::Result<()> {
    // SAFETY: the callers are at the start of their process's life and use only what they make after it, or keep.
    match unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Moves `fd` to descriptor 0 and closes all others but the standard ones.
pub(crate) fn keep_only(fd: OwnedFd) -> std::io::Result<OwnedFd> {
    // SAFETY: dup2 makes descriptor 0 a copy; whatever it was is closed by that, and nobody here reads it again.
    if unsafe { libc::dup2(fd.as_raw_fd(), 0) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    // Closed by number with all others.
    std::mem::forget(fd);
    close_from(3)?;
    // SAFETY: descriptor 0 is open and owned by nobody else: standard input is not used by this process.
    Ok(unsafe { OwnedFd::from_raw_fd(0) })
}

/// Gives this process a niceness and short turns: it goes first when it wakes up beside longer ones, and is interrupted as
/// soon when it runs. Kernels before 6.12 take the niceness alone.
pub(crate) fn short_turns(nice: i32, turn: Duration) -> std::io::Result<()> {
    let attr = libc::sched_attr {
        size: u32::try_from(size_of::<libc::sched_attr>()).unwrap_or(0),
        sched_policy: libc::SCHED_OTHER.unsigned_abs(),
        sched_flags: 0,
        sched_nice: nice,
        sched_priority: 0,
        sched_runtime: u64::try_from(turn.as_nanos()).unwrap_or(0),
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the kernel reads `size` bytes of `attr`, which lives across the call.
    match unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// The processor time of a process.
pub(crate) struct CpuClock(libc::clockid_t);

impl CpuClock {
    /// The clock of `pid`; `None` when it has ended and was waited for.
    pub(crate) fn of(pid: Pid) -> Option<CpuClock> {
        let mut clock = MaybeUninit::uninit();
        // SAFETY: the call fills `clock` when it returns 0, and only then it is read.
        unsafe {
            (libc::clock_getcpuclockid(pid.as_raw_nonzero().get(), clock.as_mut_ptr()) == 0)
                .then(|| CpuClock(clock.assume_init()))
        }
    }

    /// What the process has used.
    pub(crate) fn read(&self) -> Option<Duration> {
        let mut time = MaybeUninit::<libc::timespec>::uninit();
        // SAFETY: the call fills `time` when it returns 0, and only then it is read.
        let time = unsafe {
            (libc::clock_gettime(self.0, time.as_mut_ptr()) == 0).then(|| time.assume_init())
        }?;
        let (secs, nanos) = (
            u64::try_from(time.tv_sec).ok()?,
            u32::try_from(time.tv_nsec).ok()?,
        );
        Some(Duration::new(secs, nanos))
    }
}

/// Waits until `fd` can be read or has ended, or until the time is over.
pub(crate) fn readable_within(fd: BorrowedFd<'_>, time: Duration) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    // A time that cannot be told is longer than any caller's.
    let time = Timespec::try_from(time).ok();
    matches!(rustix::event::poll(&mut fds, time.as_ref()), Ok(1..))
}
