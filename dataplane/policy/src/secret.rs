//! The credential of a route.
//!
//! Apart from `route` so that nothing else can read its bytes. Invariant: no Debug, Display, Clone
//! or Serialize (T8); it leaves only into a request head, or to hide itself in an answer; the
//! memory is wiped when it is dropped.

use std::collections::HashSet;
use std::fmt;

use wire::{HeadWriter, WriteError};
use zeroize::Zeroizing;

/// A credential: visible on the wire toward its backend and nowhere else.
pub struct Secret(Zeroizing<Box<[u8]>>);

/// Why a value cannot be a credential. It never repeats the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretError {
    /// Empty or nothing but white space.
    Blank,
    /// A control character such as CR, LF or NUL, or a byte outside ASCII (TR-085).
    NotFieldValue,
}

impl Secret {
    /// Takes a value that can stand in a header field; surrounding white space is dropped.
    ///
    /// # Errors
    /// As listed at `SecretError`.
    pub fn new(value: &str) -> Result<Secret, SecretError> {
        let value = value.trim_matches([' ', '\t']);
        if value.trim().is_empty() {
            return Err(SecretError::Blank);
        }
        if !value
            .bytes()
            .all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte))
        {
            return Err(SecretError::NotFieldValue);
        }
        Ok(Secret(Zeroizing::new(value.as_bytes().into())))
    }

    /// Writes `name: <prefix><credential>` into a head: the last step before it is sent (TR-081).
    ///
    /// # Errors
    /// Those of the writer, which checks names and values once more.
    pub fn expose_to(
        &self,
        head: &mut HeadWriter,
        name: &[u8],
        prefix: &[u8],
    ) -> Result<(), WriteError> {
        head.field_parts(name, &[prefix, &self.0])
    }

    /// Whether both are the same credential, for an operator's file that was read again. Not for guesses: it takes
    /// longer the more bytes agree.
    pub(crate) fn is_same(&self, other: &Secret) -> bool {
        self.0 == other.0
    }

    /// Overwrites every run of 8 or more bytes of the credential by as many `*` (INF-28). Runs that
    /// cross the ends of `body` are the business of whoever cut it.
    pub fn masks(&self, body: &mut [u8]) {
        // A run of 8 or more bytes is a chain of 8-byte windows, so looking for windows is enough.
        let windows: HashSet<&[u8]> = self.0.windows(RUN_BYTES).collect();
        let mut masked_until = 0;
        for at in 0..body.len() {
            if body
                .get(at..at + RUN_BYTES)
                .is_some_and(|window| windows.contains(window))
            {
                masked_until = at + RUN_BYTES;
            }
            // Windows further on begin behind `at`, so this byte is not needed any more.
            if at < masked_until
                && let Some(byte) = body.get_mut(at)
            {
                *byte = b'*';
            }
        }
    }
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SecretError::Blank => "the credential is blank",
            SecretError::NotFieldValue => {
                "the credential holds bytes that cannot stand in a header field"
            }
        })
    }
}

impl std::error::Error for SecretError {}

/// INF-28: shorter runs are not told apart from ordinary text.
const RUN_BYTES: usize = 8;

#[cfg(test)]
mod tests;
