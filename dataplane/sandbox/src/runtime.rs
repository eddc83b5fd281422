//! The runtime directory of a sandbox on the host: trust files, host table and `inference.json`.
//!
//! Made before the start, seen read-only inside, removed with the sandbox. Invariants: no symbolic link is followed
//! and no existing directory changes its owner (SBX-7); every file is written through the open directory, never by
//! path, because the parent may be writable for a sandbox of the same user; files are replaced as a whole.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Gid, Mode, OFlags, Uid, fchown, flock, fstat, mkdirat,
    open, openat, renameat, unlinkat,
};
use rustix::io::Errno;
use serde::Serialize;

use crate::identity::Identity;

/// A directory that exists as long as this value.
#[derive(Debug)]
pub struct RuntimeDir {
    path: PathBuf,
    name: String,
    base: OwnedFd,
    dir: OwnedFd,
}

/// What `inference.json` says (ENV-4).
#[derive(Clone, Debug, Serialize)]
pub struct InferenceFile {
    /// Where inference is found from inside.
    pub url: String,
    /// Whether a route exists now.
    pub available: bool,
    /// What the route speaks, as protocol names.
    pub protocols: Vec<String>,
    /// The model the route puts in.
    pub model: Option<String>,
    /// For people and programs that insist on a key.
    pub note: String,
}

/// A runtime directory that cannot be made or written.
#[derive(Debug)]
#[non_exhaustive]
pub enum RuntimeError {
    /// The id of a sandbox is 1–64 of `A-Z a-z 0-9 - _`.
    Id,
    /// A directory on the way is not ours: another owner, a link, or writable for others.
    NotOurs(PathBuf),
    /// The system refused.
    Io(PathBuf, io::Error),
}

impl fmt::Display for RuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id => f.write_str("the id of a sandbox is 1 to 64 letters, digits, `-` and `_`"),
            Self::NotOurs(path) => write!(
                f,
                "{}: belongs to another user, or others may write to it; remove it",
                path.display()
            ),
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for RuntimeError {}

impl RuntimeDir {
    /// Makes `/run/ringfence/ID` for root, else `ringfence/ID` in `xdg_runtime_dir`, else in `/tmp/ringfence-UID`.
    /// Directories that a killed launcher left behind are removed on the way (TR-120).
    ///
    /// # Errors
    /// [`RuntimeError`]; an existing directory of that id is an error too.
    pub fn create(id: &str, xdg_runtime_dir: Option<&Path>) -> Result<Self, RuntimeError> {
        // Why the first: the others are those of a start with other variables.
        match Self::bases(xdg_runtime_dir).first() {
            Some(base) => Self::create_in(base, id),
            None => Err(RuntimeError::Id),
        }
    }

    /// Where this user's runtime directories may be, the place of a start with these variables first.
    #[must_use]
    pub fn bases(xdg_runtime_dir: Option<&Path>) -> Vec<PathBuf> {
        let uid = rustix::process::geteuid();
        if uid.is_root() {
            return vec![PathBuf::from("/run/ringfence")];
        }
        let xdg = xdg_runtime_dir.filter(|path| path.is_absolute());
        let tmp = base_in_tmp(uid.as_raw());
        let login = PathBuf::from(format!("/run/user/{}/ringfence", uid.as_raw()));
        match xdg.map(|xdg| xdg.join("ringfence")) {
            Some(xdg) if xdg == login => vec![xdg, tmp],
            Some(xdg) => vec![xdg, login, tmp],
            None => vec![tmp, login],
        }
    }

