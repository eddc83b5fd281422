//! Chunked bodies, byte by byte (RFC 9112 §7.1, H1-5, H1-14).
//!
//! Apart from `framing` because that says that a body is chunked and this reads one. A chunk is handed out in whatever
//! pieces arrive; nothing of a body is held. Only a trailer section is kept, up to its limit of 16 KiB, because it is
//! read by the code that reads every other field line.
//! Invariants: extensions never leave this file; no size wraps; the verdict does not depend on how bytes were split.
//! Must never know: a limit on bodies. `announced` lets the caller apply one before the bytes arrive.

use std::fmt;

use crate::{
    fields::{FieldLines, Step, is_hop_by_hop},
    framing::BODY_BYTES_MAX,
};

mod extension;

use extension::{Extended, Extension};

/// Finds the data in a chunked body.
#[derive(Clone, Debug)]
pub struct ChunkDecoder {
    state: State,
    /// Of the size line in progress: the digits so far; in data: the bytes still to come.
    size: u64,
    digits: u8,
    extension_bytes: usize,
    section: Vec<u8>,
    keep: Trailers,
}

/// What becomes of trailer fields.
#[derive(Clone, Copy, Debug)]
enum Trailers {
    /// Checked and dropped: requests.
    Drop,
    /// Checked, filtered and kept: responses.
    Keep,
}

/// Where in RFC 9112 §7.1 the next byte stands.
#[derive(Clone, Debug)]
enum State {
    /// In the digits of a size.
    Size,
    /// In what follows the digits.
    Extension(Extension),
    /// After the CR of a size line.
    SizeLineFeed,
    /// In data of which `size` bytes are missing.
    Data,
    /// Before the CR after data.
    DataReturn,
    /// Before the LF after data.
    DataLineFeed,
    /// In the trailer section.
    Trailer(FieldLines),
    /// After the last byte.
    End,
    /// Refused; the verdict stays.
    Failed(ChunkError),
}

/// What one call found at the front of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum ChunkStep {
    /// `buf[skip..skip + len]` is body, `len > 0`; `skip + len` bytes are consumed.
    Data {
        /// Bytes of framing before the data.
        skip: usize,
        /// Bytes of data.
        len: usize,
    },
    /// Only framing, all `used` bytes of the buffer; more is needed.
    More {
        /// Bytes consumed: all of them.
        used: usize,
    },
    /// The body ends `used` bytes into the buffer. What follows is the next message.
    End {
        /// Bytes consumed.
        used: usize,
    },
}

impl ChunkDecoder {
    /// For a request body: trailers are checked and dropped.
    #[must_use]
    pub fn request() -> Self {
        Self::new(Trailers::Drop)
    }

    /// For a response body: trailers that may be relayed are kept.
    #[must_use]
    pub fn response() -> Self {
        Self::new(Trailers::Keep)
    }

    fn new(keep: Trailers) -> Self {
        Self {
            state: State::Size,
            size: 0,
            digits: 0,
            extension_bytes: 0,
            section: Vec::new(),
            keep,
        }
    }

    /// Consumes from the front of `buf`; the caller removes what was consumed and calls again.
    ///
    /// # Errors
    /// [`ChunkError`] at the byte that breaks the grammar or a limit, and for ever after.
    pub fn step(&mut self, buf: &[u8]) -> Result<ChunkStep, ChunkError> {
        let step = self.run(buf);
        if let Err(error) = step {
            self.state = State::Failed(error);
        }
        step
    }

    /// Bytes of the current chunk that were announced and not yet handed out; `None` outside data.
    #[must_use]
    pub fn announced(&self) -> Option<u64> {
        match self.state {
            State::Data => Some(self.size),
            State::Size
            | State::Extension(_)
            | State::SizeLineFeed
            | State::DataReturn
            | State::DataLineFeed
            | State::Trailer(_)
            | State::End
            | State::Failed(_) => None,
        }
    }

    /// The trailer fields to relay, as field lines with their CRLFs; empty before the end and for requests.
    #[must_use]
    pub fn trailers(&self) -> &[u8] {
        match self.state {
            State::End => &self.section,
            State::Size
            | State::Extension(_)
            | State::SizeLineFeed
            | State::Data
            | State::DataReturn
            | State::DataLineFeed
            | State::Trailer(_)
            | State::Failed(_) => &[],
        }
    }

    fn run(&mut self, buf: &[u8]) -> Result<ChunkStep, ChunkError> {
        let mut at = 0;
        while let Some(&byte) = buf.get(at) {
            match &self.state {
                State::Size => self.state = self.size_byte(byte)?,
                State::Extension(extension) => {
                    let extension = *extension;
                    self.state = self.extension_byte(extension, byte)?;
                }
                State::SizeLineFeed if byte == b'\n' => self.state = self.begin_chunk(),
                State::Data => {
                    let rest = buf.len() - at;
                    let len = usize::try_from(self.size).map_or(rest, |size| size.min(rest));
                    self.size -= u64::try_from(len).unwrap_or(self.size);
                    if self.size == 0 {
                        self.state = State::DataReturn;
                    }
                    return Ok(ChunkStep::Data { skip: at, len });
                }
                State::DataReturn if byte == b'\r' => self.state = State::DataLineFeed,
                State::DataLineFeed if byte == b'\n' => {
                    (self.size, self.digits, self.extension_bytes) = (0, 0, 0);
                    self.state = State::Size;
                }
                State::Trailer(_) => return self.trailer(buf, at),
                State::End => return Ok(ChunkStep::End { used: at }),
                State::Failed(error) => return Err(*error),
                State::SizeLineFeed | State::DataReturn | State::DataLineFeed => {
                    return Err(ChunkError::LineEnd);
                }
            }
            at += 1;
        }
        Ok(match self.state {
            State::End => ChunkStep::End { used: at },
            State::Failed(error) => return Err(error),
            State::Size
            | State::Extension(_)
            | State::SizeLineFeed
            | State::Data
            | State::DataReturn
            | State::DataLineFeed
            | State::Trailer(_) => ChunkStep::More { used: at },
        })
    }

