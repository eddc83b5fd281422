//! The two directions of one stream, for a request and its answer that flow at the same time.
//!
//! Apart from `stream` because each half may wait while the other works. Over TLS they share the session:
//! it is borrowed between awaits only, what it has to say of received bytes (a key update, an alert) joins
//! the output and leaves with the next send, and only `Out` encrypts (decision 0011).

use std::cell::RefCell;
use std::rc::Rc;

use super::inlet::{Inlet, Wire};
use super::{Fill, StreamError};
use crate::buffers::Buffers;
use crate::io::{Reading, Writing};

/// The direction in. Dropping a wait of it loses nothing.
pub(crate) struct In<'a> {
    read: &'a Reading,
    inlet: &'a mut Inlet,
    wire: &'a RefCell<Wire>,
}

/// The direction out.
pub(crate) struct Out<'a> {
    write: &'a mut Writing,
    buffers: Rc<Buffers>,
    wire: &'a RefCell<Wire>,
}

impl<'a> In<'a> {
    pub(super) fn new(read: &'a Reading, inlet: &'a mut Inlet, wire: &'a RefCell<Wire>) -> In<'a> {
        In { read, inlet, wire }
    }

    /// Received and not consumed.
    pub(crate) fn input(&self) -> &[u8] {
        self.inlet.input()
    }

    /// As [`super::Stream::consume`].
    pub(crate) fn consume(&mut self, len: usize) {
        self.inlet.consume(len);
    }

    /// As [`super::Stream::fill`], but for what the session answers, which waits for the next send.
    ///
    /// # Errors
    /// I/O, or records rustls refuses.
    pub(crate) async fn fill(&mut self) -> Result<Fill, StreamError> {
        loop {
            if self.wire.borrow().is_closed {
                return Ok(Fill::End);
            }
            self.read.readable().await?;
            if let Some(fill) = self.inlet.receive(self.read, &mut self.wire.borrow_mut())? {
                return Ok(fill);
            }
        }
    }
}

impl<'a> Out<'a> {
    pub(super) fn new(
        write: &'a mut Writing,
        buffers: Rc<Buffers>,
        wire: &'a RefCell<Wire>,
    ) -> Out<'a> {
        Out {
            write,
            buffers,
            wire,
        }
    }

    /// Sends all of `bytes`; the emptied buffer comes back.
    ///
    /// # Errors
    /// I/O, or a TLS session that is closed for writing.
    pub(crate) async fn send(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, StreamError> {
        let sealed = {
            let mut wire = self.wire.borrow_mut();
            match wire.tls {
                None => None,
                Some(_) => {
                    wire.put(&bytes, &self.buffers)?;
                    Some(wire.take_output())
                }
            }
        };
        let mut emptied = match sealed {
            None => {
                let (sent, buffer) = self.write.send_all(bytes).await;
                sent?;
                buffer
            }
            Some(sealed) => {
                let (sent, buffer) = self.write.send_all(sealed).await;
                self.buffers.give(buffer);
                sent?;
                bytes
            }
        };
        emptied.clear();
        Ok(emptied)
    }
}
