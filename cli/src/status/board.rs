//! The facts of one running sandbox, in a file that `ringfence status` reads.
//!
//! Apart from `status` because `run` writes it. Invariants: the file lies in a directory of mode 0700 beside the
//! runtime directories, over which every sandbox of this user has an empty one; it is replaced as a whole, and is there
//! as long as its launcher is; it holds no secret.
//!
//! Whether a launcher lives is told by the lock on its runtime directory, not by its pid: pids are used again.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use sandbox::RuntimeDir;
use serde::{Deserialize, Serialize};

/// What is known of a running sandbox. The keys are those of `--output json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Facts {
    pub(crate) id: String,
    pub(crate) name: String,
    /// The launcher's.
    pub(crate) pid: u32,
    pub(crate) started: String,
    pub(crate) policy: PolicyFacts,
    pub(crate) routes: RouteFacts,
    /// Absent without a gateway.
    pub(crate) gateway: Option<GatewayFacts>,
    /// Why the last reload was refused; absent when it was not.
    pub(crate) reload_error: Option<Refused>,
    /// Whether files are read again when they change.
    pub(crate) watch: bool,
    /// How callers are found: `notification` or `fallback`.
    pub(crate) identity: String,
    pub(crate) landlock: LandlockFacts,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PolicyFacts {
    /// Absent for the restrictive default.
    pub(crate) file: Option<String>,
    pub(crate) version: u64,
    pub(crate) hash: String,
    /// When it was put in force.
    pub(crate) loaded: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RouteFacts {
    pub(crate) file: Option<String>,
    pub(crate) count: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct GatewayFacts {
    pub(crate) address: String,
    /// Whether there is a stream now.
    pub(crate) connected: bool,
    /// In force; absent before the first.
    pub(crate) generation: Option<u64>,
    /// Whether it was away for so long that its routes are not used any more.
    pub(crate) stale: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub(crate) at: String,
    /// With file, line and column.
    pub(crate) error: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LandlockFacts {
    pub(crate) state: String,
    pub(crate) skipped: Vec<String>,
}

/// The file of one sandbox, gone when the last of its handles is dropped. Clones are handles to one file.
#[derive(Clone)]
pub(crate) struct Board(Arc<Mutex<Posted>>);

struct Posted {
    path: PathBuf,
    facts: Facts,
}

impl Board {
    /// Hangs the facts out. `base` is the directory of all runtime directories.
    pub(crate) fn hang(base: &Path, facts: Facts) -> io::Result<Board> {
        let directory = base.join(DIRECTORY);
        match DirBuilder::new().mode(0o700).create(&directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let about = std::fs::symlink_metadata(&directory)?;
        let ours = about.uid() == rustix::process::geteuid().as_raw() && about.mode() & 0o077 == 0;
        if !about.is_dir() || !ours {
            let why = format!(
                "{}: not a directory of this user alone",
                directory.display()
            );
            return Err(io::Error::other(why));
        }
        let posted = Posted {
            path: directory.join(format!("{}.json", facts.id)),
            facts,
        };
        posted.write()?;
        Ok(Board(Arc::new(Mutex::new(posted))))
    }

    /// Changes the facts. A file that cannot be written shows older ones, which is nobody's reason to stop.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Facts)) {
        // What is written is whole whenever the lock is free.
        let mut posted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut posted.facts);
        _ = posted.write();
    }
}

impl Posted {
    fn write(&self) -> io::Result<()> {
        let text = serde_json::to_vec(&self.facts)?;
        let new = self.path.with_extension("new");
        _ = std::fs::remove_file(&new);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(&text)?;
        std::fs::rename(&new, &self.path)
    }
}

impl Drop for Posted {
    fn drop(&mut self) {
        _ = std::fs::remove_file(&self.path);
    }
}

/// The sandboxes of this user that run now, oldest first.
pub(crate) fn running() -> Vec<Facts> {
    let xdg = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let mut all: Vec<Facts> = RuntimeDir::bases(xdg.as_deref())
        .iter()
        .flat_map(|base| running_in(base))
        .collect();
    all.sort_by(|a, b| (&a.started, &a.id).cmp(&(&b.started, &b.id)));
    all.dedup();
    all
}

/// As [`running`], for one directory of runtime directories.
pub(super) fn running_in(base: &Path) -> Vec<Facts> {
    let me = rustix::process::geteuid().as_raw();
    let entries = std::fs::read_dir(base.join(DIRECTORY))
        .into_iter()
        .flatten();
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        let Some(id) = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_suffix(".json"))
        else {
            continue;
        };
        // What another user put there is nothing of ours, whatever it says.
        if !entry
            .metadata()
            .is_ok_and(|about| about.is_file() && about.uid() == me)
        {
            continue;
        }
        if !is_alive(&base.join(id)) {
            _ = std::fs::remove_file(&path);
            continue;
        }
        let text = File::open(&path).and_then(io::read_to_string);
        let facts = text
            .ok()
            .and_then(|text| serde_json::from_str::<Facts>(&text).ok());
        found.extend(facts.filter(|facts| facts.id == id));
    }
    found
}

/// Whether a launcher holds the lock on its runtime directory.
fn is_alive(runtime_dir: &Path) -> bool {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(dir) = open(runtime_dir, flags, Mode::empty()) else {
        return false;
    };
    // Shared and given back at once: nobody waits for this lock, and who makes a directory holds it from the start.
    flock(&dir, FlockOperation::NonBlockingLockShared).is_err()
}

/// A name with a dot: no sandbox has one, and who removes what is left behind passes it by.
const DIRECTORY: &str = ".status";