    /// As [`RuntimeDir::create`], in a directory of the caller's choice.
    ///
    /// # Errors
    /// As [`RuntimeDir::create`].
    pub fn create_in(base: &Path, id: &str) -> Result<Self, RuntimeError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if id.is_empty() || id.len() > 64 || !id.bytes().all(plain) {
            return Err(RuntimeError::Id);
        }
        let path = base.join(id);
        let failed = |error: Errno| RuntimeError::Io(path.clone(), error.into());
        let base = own_directory(base)?;
        // Why: nobody sweeps between the mkdir and the lock.
        flock(&base, FlockOperation::LockExclusive).map_err(failed)?;
        sweep(&base);
        mkdirat(&base, id, READABLE_DIR).map_err(failed)?;
        let dir = openat(&base, id, DIRECTORY, Mode::empty()).map_err(failed)?;
        // Why: the umask of the caller must not hide it from the command's user.
        rustix::fs::fchmod(&dir, READABLE_DIR).map_err(failed)?;
        flock(&dir, FlockOperation::NonBlockingLockExclusive).map_err(failed)?;
        flock(&base, FlockOperation::Unlock).map_err(failed)?;
        Ok(Self {
            path,
            name: id.to_owned(),
            base,
            dir,
        })
    }

    /// Where it is, on the host and inside.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the CA, and the system's bundle with it (TLS-2). The bundle is the first non-empty of the Debian, RHEL,
    /// openSUSE and Alpine locations.
    ///
    /// # Errors
    /// [`RuntimeError::Io`].
    pub fn write_trust(&self, ca_pem: &str) -> Result<(), RuntimeError> {
        self.write("ca.pem", ca_pem.as_bytes())?;
        let system = BUNDLES
            .iter()
            .filter_map(|path| std::fs::read(path).ok())
            .find(|bytes| !bytes.is_empty());
        let mut bundle = system.unwrap_or_default();
        if bundle.last().is_some_and(|last| *last != b'\n') {
            bundle.push(b'\n');
        }
        bundle.extend_from_slice(ca_pem.as_bytes());
        self.write("ca-bundle.pem", &bundle)
    }

    /// Writes `hosts`: the host's table with `inference.local` at 127.0.0.1 (INF-29).
    ///
    /// # Errors
    /// [`RuntimeError::Io`].
    pub fn write_hosts(&self) -> Result<(), RuntimeError> {
        let table = std::fs::read("/etc/hosts").unwrap_or_default();
        self.write(
            "hosts",
            host_table(&String::from_utf8_lossy(&table)).as_bytes(),
        )
    }

    /// Replaces `inference.json` (ENV-4).
    ///
    /// # Errors
    /// [`RuntimeError::Io`].
    pub fn write_inference(&self, inference: &InferenceFile) -> Result<(), RuntimeError> {
        let text = serde_json::to_vec_pretty(inference)
            .map_err(|error| RuntimeError::Io(self.path.clone(), error.into()))?;
        self.write("inference.json", &text)
    }

    /// Replaces a file as a whole: a reader sees the old bytes or the new ones.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), RuntimeError> {
        let write = || -> io::Result<()> {
            let new = format!(".{name}.new");
            unlinkat(&self.dir, new.as_str(), AtFlags::empty()).ok();
            let flags =
                OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut file = File::from(openat(&self.dir, new.as_str(), flags, READABLE_FILE)?);
            rustix::fs::fchmod(&file, READABLE_FILE)?;
            file.write_all(bytes)?;
            renameat(&self.dir, new.as_str(), &self.dir, name)?;
            Ok(())
        };
        write().map_err(|error| RuntimeError::Io(self.path.join(name), error))
    }
}

impl Drop for RuntimeDir {
    fn drop(&mut self) {
        remove(&self.base, &self.name, &self.dir);
    }
}

/// Where a user without a better place has its runtime directories.
pub(crate) fn base_in_tmp(uid: u32) -> PathBuf {
    PathBuf::from(format!("/tmp/ringfence-{uid}"))
}

