//! What a connection received, and where TLS stands: the state that reading and writing share.
//!
//! Apart from `stream` because both the whole stream and its halves use it. Invariant: bytes leave in the
//! order the session made them, because all of them go through one `output`; nothing here waits.

use std::io;
use std::rc::Rc;

use super::{Fill, StreamError};
use crate::buffers::Buffers;
use crate::io::Reading;
use crate::tls::{Progress, Session};

/// The receiving side: plain bytes not consumed yet.
pub(super) struct Inlet {
    pub(super) buffers: Rc<Buffers>,
    input: Vec<u8>,
    /// Bytes of `input` that are consumed.
    taken: usize,
    read_size: usize,
}

/// What both directions touch.
#[derive(Default)]
pub(super) struct Wire {
    pub(super) tls: Option<Session>,
    /// The peer said close_notify, which the session tells once, maybe together with the last bytes.
    pub(super) is_closed: bool,
    /// Received and not decrypted: the beginning of a record.
    pub(super) records: Vec<u8>,
    /// Bytes for the wire.
    output: Vec<u8>,
}

impl Wire {
    /// Adds bytes to the output, behind what the session itself had to say.
    pub(super) fn put(&mut self, bytes: &[u8], buffers: &Buffers) -> Result<(), StreamError> {
        if self.output.capacity() == 0 {
            self.output = buffers.take(bytes.len() + 128);
        }
        match &mut self.tls {
            Some(tls) => Ok(tls.encrypt(&mut self.records, bytes, &mut self.output)?),
            None => {
                self.output.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    pub(super) fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    pub(super) fn close_notify(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.close_notify(&mut self.records, &mut self.output);
        }
    }
}

impl Inlet {
    pub(super) fn new(buffers: &Rc<Buffers>) -> Inlet {
        Inlet {
            buffers: Rc::clone(buffers),
            input: Vec::new(),
            taken: 0,
            read_size: READ_SIZE_FIRST,
        }
    }

    pub(super) fn input(&self) -> &[u8] {
        &self.input[self.taken..]
    }

    pub(super) fn consume(&mut self, len: usize) {
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

    /// What was not consumed, taken out.
    pub(super) fn take_rest(&mut self) -> Vec<u8> {
        let rest = self.input.split_off(self.taken);
        self.input.clear();
        self.taken = 0;
        rest
    }

    /// One read and what it means; `None` when it brought no plain byte.
    pub(super) fn receive(
        &mut self,
        read: &Reading,
        wire: &mut Wire,
    ) -> Result<Option<Fill>, StreamError> {
        let before = self.input.len() - self.taken;
        let Some(received) = self.recv_now(read, wire)? else {
            return Ok(None);
        };
        if received == 0 {
            return Ok(Some(if wire.tls.is_none() || wire.is_closed {
                Fill::End
            } else {
                Fill::Cut
            }));
        }
        self.decrypt(wire)?;
        if self.input.len() - self.taken > before {
            Ok(Some(Fill::Bytes))
        } else {
            Ok(wire.is_closed.then_some(Fill::End))
        }
    }

    /// Reads what is there into the right buffer, without waiting: `None` when nothing is.
    pub(super) fn recv_now(
        &mut self,
        read: &Reading,
        wire: &mut Wire,
    ) -> io::Result<Option<usize>> {
        self.compact();
        let target = match wire.tls {
            Some(_) => &mut wire.records,
            None => &mut self.input,
        };
        let mut buffer = std::mem::take(target);
        if buffer.capacity() == 0 {
            buffer = self.buffers.take(self.read_size);
        } else if buffer.len() == buffer.capacity() {
            buffer.reserve(self.read_size);
        }
        let room = buffer.capacity() - buffer.len();
        let result = read.recv_now(&mut buffer);
        if matches!(result, Ok(Some(received)) if received == room) {
            self.read_size = (self.read_size * 4).min(READ_SIZE_MAX);
        }
        if buffer.is_empty() {
            self.buffers.give(buffer);
        } else {
            *target = buffer;
        }
        result
    }

    /// Moves unconsumed bytes to the front once the consumed part is the larger one: linear in total.
    fn compact(&mut self) {
        if self.taken > self.input.len() / 2 {
            self.input.drain(..self.taken);
            self.taken = 0;
        }
    }

    /// Decrypts every whole record that is there.
    pub(super) fn decrypt(&mut self, wire: &mut Wire) -> Result<Progress, rustls::Error> {
        let Some(tls) = &mut wire.tls else {
            return Ok(Progress::Open);
        };
        if self.input.capacity() == 0 && !wire.records.is_empty() {
            self.input = self.buffers.take(wire.records.len());
        }
        let progress = tls.process(&mut wire.records, &mut self.input, &mut wire.output);
        wire.is_closed |= matches!(progress, Ok(Progress::PeerClosed));
        if wire.records.is_empty() {
            self.buffers.give(std::mem::take(&mut wire.records));
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
