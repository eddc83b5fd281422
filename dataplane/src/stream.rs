//! A byte stream to one peer, plain or TLS, with what was read and not yet consumed.
//!
//! Reading waits for readiness without a buffer; a silent connection with nothing unread holds none.
//! Writing is in two steps: `put` adds bytes (encrypted at once), `flush` sends them all, so a head and
//! the first event leave in one segment.

use std::io;
use std::pin::pin;
use std::rc::Rc;

use crate::buffers::Buffers;
use crate::deadline::{Alarm, First, race};
use crate::io::{Reading, Socket, Writing};
use crate::tls::{Progress, Session};

/// A connection and its buffers.
pub(crate) struct Stream {
    pub(crate) socket: Socket,
    inlet: Inlet,
    /// Bytes for the wire.
    output: Vec<u8>,
}

/// The receiving side: TLS session, incomplete records, plain bytes not consumed yet.
struct Inlet {
    tls: Option<Session>,
    /// The peer said close_notify, which the session tells once, maybe together with the last bytes.
    is_closed: bool,
    buffers: Rc<Buffers>,
    records: Vec<u8>,
    input: Vec<u8>,
    /// Bytes of `input` that are consumed.
    taken: usize,
    read_size: usize,
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
}

impl From<io::Error> for StreamError {
    fn from(_: io::Error) -> Self {
        StreamError::Io
    }
}

impl From<rustls::Error> for StreamError {
    fn from(_: rustls::Error) -> Self {
        StreamError::Tls
    }
}

impl Stream {
    /// A plain stream.
    pub(crate) fn plain(socket: Socket, buffers: &Rc<Buffers>) -> Stream {
        let inlet = Inlet {
            tls: None,
            is_closed: false,
            buffers: Rc::clone(buffers),
            records: Vec::new(),
            input: Vec::new(),
            taken: 0,
            read_size: READ_SIZE_FIRST,
        };
        Stream {
            socket,
            inlet,
            output: Vec::new(),
        }
    }

    /// Continues the same connection inside TLS; unread plain bytes become its first records.
    pub(crate) fn into_tls(mut self, session: Session) -> Stream {
        self.inlet.records = self.inlet.input.split_off(self.inlet.taken);
        self.inlet.input.clear();
        self.inlet.taken = 0;
        self.inlet.tls = Some(session);
        self
    }

