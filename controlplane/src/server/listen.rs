//! The state directory, taken by one gateway at a time, and the Unix socket in it.
//!
//! Apart from `server` because taking a place and serving are two things. Invariant: the socket's name is touched by the
//! holder of the lock alone; a lock ends with its process, so a crash leaves nothing that has to be cleaned up by hand.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

use super::StartError;
use crate::config::{lock_in, socket_in};

/// A state directory that is this process's.
pub(super) struct Claim {
    state_dir: PathBuf,
    /// Locked.
    _lock: File,
}

impl Claim {
    /// Takes a state directory, and makes it when it is missing.
    pub(super) fn take(state_dir: &Path) -> Result<Claim, StartError> {
        let file = |path: &Path| {
            let path = path.to_owned();
            |error| StartError::File { path, error }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(state_dir)
            .map_err(file(state_dir))?;
        let metadata = std::fs::metadata(state_dir).map_err(file(state_dir))?;
        // Why: who may write here could put a socket or a certificate of theirs in our place.
        if metadata.mode() & 0o022 != 0 {
            return Err(StartError::Exposed {
                state_dir: state_dir.to_owned(),
            });
        }
        let path = lock_in(state_dir);
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(file(&path))?;
        match crate::lock::take(&lock) {
            Ok(()) => Ok(Claim {
                state_dir: state_dir.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(StartError::Running {
                state_dir: state_dir.to_owned(),
            }),
            Err(TryLockError::Error(error)) => Err(StartError::File { path, error }),
        }
    }

    /// Listens at the socket; one that a crash left is replaced.
    pub(super) fn listen(&self) -> Result<UnixListener, StartError> {
        let path = socket_in(&self.state_dir);
        let listen = || {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => (),
            }
            let listener = UnixListener::bind(&path)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
            Ok(listener)
        };
        listen().map_err(|error| StartError::Listen {
            address: path.display().to_string(),
            error,
        })
    }

    /// Takes the socket's name away. The lock goes with the claim.
    pub(super) fn release(&self) {
        // A name that stays is replaced by the next gateway.
        _ = std::fs::remove_file(socket_in(&self.state_dir));
    }
}
