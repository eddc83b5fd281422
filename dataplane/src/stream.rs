//! A byte stream to one peer, plain or TLS, with what was read and not yet consumed.
//!
//! Reading waits for readiness without a buffer and then takes what is there, so a silent connection with
//! nothing unread holds none, and no buffer is in flight while something waits. Writing is in two steps:
//! `put` adds bytes (encrypted at once), `flush` sends them all, so a head and the first event leave in one
//! segment. Where both directions are needed at the same time, `split` gives them apart.

mod halves;
mod inlet;

use std::cell::RefCell;
use std::io;
use std::pin::pin;
use std::rc::Rc;

use crate::buffers::Buffers;
use crate::deadline::{Alarm, First, race};
use crate::io::Socket;
use crate::tls::{Progress, Session};

pub(crate) use halves::{In, Out};
use inlet::{Inlet, Wire};

/// A connection and its buffers.
pub(crate) struct Stream {
    pub(crate) socket: Socket,
    inlet: Inlet,
    /// In a cell for `split`; borrowed between awaits only.
    wire: RefCell<Wire>,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    /// At least one new byte in `input`.
    Bytes,
    /// The peer's proper end: FIN on a plain stream, close_notify on TLS.
    End,
    /// The peer's FIN on a TLS stream without close_notify.
    Cut,
}

/// Why a stream cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamError {
    /// The system ended it: a reset, a deadline, a peer that closed too early.
    Io,
    /// The peer's TLS is unacceptable.
    Tls,
    /// Our TLS is unacceptable to the peer, which said so in an alert.
    Alert,
}

impl From<io::Error> for StreamError {
    fn from(_: io::Error) -> Self {
        StreamError::Io
    }
}

impl From<rustls::Error> for StreamError {
    fn from(error: rustls::Error) -> Self {
        if let rustls::Error::AlertReceived(_) = error {
            StreamError::Alert
        } else {
            StreamError::Tls
        }
    }
}

impl Stream {
    /// A plain stream.
    pub(crate) fn plain(socket: Socket, buffers: &Rc<Buffers>) -> Stream {
        Stream {
            socket,
            inlet: Inlet::new(buffers),
            wire: RefCell::default(),
        }
    }

    /// Continues the same connection inside TLS; unread plain bytes become its first records.
    pub(crate) fn into_tls(mut self, session: Session) -> Stream {
        let wire = self.wire.get_mut();
        wire.records = self.inlet.take_rest();
        wire.tls = Some(session);
        self
    }

    /// Completes the handshake, as either side. Deadlines are the caller's alarm.
    ///
    /// # Errors
    /// I/O, a peer that ends, or a handshake rustls refuses; the alert has then been sent.
    pub(crate) async fn handshake(&mut self) -> Result<(), StreamError> {
        loop {
            let progress = self.inlet.decrypt(self.wire.get_mut());
            let flushed = self.flush().await;
            match progress {
                Ok(Progress::Handshaking) => flushed?,
                Ok(Progress::Open | Progress::PeerClosed) => return flushed,
                Err(error) => return Err(error.into()),
            }
            self.socket.read.readable().await?;
            let wire = self.wire.get_mut();
            if self.inlet.recv_now(&self.socket.read, wire)? == Some(0) {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }

    /// Received and not consumed.
    pub(crate) fn input(&self) -> &[u8] {
        self.inlet.input()
    }

    /// Takes `len` bytes off the front of the input; an emptied buffer goes back to the pool.
    pub(crate) fn consume(&mut self, len: usize) {
        self.inlet.consume(len);
    }

    /// Reads until there is at least one new plain byte, or the end.
    ///
    /// # Errors
    /// I/O, or records rustls refuses.
    pub(crate) async fn fill(&mut self) -> Result<Fill, StreamError> {
        loop {
            if self.wire.get_mut().is_closed {
                return Ok(Fill::End);
            }
            self.socket.read.readable().await?;
            let fill = self.read_ahead();
            if self.wire.get_mut().tls.is_some() {
                // What the session has to say of the bytes that came: a key update, an alert.
                self.flush().await?;
            }
            if let Some(fill) = fill? {
                return Ok(fill);
            }
        }
    }

    /// Takes what the socket already holds, without waiting. `None` when that is nothing, or no plain
    /// byte (part of a record, a ticket).
    ///
    /// # Errors
    /// I/O, or records rustls refuses.
    pub(crate) fn read_ahead(&mut self) -> Result<Option<Fill>, StreamError> {
        self.inlet.receive(&self.socket.read, self.wire.get_mut())
    }

    /// Whether the connection is open and has nothing to say: what an idle one must be to be used again,
    /// because bytes that nobody asked for would become the next answer (TR-019).
    pub(crate) fn is_idle(&mut self) -> bool {
        self.input().is_empty()
            && !self.wire.get_mut().is_closed
            && matches!(self.read_ahead(), Ok(None))
    }

    /// Adds bytes to what the next `flush` sends.
    ///
    /// # Errors
    /// A TLS session that is closed for writing.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        self.wire.get_mut().put(bytes, &self.inlet.buffers)
    }

    /// Sends all that was put.
    ///
    /// # Errors
    /// I/O.
    pub(crate) async fn flush(&mut self) -> Result<(), StreamError> {
        let output = self.wire.get_mut().take_output();
        if output.is_empty() {
            return Ok(());
        }
        let (result, buffer) = self.socket.write.send_all(output).await;
        self.inlet.buffers.give(buffer);
        Ok(result?)
    }

    /// Sends all that was put, reading meanwhile, so that an early answer is not missed (TR-017).
    /// `Some` when the peer ended first, or the input became what `stops` looks for: what was not sent is
    /// abandoned, and the stream may only be read from and closed. `stops` must not let the input grow
    /// without end.
    ///
    /// # Errors
    /// I/O, or records rustls refuses.
    pub(crate) async fn flush_listening(
        &mut self,
        stops: impl Fn(&[u8]) -> bool,
    ) -> Result<Option<Fill>, StreamError> {
        let output = self.wire.get_mut().take_output();
        let mut sending = pin!(self.socket.write.send_all(output));
        loop {
            match race(sending.as_mut(), pin!(self.socket.read.readable())).await {
                First::Left((result, buffer)) => {
                    self.inlet.buffers.give(buffer);
                    result?;
                    return Ok(None);
                }
                First::Right(readable) => readable?,
            }
            match self.inlet.receive(&self.socket.read, self.wire.get_mut())? {
                Some(Fill::Bytes) if !stops(self.inlet.input()) => {}
                None => {}
                Some(fill) => return Ok(Some(fill)),
            }
        }
    }

    /// Ends our side properly: close_notify where there is TLS, then FIN.
    pub(crate) async fn finish(&mut self) {
        self.wire.get_mut().close_notify();
        // A peer that is gone needs no goodbye.
        _ = self.flush().await;
        self.socket.write.finish();
    }

    /// Both directions and the alarm, to be used at the same time.
    pub(crate) fn split(&mut self) -> (&Alarm, In<'_>, Out<'_>) {
        let Socket { alarm, read, write } = &mut self.socket;
        let buffers = Rc::clone(&self.inlet.buffers);
        let incoming = In::new(read, &mut self.inlet, &self.wire);
        (alarm, incoming, Out::new(write, buffers, &self.wire))
    }

    /// The socket and what was read ahead, for a raw tunnel. Only for plain streams.
    pub(crate) fn into_raw(mut self) -> (Socket, Vec<u8>) {
        let early = self.inlet.take_rest();
        (self.socket, early)
    }
}
