//! Heads as bytes: what was parsed is written anew, never relayed as read.
//!
//! Apart from the parsers because a head that goes out is ours: its framing, its Host and its credential are chosen.
//! Invariant: no CR, LF or NUL enters a head through a name or a value; HTTP/1.1 is always spoken.
//! Must never know: which field is a secret. Bytes given to it may be one, so it cannot be printed.

use std::fmt;

use crate::fields::{is_token_byte, is_value_byte};

/// Builds one head. There is no Debug on purpose.
pub struct HeadWriter {
    out: Vec<u8>,
}

impl HeadWriter {
    /// `METHOD target HTTP/1.1`; the parts of the target are written one after the other.
    ///
    /// # Errors
    /// [`WriteError`] when the method is no token, or the target is empty or holds anything but visible ASCII.
    pub fn request(method: &[u8], target_parts: &[&[u8]]) -> Result<Self, WriteError> {
        let mut out = Vec::with_capacity(HEAD_BYTES_USUAL);
        push_token(&mut out, method)?;
        out.push(b' ');
        let before = out.len();
        for part in target_parts {
            if !part.iter().all(u8::is_ascii_graphic) {
                return Err(WriteError::Target);
            }
            out.extend_from_slice(part);
        }
        if out.len() == before {
            return Err(WriteError::Target);
        }
        out.extend_from_slice(b" HTTP/1.1\r\n");
        Ok(Self { out })
    }

    /// `HTTP/1.1 status reason`. A status outside 100–999 is written as 502, an unprintable reason as none.
    #[must_use]
    pub fn response(status: u16, reason: &[u8]) -> Self {
        let status = if (100..=999).contains(&status) {
            status
        } else {
            502
        };
        let mut out = Vec::with_capacity(HEAD_BYTES_USUAL);
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(status.to_string().as_bytes());
        out.push(b' ');
        if reason.iter().all(|byte| is_value_byte(*byte)) {
            out.extend_from_slice(reason);
        }
        out.extend_from_slice(b"\r\n");
        Self { out }
    }

    /// One field line.
    ///
    /// # Errors
    /// [`WriteError`] when the name is no token or the value holds a control byte other than HTAB; nothing is written.
    pub fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), WriteError> {
        self.field_parts(name, &[value])
    }

    /// One field line whose value is written in parts, such as a scheme and a credential.
    ///
    /// # Errors
    /// As [`HeadWriter::field`].
    pub fn field_parts(&mut self, name: &[u8], value_parts: &[&[u8]]) -> Result<(), WriteError> {
        if !value_parts
            .iter()
            .all(|part| part.iter().all(|byte| is_value_byte(*byte)))
        {
            return Err(WriteError::Value);
        }
        push_token(&mut self.out, name)?;
        self.out.extend_from_slice(b": ");
        for part in value_parts {
            self.out.extend_from_slice(part);
        }
        self.out.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// One field line of our own words. Invariant: the words are literals of this program, so nothing can fail.
    pub fn own_field(&mut self, name: &'static str, value: &'static str) {
        debug_assert!(
            name.bytes().all(is_token_byte) && value.bytes().all(is_value_byte),
            "own words are clean"
        );
        self.push_line(name, value);
    }

    /// One field line that holds a number.
    pub fn number_field(&mut self, name: &'static str, number: u64) {
        debug_assert!(name.bytes().all(is_token_byte), "own words are clean");
        self.push_line(name, &number.to_string());
    }

    /// The head with its empty line.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.out.extend_from_slice(b"\r\n");
        self.out
    }

    fn push_line(&mut self, name: &str, value: &str) {
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
        self.out.extend_from_slice(value.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }
}

/// Why a piece of a head is not written. It does not quote the piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// A method or field name that is no token.
    Name,
    /// A target that is empty or not visible ASCII.
    Target,
    /// A value with a control byte other than HTAB.
    Value,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "a name is no token",
            Self::Target => "the target is empty or not visible ASCII",
            Self::Value => "a value holds a control byte",
        })
    }
}

impl std::error::Error for WriteError {}

fn push_token(out: &mut Vec<u8>, token: &[u8]) -> Result<(), WriteError> {
    if token.is_empty() || !token.iter().all(|byte| is_token_byte(*byte)) {
        return Err(WriteError::Name);
    }
    out.extend_from_slice(token);
    Ok(())
}

/// First allocation; most heads fit, so a credential is rarely copied by growth.
const HEAD_BYTES_USUAL: usize = 2_048;

#[cfg(test)]
mod tests;
