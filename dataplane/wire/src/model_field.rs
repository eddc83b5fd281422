//! Finds the top-level member `model` of a JSON body and says which bytes to replace (INF-11 to INF-14).
//!
//! Apart from any JSON library because a body must leave byte for byte as it came but for one value, at any depth, size
//! and number spelling: there is never a tree. The scanner checks all of RFC 8259 on the way, since what it cannot read
//! it must not pass on.
//! Invariants: one pass, constant memory but for the model asked for (6 KiB at most), no recursion; the verdict does not
//! depend on how the body was split; an error names no byte of the body.
//! Must never know: which model takes the place.

use std::{fmt, ops::Range};

use crate::refusal::Code;

mod scan;
mod string;
mod token;
mod utf8;

use scan::Scan;
use utf8::Utf8Tail;

/// Reads a body piece by piece.
#[derive(Clone, Debug, Default)]
pub struct ModelScanner {
    scan: Scan,
    utf8: Utf8Tail,
    failed: Option<ModelError>,
}

impl ModelScanner {
    /// A scanner at the start of a body.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece of the body.
    ///
    /// # Errors
    /// [`ModelError`] at the first byte that settles it, and for ever after.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ModelError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        // Why: each block is checked as UTF-8 and then as JSON, and is still in the cache for the second reading.
        for block in bytes.chunks(BLOCK_BYTES) {
            // Invariant: what comes first in the body is reported first, so the good part of a bad block is scanned too.
            let (good, bad) = self.utf8.check(block);
            let outcome = self.scan.push(block.get(..good).unwrap_or(block));
            if let Err(error) = outcome.and(bad) {
                self.failed = Some(error);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Ends the body.
    ///
    /// # Errors
    /// [`ModelError::Incomplete`] when it ended inside the object, or the error met before.
    pub fn finish(self) -> Result<ModelField, ModelError> {
        match self.failed {
            Some(error) => Err(error),
            None => self.scan.finish(),
        }
    }
}

/// Which bytes of the body make way for the model. Offsets count from the first byte of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelField {
    /// The value of the member.
    Replace {
        /// First byte of the value.
        start: u64,
        /// After its last byte.
        end: u64,
        /// What was asked for: the decoded string, when it was one of at most 1 KiB without a lone surrogate.
        asked: Option<String>,
    },
    /// There is no such member; it goes directly after `{`.
    Insert {
        /// After the `{`.
        at: u64,
        /// What it goes before.
        before: Following,
    },
}

/// What an inserted member is followed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Following {
    /// Other members: a comma is needed.
    Members,
    /// The end of the object.
    Nothing,
}

/// One replacement: the bytes of `range` give way to `before`, the model as JSON, and `after`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// In the body as received.
    pub range: Range<u64>,
    /// Written before the model.
    pub before: &'static [u8],
    /// Written after the model.
    pub after: &'static [u8],
}

impl ModelField {
    /// The model the client named, if it named one in a readable string.
    #[must_use]
    pub fn asked(&self) -> Option<&str> {
        match self {
            Self::Replace { asked, .. } => asked.as_deref(),
            Self::Insert { .. } => None,
        }
    }

    /// The replacement to make.
    #[must_use]
    pub fn edit(&self) -> Edit {
        match *self {
            Self::Replace { start, end, .. } => Edit {
                range: start..end,
                before: b"",
                after: b"",
            },
            Self::Insert { at, before } => Edit {
                range: at..at,
                before: b"\"model\":",
                after: match before {
                    Following::Members => b",",
                    Following::Nothing => b"",
                },
            },
        }
    }

    /// The new body as slices, to be written one after the other. `model_json` is a JSON string literal; `body` is the
    /// one that was scanned, whole. `None` when it is shorter than that.
    #[must_use]
    pub fn splice<'a>(&self, body: &'a [u8], model_json: &'a [u8]) -> Option<[&'a [u8]; 5]> {
        let Edit {
            range,
            before,
            after,
        } = self.edit();
        let head = body.get(..usize::try_from(range.start).ok()?)?;
        let tail = body.get(usize::try_from(range.end).ok()?..)?;
        Some([head, before, model_json, after, tail])
    }
}

/// Why a body is refused. No part of the body is quoted (ERR-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelError {
    /// The body is something other than an object, or empty.
    NotAnObject,
    /// A byte that RFC 8259 does not allow there.
    Syntax,
    /// Not UTF-8.
    Utf8,
    /// Nested deeper than 512 levels.
    TooDeep,
    /// The body ends before the object does.
    Incomplete,
    /// `model` twice, or in another letter case.
    Ambiguous,
}

impl ModelError {
    /// The code of the refusal.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            Self::Ambiguous => Code::AmbiguousModel,
            Self::NotAnObject | Self::Syntax | Self::Utf8 | Self::TooDeep | Self::Incomplete => {
                Code::InvalidJsonBody
            }
        }
    }
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAnObject => "the body is not a JSON object",
            Self::Syntax => "the body is not JSON",
            Self::Utf8 => "the body is not UTF-8",
            Self::TooDeep => "the body is nested deeper than 512 levels",
            Self::Incomplete => "the body ends inside the object",
            Self::Ambiguous => "`model` occurs twice or in another letter case",
        })
    }
}

impl std::error::Error for ModelError {}

/// Read twice; fits the first-level cache.
const BLOCK_BYTES: usize = 16_384;

#[cfg(test)]
mod tests;
