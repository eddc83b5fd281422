//! A response head (RFC 9112 §4; H1-11 to H1-14), from an upstream that may be hostile too.
//!
//! Apart from `request` because its line differs, its framing depends on the request's method, and every defect has the
//! same answer, `upstream_protocol_error`.
//! Invariants: as in `request`; interim answers are heads like any other and are recognised by their status.
//! Must never know: which request it answers, but for that request's method.

use std::fmt;

use crate::{
    Parse,
    fields::{
        Field, FieldLines, HeadError, HeadErrorKind, HeadLimits, Line, Options, Persistence, Span,
        Step, Version, is_hop_by_hop, is_value_byte, skip,
    },
    framing::{FramingFields, ResponseFraming},
};

/// Reads one response head after another; see [`ResponseParser::advance`].
#[derive(Clone, Debug)]
pub struct ResponseParser {
    limits: HeadLimits,
    at: usize,
    state: State,
    draft: Draft,
}

#[derive(Clone, Debug)]
enum State {
    /// In `HTTP/1.d` SP and three digits.
    Start,
    /// After the status: SP or CR. Servers leave the space out; nothing depends on it.
    AfterStatus,
    /// In the reason phrase.
    Reason,
    /// After the CR of the status line.
    LineFeed,
    /// In the field section.
    Fields(FieldLines),
    /// Refused; the verdict stays.
    Failed(HeadError),
}

#[derive(Clone, Debug)]
struct Draft {
    version: Version,
    status: u16,
    reason: Span,
    lines: Vec<Line>,
    framing: FramingFields,
    options: Options,
}

impl ResponseParser {
    /// A parser at the start of a head; [`HeadLimits::upstream`] has the limits of H1-13.
    #[must_use]
    pub fn new(limits: HeadLimits) -> Self {
        Self {
            limits,
            at: 0,
            state: State::Start,
            draft: Draft::new(),
        }
    }

    /// Reads on. `buf` begins at the first byte of the head and only grows between calls.
    ///
    /// After `Done` the parser is ready for the next head, which begins `used` bytes into `buf`. After `Bad` it gives
    /// the same error for ever.
    pub fn advance(&mut self, buf: &[u8]) -> Parse<ResponseHead, HeadError> {
        match self.run(buf) {
            Ok(None) => Parse::More,
            Ok(Some(end)) => {
                let parser = std::mem::replace(self, Self::new(self.limits));
                Parse::Done(parser.draft.finish(buf.get(..end).unwrap_or(&[])), end)
            }
            Err(error) => {
                self.state = State::Failed(error);
                Parse::Bad(error)
            }
        }
    }

    fn run(&mut self, buf: &[u8]) -> Result<Option<usize>, HeadError> {
        let window = buf.get(..self.limits.head_bytes_max).unwrap_or(buf);
        let starved = if buf.len() > window.len() {
            Err(HeadError::new(window.len(), HeadErrorKind::HeadTooLarge))
        } else {
            Ok(None)
        };
        loop {
            if let State::Fields(lines) = &mut self.state {
                match lines.next(window)? {
                    Step::Line(line) => self.draft.take_line(line, window)?,
                    Step::End(end) => return Ok(Some(end)),
                    Step::More => return starved,
                }
                continue;
            }
            let Some(&byte) = window.get(self.at) else {
                return starved;
            };
            self.status_line(byte, window)?;
        }
    }

    fn status_line(&mut self, byte: u8, buf: &[u8]) -> Result<(), HeadError> {
        match self.state {
            State::Start => return self.version_and_status(byte, buf),
            State::AfterStatus if byte == b' ' => {
                self.at += 1;
                self.draft.reason = Span::new(self.at, self.at);
                self.state = State::Reason;
            }
            State::Reason if is_value_byte(byte) => {
                let start = self.draft.reason.start();
                self.at = skip(buf, self.at, is_value_byte);
                self.draft.reason = Span::new(start, self.at);
            }
            State::AfterStatus | State::Reason if byte == b'\r' => {
                self.at += 1;
                self.state = State::LineFeed;
            }
            State::LineFeed if byte == b'\n' => {
                self.at += 1;
                self.state = State::Fields(FieldLines::new(self.at, self.limits.fields_max));
            }
            State::Failed(error) => return Err(error),
            State::AfterStatus | State::Reason | State::LineFeed | State::Fields(_) => {
                return Err(self.bad());
            }
        }
        Ok(())
    }

