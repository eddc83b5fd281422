//! Field lines as offsets into the head (RFC 9112 §5), and what request and response heads share.
//!
//! Apart from `request` and `response` because the same bytes must get the same verdict in both, and in trailers.
//! Invariants: one pass over the bytes however they are split; a malformed byte is reported when it is seen, without
//! the end of its line; white space is only SP and HTAB; nothing is copied or converted.
//! Must never know: what a field means.

use std::fmt;

mod head_error;

pub use head_error::{HeadError, HeadErrorKind};

/// Bounds of a head (H1-7, H1-13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes from the first of the start line to the last LF.
    pub head_bytes_max: usize,
    /// Field lines.
    pub fields_max: usize,
    /// Bytes of a request target.
    pub target_bytes_max: usize,
}

impl HeadLimits {
    /// Limits of an upstream's head: H1-13 bounds its bytes; the field count bounds the memory for offsets.
    #[must_use]
    pub fn upstream() -> Self {
        Self {
            fields_max: 1_024,
            ..Self::default()
        }
    }
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            head_bytes_max: 65_536,
            fields_max: 128,
            target_bytes_max: 8_192,
        }
    }
}

/// One field line, white space around the value removed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// A token, in the letter case received.
    pub name: &'a [u8],
    /// As received; bytes 0x80–0xFF included.
    pub value: &'a [u8],
}

impl Field<'_> {
    /// Whether the name is this one, letter case aside.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// The name and the length of the value: a value may be a credential (LOG-3).
impl fmt::Debug for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} bytes",
            self.name.escape_ascii(),
            self.value.len()
        )
    }
}

/// The two versions that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// Whether the connection may carry another message after this one (RFC 9112 §9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// Yes, as far as this head is concerned.
    KeepAlive,
    /// No: `Connection: close`, HTTP/1.0, or a body that ends with the connection.
    Close,
}

/// The hop-by-hop set of H1-15, without what a Connection field adds.
#[must_use]
pub fn is_hop_by_hop(name: &[u8]) -> bool {
    const SET: [&[u8]; 9] = [
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    ];
    SET.iter().any(|hop| name.eq_ignore_ascii_case(hop))
}

/// A piece of the head.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    start: usize,
    end: usize,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    pub(crate) fn start(self) -> usize {
        self.start
    }

    /// The bytes of this piece; the buffer must be the one it was measured in.
    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start..self.end).unwrap_or(&[])
    }

    /// The pieces of a comma-separated list, blanks removed, empty elements left out (RFC 9110 §5.6.1).
    pub(crate) fn elements(self, bytes: &[u8]) -> impl Iterator<Item = Span> {
        let mut start = self.start;
        let commas = memchr::memchr_iter(b',', self.of(bytes)).map(move |at| self.start + at);
        commas
            .chain(std::iter::once(self.end))
            .filter_map(move |end| {
                let element = Span { start, end }.trimmed(bytes);
                start = end + 1;
                (element.start < element.end).then_some(element)
            })
    }

    fn trimmed(self, bytes: &[u8]) -> Self {
        let text = self.of(bytes);
        let before = text.iter().take_while(|byte| is_blank(**byte)).count();
        let after = text
            .iter()
            .rev()
            .take_while(|byte| is_blank(**byte))
            .count();
        let start = self.start + before;
        Self {
            start,
            end: (self.end - after).max(start),
        }
    }
}

/// The elements of every Connection field of a head.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options(Vec<Span>);

impl Options {
    /// Takes one more; there are at most 256, since a head has fewer fields to name than that.
    pub(crate) fn push(&mut self, option: Span) -> Result<(), HeadErrorKind> {
        if self.0.len() == OPTIONS_MAX {
            return Err(HeadErrorKind::TooManyFields);
        }
        self.0.push(option);
        Ok(())
    }

    /// Sorted so that a look-up is logarithmic: the sender chooses both the options and the names looked up.
    pub(crate) fn sort(&mut self, bytes: &[u8]) {
        self.0
            .sort_unstable_by(|a, b| lower(a.of(bytes)).cmp(lower(b.of(bytes))));
    }

    /// Whether this name is among them, letter case aside. The options must be sorted.
    pub(crate) fn name(&self, bytes: &[u8], name: &[u8]) -> bool {
        self.0
            .binary_search_by(|option| lower(option.of(bytes)).cmp(lower(name)))
            .is_ok()
    }
}

fn lower(text: &[u8]) -> impl Iterator<Item = u8> + '_ {
    text.iter().map(u8::to_ascii_lowercase)
}

/// One field line, as offsets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) name: Span,
    pub(crate) value: Span,
}

impl Line {
    pub(crate) fn of(self, bytes: &[u8]) -> Field<'_> {
        Field {
            name: self.name.of(bytes),
            value: self.value.of(bytes),
        }
    }
}

/// What [`FieldLines::next`] found.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// A complete line.
    Line(Line),
    /// The empty line; the section ends before this offset.
    End(usize),
    /// Nothing complete yet.
    More,
}

