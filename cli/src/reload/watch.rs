//! Noticing that a file changed, whichever way (`--watch`).
//!
//! Editors replace a file by renaming another one over it, and Kubernetes turns a symbolic link in its directory: what
//! has to be watched is not the file but every directory through which its name leads. inotify says at once that
//! something happened there; what happened is read from the files themselves. Every two seconds the files are looked at
//! without being told: network file systems tell nothing, and a directory that is not there cannot be watched.
//!
//! Invariant: the directories are watched before the files are looked at, so no change falls between.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify;
use rustix::io::Errno;

/// A thread that watches files until it is dropped.
pub(crate) struct Watch {
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Calls `changed` soon after one of `files` was written, replaced, removed or made.
    pub(crate) fn start(
        files: Vec<PathBuf>,
        changed: impl Fn() + Send + 'static,
    ) -> io::Result<Watch> {
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let stopped = Arc::clone(&stop);
        let mut stamps = look(&files);
        let thread = std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || {
                while turn(&files, &stopped) == Turn::Look {
                    let seen = look(&files);
                    if seen != stamps {
                        stamps = seen;
                        changed();
                    }
                }
            })?;
        Ok(Watch {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // An event descriptor takes this write; the thread then ends by itself.
        _ = rustix::io::write(&*self.stop, &1u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

#[derive(PartialEq)]
enum Turn {
    Look,
    Stop,
}

/// Waits until something happened, or for the time after which one looks anyway.
fn turn(files: &[PathBuf], stop: &OwnedFd) -> Turn {
    // Without inotify (its instances are counted for each user) the look every two seconds remains.
    let events = arm(files).ok();
    match wait(events.as_ref(), stop, LOOK_EVERY) {
        Woken::Stop => return Turn::Stop,
        Woken::Time => return Turn::Look,
        Woken::Event => {}
    }
    // One save is many events: wait until it is quiet, but not for ever in a directory that never is.
    let until = Instant::now() + SETTLE_MAX;
    while Instant::now() < until {
        drain(events.as_ref());
        match wait(events.as_ref(), stop, QUIET) {
            Woken::Stop => return Turn::Stop,
            Woken::Time => break,
            Woken::Event => {}
        }
    }
    Turn::Look
}

/// Watches the directories that the names of `files` lead through.
fn arm(files: &[PathBuf]) -> io::Result<OwnedFd> {
    let events = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    let flags = inotify::WatchFlags::CLOSE_WRITE
        | inotify::WatchFlags::CREATE
        | inotify::WatchFlags::DELETE
        | inotify::WatchFlags::MOVED_FROM
        | inotify::WatchFlags::MOVED_TO
        | inotify::WatchFlags::DELETE_SELF
        | inotify::WatchFlags::MOVE_SELF
        | inotify::WatchFlags::ONLYDIR;
    for directory in files.iter().flat_map(|file| directories(file)) {
        // One that is not there is found again by the look.
        _ = inotify::add_watch(&events, &directory, flags);
    }
    Ok(events)
}

/// The directory of the file, and those of every symbolic link on the way to it.
pub(super) fn directories(file: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    walk(file, |way, step| match step {
        Step::Link | Step::Last => _ = found.insert(way.to_owned()),
        Step::Through => {}
    });
    found
}

/// Every directory in which a name of the path, or of a symbolic link on it, is looked up.
pub(super) fn looked_in(file: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    walk(file, |way, _| _ = found.insert(way.to_owned()));
    found
}

/// What a name turned out to be.
enum Step {
    Link,
    /// It ends the path.
    Last,
    Through,
}

/// Goes the way of a path as the kernel does, and calls `visit` with the directory of each name.
fn walk(file: &Path, mut visit: impl FnMut(&Path, Step)) {
    let mut way = PathBuf::from("/");
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let mut ahead: Vec<OsString> = names(&absolute);
    let mut links = 0;
    while let Some(name) = ahead.pop() {
        if name == ".." {
            way.pop();
            continue;
        }
        let here = way.join(&name);
        match std::fs::read_link(&here) {
            Ok(target) if links < LINKS_MAX => {
                links += 1;
                visit(&way, Step::Link);
                if target.is_absolute() {
                    way = PathBuf::from("/");
                }
                ahead.extend(names(&target));
            }
            _ => {
                let step = match ahead.is_empty() {
                    true => Step::Last,
                    false => Step::Through,
                };
                visit(&way, step);
                way = here;
            }
        }
    }
}

/// The names of a path, the first one last.
fn names(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    });
    let mut names: Vec<_> = names.collect();
    names.reverse();
    names
}

/// What tells one state of a file from the next, without reading it.
type Stamp = Option<(u64, u64, u64, i64, i64, i64, i64)>;

fn look(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |file: &PathBuf| {
        let about = std::fs::metadata(file).ok()?;
        Some((
            about.dev(),
            about.ino(),
            about.size(),
            about.mtime(),
            about.mtime_nsec(),
            about.ctime(),
            about.ctime_nsec(),
        ))
    };
    files.iter().map(stamp).collect()
}

enum Woken {
    Event,
    Time,
    Stop,
}

fn wait(events: Option<&OwnedFd>, stop: &OwnedFd, time: Duration) -> Woken {
    let until = Instant::now() + time;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let mut sources = vec![PollFd::new(stop, PollFlags::IN)];
        sources.extend(events.map(|events| PollFd::new(events, PollFlags::IN)));
        match poll(&mut sources, Timespec::try_from(left).ok().as_ref()) {
            Err(Errno::INTR) => {}
            // A poll that cannot be made would be asked without a pause.
            Err(_) => return Woken::Stop,
            Ok(0) => return Woken::Time,
            Ok(_) => {
                let stopped = sources
                    .first()
                    .is_some_and(|stop| !stop.revents().is_empty());
                return if stopped { Woken::Stop } else { Woken::Event };
            }
        }
    }
}

fn drain(events: Option<&OwnedFd>) {
    let Some(events) = events else { return };
    let mut room = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(events, &mut room);
    while reader.next().is_ok() {}
}

/// Without an event the files are looked at so often.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A save has ended when nothing happened for so long…
const QUIET: Duration = Duration::from_millis(50);
/// …or when it went on for this long.
const SETTLE_MAX: Duration = Duration::from_millis(500);
/// As the kernel counts them.
const LINKS_MAX: u32 = 40;
