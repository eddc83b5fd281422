//! Hides what no list names, where Landlock alone would leave it half visible.
//!
//! Landlock decides who opens a file. It does not decide who connects to a Unix socket (before ABI 9), who changes a
//! mode or an owner, or who asks whether a file exists: a command with the caller's own uid could talk to the
//! caller's agents and daemons (SBX-3). So every directory on the way to a listed path gets its other entries covered
//! by an empty one with no permission, which answers EACCES as Landlock does (LLK-5). `/run` is shown anew, with the
//! listed paths only, because daemons make sockets there at any time.
//!
//! Cost: one mount an entry beside a listed path, or three for a directory with more than [`COVERS_MAX`] of them or
//! one that cannot be listed. What remains visible is in docs/decisions/0022.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive, unmount};

use crate::mounts::read_only;
use crate::report::{Failure, Step};
use crate::spec::{Origin, Spec};

/// Entries of one directory that are covered one by one; with more, the directory is shown anew.
const COVERS_MAX: usize = 1024;

/// Never covered: they hold no sockets but those in `/proc/net/unix`, and Landlock has the rest.
const SYSTEM: [&str; 3] = ["/proc", "/sys", "/dev"];

/// Where daemons make sockets at any time.
const RUN: &str = "/run";

/// The paths that stay, and the paths below which a socket may be connected.
pub(crate) struct Kept {
    all: BTreeSet<PathBuf>,
    writable: BTreeSet<PathBuf>,
    /// The working directory: it stays, and what is in it only when listed.
    workdir: Vec<PathBuf>,
}

impl Kept {
    /// From the lists, as written and with links resolved, because either spelling may be used inside.
    pub(crate) fn of(spec: &Spec) -> Self {
        let spellings = |path: &Path| {
            [Some(path.to_owned()), fs::canonicalize(path).ok()]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
        };
        let lists = &spec.filesystem;
        // Why not the baseline: nobody asked for the terminal multiplexer and the agents that listen in `/tmp`.
        let mut writable: BTreeSet<PathBuf> = lists
            .read_write
            .iter()
            .filter(|listed| listed.origin == Origin::Author)
            .flat_map(|listed| spellings(&listed.path))
            .collect();
        if spec.grants_workdir() {
            writable.extend(spellings(&spec.workdir));
        }
        let mut all = writable.clone();
        all.extend(
            lists
                .read_write
                .iter()
                .chain(&lists.read_only)
                .flat_map(|listed| spellings(&listed.path)),
        );
        all.extend(spellings(&spec.runtime_dir));
        all.extend(SYSTEM.map(PathBuf::from));
        let workdir = spellings(&spec.workdir);
        Self {
            all,
            writable,
            workdir,
        }
    }

    /// Whether a listed path is `path` or above it.
    fn shows(&self, path: &Path) -> bool {
        path.ancestors().any(|above| self.all.contains(above))
    }

    /// Whether a listed path, or the working directory, is below `path`; the latter may be `path`.
    fn leads_through(&self, path: &Path) -> bool {
        self.all
            .range(path.to_owned()..)
            .take_while(|kept| kept.starts_with(path))
            .any(|kept| kept != path)
            || self.workdir.iter().any(|dir| dir.starts_with(path))
    }

    /// The listed paths below `path`, without those below another of them.
    fn below(&self, path: &Path) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = Vec::new();
        for kept in self
            .all
            .iter()
            .filter(|kept| kept.starts_with(path) && *kept != path)
        {
            if !found.iter().any(|above| kept.starts_with(above)) {
                found.push(kept.clone());
            }
        }
        found
    }
}

/// Covers everything that `kept` does not show. `sockets` are those the host had at the start; `stage` is a directory
/// that may be mounted over for a moment.
pub(crate) fn draw(kept: &Kept, sockets: &[PathBuf], stage: &Path) -> Result<(), Failure> {
    let covers = Covers::make(stage)?;
    walk(Path::new("/"), kept, &covers)?;
    // Why after the walk: only those that a listed directory still shows are left to cover.
    for socket in sockets.iter().filter(|socket| kept.shows(socket)) {
        // Why: the table also has the names that others gave to sockets in mounts of their own.
        let is_socket = fs::symlink_metadata(socket).is_ok_and(|it| it.file_type().is_socket());
        if is_socket
            && !socket
                .ancestors()
                .any(|above| kept.writable.contains(above))
        {
            covers.put(&covers.file, socket)?;
        }
    }
    unmount(stage, UnmountFlags::DETACH).map_err(Step::Mount.because("covers"))?;
    if Path::new(RUN).is_dir() && !kept.shows(Path::new(RUN)) {
        show_anew(Path::new(RUN), kept)?;
    }
    Ok(())
}

