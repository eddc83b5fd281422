//! What to launch, as plain data: the whole of what the fence process is told.
//!
//! It stands apart from the policy document so that this crate needs nothing of policy: the caller completes the
//! lists (BAS-1, BAS-2) and says of each path who asked for it.
//! Invariant: `Debug` shows no value of the environment, because a value may be a secret.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One command and the fence around it.
#[derive(Clone, Deserialize, Serialize)]
pub struct Spec {
    /// Program and arguments; the program is searched in the `PATH` of `env`, inside the sandbox, when it has no slash.
    pub command: Vec<OsString>,
    /// The child's whole environment (ENV-1); see [`crate::Environment`].
    pub env: Vec<(OsString, OsString)>,
    /// The directory the command starts in.
    pub workdir: PathBuf,
    /// Which paths exist for the command.
    pub filesystem: Filesystem,
    /// Places that no list and no working directory opens: where the control plane keeps its keys and its socket.
    /// Absolute; a missing one is no error.
    #[serde(default)]
    pub hidden: Vec<PathBuf>,
    /// Whether less than all file rules is good enough.
    pub compatibility: Compatibility,
    /// User to run as, a name or a number. Required when the launcher is privileged.
    pub run_as_user: Option<String>,
    /// Group to run as, a name or a number. Absent = the user's own group.
    pub run_as_group: Option<String>,
    /// The host's directory with `ca.pem`, `ca-bundle.pem`, `inference.json` and `hosts`; see [`crate::RuntimeDir`].
    pub runtime_dir: PathBuf,
    /// How the command relates to the launcher's terminal.
    pub terminal: Terminal,
    /// Whether the data plane sees who calls connect(2).
    pub observe: Observe,
}

/// The completed lists of a policy's `filesystem_policy`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Filesystem {
    /// Read and execute.
    pub read_only: Vec<Listed>,
    /// Everything Landlock knows, moves between directories included. Missing ones are made as directories.
    pub read_write: Vec<Listed>,
    /// The working directory is read-write.
    pub include_workdir: bool,
}

/// A path and who asked for it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Listed {
    /// An absolute path, lexically normal.
    pub path: PathBuf,
    /// Who asked for it.
    pub origin: Origin,
}

impl Listed {
    /// A path the policy's author wrote: missing, it is a degradation (LLK-2) or an error (LLK-3).
    #[must_use]
    pub fn author(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            origin: Origin::Author,
        }
    }

    /// A path ringfence added: missing, it is reported and nothing more (BAS-4).
    #[must_use]
    pub fn baseline(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            origin: Origin::Baseline,
        }
    }
}

/// Who put a path into a list.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Origin {
    /// The policy's author.
    Author,
    /// ringfence (BAS-1).
    Baseline,
}

/// `landlock.compatibility`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum Compatibility {
    /// What cannot be enforced is skipped and reported.
    #[default]
    BestEffort,
    /// What cannot be enforced fails the start.
    HardRequirement,
}

/// Whether the data plane sees who calls connect(2) (IDN-2).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Observe {
    /// Every call waits until the data plane has seen it. Without a data plane that answers, calls never end.
    Connects,
    /// Calls go on unseen, for the reason given: no data plane, or one that cannot answer.
    Nothing(String),
}

/// How the command relates to the launcher's terminal.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum Terminal {
    /// In the launcher's process group, so that Ctrl-C and Ctrl-Z reach it from the terminal.
    Foreground,
    /// A session and process group of its own, without a controlling terminal.
    #[default]
    Detached,
}

impl Terminal {
    /// `Foreground` when standard input is a terminal.
    #[must_use]
    pub fn of_stdin() -> Self {
        if rustix::termios::isatty(rustix::stdio::stdin()) {
            Self::Foreground
        } else {
            Self::Detached
        }
    }
}

impl Spec {
    /// Whether the working directory is read-write. The root never is: a command started in `/` would have every file
    /// and every socket of the caller.
    #[must_use]
    pub fn grants_workdir(&self) -> bool {
        self.filesystem.include_workdir && !self.workdir_is_root()
    }

    /// In whatever spelling.
    pub(crate) fn workdir_is_root(&self) -> bool {
        std::fs::canonicalize(&self.workdir).is_ok_and(|path| path.parent().is_none())
    }
}

impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("Spec")
            .field("command", &self.command)
            .field("env", &names)
            .field("workdir", &self.workdir)
            .field("filesystem", &self.filesystem)
            .field("hidden", &self.hidden)
            .field("compatibility", &self.compatibility)
            .field("run_as_user", &self.run_as_user)
            .field("run_as_group", &self.run_as_group)
            .field("runtime_dir", &self.runtime_dir)
            .field("terminal", &self.terminal)
            .field("observe", &self.observe)
            .finish()
    }
}
