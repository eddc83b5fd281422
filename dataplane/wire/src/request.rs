//! A request head (RFC 9112 §3, §5; H1-1 to H1-10), read byte by byte from a buffer that grows.
//!
//! Apart from `response` because a request is hostile and refused with a status of its own, and from `target` because
//! what a target must look like depends on the surface.
//! Invariants: the verdict does not depend on how the bytes were split; each byte is looked at a bounded number of
//! times; a malformed byte or a passed limit is answered when it is seen; a finished head has one framing and, in
//! HTTP/1.1, one valid Host.
//! Must never know: who asks, or whether the request is allowed.

use std::fmt;

use crate::{
    Parse,
    fields::{
        Field, FieldLines, HeadError, HeadErrorKind, HeadLimits, Persistence, Span, Step, Version,
        is_hop_by_hop, is_token_byte, skip,
    },
    framing::RequestFraming,
    host::HostField,
};

mod draft;

use draft::Draft;
pub use draft::{Expectation, Upgrade};

/// Reads one request head after another; see [`RequestParser::advance`].
#[derive(Clone, Debug)]
pub struct RequestParser {
    limits: HeadLimits,
    at: usize,
    state: State,
    draft: Draft,
}

#[derive(Clone, Debug)]
enum State {
    /// First byte: an empty line may stand before the request line (RFC 9112 §2.2).
    First,
    /// After the CR of that empty line.
    FirstLineFeed,
    /// In the method.
    Method,
    /// In the target.
    Target,
    /// In `HTTP/d.d` CRLF, which begins here.
    Version { start: usize },
    /// In the field section.
    Fields(FieldLines),
    /// Refused; the verdict stays.
    Failed(HeadError),
}

impl RequestParser {
    /// A parser at the start of a head.
    #[must_use]
    pub fn new(limits: HeadLimits) -> Self {
        Self {
            limits,
            at: 0,
            state: State::First,
            draft: Draft::new(),
        }
    }

    /// Reads on. `buf` begins at the first byte of the head and only grows between calls.
    ///
    /// After `Done` the parser is ready for the next head, which begins `used` bytes into `buf`. After `Bad` it gives
    /// the same error for ever.
    pub fn advance(&mut self, buf: &[u8]) -> Parse<RequestHead, HeadError> {
        match self.run(buf) {
            Ok(None) => Parse::More,
            Ok(Some(end)) => {
                let mut draft = std::mem::replace(self, Self::new(self.limits)).draft;
                let bytes = buf.get(..end).unwrap_or(&[]);
                match draft.finish(bytes) {
                    Ok(()) => Parse::Done(
                        RequestHead {
                            bytes: bytes.into(),
                            draft,
                        },
                        end,
                    ),
                    Err(error) => self.fail(error),
                }
            }
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, error: HeadError) -> Parse<RequestHead, HeadError> {
        self.state = State::Failed(error);
        Parse::Bad(error)
    }

    /// Looks at no byte beyond the limit, so that the limit wins over what comes after it.
    fn run(&mut self, buf: &[u8]) -> Result<Option<usize>, HeadError> {
        loop {
            // Invariant: an empty first line moves `draft.start`, so the window is computed anew for each part.
            let end = self.draft.start.saturating_add(self.limits.head_bytes_max);
            let window = buf.get(..end).unwrap_or(buf);
            let step = match &mut self.state {
                State::Fields(lines) => match lines.next(window)? {
                    Step::Line(line) => {
                        self.draft.take_line(line, window)?;
                        continue;
                    }
                    Step::End(end) => return Ok(Some(end)),
                    Step::More => Progress::Starved,
                },
                State::First
                | State::FirstLineFeed
                | State::Method
                | State::Target
                | State::Version { .. }
                | State::Failed(_) => self.start_line(window)?,
            };
            match step {
                Progress::Moved => {}
                Progress::Starved if buf.len() > end => {
                    return Err(HeadError::new(end, HeadErrorKind::HeadTooLarge));
                }
                Progress::Starved => return Ok(None),
            }
        }
    }

    fn start_line(&mut self, buf: &[u8]) -> Result<Progress, HeadError> {
        let Some(&byte) = buf.get(self.at) else {
            return Ok(Progress::Starved);
        };
        match self.state {
            State::First if byte == b'\r' => {
                self.at += 1;
                self.state = State::FirstLineFeed;
            }
            State::First => self.state = State::Method,
            State::FirstLineFeed if byte == b'\n' => {
                self.at += 1;
                self.draft.start = self.at;
                self.state = State::Method;
            }
            State::FirstLineFeed => return Err(self.bad(HeadErrorKind::BareCr)),
            State::Method => return self.method(buf),
            State::Target => return self.target(buf),
            State::Version { start } => return self.version(start, byte, buf),
            State::Failed(error) => return Err(error),
            State::Fields(_) => {}
        }
        Ok(Progress::Moved)
    }

    fn method(&mut self, buf: &[u8]) -> Result<Progress, HeadError> {
        let start = self.draft.start;
        self.at = skip(buf, self.at, is_token_byte);
        match buf.get(self.at) {
            None => Ok(Progress::Starved),
            Some(b' ') if self.at > start => {
                self.draft.method = Span::new(start, self.at);
                self.at += 1;
                self.draft.target = Span::new(self.at, self.at);
                self.state = State::Target;
                Ok(Progress::Moved)
            }
            Some(_) => Err(self.bad(HeadErrorKind::RequestLine)),
        }
    }

    fn target(&mut self, buf: &[u8]) -> Result<Progress, HeadError> {
        let start = self.draft.target.start();
        let limit = start.saturating_add(self.limits.target_bytes_max);
        let window = buf.get(..limit).unwrap_or(buf);
        self.at = skip(window, self.at, |byte| byte.is_ascii_graphic());
        match buf.get(self.at) {
            None => Ok(Progress::Starved),
            Some(b' ') if self.at > start => {
                self.draft.target = Span::new(start, self.at);
                self.at += 1;
                self.state = State::Version { start: self.at };
                Ok(Progress::Moved)
            }
            Some(_) if self.at == limit => Err(self.bad(HeadErrorKind::TargetTooLong)),
            Some(byte) if !byte.is_ascii() => Err(self.bad(HeadErrorKind::TargetByte)),
            Some(_) => Err(self.bad(HeadErrorKind::RequestLine)),
        }
    }

    fn version(&mut self, start: usize, byte: u8, buf: &[u8]) -> Result<Progress, HeadError> {
        let index = self.at - start;
        let fits = match index {
            0..5 | 6 => b"HTTP/0.".get(index) == Some(&byte),
            5 | 7 => byte.is_ascii_digit(),
            8 => byte == b'\r',
            _ => byte == b'\n',
        };
        if !fits {
            return Err(self.bad(HeadErrorKind::Version));
        }
        self.at += 1;
        if index == 9 {
            self.draft.version = match buf.get(start..start + 8) {
                Some(b"HTTP/1.1") => Version::Http11,
                Some(b"HTTP/1.0") => Version::Http10,
                _ => return Err(HeadError::new(start, HeadErrorKind::VersionUnsupported)),
            };
            self.state = State::Fields(FieldLines::new(self.at, self.limits.fields_max));
        }
        Ok(Progress::Moved)
    }

    fn bad(&self, kind: HeadErrorKind) -> HeadError {
        HeadError::new(self.at, kind)
    }
}

/// Whether a step got anywhere.
#[derive(Clone, Copy, Debug)]
enum Progress {
    Moved,
    Starved,
}

/// A complete, well-formed request head. It owns its bytes: one copy of the head is made when it is complete.
#[derive(Clone)]
pub struct RequestHead {
    bytes: Box<[u8]>,
    draft: Draft,
}

impl RequestHead {
    /// A token, to be compared with case (H1-3).
    #[must_use]
    pub fn method(&self) -> &[u8] {
        self.draft.method.of(&self.bytes)
    }

