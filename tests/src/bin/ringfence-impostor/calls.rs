//! System calls of the impostor; the only `unsafe` of this program.

use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// A descriptor that this process was started with.
pub(crate) fn inherited(number: i32) -> OwnedFd {
    // SAFETY: the number is an argument of the program that left the descriptor open for this one; it is taken once.
    unsafe { OwnedFd::from_raw_fd(number) }
}

pub(crate) fn keep_over_exec(fd: &impl AsFd) {
    rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty()).expect("an open descriptor");
}

/// Puts a descriptor into the queue of a Unix socket.
pub(crate) fn give(queue: &OwnedFd, fd: &OwnedFd) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let passed = [fd.as_fd()];
    assert!(control.push(SendAncillaryMessage::ScmRights(&passed)));
    sendmsg(
        queue,
        &[IoSlice::new(b"x")],
        &mut control,
        SendFlags::NOSIGNAL,
    )
    .expect("a queue");
}

/// Takes a descriptor out of such a queue.
pub(crate) fn take(queue: &OwnedFd) -> Option<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(
        queue,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        RecvFlags::empty(),
    )
    .ok()?;
    control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        RecvAncillaryMessage::ScmCredentials(_) | _ => None,
    })
}

/// connect(2) with an address that lies where the caller says, and that another thread may change meanwhile.
pub(crate) fn connect_raw(fd: i32, address: *const u8, len: usize) -> io::Result<()> {
    // SAFETY: the address is of memory that lives over the call and is at least `len` long.
    let done = unsafe { libc::syscall(libc::SYS_connect, fd, address, len) };
    result(done)
}

/// Gives this thread a descriptor table of its own.
pub(crate) fn own_table() {
    // SAFETY: the copy has every descriptor of this process, and nothing that is closed in it is used elsewhere.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_FILES) }, 0);
}

pub(crate) fn set_dumpable(dumpable: i32) {
    // SAFETY: only numbers are passed.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, dumpable) }, 0);
}

/// Sends data with the first packet of a connection that it makes.
pub(crate) fn send_fast_open(fd: &OwnedFd, to: std::net::SocketAddrV4) -> io::Result<()> {
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: to.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from(*to.ip()).to_be(),
        },
        sin_zero: [0; 8],
    };
    // SAFETY: the address and the byte live over the call.
    let done = unsafe {
        libc::sendto(
            fd.as_raw_fd(),
            b"x".as_ptr().cast(),
            1,
            libc::MSG_FASTOPEN,
            (&raw const address).cast(),
            size_of_val(&address) as libc::socklen_t,
        )
    };
    result(done as libc::c_long)
}

/// Sets an integer option of TCP.
pub(crate) fn set_tcp(fd: &OwnedFd, option: i32, value: i32) -> io::Result<()> {
    // SAFETY: the value lives over the call.
    let done = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::IPPROTO_TCP,
            option,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    result(libc::c_long::from(done))
}

/// Installs a filter that allows everything, and keeps its listener over an exec.
pub(crate) fn listen_to_nothing() {
    let listener = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    let made = filter(libc::SECCOMP_RET_ALLOW, listener).expect("a listener");
    let listener = inherited(made as i32);
    keep_over_exec(&listener);
    std::mem::forget(listener);
}

/// Installs a filter that answers connect(2) with `action` and allows everything else.
pub(crate) fn filter_connect(action: u32, flags: libc::c_ulong) -> io::Result<()> {
    filter(action, flags).map(drop)
}

fn filter(action: u32, flags: libc::c_ulong) -> io::Result<libc::c_long> {
    let statement = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut program = [
        statement(0x20, 0, 0, 0),
        statement(0x15, 0, 1, libc::SYS_connect as u32),
        statement(0x06, 0, 0, action),
        statement(0x06, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the kernel copies the program, which lives over the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    };
    result(done).map(|()| done)
}

/// Lets a signal do nothing, and restart what it interrupts.
pub(crate) fn ignore_and_restart(signal: i32) {
    extern "C" fn nothing(_: i32) {}
    let handler: extern "C" fn(i32) = nothing;
    // SAFETY: an all-zero sigaction is valid; the handler does nothing, which is safe in a signal.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        assert_eq!(
            libc::sigaction(signal, &raw const action, std::ptr::null_mut()),
            0
        );
    }
}

/// The number of the calling thread.
pub(crate) fn thread() -> i32 {
    // SAFETY: takes nothing.
    unsafe { libc::gettid() }
}

/// Signals one thread of this process.
pub(crate) fn signal_thread(thread: i32, signal: i32) {
    // SAFETY: only numbers are passed. A thread that has ended is no error that matters.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, signal) };
}

/// Makes `connect` by the number of another architecture. Never returns where that is refused as it must be.
#[cfg(target_arch = "x86_64")]
pub(crate) fn connect_as_i386() {
    // SAFETY: socketcall(SYS_CONNECT, NULL) of i386 reads nothing that is there; rbx is kept.
    unsafe {
        std::arch::asm!(
            "push rbx", "mov ebx, 3", "int 0x80", "pop rbx",
            inout("eax") 102 => _, in("ecx") 0,
        );
    }
}

#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn connect_as_i386() {
    std::process::abort();
}

/// connect(2) by its x32 number.
pub(crate) fn connect_as_x32(fd: &OwnedFd) -> io::Result<()> {
    let number = libc::SYS_connect | 0x4000_0000;
    // SAFETY: a null address is refused by whoever carries the call out.
    result(unsafe { libc::syscall(number, fd.as_raw_fd(), 0, 0) })
}

pub(crate) fn say(line: &str) {
    // Why dropped: without a reader there is nobody to tell.
    drop(writeln!(io::stdout(), "{line}"));
}

fn result(done: libc::c_long) -> io::Result<()> {
    if done < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
