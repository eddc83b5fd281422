//! Paths of the filesystem section, normalised by their text alone (POL-7).
//!
//! Apart from `document` because the rule is used by the reader, the baseline and updates alike.
//! Invariant: absolute, no `..`, no empty or `.` segment, no trailing slash, at most 4,096 bytes.

use std::fmt;

use serde::{Serialize, Serializer};

/// A normalised absolute path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyPath(Box<str>);

/// Why a path was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// Does not begin with `/`.
    Relative,
    /// Contains a `..` segment.
    Climbs,
    /// Longer than 4,096 bytes.
    TooLong,
    /// Contains a NUL byte.
    Nul,
}

impl PolicyPath {
    /// Longest path, in bytes, as written.
    pub const LEN_MAX: usize = 4_096;

    /// Normalises `//`, `/./` and trailing slashes; `..` is an error and never resolved.
    ///
    /// # Errors
    /// As listed at `PathError`.
    pub fn parse(text: &str) -> Result<PolicyPath, PathError> {
        if text.len() > Self::LEN_MAX {
            return Err(PathError::TooLong);
        }
        if text.contains('\0') {
            return Err(PathError::Nul);
        }
        if !text.starts_with('/') {
            return Err(PathError::Relative);
        }
        let mut normal = String::with_capacity(text.len());
        for segment in text
            .split('/')
            .filter(|segment| !segment.is_empty() && *segment != ".")
        {
            if segment == ".." {
                return Err(PathError::Climbs);
            }
            normal.push('/');
            normal.push_str(segment);
        }
        if normal.is_empty() {
            normal.push('/');
        }
        Ok(PolicyPath(normal.into()))
    }

    /// The normalised text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True for `/`.
    pub fn is_root(&self) -> bool {
        &*self.0 == "/"
    }

    /// True when it is `above` or lies below it.
    pub fn is_within(&self, above: &PolicyPath) -> bool {
        above.is_root()
            || self
                .0
                .strip_prefix(&*above.0)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Display for PolicyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for PolicyPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PathError::Relative => "must be an absolute path",
            PathError::Climbs => "must not contain `..`",
            PathError::TooLong => "is longer than 4,096 bytes",
            PathError::Nul => "must not contain a NUL byte",
        })
    }
}

impl std::error::Error for PathError {}
