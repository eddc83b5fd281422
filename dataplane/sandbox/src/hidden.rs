//! Covers what no list opens: the places where the control plane keeps its keys and its socket (RPC-2, TR-108, SBX-3).
//!
//! Apart from `veil`, which hides what no list names: these places stay hidden although a list, or the working directory,
//! names one above them. Invariants: a start that names one of them, or a path in it, is refused, because it would find
//! an empty place where it asked for files; they are covered after every other mount, so that none shows them again;
//! nothing is made on the host for them (SBX-7), so one that does not exist at the start has no cover.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{UnmountFlags, mount_bind_recursive, unmount};

use crate::mounts::read_only;
use crate::report::{Failure, Step};
use crate::spec::Spec;
use crate::veil::{self, Covers};

/// The places of one start, links resolved.
pub(crate) struct Hidden {
    places: Vec<PathBuf>,
    /// The same again, or a part of one, in other mounts of the same file system.
    elsewhere: Vec<Shown>,
}

/// A path at which another mount shows a hidden directory, and the device it was on.
struct Shown {
    path: PathBuf,
    device: u64,
}

impl Hidden {
    /// Finds them. Call it while everything can still be seen.
    pub(crate) fn of(spec: &Spec) -> Result<Self, Failure> {
        let places: Vec<_> = spec.hidden.iter().map(|place| resolved(place)).collect();
        refuse(spec, &places)?;
        // Why it may be missing: without a table the places themselves are covered all the same.
        let table = fs::read("/proc/self/mountinfo").unwrap_or_default();
        let mounts = mounts(&table);
        let elsewhere = places
            .iter()
            .filter_map(|place| Some((place, fs::metadata(place).ok()?.dev())))
            .flat_map(|(place, device)| {
                let paths = elsewhere(place, &mounts).into_iter();
                paths.map(move |path| Shown { path, device })
            })
            .collect();
        Ok(Self { places, elsewhere })
    }

    /// Covers those that can be seen. `base` is the directory of the runtime directories, already closed but for this
    /// sandbox's own; it stays, whatever is hidden above it.
    pub(crate) fn cover(&self, base: &Path) -> Result<(), Failure> {
        let shown = self.elsewhere.iter().filter(|shown| {
            // Why: something else may be mounted there by now.
            fs::metadata(&shown.path).is_ok_and(|about| about.dev() == shown.device)
        });
        let (above, beside): (Vec<_>, Vec<_>) = self
            .places
            .iter()
            .chain(shown.map(|shown| &shown.path))
            .filter(|place| !place.starts_with(base))
            .partition(|place| base.starts_with(place));
        let covers = Covers::make(base)?;
        for place in beside {
            covers.over(place)?;
        }
        unmount(base, UnmountFlags::DETACH).map_err(Step::Mount.because("covers"))?;
        above
            .into_iter()
            .try_for_each(|place| show_only(base, place))
    }
}

/// A start that could only find emptiness where it was told to work does not begin.
fn refuse(spec: &Spec, places: &[PathBuf]) -> Result<(), Failure> {
    let within = |path: &Path| {
        let path = resolved(path);
        places.iter().find(|place| path.starts_with(place))
    };
    let why = |what: &str, path: &Path, place: &Path| {
        format!(
            "{what} {} is in {}, where the control plane keeps its keys or its socket, and no sandbox sees that place",
            path.display(),
            place.display()
        )
    };
    if let Some(place) = within(&spec.workdir) {
        return Err(Step::Workdir.failed(why("the working directory", &spec.workdir, place)));
    }
    let lists = &spec.filesystem;
    for listed in lists.read_write.iter().chain(&lists.read_only) {
        if let Some(place) = within(&listed.path) {
            return Err(Step::Path.failed(why("the listed path", &listed.path, place)));
        }
    }
    Ok(())
}

/// `path` without links, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let found = path.ancestors().find_map(|above| {
        let real = fs::canonicalize(above).ok()?;
        Some(real.join(path.strip_prefix(above).ok()?))
    });
    // Why pushed: joining an empty rest leaves a slash, which names a directory.
    found.map_or_else(|| path.to_owned(), |found| found.components().collect())
}

/// Replaces `place` by an empty read-only directory with `base` in it.
fn show_only(base: &Path, place: &Path) -> Result<(), Failure> {
    let because = || Step::Mount.because(&base.display().to_string());
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let here = open(base, flags, Mode::empty()).map_err(because())?;
    veil::mount_small(place)?;
    fs::create_dir_all(base).map_err(Step::Mount.because(&base.display().to_string()))?;
    mount_bind_recursive(veil::by_descriptor(&here), base).map_err(because())?;
    read_only(place)
}

/// One line of the mount table.
#[derive(Debug, Eq, PartialEq)]
struct Mount {
    device: Vec<u8>,
    /// What of the file system is shown.
    root: PathBuf,
    /// Where.
    at: PathBuf,
}

/// Reads proc_pid_mountinfo(5).
fn mounts(table: &[u8]) -> Vec<Mount> {
    let lines = table.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| {
            let mut fields = line.split(|byte| *byte == b' ').skip(2);
            Some(Mount {
                device: fields.next()?.to_owned(),
                root: unescaped(fields.next()?),
                at: unescaped(fields.next()?),
            })
        })
        .collect()
}

/// The table writes white space and the backslash as `\` and three octal digits.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(octal.unwrap_or(*first));
        rest = match octal {
            Some(_) => after.get(3..).unwrap_or_default(),
            None => after,
        };
    }
    PathBuf::from(OsStr::from_bytes(&bytes))
}

/// Where else the mount table shows `place`, or something in it.
fn elsewhere(place: &Path, mounts: &[Mount]) -> Vec<PathBuf> {
    // Why the last of the longest: of two mounts at one path the later is on top.
    let over = mounts
        .iter()
        .filter(|mount| place.starts_with(&mount.at))
        .max_by_key(|mount| mount.at.components().count());
    let Some((over, rest)) = over.and_then(|over| Some((over, place.strip_prefix(&over.at).ok()?)))
    else {
        return Vec::new();
    };
    let inside: PathBuf = over.root.join(rest).components().collect();
    mounts
        .iter()
        .filter(|mount| mount.device == over.device)
        .filter_map(|mount| match inside.strip_prefix(&mount.root) {
            Ok(rest) => Some(mount.at.join(rest).components().collect::<PathBuf>()),
            Err(_) => mount.root.starts_with(&inside).then(|| mount.at.clone()),
        })
        .filter(|path| !path.starts_with(place))
        .collect()
}

#[cfg(test)]
mod tests;
