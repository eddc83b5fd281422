//! A request body in memory: read whole, scanned for its model as it arrives (INF-11 to INF-15).
//!
//! It must be whole before the first byte leaves, because only its end tells that it is one JSON object
//! with one model. It is kept in segments: growing never copies what is there, so a body of n bytes
//! takes n bytes and at most one segment more (TR-064).

use std::cell::Cell;
use std::ops::Range;

use wire::model_field::{ModelError, ModelField, ModelScanner};
use wire::{Code, Expectation, RequestFraming, RequestHead};

use super::recognise;
use crate::deadline::Ends;
use crate::relay::body::{Body as Framed, Malformed};
use crate::stream::{Fill, Stream};
use crate::worker::{Sandbox, Worker};

/// A whole body and where its model is.
pub(crate) struct Body<'a> {
    segments: Vec<Vec<u8>>,
    len: u64,
    /// Absent for requests without a body.
    model: Option<ModelField>,
    /// Gives the memory back to the sandbox's account when it is dropped.
    account: Held<'a>,
}

/// The route's model on its way into a body: `value` replaces the bytes of `range`.
pub(crate) struct Pin {
    range: Range<u64>,
    value: Vec<u8>,
}

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoBody {
    /// Refused before its end was read: the connection closes.
    Unread(Code),
    /// Read to its end and refused: the connection may go on.
    Read(Code),
    /// The client ended first.
    Gone,
}

impl<'a> Body<'a> {
    /// Reads the body of `head` from `client`.
    ///
    /// # Errors
    /// `NoBody`, with the code to answer.
    pub(crate) async fn read(
        worker: &Worker,
        sandbox: &'a Sandbox,
        client: &mut Stream,
        head: &RequestHead,
        wants: recognise::Body,
    ) -> Result<Body<'a>, NoBody> {
        check_head(worker, head, wants).map_err(NoBody::Unread)?;
        let mut body = Body {
            segments: Vec::new(),
            len: 0,
            model: None,
            account: Held::new(&sandbox.buffered),
        };
        if wants == recognise::Body::Absent {
            return Ok(body);
        }
        if head.expectation() == Expectation::Continue && client.input().is_empty() {
            client
                .put(wire::interim_continue())
                .map_err(|_| NoBody::Gone)?;
            client.flush().await.map_err(|_| NoBody::Gone)?;
        }
        let mut framed = Framed::of_request(head.framing());
        let mut scanner = ModelScanner::new();
        // The first fault of the JSON is kept and answered when the body was read to its end.
        let mut fault: Option<ModelError> = None;
        loop {
            let before = body.len;
            let used = framed.take(client.input(), |bytes| {
                if fault.is_none() {
                    fault = scanner.push(bytes).err();
                }
                body.append(bytes, fault.is_none());
            });
            let used = used.map_err(|Malformed| NoBody::Unread(Code::BadRequest))?;
            client.consume(used);
            let announced = framed.announced().unwrap_or(0);
            if body.len.saturating_add(announced) > worker.limits.inference_body_bytes_max {
                return Err(NoBody::Unread(Code::RequestTooLarge));
            }
            if !body.account.grow(
                body.len - before,
                worker.limits.buffered_bytes_per_sandbox_max,
            ) {
                return Err(NoBody::Unread(Code::CapacityExceeded));
            }
            if framed.is_done() {
                break;
            }
            client
                .socket
                .alarm
                .arm(worker.limits.body_idle_time, Ends::Reading);
            match client.fill().await {
                Ok(Fill::Bytes) => {}
                _ if client.socket.alarm.rang() => {
                    return Err(NoBody::Unread(Code::RequestTimeout));
                }
                Ok(Fill::End | Fill::Cut) | Err(_) => return Err(NoBody::Gone),
            }
        }
        client.socket.alarm.rest();
        let found = match fault {
            Some(fault) => Err(fault),
            None => scanner.finish(),
        };
        body.model = Some(found.map_err(|error| NoBody::Read(error.code()))?);
        Ok(body)
    }

    fn append(&mut self, bytes: &[u8], keep: bool) {
        self.len += bytes.len() as u64;
        if !keep {
            self.segments.clear();
            return;
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = self
                .segments
                .last()
                .map_or(0, |last| SEGMENT_MAX - last.len());
            if room == 0 {
                let size = if self.segments.is_empty() {
                    rest.len()
                } else {
                    SEGMENT_MAX
                };
                self.segments
                    .push(Vec::with_capacity(size.min(SEGMENT_MAX)));
                continue;
            }
            let (now, later) = rest.split_at(room.min(rest.len()));
            if let Some(last) = self.segments.last_mut() {
                last.extend_from_slice(now);
            }
            rest = later;
        }
    }

    /// Size as the client sent it.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The model the client asked for, when it named one.
    pub(crate) fn asked(&self) -> Option<&str> {
        self.model.as_ref()?.asked()
    }

    /// What takes the place of which bytes, so that the body names `model`; `None` without a body.
    pub(crate) fn pin(&self, model: &str) -> Option<Pin> {
        let edit = self.model.as_ref()?.edit();
        let mut value = edit.before.to_vec();
        wire::json_string(model, &mut value);
        value.extend_from_slice(edit.after);
        Some(Pin {
            range: edit.range,
            value,
        })
    }

    /// Size with the pin in place.
    pub(crate) fn pinned_len(&self, pin: &Pin) -> u64 {
        self.len - (pin.range.end - pin.range.start) + pin.value.len() as u64
    }

    /// The body with the pin in place, piece by piece.
    pub(crate) fn pinned<'b>(&'b self, pin: &'b Pin) -> impl Iterator<Item = &'b [u8]> {
        self.pieces(0..pin.range.start)
            .chain(std::iter::once(&*pin.value))
            .chain(self.pieces(pin.range.end..self.len))
    }

    fn pieces(&self, range: Range<u64>) -> impl Iterator<Item = &[u8]> {
        let mut offset = 0u64;
        self.segments.iter().filter_map(move |segment| {
            let start = offset;
            offset += segment.len() as u64;
            let from = range.start.clamp(start, offset) - start;
            let to = range.end.clamp(start, offset) - start;
            // Both lie within the segment, whose length is a usize.
            (from < to).then(|| &segment[from as usize..to as usize])
        })
    }

    /// The whole body in one piece, for the local mock backend.
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        self.segments.concat()
    }
}