/// The absolute paths of the sockets bound in this network namespace. Call it in the host's.
pub(crate) fn host_sockets() -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let paths: BTreeSet<_> = table
        .lines()
        .filter_map(|line| {
            line.find(" /")
                .and_then(|at| line.get(at.saturating_add(1)..))
        })
        .map(PathBuf::from)
        .collect();
    paths.into_iter().collect()
}

fn walk(dir: &Path, kept: &Kept, covers: &Covers) -> Result<(), Failure> {
    let mut hidden = Vec::new();
    // Why: a directory that cannot be listed may still be searched for known names.
    let Ok(entries) = fs::read_dir(dir) else {
        return show_anew(dir, kept);
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_symlink() || kept.shows(&path) || path == Path::new(RUN) {
            continue;
        }
        if kept.leads_through(&path) {
            walk(&path, kept, covers)?;
        } else {
            hidden.push((
                path,
                if kind.is_dir() {
                    &covers.dir
                } else {
                    &covers.file
                },
            ));
        }
        if hidden.len() > COVERS_MAX && dir != Path::new("/") {
            return show_anew(dir, kept);
        }
    }
    hidden
        .iter()
        .try_for_each(|(path, cover)| covers.put(cover, path))
}

/// An empty directory and an empty file without any permission, on a read-only mount.
pub(crate) struct Covers {
    dir: OwnedFd,
    file: OwnedFd,
}

impl Covers {
    /// `stage` is a directory that is mounted over, until it is unmounted.
    pub(crate) fn make(stage: &Path) -> Result<Self, Failure> {
        let because = || Step::Mount.because("covers");
        mount_small(stage)?;
        let (dir, file) = (stage.join("directory"), stage.join("file"));
        rustix::fs::mkdir(&dir, Mode::empty()).map_err(because())?;
        open(
            &file,
            OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(because())?;
        read_only(stage)?;
        let hold = |path: &Path| {
            open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(because())
        };
        Ok(Self {
            dir: hold(&dir)?,
            file: hold(&file)?,
        })
    }

    /// Covers what is at `path`, if anything is.
    pub(crate) fn over(&self, path: &Path) -> Result<(), Failure> {
        match fs::metadata(path) {
            Ok(about) if about.is_dir() => self.put(&self.dir, path),
            Ok(_) => self.put(&self.file, path),
            // Nothing, or under a cover already.
            Err(_) => Ok(()),
        }
    }

    fn put(&self, cover: &OwnedFd, path: &Path) -> Result<(), Failure> {
        match mount_bind(by_descriptor(cover), path) {
            // Gone, or as unusable for the command as it is for us.
            Ok(()) | Err(Errno::NOENT | Errno::NOTCONN | Errno::STALE | Errno::ACCESS) => Ok(()),
            Err(error) => Err(Step::Mount.failed(format!("cover {}: {error}", path.display()))),
        }
    }
}

/// Replaces `dir` by an empty one that holds the listed paths below it and nothing else.
fn show_anew(dir: &Path, kept: &Kept) -> Result<(), Failure> {
    let because = |path: &Path| Step::Mount.because(&path.display().to_string());
    let held: Vec<_> = kept
        .below(dir)
        .into_iter()
        .filter_map(|path| {
            open(&path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
                .ok()
                .map(|fd| (path, fd))
        })
        .collect();
    mount_small(dir)?;
    for workdir in kept.workdir.iter().filter(|path| path.starts_with(dir)) {
        fs::create_dir_all(workdir).map_err(Step::Mount.because(&workdir.display().to_string()))?;
    }
    for (path, fd) in held {
        let directory = fs::metadata(by_descriptor(&fd)).is_ok_and(|about| about.is_dir());
        let parent = if directory {
            Some(path.as_path())
        } else {
            path.parent()
        };
        parent
            .map_or(Ok(()), fs::create_dir_all)
            .map_err(|error| Step::Mount.failed(format!("{}: {error}", path.display())))?;
        if !directory {
            open(&path, OFlags::CREATE | OFlags::CLOEXEC, Mode::RUSR).map_err(because(&path))?;
        }
        mount_bind_recursive(by_descriptor(&fd), &path).map_err(because(&path))?;
    }
    Ok(())
}

/// A file system in memory for a few names.
pub(crate) fn mount_small(at: &Path) -> Result<(), Failure> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount(
        "ringfence",
        at,
        "tmpfs",
        flags,
        Some(c"mode=0755,size=16m,nr_inodes=16k"),
    )
    .map_err(Step::Mount.because(&at.display().to_string()))
}

/// The path by which a mount names an open file.
pub(crate) fn by_descriptor(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

#[cfg(test)]
mod tests;
