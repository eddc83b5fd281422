//! How long a body is: the smuggling rules in one place (RFC 9112 §6, H1-4, H1-13).
//!
//! Apart from the head parsers because two readings of one length are the attack; there is one reading here.
//! Invariants: no value is guessed, corrected or clipped; a request with two framings has none and is refused.
//! Must never know: whose message it is, or what its body holds.

use crate::fields::{HeadErrorKind, Version, is_blank};

/// Body of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFraming {
    /// No body.
    None,
    /// So many bytes, at most 2^63−1.
    Length(u64),
    /// Chunked (RFC 9112 §7.1).
    Chunked,
}

/// Body of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseFraming {
    /// No body: an answer to HEAD, 1xx, 204, 304.
    None,
    /// So many bytes, at most 2^63−1.
    Length(u64),
    /// Chunked (RFC 9112 §7.1).
    Chunked,
    /// All that comes until the upstream closes.
    UntilClose,
}

/// The framing fields seen so far in one head.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FramingFields {
    length: Option<u64>,
    coding: Option<ChunkedOnly>,
}

/// Transfer-Encoding was seen once, and was `chunked`.
#[derive(Clone, Copy, Debug)]
struct ChunkedOnly;

impl FramingFields {
    /// Content-Length of a request: once, and one number.
    pub(crate) fn request_length(&mut self, value: &[u8]) -> Result<(), HeadErrorKind> {
        let length = decimal(value).ok_or(HeadErrorKind::ContentLength)?;
        if self.length.is_some() {
            return Err(HeadErrorKind::ContentLengthRepeated);
        }
        self.length = Some(length);
        self.check_single()
    }

    /// Content-Length of a response: repeated equal values count as one (RFC 9112 §6.3).
    pub(crate) fn response_length(&mut self, value: &[u8]) -> Result<(), HeadErrorKind> {
        for element in value.split(|byte| *byte == b',') {
            let length = decimal(trim(element)).ok_or(HeadErrorKind::ContentLength)?;
            if self.length.is_some_and(|known| known != length) {
                return Err(HeadErrorKind::ContentLengthRepeated);
            }
            self.length = Some(length);
        }
        self.check_single()
    }

    /// Transfer-Encoding of either: once, `chunked`, and not in HTTP/1.0.
    pub(crate) fn transfer_encoding(
        &mut self,
        value: &[u8],
        version: Version,
    ) -> Result<(), HeadErrorKind> {
        if version == Version::Http10 {
            return Err(HeadErrorKind::TransferEncodingInHttp10);
        }
        if self.coding.is_some() || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(HeadErrorKind::TransferEncoding);
        }
        self.coding = Some(ChunkedOnly);
        self.check_single()
    }

    pub(crate) fn request(self) -> RequestFraming {
        match (self.coding, self.length) {
            (Some(ChunkedOnly), _) => RequestFraming::Chunked,
            (None, Some(length)) => RequestFraming::Length(length),
            (None, None) => RequestFraming::None,
        }
    }

    /// The table of RFC 9112 §6.3, without the cases that a request method or a status decides.
    pub(crate) fn response(self) -> ResponseFraming {
        match (self.coding, self.length) {
            (Some(ChunkedOnly), _) => ResponseFraming::Chunked,
            (None, Some(length)) => ResponseFraming::Length(length),
            (None, None) => ResponseFraming::UntilClose,
        }
    }

    fn check_single(self) -> Result<(), HeadErrorKind> {
        match (self.coding, self.length) {
            (Some(ChunkedOnly), Some(_)) => Err(HeadErrorKind::LengthAndTransferEncoding),
            (Some(ChunkedOnly), None) | (None, _) => Ok(()),
        }
    }
}

/// One to nineteen ASCII digits, at most 2^63−1. Written out because the standard parser takes a sign.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 {
        return None;
    }
    let number = text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(*byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })?;
    (number <= BODY_BYTES_MAX).then_some(number)
}

fn trim(text: &[u8]) -> &[u8] {
    let start = text
        .iter()
        .position(|byte| !is_blank(*byte))
        .unwrap_or(text.len());
    let end = text
        .iter()
        .rposition(|byte| !is_blank(*byte))
        .map_or(start, |last| last + 1);
    text.get(start..end).unwrap_or(&[])
}

/// The largest length that is read at all: what a signed 64-bit reader behind us can hold.
pub(crate) const BODY_BYTES_MAX: u64 = i64::MAX as u64;

#[cfg(test)]
mod tests;
