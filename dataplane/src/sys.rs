//! The only `unsafe` of the data plane: borrowing a descriptor that monoio owns, and seccomp listeners.
//!
//! monoio hands out raw descriptor numbers only. Every function here borrows one for the length of one
//! system call while the caller holds the stream that owns it.

pub(crate) mod process;

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use monoio::io::{OwnedReadHalf, OwnedWriteHalf};
use monoio::net::TcpStream;
use rustix::net::{RecvFlags, Shutdown};

/// Borrows the descriptor of an open stream.
pub(crate) fn borrow(stream: &impl AsRawFd) -> BorrowedFd<'_> {
    // SAFETY: the returned lifetime is that of `stream`, which keeps the descriptor open.
    unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) }
}

/// The stream behind a read half, for calls that take `&TcpStream`.
pub(crate) fn stream_of(half: &OwnedReadHalf<TcpStream>) -> &TcpStream {
    // SAFETY: both halves live on this thread and monoio's own methods create their exclusive
    // references only while they build an operation, never across an await; no such reference is
    // alive while this shared one is used.
    unsafe { &*half.0.get() }
}

/// The stream behind a write half, for calls that take `&TcpStream`.
pub(crate) fn stream_of_writer(half: &OwnedWriteHalf<TcpStream>) -> &TcpStream {
    // SAFETY: as in `stream_of`.
    unsafe { &*half.0.get() }
}

/// Ends one or both directions of the socket `fd`.
///
/// The caller promises that `fd` is still the socket it registered: `deadline::Alarm` guarantees it by
/// being dropped before the stream.
pub(crate) fn shutdown_registered(fd: RawFd, how: Shutdown) {
    // SAFETY: an alarm is removed from the table before its stream closes, so `fd` is open here.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    // A peer that is already gone makes this fail with ENOTCONN, which is what was wanted.
    _ = rustix::net::shutdown(fd, how);
}

/// The peer's address of the TCP socket `fd`; none when it is not connected any more.
///
/// The caller promises what `shutdown_registered` asks for.
pub(crate) fn peer_registered(fd: RawFd) -> Option<IpAddr> {
    // SAFETY: as in `shutdown_registered`.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    let peer = rustix::net::getpeername(fd).ok()??;
    SocketAddr::try_from(peer).ok().map(|peer| peer.ip())
}

/// Reads what is there into the spare room of `buffer`, without waiting; `None` when that is nothing.
pub(crate) fn recv_now(stream: &TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<Option<usize>> {
    match rustix::net::recv(
        borrow(stream),
        rustix::buffer::spare_capacity(buffer),
        RecvFlags::DONTWAIT,
    ) {
        Ok((received, _)) => Ok(Some(received)),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A connect(2) in a sandbox that waits until it is answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    /// Names it in the answer.
    pub(crate) id: u64,
    /// The calling thread, by the number that this process knows it by.
    pub(crate) thread: u32,
    /// The descriptor it passed.
    pub(crate) descriptor: RawFd,
    /// Where in its memory the address lies.
    pub(crate) address: u64,
    /// How long it says the address is.
    pub(crate) address_bytes: u64,
}

/// Takes the next call from a seccomp listener. Call it when the listener is readable: it would wait.
pub(crate) fn receive_call(listener: BorrowedFd<'_>) -> std::io::Result<Told> {
    let mut told = libc::seccomp_notif {
        id: 0,
        pid: 0,
        flags: 0,
        data: libc::seccomp_data {
            nr: 0,
            arch: 0,
            instruction_pointer: 0,
            args: [0; 6],
        },
    };
    // SAFETY: the kernel writes one `seccomp_notif`, whose size is part of the number; it asks for one that is zero.
    let done = unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_RECV, &raw mut told) };
    if done != 0 {
        return Err(std::io::Error::last_os_error());
    }
    let [descriptor, address, address_bytes, ..] = told.data.args;
    Ok(Told {
        id: told.id,
        thread: told.pid,
        // As the kernel takes it: the lower half.
        descriptor: descriptor as RawFd,
        address,
        address_bytes,
    })
}

/// Whether the call still waits: then its thread has been there all the time since it was received.
pub(crate) fn call_waits(listener: BorrowedFd<'_>, id: u64) -> bool {
    // SAFETY: the kernel reads one `u64`.
    unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_ID_VALID, &raw const id) == 0 }
}

/// Lets the call be carried out (`None`), or fail with an error number.
pub(crate) fn answer_call(listener: BorrowedFd<'_>, id: u64, error: Option<i32>) {
    let mut answer = libc::seccomp_notif_resp {
        id,
        val: 0,
        error: error.map_or(0, |error| -error),
        flags: if error.is_none() { NOTIF_CONTINUE } else { 0 },
    };
    // SAFETY: the kernel reads one `seccomp_notif_resp`, whose size is part of the number. A call that is gone makes this
    // fail, and needs no answer.
    _ = unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_SEND, &raw mut answer) };
}

/// Asks the kernel to run whoever waits for the other side at once, on the core of the other side: half the time a call
/// takes. Kernels before 6.6 cannot.
pub(crate) fn hand_over_in_step(listener: BorrowedFd<'_>) {
    const SYNC_WAKE_UP: libc::c_ulong = 1;
    // SAFETY: the argument is a number.
    _ = unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_SET_FLAGS, SYNC_WAKE_UP) };
}

/// Whether the process of a `/proc/PID` that is open for reading is still there, ended or not; its number is then nobody
/// else's. True where that cannot be asked.
pub(crate) fn is_there(directory: BorrowedFd<'_>) -> bool {
    let no_information = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the number 0 sends no signal, and no memory is passed.
    let done = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            directory.as_raw_fd(),
            0,
            no_information,
            0,
        )
    };
    done == 0 || std::io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
}

/// Reads the memory of a thread's process, as much as `buf` has room for.
pub(crate) fn read_memory(thread: u32, address: u64, buf: &mut [u8]) -> std::io::Result<usize> {
    let local = libc::iovec {
        iov_base: buf.as_mut_ptr().cast(),
        iov_len: buf.len(),
    };
    let remote = libc::iovec {
        iov_base: std::ptr::with_exposed_provenance_mut(address as usize),
        iov_len: buf.len(),
    };
    // SAFETY: the kernel writes into `buf`, as far as it is long; the other address is of another process and is only
    // ever looked up there.
    let count = unsafe {
        libc::process_vm_readv(
            thread as libc::pid_t,
            &raw const local,
            1,
            &raw const remote,
            1,
            0,
        )
    };
    usize::try_from(count).map_err(|_| std::io::Error::last_os_error())
}

// From <linux/seccomp.h>: _IOWR, _IOW and _IOR of type '!'.
const NOTIF_RECV: libc::Ioctl = 0xc050_2100;
const NOTIF_SEND: libc::Ioctl = 0xc018_2101;
const NOTIF_ID_VALID: libc::Ioctl = 0x4008_2102;
const NOTIF_SET_FLAGS: libc::Ioctl = 0x4008_2104;
const NOTIF_CONTINUE: u32 = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
