//! The file before SQLite opens it: whose it is, who may read it, and that nobody else has it.
//!
//! Apart from `database` because all of this must be settled first: SQLite gives its sidecars the mode of the file, and
//! closing a descriptor of a file that SQLite has open would release SQLite's locks on it. So the lock is a file of its own
//! and is taken before the database is touched.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::super::StoreError;

/// The path of a database that this process alone uses, for as long as this lives.
pub(super) struct Held {
    /// Without symbolic links.
    pub(super) path: PathBuf,
    _lock: File,
}

/// Takes the lock, makes the file when there is none, and makes it and its sidecars their owner's alone (TR-086).
pub(super) fn hold(path: &Path) -> Result<Held, StoreError> {
    let path = resolve(path).map_err(|error| {
        StoreError::Unusable(format!(
            "{}: {error}; its directory must exist",
            path.display()
        ))
    })?;
    let lock = lock(&path)?;
    private(&path).map_err(|error| {
        StoreError::Unusable(format!(
            "{}: cannot be made or kept for its owner alone: {error}",
            path.display()
        ))
    })?;
    Ok(Held { path, _lock: lock })
}

/// One name for one file, so that a lock means the same through every link to it.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let path = std::path::absolute(path)?;
            let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
                return Err(io::ErrorKind::IsADirectory.into());
            };
            Ok(fs::canonicalize(dir)?.join(name))
        }
        resolved => resolved,
    }
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let lock_path = beside(path, ".lock");
    let failed = |error: io::Error| {
        StoreError::Unusable(format!(
            "{}: cannot be locked: {error}",
            lock_path.display()
        ))
    };
    let lock = open_private(&lock_path).map_err(failed)?;
    match crate::lock::take(&lock) {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::Unusable(format!(
            "{}: another gateway has it open; several gateways need postgres://…",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn private(path: &Path) -> io::Result<()> {
    let length = open_private(path)?.metadata()?.len();
    if (1..HEADER_BYTES).contains(&length) {
        // SQLite would take it for an empty one.
        return Err(io::Error::other("it is damaged: cut off"));
    }
    for sidecar in SIDECARS {
        match fs::set_permissions(beside(path, sidecar), owner_alone()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    // The name of a new file must last as long as what is committed to it.
    path.parent()
        .map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

fn open_private(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(OWNER_ALONE)
        .open(path)?;
    file.set_permissions(owner_alone())?;
    Ok(file)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

fn owner_alone() -> Permissions {
    Permissions::from_mode(OWNER_ALONE)
}

/// What a file begins with when it is not empty.
const HEADER_BYTES: u64 = 100;

const OWNER_ALONE: u32 = 0o600;

/// What SQLite writes beside the file in the modes used here.
const SIDECARS: [&str; 3] = ["-wal", "-shm", "-journal"];