/// What can be refused without reading the body (INF-7, INF-14, INF-15).
fn check_head(worker: &Worker, head: &RequestHead, wants: recognise::Body) -> Result<(), Code> {
    if wants == recognise::Body::Absent {
        return match head.framing() {
            RequestFraming::None | RequestFraming::Length(0) => Ok(()),
            RequestFraming::Length(_) | RequestFraming::Chunked => Err(Code::BadRequest),
        };
    }
    if let RequestFraming::Length(length) = head.framing()
        && length > worker.limits.inference_body_bytes_max
    {
        return Err(Code::RequestTooLarge);
    }
    let coded = head.fields().any(|field| {
        field.is("content-encoding") && !field.value.eq_ignore_ascii_case(b"identity")
    });
    if coded {
        Err(Code::UnsupportedContentEncoding)
    } else {
        Ok(())
    }
}

/// Bytes booked on a sandbox's account of buffered bodies.
struct Held<'a> {
    account: &'a Cell<u64>,
    bytes: u64,
}

impl<'a> Held<'a> {
    fn new(account: &'a Cell<u64>) -> Self {
        Held { account, bytes: 0 }
    }

    fn grow(&mut self, bytes: u64, max: u64) -> bool {
        let total = self.account.get().saturating_add(bytes);
        if total > max {
            return false;
        }
        self.account.set(total);
        self.bytes += bytes;
        true
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.account.set(self.account.get() - self.bytes);
    }
}

/// Large enough that the list stays short (32 for the largest body), small enough that the last one
/// wastes little.
const SEGMENT_MAX: usize = 1024 * 1024;
