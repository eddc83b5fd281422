//! The canonical path: what is judged and what is sent are one value (L7-5, L7-6).
//!
//! Apart from `target` because only inspected endpoints change a path; elsewhere a target travels as received.
//! Invariants: a canonical path starts with `/`, holds no empty or dot segment, no escape of an unreserved byte and no
//! escape in lower case; read again it is the same. Escapes are decoded once.
//! Must never know: which paths are allowed, or the query.

use std::fmt;

use crate::refusal::Code;

/// A path in its canonical spelling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CanonicalPath {
    bytes: Box<[u8]>,
    slashes: Slashes,
}

/// Whether a path holds `%2F`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slashes {
    /// Every slash separates segments.
    Plain,
    /// An escaped one is part of a segment: acceptable only where the endpoint says `allow_encoded_slash`.
    Escaped,
}

impl CanonicalPath {
    /// Reads the path of a target, without its query.
    ///
    /// # Errors
    /// [`PathError`] for every path that servers read in more than one way. A path with `%2F` is read; whoever calls
    /// refuses it where [`CanonicalPath::slashes`] does not fit the endpoint.
    pub fn parse(path: &[u8]) -> Result<Self, PathError> {
        let [b'/', segments @ ..] = path else {
            return Err(PathError::Relative);
        };
        let mut out = Vec::with_capacity(path.len());
        out.push(b'/');
        let mut slashes = Slashes::Plain;
        let mut rest = Some(segments);
        while let Some(segments) = rest {
            let end = memchr::memchr(b'/', segments);
            let segment = segments.get(..end.unwrap_or(segments.len())).unwrap_or(&[]);
            rest = end.and_then(|end| segments.get(end + 1..));
            let start = out.len();
            if push_decoded(segment, &mut out)? == Slashes::Escaped {
                // Stays true: what is removed again below holds none.
                slashes = Slashes::Escaped;
            }
            let decoded = out.get(start..).unwrap_or(&[]);
            match decoded {
                b"" | b"." => out.truncate(start),
                b".." => {
                    out.truncate(start - 1);
                    let parent = memchr::memrchr(b'/', &out).ok_or(PathError::AboveRoot)?;
                    let left = out.get(parent..).unwrap_or(&[]);
                    // Why: a reader that decodes first leaves a part of that segment standing.
                    if memchr::memmem::find(left, b"%2F").is_some() {
                        return Err(PathError::HiddenDots);
                    }
                    out.truncate(parent + 1);
                }
                segment if hides_dots(segment) => return Err(PathError::HiddenDots),
                _ if rest.is_some() => out.push(b'/'),
                _ => {}
            }
        }
        Ok(Self {
            bytes: out.into_boxed_slice(),
            slashes,
        })
    }

    /// The path as it is judged and written.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it holds `%2F`.
    #[must_use]
    pub fn slashes(&self) -> Slashes {
        self.slashes
    }
}

/// Why a path has no canonical spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// It does not start with `/`.
    Relative,
    /// `%` without two hex digits.
    Escape,
    /// An escaped control byte or backslash.
    EscapedByte,
    /// A byte outside the grammar of RFC 3986 §3.3; `\` and every byte from 0x80 on are such.
    Byte,
    /// More `..` than segments.
    AboveRoot,
    /// `.` or `..` before a parameter or beside an escaped slash: some servers drop the one or decode the other first.
    HiddenDots,
}

impl PathError {
    /// The code of the refusal.
    #[must_use]
    pub fn code(self) -> Code {
        Code::InvalidRequestTarget
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Relative => "the path does not start with a slash",
            Self::Escape => "malformed escape in the path",
            Self::EscapedByte => "escaped control byte or backslash in the path",
            Self::Byte => "a byte in the path that belongs in an escape",
            Self::AboveRoot => "the path climbs above its root",
            Self::HiddenDots => "a dot segment behind a parameter or an escaped slash",
        })
    }
}

impl std::error::Error for PathError {}

/// Whether a reader that drops parameters or decodes slashes before it resolves dots would find dots to resolve.
fn hides_dots(segment: &[u8]) -> bool {
    let mut rest = Some(segment);
    while let Some(piece) = rest {
        let end = memchr::memmem::find(piece, b"%2F");
        let name = piece.get(..end.unwrap_or(piece.len())).unwrap_or(&[]);
        let parameter = memchr::memchr(b';', name).unwrap_or(name.len());
        if matches!(name.get(..parameter), Some(b"." | b"..")) {
            return true;
        }
        rest = end.and_then(|end| piece.get(end + 3..));
    }
    false
}

/// Appends one segment: escapes of unreserved bytes decoded, all others in upper case.
fn push_decoded(segment: &[u8], out: &mut Vec<u8>) -> Result<Slashes, PathError> {
    let mut slashes = Slashes::Plain;
    let mut rest = segment;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            if !is_path_byte(byte) {
                return Err(PathError::Byte);
            }
            out.push(byte);
            continue;
        }
        let &[high, low, ref after @ ..] = after else {
            return Err(PathError::Escape);
        };
        rest = after;
        match hex(high)? << 4 | hex(low)? {
            0..=0x1F | 0x7F | b'\\' => return Err(PathError::EscapedByte),
            decoded if is_unreserved(decoded) => out.push(decoded),
            decoded => {
                if decoded == b'/' {
                    slashes = Slashes::Escaped;
                }
                out.extend_from_slice(&[b'%', high.to_ascii_uppercase(), low.to_ascii_uppercase()]);
            }
        }
    }
    Ok(slashes)
}

fn hex(digit: u8) -> Result<u8, PathError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(PathError::Escape),
    }
}

/// RFC 3986 §2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// pchar without escapes (RFC 3986 §3.3).
fn is_path_byte(byte: u8) -> bool {
    is_unreserved(byte) || b"!$&'()*+,;=:@".contains(&byte)
}

#[cfg(test)]
mod tests;
