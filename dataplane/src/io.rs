//! One TCP socket: owned-buffer calls as `Result`, its two directions apart, its alarm.
//!
//! Why `readable` first: a read that waits holds its buffer for as long as the peer is silent. Waiting
//! for readiness holds nothing, and dropping that wait loses nothing, which is what lets it be raced.
//!
//! A socket is blocking, and a call on the ring waits; one whose flow was spliced is not (see
//! `relay::splice`), and the call that would wait is made again when the socket is ready.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::rc::Rc;

use monoio::buf::IoBufMut;
use monoio::io::{AsyncReadRent, AsyncWriteRent, OwnedReadHalf, OwnedWriteHalf, Splitable};
use monoio::net::TcpStream;
use rustix::net::Shutdown;

use crate::deadline::{Alarm, Deadlines};
use crate::sys;

/// An accepted or dialled connection.
pub(crate) struct Socket {
    /// Dropped first, before the stream closes (see `deadline`).
    pub(crate) alarm: Alarm,
    pub(crate) read: Reading,
    pub(crate) write: Writing,
}

/// The direction in.
pub(crate) struct Reading(OwnedReadHalf<TcpStream>);

/// The direction out.
pub(crate) struct Writing(OwnedWriteHalf<TcpStream>);

impl Socket {
    /// Takes a connection over: no delay (TR-093), closed on exec.
    ///
    /// # Errors
    /// The system's, when the options cannot be set because the peer is already gone.
    pub(crate) fn adopt(stream: TcpStream, deadlines: &Rc<Deadlines>) -> io::Result<Socket> {
        stream.set_nodelay(true)?;
        rustix::io::fcntl_setfd(sys::borrow(&stream), rustix::io::FdFlags::CLOEXEC)?;
        let alarm = deadlines.alarm(std::os::fd::AsRawFd::as_raw_fd(&stream));
        let (read, write) = stream.into_split();
        Ok(Socket {
            alarm,
            read: Reading(read),
            write: Writing(write),
        })
    }

    /// A second alarm, for what is written while the first one watches what is read.
    pub(crate) fn writing_alarm(&self, deadlines: &Rc<Deadlines>) -> Alarm {
        let stream = sys::stream_of(&self.read.0);
        deadlines.alarm(std::os::fd::AsRawFd::as_raw_fd(stream))
    }

    /// The peer's address.
    pub(crate) fn peer(&self) -> io::Result<SocketAddr> {
        self.read.0.peer_addr()
    }

    /// Our address.
    pub(crate) fn local(&self) -> io::Result<SocketAddr> {
        self.read.0.local_addr()
    }

    /// Makes the peer see a reset instead of an end: what was sent is not a whole message.
    pub(crate) fn abort(&self) {
        let stream = sys::stream_of(&self.read.0);
        // With a zero linger time close(2) sends RST. A failure leaves an ordinary close.
        _ = rustix::net::sockopt::set_socket_linger(
            sys::borrow(stream),
            Some(std::time::Duration::ZERO),
        );
    }
}

impl Reading {
    /// Waits until a read would not wait. Dropping this future loses nothing.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        sys::stream_of(&self.0).readable(false).await
    }

    /// Reads once into the spare room of `buffer`. `Ok(0)` is the peer's end.
    pub(crate) async fn recv(&mut self, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        let (len, capacity) = (buffer.len(), buffer.capacity());
        debug_assert!(len < capacity, "a read needs room");
        let mut buffer = buffer;
        loop {
            let (result, slice) = self.0.read(buffer.slice_mut(len..capacity)).await;
            buffer = slice.into_inner();
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if let Err(error) = self.readable().await {
                        return (Err(error), buffer);
                    }
                }
                other => return (other, buffer),
            }
        }
    }

    /// Reads what is there into the spare room of `buffer`, without waiting; `None` when that is nothing.
    pub(crate) fn recv_now(&self, buffer: &mut Vec<u8>) -> io::Result<Option<usize>> {
        sys::recv_now(sys::stream_of(&self.0), buffer)
    }

    /// A wait for readiness that lives apart from this borrow.
    pub(crate) fn readiness(&self) -> Pin<Box<dyn Future<Output = io::Result<()>>>> {
        let half = OwnedReadHalf(Rc::clone(&self.0.0));
        Box::pin(async move { sys::stream_of(&half).readable(false).await })
    }

    /// The descriptor, for calls that io_uring does not serve well.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        sys::borrow(sys::stream_of(&self.0))
    }
}

impl Writing {
    /// Writes the whole buffer and gives it back.
    pub(crate) async fn send_all(&mut self, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        let len = buffer.len();
        let mut sent = 0;
        let mut buffer = buffer;
        while sent < len {
            let (result, slice) = self
                .0
                .write(monoio::buf::IoBuf::slice(buffer, sent..len))
                .await;
            buffer = slice.into_inner();
            match result {
                Ok(0) => return (Err(io::ErrorKind::WriteZero.into()), buffer),
                Ok(n) => sent += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if let Err(error) = self.writable().await {
                        return (Err(error), buffer);
                    }
                }
                Err(error) => return (Err(error), buffer),
            }
        }
        (Ok(()), buffer)
    }

    /// Tells the peer that nothing more comes (FIN); reading goes on.
    pub(crate) fn finish(&mut self) {
        _ = rustix::net::shutdown(sys::borrow(sys::stream_of_writer(&self.0)), Shutdown::Write);
    }

    /// Waits until the socket takes bytes. Dropping this future loses nothing.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        sys::stream_of_writer(&self.0).writable(false).await
    }

    /// The descriptor, for calls that io_uring does not serve well.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        sys::borrow(sys::stream_of_writer(&self.0))
    }
}
