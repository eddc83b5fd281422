//! Messages between a data plane and the process of its rules: a length, then as many bytes.
//!
//! Apart from both ends because they must agree. Invariant: no length is believed beyond its bound.

use std::io::{self, Read, Write};

/// Longest message: rules, their data, and room.
pub(super) const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What an answer is about, its first byte.
pub(super) const READY: u8 = 0;
/// The rules cannot be used; a finding follows.
pub(super) const UNUSABLE: u8 = 1;
/// The bytes of `policy::custom::Evaluator::answer` follow.
pub(super) const ANSWER: u8 = 2;
/// No answer within the bounds.
pub(super) const STOPPED: u8 = 3;

/// The head of a message.
pub(super) fn head(len: usize) -> io::Result<[u8; 4]> {
    match u32::try_from(len) {
        Ok(number) if len <= FRAME_BYTES_MAX => Ok(number.to_le_bytes()),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// The length a head tells.
pub(super) fn len(head: [u8; 4]) -> io::Result<usize> {
    match usize::try_from(u32::from_le_bytes(head)) {
        Ok(len) if len <= FRAME_BYTES_MAX => Ok(len),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Writes a message made of `parts`.
pub(super) fn write(to: &mut impl Write, parts: &[&[u8]]) -> io::Result<()> {
    let mut message = Vec::new();
    message.extend_from_slice(&head(parts.iter().map(|part| part.len()).sum())?);
    for part in parts {
        message.extend_from_slice(part);
    }
    to.write_all(&message)
}

/// Reads a message; `None` at the end of the stream.
pub(super) fn read(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut head = [0; 4];
    match from.read_exact(&mut head) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut message = vec![0; len(head)?];
    from.read_exact(&mut message)?;
    Ok(Some(message))
}
