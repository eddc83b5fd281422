//! The words the launcher and the fence say to each other, and what the launcher's caller gets to see of them.
//!
//! Apart from `handover`, which carries them. Invariant: a message names steps, paths and errors, never a value of
//! the child's environment.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::spec::Spec;

/// From the launcher.
#[derive(Deserialize, Serialize)]
pub(crate) enum Order {
    /// Make the sandbox.
    Launch(Box<Spec>),
    /// The data plane confirmed: execute the command.
    Go,
    /// Send this signal to the command.
    Signal(i32),
    /// SIGTERM to the whole tree, SIGKILL later.
    Stop,
}

/// From the fence.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Report {
    /// The listeners exist; they travel with this message, and so does the descriptor of the observed calls where there
    /// is one.
    Ready,
    /// The command runs.
    Started(Started),
    /// The start ended here.
    Failed(Failure),
    /// The command ended and the tree is gone or about to be.
    Ended(Exit),
}

/// How a process ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Exit {
    Exited(i32),
    Signalled(i32),
}

/// What is known once the command runs.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Started {
    /// How much of the file rules is enforced (LLK-4).
    pub landlock: LandlockState,
    /// Listed paths without a rule, in the order of the lists.
    pub skipped: Vec<Skipped>,
    /// Process number of the command in the sandbox's own pid namespace: the last ancestor that counts (IDN-4).
    pub entry_pid_inside: u32,
    /// Whether the data plane sees who calls connect(2).
    pub connects: Connects,
}

/// Whether the data plane sees who calls connect(2).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Connects {
    /// It sees every call before it goes on (IDN-2).
    Observed,
    /// It looks for the callers afterwards (IDN-3), for this reason.
    Unobserved(String),
}

/// A listed path for which there is no rule.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Skipped {
    /// The path as listed.
    pub path: PathBuf,
    /// Why it was skipped, in the kernel's words.
    pub reason: String,
    /// Whether it counts as a degradation: false for what only ringfence added (BAS-4).
    pub degrades: bool,
}

/// How much of the file rules the kernel enforces (LLK-4).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum LandlockState {
    /// Every listed path has its rule, and the kernel controls reading, writing, moving and truncating.
    Full,
    /// A listed path was skipped, or the kernel is older than Landlock ABI 3 and cannot control truncation.
    Partial,
    /// The kernel has no Landlock.
    None,
}

impl LandlockState {
    /// `full`, `partial` or `none`, as records spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Partial => "partial",
            Self::None => "none",
        }
    }
}

/// How a sandbox ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The command exited with this code.
    Exited(i32),
    /// This signal ended the command.
    Signalled(i32),
    /// The time was up and the tree was ended.
    TimedOut,
    /// The fence died before it could say how the command ended; the tree died with it.
    Lost,
}

impl Outcome {
    /// The exit code of `run` (CLI-6).
    #[must_use]
    pub fn exit_code(self) -> u8 {
        let code = match self {
            Self::Exited(code) => code,
            Self::Signalled(signal) => signal.saturating_add(128),
            Self::TimedOut => 124,
            Self::Lost => 128 + 9,
        };
        u8::try_from(code & 0xff).unwrap_or(u8::MAX)
    }
}

/// A start that failed: where, and why.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Failure {
    /// The step that failed.
    pub step: Step,
    /// What happened and the likely cause, for people.
    pub detail: String,
}

/// The steps of a start, in their order (SBX-1).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Step {
    /// The order could not be read.
    Order,
    /// The user or group of the command: unknown, root, or not named.
    Identity,
    /// A namespace could not be made.
    Namespace,
    /// The uid and gid maps of the user namespace.
    IdentityMap,
    /// Bringing the loopback interface up.
    Loopback,
    /// A socket inside the sandbox.
    Listener,
    /// A mount inside the sandbox.
    Mount,
    /// No confirmation within the time limit (GEN-5).
    Confirmation,
    /// The working directory.
    Workdir,
    /// A fork.
    Fork,
    /// The process group or session.
    ProcessGroup,
    /// A listed path, under `hard_requirement`.
    Path,
    /// Giving up identity and capabilities.
    Drop,
    /// The Landlock ruleset.
    Landlock,
    /// The system call filter.
    Seccomp,
    /// The command exists and cannot be executed: exit code 126.
    NotExecutable,
    /// The command does not exist: exit code 127.
    NotFound,
}

impl Step {
    /// The name of the step in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Identity => "identity",
            Self::Namespace => "namespace",
            Self::IdentityMap => "identity map",
            Self::Loopback => "loopback",
            Self::Listener => "listener",
            Self::Mount => "mount",
            Self::Confirmation => "confirmation",
            Self::Workdir => "working directory",
            Self::Fork => "fork",
            Self::ProcessGroup => "process group",
            Self::Path => "path",
            Self::Drop => "drop",
            Self::Landlock => "landlock",
            Self::Seccomp => "seccomp",
            Self::NotExecutable => "execute",
            Self::NotFound => "find",
        }
    }

    /// The exit code of `run` when the start fails here (CLI-6).
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::NotExecutable => 126,
            Self::NotFound => 127,
            Self::Order
            | Self::Identity
            | Self::Namespace
            | Self::IdentityMap
            | Self::Loopback
            | Self::Listener
            | Self::Mount
            | Self::Confirmation
            | Self::Workdir
            | Self::Fork
            | Self::ProcessGroup
            | Self::Path
            | Self::Drop
            | Self::Landlock
            | Self::Seccomp => 125,
        }
    }

    /// A failure at this step.
    pub(crate) fn failed(self, detail: impl Into<String>) -> Failure {
        Failure {
            step: self,
            detail: detail.into(),
        }
    }

    /// For `map_err`: what was tried, and the kernel's answer.
    pub(crate) fn because<E: fmt::Display>(self, what: &str) -> impl FnOnce(E) -> Failure + use<E> {
        let what = what.to_owned();
        move |error| Failure {
            step: self,
            detail: format!("{what}: {error}"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step.as_str(), self.detail)
    }
}

impl std::error::Error for Failure {}
