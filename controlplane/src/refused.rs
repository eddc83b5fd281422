//! Why the domain says no: one closed list, each with the words for the caller (RPC-3).

use std::fmt;

/// A refusal of the domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The input is wrong; names the field.
    Invalid(String),
    /// There is no such object.
    NotFound(String),
    /// There is one of that name.
    Exists(String),
    /// Something else must be done first; names it.
    Precondition(String),
    /// The expected version is not the current one.
    Conflict(String),
    /// Not for this caller.
    Forbidden(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Invalid(why)
            | Refused::NotFound(why)
            | Refused::Exists(why)
            | Refused::Precondition(why)
            | Refused::Conflict(why)
            | Refused::Forbidden(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Refused {}