    fn size_byte(&mut self, byte: u8) -> Result<State, ChunkError> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ if self.digits == 0 => return Err(ChunkError::Size),
            b'\r' => return Ok(State::SizeLineFeed),
            b';' => return Ok(State::Extension(Extension::BeforeName)),
            b' ' | b'\t' => return Ok(State::Extension(Extension::Gap)),
            _ => return Err(ChunkError::Size),
        };
        let size = self
            .size
            .checked_mul(16)
            .map(|size| size | u64::from(digit));
        match size {
            Some(size) if size <= BODY_BYTES_MAX && self.digits < SIZE_DIGITS_MAX => {
                self.size = size
            }
            _ => return Err(ChunkError::SizeTooLarge),
        }
        self.digits += 1;
        Ok(State::Size)
    }

    fn extension_byte(&mut self, extension: Extension, byte: u8) -> Result<State, ChunkError> {
        self.extension_bytes += 1;
        if self.extension_bytes > EXTENSION_BYTES_MAX {
            return Err(ChunkError::Extension);
        }
        match extension.after(byte) {
            Some(Extended::By(next)) => Ok(State::Extension(next)),
            Some(Extended::LineEnd) => Ok(State::SizeLineFeed),
            None => Err(ChunkError::Extension),
        }
    }

    fn begin_chunk(&mut self) -> State {
        if self.size == 0 {
            // Why: bytes bound the lines; one field takes at least four.
            State::Trailer(FieldLines::new(0, TRAILER_BYTES_MAX))
        } else {
            State::Data
        }
    }

    fn trailer(&mut self, buf: &[u8], at: usize) -> Result<ChunkStep, ChunkError> {
        let State::Trailer(lines) = &mut self.state else {
            return Ok(ChunkStep::More { used: at });
        };
        let before = self.section.len();
        let rest = buf.get(at..).unwrap_or(&[]);
        let room = TRAILER_BYTES_MAX - before;
        self.section
            .extend_from_slice(rest.get(..room).unwrap_or(rest));
        loop {
            match lines.next(&self.section).map_err(|_| ChunkError::Trailer)? {
                Step::Line(_) => {}
                Step::More if rest.len() > room => return Err(ChunkError::TrailerTooLarge),
                Step::More => return Ok(ChunkStep::More { used: buf.len() }),
                Step::End(end) => {
                    self.section.truncate(end);
                    self.section = self.relayed();
                    self.state = State::End;
                    return Ok(ChunkStep::End {
                        used: at + end - before,
                    });
                }
            }
        }
    }

    /// The fields of the section that may travel on, written anew.
    fn relayed(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut lines = FieldLines::new(0, TRAILER_BYTES_MAX);
        while let (Trailers::Keep, Ok(Step::Line(line))) = (self.keep, lines.next(&self.section)) {
            let field = line.of(&self.section);
            if !is_dropped_trailer(field.name) {
                for part in [field.name, b": ", field.value, b"\r\n"] {
                    out.extend_from_slice(part);
                }
            }
        }
        out
    }
}

/// Why a chunked body is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkError {
    /// The size is not 1–16 hex digits directly followed by an extension or CRLF.
    Size,
    /// The size is beyond 2^63−1 or 16 digits.
    SizeTooLarge,
    /// An extension that breaks its grammar or is longer than 16 KiB.
    Extension,
    /// A line or a piece of data does not end in CRLF.
    LineEnd,
    /// A malformed field line in the trailer section.
    Trailer,
    /// The trailer section passes 16 KiB.
    TrailerTooLarge,
}

impl fmt::Display for ChunkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "malformed chunk size",
            Self::SizeTooLarge => "chunk size too large",
            Self::Extension => "malformed chunk extension",
            Self::LineEnd => "chunk line without CRLF",
            Self::Trailer => "malformed trailer field",
            Self::TrailerTooLarge => "trailer section too large",
        })
    }
}

impl std::error::Error for ChunkError {}

/// Writes the size line of a chunk of `len` bytes; nothing for 0, which would end the body.
pub fn chunk_head(len: usize, out: &mut Vec<u8>) {
    if len > 0 {
        out.extend_from_slice(format!("{len:x}\r\n").as_bytes());
    }
}

/// What follows the data of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// The last chunk and an empty trailer section.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Framing, routing and authentication fields, and those that say how to read the body (RFC 9110 §6.5.1).
fn is_dropped_trailer(name: &[u8]) -> bool {
    const DROPPED: [&[u8]; 11] = [
        b"authentication-info",
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"cookie",
        b"host",
        b"proxy-authentication-info",
        b"set-cookie",
        b"www-authenticate",
    ];
    is_hop_by_hop(name)
        || DROPPED
            .iter()
            .any(|dropped| name.eq_ignore_ascii_case(dropped))
}

/// Digits of a size (H1-5).
const SIZE_DIGITS_MAX: u8 = 16;
/// Extensions of one chunk. They carry nothing, so the number only bounds work that brings no data.
const EXTENSION_BYTES_MAX: usize = 16_384;
/// The trailer section with its empty line (H1-5).
const TRAILER_BYTES_MAX: usize = 16_384;

#[cfg(test)]
mod tests;
