//! The only `unsafe` of the data plane: borrowing a descriptor that monoio owns.
//!
//! monoio hands out raw descriptor numbers only. Every function here borrows one for the length of one
//! system call while the caller holds the stream that owns it.

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