    /// Completes the handshake, as either side. Deadlines are the caller's alarm.
    ///
    /// # Errors
    /// I/O, a peer that ends, or a handshake rustls refuses; the alert has then been sent.
    pub(crate) async fn handshake(&mut self) -> Result<(), StreamError> {
        loop {
            let progress = self.inlet.decrypt(&mut self.output);
            let flushed = self.flush().await;
            match progress {
                Ok(Progress::Handshaking) => flushed?,
                Ok(Progress::Open | Progress::PeerClosed) => return flushed,
                Err(error) => return Err(error.into()),
            }
            self.socket.read.readable().await?;
            if self.inlet.recv(&mut self.socket.read).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }

    /// Received and not consumed.
    pub(crate) fn input(&self) -> &[u8] {
        &self.inlet.input[self.inlet.taken..]
    }

    /// Takes `len` bytes off the front of the input; an emptied buffer goes back to the pool.
    pub(crate) fn consume(&mut self, len: usize) {
        self.inlet.consume(len);
    }

    /// Reads until there is at least one new plain byte, or the end. This future must be awaited to its
    /// end unless the connection is given up.
    ///
    /// # Errors
    /// I/O, or records rustls refuses.
    pub(crate) async fn fill(&mut self) -> Result<Fill, StreamError> {
        loop {
            if self.inlet.is_closed {
                return Ok(Fill::End);
            }
            self.socket.read.readable().await?;
            let received = self.inlet.recv(&mut self.socket.read).await?;
            let fill = self.inlet.received(received, &mut self.output);
            if self.inlet.tls.is_some() {
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
        match self.inlet.recv_now(&self.socket.read)? {
            None => Ok(None),
            Some(received) => self.inlet.received(received, &mut self.output),
        }
    }

    /// Adds bytes to what the next `flush` sends.
    ///
    /// # Errors
    /// A TLS session that is closed for writing.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        if self.output.capacity() == 0 {
            self.output = self.inlet.buffers.take(bytes.len() + 128);
        }
        match &mut self.inlet.tls {
            Some(tls) => Ok(tls.encrypt(&mut self.inlet.records, bytes, &mut self.output)?),
            None => {
                self.output.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// Sends all that was put.
    ///
    /// # Errors
    /// I/O.
    pub(crate) async fn flush(&mut self) -> Result<(), StreamError> {
        if self.output.is_empty() {
            return Ok(());
        }
        let (result, buffer) = self
            .socket
            .write
            .send_all(std::mem::take(&mut self.output))
            .await;
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
        let mut sending = pin!(self.socket.write.send_all(std::mem::take(&mut self.output)));
        loop {
            match race(sending.as_mut(), pin!(self.socket.read.readable())).await {
                First::Left((result, buffer)) => {
                    self.inlet.buffers.give(buffer);
                    result?;
                    return Ok(None);
                }
                First::Right(readable) => readable?,
            }
            let Some(received) = self.inlet.recv_now(&self.socket.read)? else {
                continue;
            };
            match self.inlet.received(received, &mut self.output)? {
                Some(Fill::Bytes) if !stops(&self.inlet.input[self.inlet.taken..]) => {}
                None => {}
                Some(fill) => return Ok(Some(fill)),
            }
        }
    }

    /// Ends our side properly: close_notify where there is TLS, then FIN.
    pub(crate) async fn finish(&mut self) {
        if let Some(tls) = &mut self.inlet.tls {
            tls.close_notify(&mut self.inlet.records, &mut self.output);
        }
        // A peer that is gone needs no goodbye.
        _ = self.flush().await;
        self.socket.write.finish();
    }

    /// The two directions of a plain stream and its alarm, to be used at the same time.
    pub(crate) fn split_plain(&mut self) -> (&Alarm, PlainIn<'_>, &mut Writing) {
        debug_assert!(
            self.inlet.tls.is_none(),
            "TLS needs both directions in one place"
        );
        let Socket { alarm, read, write } = &mut self.socket;
        let incoming = PlainIn {
            read,
            inlet: &mut self.inlet,
        };
        (alarm, incoming, write)
    }

    /// The socket and what was read ahead, for a raw tunnel. Only for plain streams.
    pub(crate) fn into_raw(mut self) -> (Socket, Vec<u8>) {
        let early = self.inlet.input.split_off(self.inlet.taken);
        (self.socket, early)
    }
}

/// The incoming direction of a plain stream.
pub(crate) struct PlainIn<'a> {
    read: &'a mut Reading,
    inlet: &'a mut Inlet,
}

impl PlainIn<'_> {
    /// Received and not consumed.
    pub(crate) fn input(&self) -> &[u8] {
        &self.inlet.input[self.inlet.taken..]
    }

    /// As [`Stream::consume`].
    pub(crate) fn consume(&mut self, len: usize) {
        self.inlet.consume(len);
    }

    /// As [`Stream::fill`].
    ///
    /// # Errors
    /// I/O.
    pub(crate) async fn fill(&mut self) -> Result<Fill, StreamError> {
        self.read.readable().await?;
        let received = self.inlet.recv(self.read).await?;
        Ok(if received == 0 {
            Fill::End
        } else {
            Fill::Bytes
        })
    }
}

impl Inlet {
    fn consume(&mut self, len: usize) {
        self.taken += len;
        debug_assert!(
            self.taken <= self.input.len(),
            "consumed what was not there"
        );
        if self.taken >= self.input.len() {
            self.taken = 0;
            self.buffers.give(std::mem::take(&mut self.input));
        }
    }

    /// One read into the right buffer. The socket should be readable, else the buffer waits with it.
    async fn recv(&mut self, read: &mut Reading) -> io::Result<usize> {
        let buffer = self.take_target();
        let room = buffer.capacity() - buffer.len();
        let (result, buffer) = read.recv(buffer).await;
        self.put_target(buffer, room, result.as_ref().copied().unwrap_or(0));
        result
    }

    /// The same without waiting: `None` when nothing is there.
    fn recv_now(&mut self, read: &Reading) -> io::Result<Option<usize>> {
        let mut buffer = self.take_target();
        let room = buffer.capacity() - buffer.len();
        let result = read.recv_now(&mut buffer);
        self.put_target(
            buffer,
            room,
            result.as_ref().ok().copied().flatten().unwrap_or(0),
        );
        result
    }

    fn target(&mut self) -> &mut Vec<u8> {
        if self.tls.is_some() {
            &mut self.records
        } else {
            &mut self.input
        }
    }

    fn take_target(&mut self) -> Vec<u8> {
        self.compact();
        let mut buffer = std::mem::take(self.target());
        if buffer.capacity() == 0 {
            buffer = self.buffers.take(self.read_size);
        } else if buffer.len() == buffer.capacity() {
            buffer.reserve(self.read_size);
        }
        buffer
    }

    fn put_target(&mut self, buffer: Vec<u8>, room: usize, received: usize) {
        if received == room {
            self.read_size = (self.read_size * 4).min(READ_SIZE_MAX);
        }
        if buffer.is_empty() {
            self.buffers.give(buffer);
        } else {
            *self.target() = buffer;
        }
    }

    /// Moves unconsumed bytes to the front once the consumed part is the larger one: linear in total.
    fn compact(&mut self) {
        if self.taken > self.input.len() / 2 {
            self.input.drain(..self.taken);
            self.taken = 0;
        }
    }

    /// What a read of `received` bytes means; `None` when it brought no plain byte.
    fn received(
        &mut self,
        received: usize,
        output: &mut Vec<u8>,
    ) -> Result<Option<Fill>, StreamError> {
        if received == 0 {
            return Ok(Some(if self.tls.is_none() || self.is_closed {
                Fill::End
            } else {
                Fill::Cut
            }));
        }
        if self.tls.is_none() {
            return Ok(Some(Fill::Bytes));
        }
        let before = self.input.len();
        self.decrypt(output)?;
        if self.input.len() > before {
            Ok(Some(Fill::Bytes))
        } else {
            Ok(self.is_closed.then_some(Fill::End))
        }
    }

    fn decrypt(&mut self, output: &mut Vec<u8>) -> Result<Progress, rustls::Error> {
        let Some(tls) = &mut self.tls else {
            return Ok(Progress::Open);
        };
        if self.input.capacity() == 0 && !self.records.is_empty() {
            self.input = self.buffers.take(self.records.len());
        }
        let progress = tls.process(&mut self.records, &mut self.input, output);
        self.is_closed |= matches!(progress, Ok(Progress::PeerClosed));
        if self.records.is_empty() {
            self.buffers.give(std::mem::take(&mut self.records));
        }
        if self.input.is_empty() {
            self.buffers.give(std::mem::take(&mut self.input));
        }
        progress
    }
}

/// First read of a connection: a head, a chat request, an event.
const READ_SIZE_FIRST: usize = 4 * 1024;

/// Reads of a flow that fills them: four TLS records.
const READ_SIZE_MAX: usize = 64 * 1024;