    /// Visible ASCII, at least one byte; its form is not judged here.
    #[must_use]
    pub fn target(&self) -> &[u8] {
        self.draft.target.of(&self.bytes)
    }

    /// The version of the request line.
    #[must_use]
    pub fn version(&self) -> Version {
        self.draft.version
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

    /// How the body is framed (RFC 9112 §6.3).
    #[must_use]
    pub fn framing(&self) -> RequestFraming {
        self.draft.framing.request()
    }

    /// The Host field; `None` only in HTTP/1.0.
    #[must_use]
    pub fn host(&self) -> Option<&HostField> {
        self.draft.host.as_ref()
    }

    /// Whether the client will send another request (H1-9). HTTP/1.0 never keeps alive here.
    #[must_use]
    pub fn persistence(&self) -> Persistence {
        match self.draft.version {
            Version::Http11 if !self.has_option(b"close") => Persistence::KeepAlive,
            Version::Http10 | Version::Http11 => Persistence::Close,
        }
    }

    /// What the client waits for before it sends the body. In HTTP/1.0 `100-continue` is ignored (RFC 9110 §10.1.1).
    #[must_use]
    pub fn expectation(&self) -> Expectation {
        match (self.draft.version, self.draft.expectation) {
            (Version::Http10, Expectation::Continue) => Expectation::None,
            (Version::Http10 | Version::Http11, expectation) => expectation,
        }
    }

    /// The protocol asked for, with the matching Connection option and in HTTP/1.1; otherwise to be ignored (L7-14).
    #[must_use]
    pub fn upgrade(&self) -> Option<Upgrade> {
        match self.draft.version {
            Version::Http11 if self.has_option(b"upgrade") => self.draft.upgrade,
            Version::Http10 | Version::Http11 => None,
        }
    }

    /// Whether a field of this name ends at this hop: the set of H1-15 and every name in a Connection field.
    #[must_use]
    pub fn is_hop_by_hop(&self, name: &[u8]) -> bool {
        is_hop_by_hop(name) || self.has_option(name)
    }

    /// Bytes of the head, an ignored empty first line included.
    #[must_use]
    pub fn head_len(&self) -> usize {
        self.bytes.len()
    }

    fn has_option(&self, name: &[u8]) -> bool {
        self.draft.options.name(&self.bytes, name)
    }
}

/// No target and no value: either may hold a credential (LOG-3).
impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = self.method().escape_ascii();
        write!(
            f,
            "RequestHead({method}, {} fields, {:?})",
            self.draft.lines.len(),
            self.framing()
        )
    }
}

#[cfg(test)]
mod tests;
