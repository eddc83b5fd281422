//! Server name and ALPN from the first bytes of a TLS connection (RFC 8446 §4.1.2, RFC 6066 §3, RFC 7301 §3.1).
//!
//! Apart from the TLS library because a name must be judged before a certificate is made for it.
//! Invariants: every length is checked against the bytes it counts; a hello may be spread over several records; the
//! work of one call is bounded by the limits below, so repeated calls on a growing buffer stay cheap.
//! Must never know: which names are right.

use std::fmt;

use crate::Parse;

/// What a client says of itself before encryption.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The host name of the server_name extension, as sent.
    pub server_name: Option<Vec<u8>>,
    /// The protocols offered, in order; empty without the extension.
    pub alpn: Vec<Vec<u8>>,
}

/// Reads a ClientHello. `buf` begins at the first byte of the connection; `Done` counts the records that hold it.
pub fn client_hello(buf: &[u8]) -> Parse<ClientHello, HelloError> {
    match records(buf) {
        Ok(None) => Parse::More,
        Ok(Some((message, used))) => match hello(&message) {
            Some(hello) => Parse::Done(hello, used),
            None => Parse::Bad(HelloError::Malformed),
        },
        Err(error) => Parse::Bad(error),
    }
}

/// Why these bytes are no ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelloError {
    /// Not a TLS handshake record.
    NotTls,
    /// A handshake message of another type.
    NotClientHello,
    /// Lengths that contradict each other, or an extension that occurs twice.
    Malformed,
    /// Longer than any client sends, or in too many records.
    TooLong,
}

impl fmt::Display for HelloError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotTls => "not a TLS handshake",
            Self::NotClientHello => "not a ClientHello",
            Self::Malformed => "malformed ClientHello",
            Self::TooLong => "ClientHello too long",
        })
    }
}

impl std::error::Error for HelloError {}

/// The handshake message without its header, gathered from its records, and the bytes those take.
fn records(buf: &[u8]) -> Result<Option<(Vec<u8>, usize)>, HelloError> {
    let mut message = Vec::new();
    let mut at = 0;
    for _ in 0..RECORDS_MAX {
        let record = buf.get(at..).unwrap_or(&[]);
        // RFC 8446 §5.1: type 22, version 3.x, length of at most 2^14. Each byte is judged as soon as it is there.
        if record.first().is_some_and(|kind| *kind != 22)
            || record.get(1).is_some_and(|major| *major != 3)
        {
            return Err(HelloError::NotTls);
        }
        let &[_, _, _, high, low, ref rest @ ..] = record else {
            return Ok(None);
        };
        let len = usize::from(u16::from_be_bytes([high, low]));
        if len == 0 || len > RECORD_BYTES_MAX {
            return Err(HelloError::NotTls);
        }
        let fragment = rest.get(..len).unwrap_or(rest);
        message.extend_from_slice(fragment);
        if message.first().is_some_and(|kind| *kind != 1) {
            return Err(HelloError::NotClientHello);
        }
        if let Some(&[_, high, middle, low]) = message.get(..4) {
            let body_len =
                usize::try_from(u32::from_be_bytes([0, high, middle, low])).unwrap_or(usize::MAX);
            if body_len > HELLO_BYTES_MAX {
                return Err(HelloError::TooLong);
            }
            // Why: nothing may follow the hello in its record, and the record says how long it is before it is whole.
            if message.len() - fragment.len() + len > 4 + body_len {
                return Err(HelloError::Malformed);
            }
            if message.len() == 4 + body_len {
                message.drain(..4);
                return Ok(Some((message, at + 5 + len)));
            }
        }
        if fragment.len() < len {
            return Ok(None);
        }
        at += 5 + len;
    }
    Err(HelloError::TooLong)
}

fn hello(message: &[u8]) -> Option<ClientHello> {
    let mut rest = Reader(message);
    rest.take(2 + 32)?;
    rest.block8()?;
    let suites = rest.block16()?;
    rest.block8()?;
    if suites.is_empty() || suites.len() % 2 != 0 {
        return None;
    }
    let mut found = ClientHello::default();
    if rest.0.is_empty() {
        return Some(found);
    }
    let mut extensions = Reader(rest.block16()?);
    if !rest.0.is_empty() {
        return None;
    }
    let mut seen_alpn = None;
    while !extensions.0.is_empty() {
        let kind = extensions.u16()?;
        let data = Reader(extensions.block16()?);
        match kind {
            0 if found.server_name.is_none() => found.server_name = Some(server_name(data)?),
            16 if seen_alpn.is_none() => seen_alpn = Some(alpn(data)?),
            0 | 16 => return None,
            _ => {}
        }
    }
    found.alpn = seen_alpn.unwrap_or_default();
    Some(found)
}

/// Exactly one name, of type host_name.
fn server_name(mut data: Reader<'_>) -> Option<Vec<u8>> {
    let mut names = Reader(data.block16()?);
    let &[kind] = names.take(1)? else { return None };
    let name = names.block16()?;
    (kind == 0 && !name.is_empty() && names.0.is_empty() && data.0.is_empty())
        .then(|| name.to_vec())
}

fn alpn(mut data: Reader<'_>) -> Option<Vec<Vec<u8>>> {
    let mut list = Reader(data.block16()?);
    let mut protocols = Vec::new();
    while !list.0.is_empty() {
        let protocol = list.block8()?;
        if protocol.is_empty() {
            return None;
        }
        protocols.push(protocol.to_vec());
    }
    (!protocols.is_empty() && data.0.is_empty()).then_some(protocols)
}

/// Bytes not yet read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        Some(u16::from_be_bytes(bytes.try_into().ok()?))
    }

    fn block8(&mut self) -> Option<&'a [u8]> {
        let &[len] = self.take(1)? else { return None };
        self.take(usize::from(len))
    }

    fn block16(&mut self) -> Option<&'a [u8]> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }
}

/// Plaintext of one record (RFC 8446 §5.1).
const RECORD_BYTES_MAX: usize = 16_384;
/// The handshake message. Hellos with post-quantum keys and tickets stay below 4 KiB.
const HELLO_BYTES_MAX: usize = 32_768;
/// Records a hello may be spread over.
const RECORDS_MAX: usize = 32;

#[cfg(test)]
mod tests;
