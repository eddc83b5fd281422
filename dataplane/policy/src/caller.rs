//! Who asks: the executable behind a connection, its ancestors and the sandbox they live in.
//!
//! Apart from `decide` because identity is evidence collected elsewhere and only weighed there.
//! Invariant: arguments are carried for the record and never looked at by a decision (IDN-1).
//! Paths are byte strings: Linux promises no encoding (IDN-7).

use std::fmt;

use wire::Code;

/// A sandbox, by the name its launcher gave it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SandboxId(Box<str>);

impl SandboxId {
    /// Longest accepted name, in bytes (LIM).
    pub const LEN_MAX: usize = 253;

    /// Takes a name of 1 to 253 bytes without control characters.
    pub fn new(name: &str) -> Option<SandboxId> {
        let fits = !name.is_empty() && name.len() <= Self::LEN_MAX;
        (fits && !name.chars().any(char::is_control)).then(|| SandboxId(name.into()))
    }

    /// The name as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SandboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One program on disk, as it was when the connection was made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Executable {
    /// Path inside the sandbox, as bytes.
    pub path: Box<[u8]>,
    /// SHA-256 of the file.
    pub sha256: [u8; 32],
}

/// The process that called connect(2), and those above it (IDN-2, IDN-4).
#[derive(Clone, Debug)]
pub struct Caller {
    /// Process id, for the record.
    pub pid: u32,
    /// Its executable.
    pub exe: Executable,
    /// Parent first, up to and including the sandbox's entry process; at most 64.
    pub ancestors: Vec<Executable>,
    /// Arguments, for the record only (IDN-1).
    pub cmdline: Vec<u8>,
}

impl Caller {
    /// A caller known by its paths alone, for questions a person asks. Parent first.
    pub fn from_paths(exe: &str, ancestors: &[&str]) -> Caller {
        let executable = |path: &str| Executable {
            path: path.as_bytes().into(),
            sha256: [0; 32],
        };
        Caller {
            pid: 0,
            exe: executable(exe),
            ancestors: ancestors.iter().map(|path| executable(path)).collect(),
            cmdline: Vec::new(),
        }
    }

    /// Paths that may authorise: the caller's own first, then each ancestor's (POL-4).
    pub(crate) fn paths(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(&self.exe)
            .chain(&self.ancestors)
            .map(|executable| &*executable.path)
    }
}

/// Why a caller could not be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityError {
    /// No process, or no single one, could be established (IDN-3, IDN-6).
    Unavailable,
    /// A known path carries other bytes than at its first use (IDN-5).
    Changed,
}

impl IdentityError {
    /// The code of the refusal.
    pub fn code(self) -> Code {
        match self {
            IdentityError::Unavailable => Code::IdentityUnavailable,
            IdentityError::Changed => Code::IntegrityViolation,
        }
    }
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IdentityError::Unavailable => "the calling program could not be established",
            IdentityError::Changed => "the calling program changed since its first use",
        })
    }
}

impl std::error::Error for IdentityError {}
