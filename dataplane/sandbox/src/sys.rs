//! Raw system calls: the only `unsafe` of this crate.
//!
//! What rustix offers safely is used where it is needed; here is what it does not.

use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::thread::UnshareFlags;

/// The descriptor on which a fence process finds its launcher.
const CHANNEL: RawFd = 3;

/// Which side of a fork this is.
pub(crate) enum Forked {
    Parent(rustix::process::Pid),
    Child,
}

/// Forks. The fence process calls it with one thread, so that the child may allocate and take locks.
pub(crate) fn fork() -> io::Result<Forked> {
    // SAFETY: the process has one thread (nothing in this crate starts one after `fence_main`), so no lock can be held
    // by a thread that does not exist in the child.
    let pid = unsafe { libc::fork() };
    match pid {
        0 => Ok(Forked::Child),
        _ => rustix::process::Pid::from_raw(pid)
            .filter(|_| pid > 0)
            .map(Forked::Parent)
            .ok_or_else(io::Error::last_os_error),
    }
}

/// Leaves the namespaces named by `flags` for new ones.
pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: unsafe for CLONE_FILES only, which would close descriptors others own; callers pass namespaces.
    unsafe { rustix::thread::unshare_unsafe(flags) }?;
    Ok(())
}

/// Makes `command` start with `socket` as descriptor 3 and end when the thread that spawns it ends.
pub(crate) fn give_channel(command: &mut Command, socket: OwnedFd) {
    let start = move || {
        // SAFETY: prctl and dup2 are async-signal-safe; the descriptor is alive, the closure owns it.
        unsafe {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // Why: dup2 onto itself would leave close-on-exec set.
            let done = if socket.as_raw_fd() == CHANNEL {
                libc::fcntl(CHANNEL, libc::F_SETFD, 0)
            } else {
                libc::dup2(socket.as_raw_fd(), CHANNEL)
            };
            if done < 0 {
                Err(io::Error::last_os_error())
            } else {
                Ok(())
            }
        }
    };
    // SAFETY: `start` makes async-signal-safe calls only and does not allocate.
    unsafe { command.pre_exec(start) };
}

/// Takes the channel a fence process was started with. `None` when descriptor 3 is not a socket, or was taken.
pub(crate) fn take_channel() -> Option<UnixStream> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let mut status = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: fstat fills the buffer when it returns 0, and only then it is read.
    let socket = unsafe {
        libc::fstat(CHANNEL, status.as_mut_ptr()) == 0
            && status.assume_init().st_mode & libc::S_IFMT == libc::S_IFSOCK
    };
    if !socket || TAKEN.swap(true, Ordering::SeqCst) {
        return None;
    }
    // SAFETY: the descriptor is open and nothing else owns it: it is inherited, and taken once.
    let fd = unsafe { OwnedFd::from_raw_fd(CHANNEL) };
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC).ok()?;
    Some(UnixStream::from(fd))
}

/// Closes every descriptor above the channel, so that only 0–3 are left (SBX-4).
pub(crate) fn close_above_channel() -> io::Result<()> {
    // SAFETY: called first thing in `fence_main`, before this process has opened a descriptor of its own.
    let done = unsafe { libc::syscall(libc::SYS_close_range, CHANNEL + 1, libc::c_uint::MAX, 0) };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Marks every descriptor above 2 close-on-exec (SBX-4).
pub(crate) fn close_above_stdio_on_exec() -> io::Result<()> {
    // SAFETY: sets a flag; nothing is closed before the exec.
    let done = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Blocks every signal that can be blocked and returns a descriptor that reports ended children.
pub(crate) fn block_signals() -> io::Result<OwnedFd> {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut children = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset, sigemptyset and sigaddset initialise the sets they are given; signalfd returns a new
    // descriptor, which nothing else owns.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::sigemptyset(children.as_mut_ptr());
        libc::sigaddset(children.as_mut_ptr(), libc::SIGCHLD);
        if libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        // Why: an ignored SIGCHLD would let the kernel reap, and the exit status would be lost.
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        let fd = libc::signalfd(
            -1,
            children.as_ptr(),
            libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
        );
        if fd < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(OwnedFd::from_raw_fd(fd))
        }
    }
}

/// Gives every signal its default action again, whatever the launcher ignored, and blocks none.
pub(crate) fn default_signals() -> io::Result<()> {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: SIG_DFL is an action; SIGKILL, SIGSTOP and the C library's own answer EINVAL.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let mut none = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set.
    let done = unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut())
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Brings the loopback interface of the current network namespace up. `socket` is any internet socket made in it.
pub(crate) fn loopback_up(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: all-zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { MaybeUninit::zeroed().assume_init() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an ifreq, which lives over the call.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Installs a filter whose SECCOMP_RET_USER_NOTIF are told to the descriptor that is returned.
///
/// A process that waits for an answer is woken early by a fatal signal only, where the kernel can (5.19): programs that
/// signal themselves all the time, as Go's do, would else begin their call anew without end.
pub(crate) fn listen_to_filter(program: &[seccompiler::sock_filter]) -> io::Result<OwnedFd> {
    let listener = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    match install_filter(program, listener | WAIT_KILLABLE_RECV) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            install_filter(program, listener)
        }
        other => other,
    }
}

fn install_filter(
    program: &[seccompiler::sock_filter],
    flags: libc::c_ulong,
) -> io::Result<OwnedFd> {
    let mut program: Vec<libc::sock_filter> = program
        .iter()
        .map(|statement| libc::sock_filter {
            code: statement.code,
            jt: statement.jt,
            jf: statement.jf,
            k: statement.k,
        })
        .collect();
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(io::Error::other)?,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the kernel copies the program, which lives over the call, and returns a new close-on-exec descriptor,
    // which nothing else owns.
    unsafe {
        let made = libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const filter,
        );
        match c_int::try_from(made) {
            Ok(fd @ 0..) => Ok(OwnedFd::from_raw_fd(fd)),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV; not yet in libc.
const WAIT_KILLABLE_RECV: libc::c_ulong = 1 << 5;

/// Sends `signal` to one process, to a group (negative number) or to all (-1).
pub(crate) fn kill(target: c_int, signal: c_int) -> io::Result<()> {
    // SAFETY: no memory is passed.
    let done = unsafe { libc::kill(target, signal) };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