/// Opens `path`, made if missing, when it is a directory that only we may write.
fn own_directory(path: &Path) -> Result<OwnedFd, RuntimeError> {
    let failed = |error: Errno| match error {
        Errno::LOOP | Errno::NOTDIR => RuntimeError::NotOurs(path.to_owned()),
        _ => RuntimeError::Io(path.to_owned(), error.into()),
    };
    match rustix::fs::mkdir(path, READABLE_DIR) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(failed(error)),
    }
    let dir = open(path, DIRECTORY, Mode::empty()).map_err(failed)?;
    let status = fstat(&dir).map_err(failed)?;
    let writable_for_others =
        Mode::from_raw_mode(status.st_mode).intersects(Mode::WGRP | Mode::WOTH);
    if status.st_uid != rustix::process::geteuid().as_raw() || writable_for_others {
        return Err(RuntimeError::NotOurs(path.to_owned()));
    }
    Ok(dir)
}

/// Removes the directories whose launcher holds no lock any more. Best effort: they are in nobody's way.
fn sweep(base: &OwnedFd) {
    let Ok(entries) = Dir::read_from(base) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || entry.file_type() != FileType::Directory {
            continue;
        }
        if let Ok(dir) = openat(base, name.as_str(), DIRECTORY, Mode::empty())
            && flock(&dir, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            remove(base, &name, &dir);
        }
    }
}

/// Removes a directory and the files in it; it never has directories of its own.
fn remove(base: &OwnedFd, name: &str, dir: &OwnedFd) {
    for entry in Dir::read_from(dir).into_iter().flatten().flatten() {
        unlinkat(dir, entry.file_name(), AtFlags::empty()).ok();
    }
    unlinkat(base, name, AtFlags::REMOVEDIR).ok();
}

/// Makes `path` and its missing parents as directories, following no link (SBX-7). The last one, if it is made here,
/// belongs to the command's user.
pub(crate) fn make_directories(path: &Path, identity: Identity) -> Result<(), Errno> {
    let mut at = open("/", OFlags::PATH | DIRECTORY, Mode::empty())?;
    let names: Vec<_> = path
        .components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name),
            Component::Prefix(_)
            | Component::RootDir
            | Component::CurDir
            | Component::ParentDir => None,
        })
        .collect();
    for (index, name) in names.iter().enumerate() {
        let last = index + 1 == names.len();
        let made = match mkdirat(at.as_fd(), *name, READABLE_DIR) {
            Ok(()) => true,
            Err(Errno::EXIST | Errno::ROFS) => false,
            Err(error) => return Err(error),
        };
        let flags = if made {
            DIRECTORY
        } else {
            OFlags::PATH | DIRECTORY
        };
        at = openat(&at, *name, flags, Mode::empty())?;
        if let (true, true, Identity::Drop { uid, gid }) = (made, last, identity) {
            fchown(&at, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
    }
    Ok(())
}

/// The host's table without `inference.local`, and that name at 127.0.0.1.
fn host_table(host: &str) -> String {
    let mut table = String::new();
    for line in host.lines() {
        let entry = line.split('#').next().unwrap_or_default();
        let mut names = entry.split_ascii_whitespace();
        let Some(address) = names.next() else {
            continue;
        };
        let names: Vec<_> = names
            .filter(|name| {
                !name
                    .trim_end_matches('.')
                    .eq_ignore_ascii_case("inference.local")
            })
            .collect();
        if !names.is_empty() {
            table.push_str(&format!("{address} {}\n", names.join(" ")));
        }
    }
    table.push_str("127.0.0.1 inference.local\n");
    table
}

const DIRECTORY: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// 0755
const READABLE_DIR: Mode = Mode::RWXU
    .union(Mode::RGRP)
    .union(Mode::XGRP)
    .union(Mode::ROTH)
    .union(Mode::XOTH);

/// 0644
const READABLE_FILE: Mode = Mode::RUSR
    .union(Mode::WUSR)
    .union(Mode::RGRP)
    .union(Mode::ROTH);

/// Debian, RHEL, openSUSE, Alpine (TLS-2).
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

#[cfg(test)]
mod tests;
