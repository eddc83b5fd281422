//! Executables: the hash of a file, taken once, and the trust in a path, given at its first use (IDN-5, IDN-9).
//!
//! It exists apart from `owner.rs` because it is about files and knows no process: who opens the file passes in how.
//! Runs on helper threads only; a lock here is never held while a file is read.
//!
//! Invariants: a hash is of the file the fingerprint names, which is checked on the open file before and after reading;
//! a path keeps its first hash for the life of the sandbox; concurrent first uses of one file read it once; both tables
//! are bounded, and what finds no room is not trusted.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock, PoisonError};

use aws_lc_rs::digest;
use policy::{Executable, IdentityError};
use rustix::fs::{FileType, Stat, fstat};
use rustix::io::{Errno, pread};
use rustix::time::{ClockId, clock_gettime};

#[expect(
    clippy::disallowed_types,
    reason = "for helper threads; a worker never comes here"
)]
type Lock<T> = std::sync::Mutex<T>;

/// What tells one state of a file from another, as far as the kernel tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Fingerprint {
    device: u64,
    inode: u64,
    size_bytes: u64,
    modified: (i64, u64),
    changed: (i64, u64),
}

impl Fingerprint {
    /// `None` for what is no regular file.
    pub(super) fn of(stat: &Stat) -> Option<Fingerprint> {
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return None;
        }
        Some(Fingerprint {
            device: stat.st_dev,
            inode: stat.st_ino,
            size_bytes: u64::try_from(stat.st_size).ok()?,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        })
    }

    /// A change so recent that a second one may carry the same time: file systems count in ticks of up to two seconds.
    pub(super) fn is_young(&self) -> bool {
        let now = clock_gettime(ClockId::Realtime);
        self.changed.0.saturating_add(YOUNG_S) > now.tv_sec
    }
}

/// Hashes and trusted paths of one sandbox.
pub(super) struct Executables {
    hashes: Lock<HashMap<Fingerprint, Arc<Hash>>>,
    known: Lock<HashMap<Box<[u8]>, [u8; 32]>>,
}

/// One file's hash: not yet taken, being taken, taken, or (`None`) impossible to take.
#[derive(Default)]
struct Hash(OnceLock<Option<[u8; 32]>>);

impl Executables {
    pub(super) fn new() -> Executables {
        Executables {
            hashes: Lock::new(HashMap::new()),
            known: Lock::new(HashMap::new()),
        }
    }

    /// The executable at `path`, which is the file that `open` opens and `fingerprint` names.
    ///
    /// # Errors
    /// `Changed` when the path was first seen with another hash; `Unavailable` when the file cannot be read as the
    /// fingerprint names it, or there is no room to remember the path.
    pub(super) fn identify(
        &self,
        path: &[u8],
        fingerprint: Fingerprint,
        open: impl FnOnce() -> Result<OwnedFd, Errno>,
    ) -> Result<Executable, IdentityError> {
        let sha256 = self
            .hash(fingerprint, open)
            .ok_or(IdentityError::Unavailable)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(path) {
            Some(first) if *first == sha256 => {}
            Some(_) => return Err(IdentityError::Changed),
            None if known.len() >= PATHS_MAX => return Err(IdentityError::Unavailable),
            None => {
                known.insert(path.into(), sha256);
            }
        }
        Ok(Executable {
            path: path.into(),
            sha256,
        })
    }

    /// Whether [`Executables::identify`] has the hash of this file already, and reads nothing.
    pub(super) fn knows(&self, fingerprint: &Fingerprint) -> bool {
        let hashes = self.hashes.lock().unwrap_or_else(PoisonError::into_inner);
        hashes
            .get(fingerprint)
            .is_some_and(|hash| hash.0.get().is_some())
    }

    fn hash(
        &self,
        fingerprint: Fingerprint,
        open: impl FnOnce() -> Result<OwnedFd, Errno>,
    ) -> Option<[u8; 32]> {
        let cell = {
            let mut hashes = self.hashes.lock().unwrap_or_else(PoisonError::into_inner);
            if hashes.len() >= HASHES_MAX && !hashes.contains_key(&fingerprint) {
                hashes.clear();
            }
            hashes.entry(fingerprint).or_default().clone()
        };
        // Whoever comes second waits here for the first, on a helper thread.
        let hash = *cell.0.get_or_init(|| read_hash(fingerprint, &open().ok()?));
        if hash.is_none() || fingerprint.is_young() {
            let mut hashes = self.hashes.lock().unwrap_or_else(PoisonError::into_inner);
            if hashes
                .get(&fingerprint)
                .is_some_and(|held| Arc::ptr_eq(held, &cell))
            {
                hashes.remove(&fingerprint);
            }
        }
        hash
    }
}

/// SHA-256 of an open file that is, before and after, what the fingerprint names.
fn read_hash(fingerprint: Fingerprint, file: &OwnedFd) -> Option<[u8; 32]> {
    let is_same = || fstat(file).is_ok_and(|stat| Fingerprint::of(&stat) == Some(fingerprint));
    if fingerprint.size_bytes > FILE_BYTES_MAX || !is_same() {
        return None;
    }
    let mut context = digest::Context::new(&digest::SHA256);
    let mut buf = vec![0; READ_BYTES];
    let mut left = fingerprint.size_bytes;
    loop {
        // The descriptor may be a copy of one that was read before.
        match pread(file, &mut buf, fingerprint.size_bytes - left) {
            Ok(0) => break,
            Ok(count) => {
                left = left.checked_sub(count as u64)?;
                context.update(buf.get(..count)?);
            }
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    if left > 0 || !is_same() {
        return None;
    }
    context.finish().as_ref().try_into().ok()
}

/// A larger file would keep a helper thread for more than a second or two.
const FILE_BYTES_MAX: u64 = 2 << 30;
/// Long enough that the calls do not count beside the hashing.
const READ_BYTES: usize = 256 << 10;
/// Programs of a sandbox that connect, with their ancestors; paths of 4 KiB at most, so 16 MiB at the worst.
const PATHS_MAX: usize = 4_096;
/// Files remembered at a time; when there are more, all are hashed anew.
const HASHES_MAX: usize = 4_096;
const YOUNG_S: i64 = 2;

#[cfg(test)]
mod tests;