    fn version_and_status(&mut self, byte: u8, buf: &[u8]) -> Result<(), HeadError> {
        let fits = match self.at {
            0..7 | 8 => b"HTTP/1.  ".get(self.at) == Some(&byte),
            7 => matches!(byte, b'0' | b'1'),
            9 => matches!(byte, b'1'..=b'9'),
            _ => byte.is_ascii_digit(),
        };
        if !fits {
            return Err(self.bad());
        }
        self.at += 1;
        if self.at == 12 {
            self.draft.version = match buf.get(7) {
                Some(b'1') => Version::Http11,
                _ => Version::Http10,
            };
            let digits = buf.get(9..12).unwrap_or(&[]);
            self.draft.status = digits
                .iter()
                .fold(0, |status, digit| status * 10 + u16::from(*digit - b'0'));
            self.state = State::AfterStatus;
        }
        Ok(())
    }

    fn bad(&self) -> HeadError {
        HeadError::new(self.at, HeadErrorKind::StatusLine)
    }
}

impl Draft {
    fn new() -> Self {
        Self {
            version: Version::Http11,
            status: 0,
            reason: Span::default(),
            lines: Vec::new(),
            framing: FramingFields::default(),
            options: Options::default(),
        }
    }

    fn take_line(&mut self, line: Line, buf: &[u8]) -> Result<(), HeadError> {
        let field = line.of(buf);
        let judged = if field.is("content-length") {
            self.framing.response_length(field.value)
        } else if field.is("transfer-encoding") {
            self.framing.transfer_encoding(field.value, self.version)
        } else if field.is("connection") {
            line.value
                .elements(buf)
                .try_for_each(|option| self.options.push(option))
        } else {
            Ok(())
        };
        judged.map_err(|kind| HeadError::new(line.name.start(), kind))?;
        self.lines.push(line);
        Ok(())
    }

    fn finish(mut self, head: &[u8]) -> ResponseHead {
        self.options.sort(head);
        ResponseHead {
            bytes: head.into(),
            draft: self,
        }
    }
}

/// A complete, well-formed response head. It owns its bytes.
#[derive(Clone)]
pub struct ResponseHead {
    bytes: Box<[u8]>,
    draft: Draft,
}

impl ResponseHead {
    /// 100–999.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.draft.status
    }

    /// Whether another head follows: 1xx but 101 (H1-11).
    #[must_use]
    pub fn is_interim(&self) -> bool {
        matches!(self.draft.status, 100 | 102..=199)
    }

    /// The version of the status line.
    #[must_use]
    pub fn version(&self) -> Version {
        self.draft.version
    }

    /// The reason phrase, often empty; no control byte but HTAB.
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        self.draft.reason.of(&self.bytes)
    }

    /// All field lines in order.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        self.draft.lines.iter().map(|line| line.of(&self.bytes))
    }

    /// The value of the first field of this name, letter case aside.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields()
            .find(|field| field.is(name))
            .map(|field| field.value)
    }

    /// How the body is framed, given the method of the request (RFC 9112 §6.3, H1-13).
    #[must_use]
    pub fn framing(&self, request_method: &[u8]) -> ResponseFraming {
        if request_method == b"HEAD" || matches!(self.draft.status, 100..=199 | 204 | 304) {
            return ResponseFraming::None;
        }
        self.draft.framing.response()
    }

    /// Whether the upstream keeps the connection as far as the head says. A body until close says otherwise later.
    #[must_use]
    pub fn persistence(&self) -> Persistence {
        match self.draft.version {
            Version::Http11 if !self.draft.options.name(&self.bytes, b"close") => {
                Persistence::KeepAlive
            }
            Version::Http10 | Version::Http11 => Persistence::Close,
        }
    }

    /// Whether the body is `text/event-stream` and can be read as such, that is, without a content coding.
    #[must_use]
    pub fn is_event_stream(&self) -> bool {
        let media_type = self.field("content-type").unwrap_or(&[]);
        let end = media_type
            .iter()
            .position(|byte| matches!(byte, b';' | b' ' | b'\t'))
            .unwrap_or(media_type.len());
        let media_type = media_type.get(..end).unwrap_or(&[]);
        media_type.eq_ignore_ascii_case(b"text/event-stream") && !self.is_content_coded()
    }

    /// Whether a Content-Encoding other than identity is named.
    #[must_use]
    pub fn is_content_coded(&self) -> bool {
        let mut codings = self.fields().filter(|field| field.is("content-encoding"));
        codings
            .any(|field| !field.value.is_empty() && !field.value.eq_ignore_ascii_case(b"identity"))
    }

    /// Whether a field of this name ends at this hop: the set of H1-15 and every name in a Connection field.
    #[must_use]
    pub fn is_hop_by_hop(&self, name: &[u8]) -> bool {
        is_hop_by_hop(name) || self.draft.options.name(&self.bytes, name)
    }

    /// Bytes of the head.
    #[must_use]
    pub fn head_len(&self) -> usize {
        self.bytes.len()
    }
}

/// No reason and no value: either may quote a credential (LOG-3).
impl fmt::Debug for ResponseHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ResponseHead({}, {} fields)",
            self.status(),
            self.draft.lines.len()
        )
    }
}

#[cfg(test)]
mod tests;