/// Reads field lines up to the empty line, resumable at every byte.
#[derive(Clone, Debug)]
pub(crate) struct FieldLines {
    at: usize,
    state: State,
    lines: usize,
    lines_max: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// First byte of a line.
    Start,
    /// In a name that began here.
    Name { start: usize },
    /// Blanks after the colon.
    BeforeValue { name: Span },
    /// In a value that began here.
    Value { name: Span, start: usize },
    /// After the CR of a field line.
    LineFeed { line: Line },
    /// After the CR of the empty line.
    LastLineFeed,
}

impl FieldLines {
    /// Starts at this offset of the buffer.
    pub(crate) fn new(at: usize, lines_max: usize) -> Self {
        Self {
            at,
            state: State::Start,
            lines: 0,
            lines_max,
        }
    }

    /// The next line in `buf`, which starts where it always started and may have grown.
    pub(crate) fn next(&mut self, buf: &[u8]) -> Result<Step, HeadError> {
        while let Some(&byte) = buf.get(self.at) {
            self.state = match self.state {
                State::Start => self.start_line(byte)?,
                State::Name { start } => {
                    self.at = skip(buf, self.at, is_token_byte);
                    match buf.get(self.at) {
                        None => return Ok(Step::More),
                        Some(b':') => State::BeforeValue {
                            name: Span::new(start, self.at),
                        },
                        Some(_) => return Err(self.bad(HeadErrorKind::FieldName)),
                    }
                }
                State::BeforeValue { name } => {
                    self.at = skip(buf, self.at, is_blank);
                    if self.at == buf.len() {
                        return Ok(Step::More);
                    }
                    self.state = State::Value {
                        name,
                        start: self.at,
                    };
                    continue;
                }
                State::Value { name, start } => {
                    self.at = skip(buf, self.at, is_value_byte);
                    match buf.get(self.at) {
                        None => return Ok(Step::More),
                        Some(b'\r') => {
                            let value = Span::new(start, self.at).trimmed(buf);
                            State::LineFeed {
                                line: Line { name, value },
                            }
                        }
                        Some(b'\n') => return Err(self.bad(HeadErrorKind::BareLf)),
                        Some(_) => return Err(self.bad(HeadErrorKind::FieldValue)),
                    }
                }
                State::LineFeed { line } if byte == b'\n' => {
                    self.at += 1;
                    self.state = State::Start;
                    return Ok(Step::Line(line));
                }
                State::LastLineFeed if byte == b'\n' => return Ok(Step::End(self.at + 1)),
                State::LineFeed { .. } | State::LastLineFeed => {
                    return Err(self.bad(HeadErrorKind::BareCr));
                }
            };
            self.at += 1;
        }
        Ok(Step::More)
    }

    fn start_line(&mut self, byte: u8) -> Result<State, HeadError> {
        match byte {
            b'\r' => return Ok(State::LastLineFeed),
            b'\n' => return Err(self.bad(HeadErrorKind::BareLf)),
            b' ' | b'\t' => return Err(self.bad(HeadErrorKind::LeadingBlank)),
            byte if !is_token_byte(byte) => return Err(self.bad(HeadErrorKind::FieldName)),
            _ => {}
        }
        if self.lines == self.lines_max {
            return Err(self.bad(HeadErrorKind::TooManyFields));
        }
        self.lines += 1;
        Ok(State::Name { start: self.at })
    }

    fn bad(&self, kind: HeadErrorKind) -> HeadError {
        HeadError::new(self.at, kind)
    }
}

/// The offset of the first byte from `at` on that is not of this kind.
pub(crate) fn skip(buf: &[u8], at: usize, of_kind: impl Fn(u8) -> bool) -> usize {
    let rest = buf.get(at..).unwrap_or(&[]);
    at + rest
        .iter()
        .position(|byte| !of_kind(*byte))
        .unwrap_or(rest.len())
}

/// SP or HTAB, the only white space there is (RFC 9110 §5.6.3).
pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// tchar (RFC 9110 §5.6.2).
pub(crate) fn is_token_byte(byte: u8) -> bool {
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0_u8;
        while byte < 128 {
            table[byte as usize] = byte.is_ascii_alphanumeric()
                || matches!(
                    byte,
                    b'!' | b'#'
                        | b'$'
                        | b'%'
                        | b'&'
                        | b'\''
                        | b'*'
                        | b'+'
                        | b'-'
                        | b'.'
                        | b'^'
                        | b'_'
                        | b'`'
                        | b'|'
                        | b'~'
                );
            byte += 1;
        }
        table
    };
    TABLE[usize::from(byte)]
}

/// HTAB, SP, VCHAR or obs-text (RFC 9110 §5.5).
pub(crate) fn is_value_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7F)
}

/// Elements of all Connection fields. 64 KiB of commas would otherwise cost 16 times their size.
const OPTIONS_MAX: usize = 256;

#[cfg(test)]
mod tests;
