//! What the sandbox sees of the file system, apart from what Landlock lets it touch.
//!
//! Runs in pid 1, because a procfs shows the pid namespace of the process that mounts it. Invariants: nothing mounted
//! here reaches the host (`/` is private first); the runtime directory cannot be written, renamed or replaced from
//! inside, and the runtime directories of other sandboxes are not there; what the control plane keeps is covered last.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, StatVfsMountFlags, open, statvfs};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, mount, mount_bind, mount_change, mount_remount,
};

use crate::hidden::Hidden;
use crate::identity::Identity;
use crate::init::Plan;
use crate::report::{Failure, Step};
use crate::runtime;
use crate::veil::{self, Kept};

/// Mounts all, and returns the sandbox's own `/proc`.
pub(crate) fn arrange(plan: &Plan) -> Result<OwnedFd, Failure> {
    let spec = &plan.spec;
    let runtime_dir = spec.runtime_dir.as_path();
    let Some(base) = runtime_dir.parent().filter(|base| base.parent().is_some()) else {
        return Err(
            Step::Mount.failed("the runtime directory needs a directory of its own above it")
        );
    };
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .map_err(Step::Mount.because("make / private"))?;
    let proc = fresh_proc()?;
    // Why before the host table: its file lies in a runtime directory, which may lie in a hidden place.
    let hidden = Hidden::of(spec)?;
    hosts(&runtime_dir.join("hosts"))?;
    veil::draw(&Kept::of(spec), &plan.sockets, base)?;
    seclude(base, runtime_dir)?;
    close_other_base(base, plan)?;
    hidden.cover(base)?;
    Ok(proc)
}

/// A procfs that shows the processes of this sandbox and no others.
fn fresh_proc() -> Result<OwnedFd, Failure> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", "/proc", "proc", flags, None).map_err(|error| {
        let cause = if error == Errno::PERM { PROC_CAUSE } else { "" };
        Step::Mount.failed(format!("/proc: {error}{cause}"))
    })?;
    open(
        "/proc",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(Step::Mount.because("/proc"))
}

/// Puts the sandbox's own host table in place (INF-29). A system without `/etc/hosts` has none.
fn hosts(table: &Path) -> Result<(), Failure> {
    let target = Path::new("/etc/hosts");
    if !target.exists() || !table.exists() {
        return Ok(());
    }
    mount_bind(table, target).map_err(Step::Mount.because("/etc/hosts"))?;
    read_only(target)
}

/// Hides the directory of all runtime directories under an empty read-only one that holds only this sandbox's.
///
/// Why not only a bind mount on itself: its parent may be writable from inside (`/tmp/ringfence-UID` is the caller's,
/// and so is the sandbox), and could then be moved away, or a neighbour's directory in it be written.
fn seclude(base: &Path, runtime_dir: &Path) -> Result<(), Failure> {
    let because = || Step::Mount.because("runtime directory");
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let here = open(runtime_dir, flags, Mode::empty()).map_err(because())?;
    veil::mount_small(base)?;
    rustix::fs::mkdir(runtime_dir, Mode::RWXU | Mode::XGRP | Mode::XOTH).map_err(because())?;
    mount_bind(veil::by_descriptor(&here), runtime_dir).map_err(because())?;
    read_only(runtime_dir)?;
    read_only(base)
}

/// Closes the place in `/tmp` for runtime directories of this user, when this sandbox's own is elsewhere.
///
/// Why: `/tmp` is writable in every sandbox, and whoever has the uid could lock that place, or write into the trust
/// files of a sandbox that the same user starts there later. It is made if missing, because a cover needs something.
fn close_other_base(base: &Path, plan: &Plan) -> Result<(), Failure> {
    let place = runtime::base_in_tmp(plan.uid_outside);
    if place == base {
        return Ok(());
    }
    // Why ignored: without a writable `/tmp` nothing can be made there by anybody.
    runtime::make_directories(&place, plan.identity).ok();
    let Ok(status) = rustix::fs::lstat(&place) else {
        return Ok(());
    };
    if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
        veil::mount_small(&place)?;
        return read_only(&place);
    }
    let (Identity::Drop { uid, .. } | Identity::Map { uid, .. }) = plan.identity;
    if status.st_uid == uid {
        return Err(Step::Mount.failed(format!(
            "{} is no directory, and the command could make it one; remove it",
            place.display()
        )));
    }
    Ok(())
}

/// Makes the mount at `target` read-only, keeping every restriction it has.
pub(crate) fn read_only(target: &Path) -> Result<(), Failure> {
    let have = statvfs(target)
        .map_err(Step::Mount.because("statvfs"))?
        .f_flag;
    let mut flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    for (has, keep) in [
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ] {
        if have.contains(has) {
            flags |= keep;
        }
    }
    mount_remount(target, flags, c"")
        .map_err(Step::Mount.because(&format!("{} read-only", target.display())))
}

const PROC_CAUSE: &str = " (likely cause: ringfence runs in a container whose /proc is partly masked, and the kernel gives a \
                          user namespace no unmasked one; start the container with an unmasked /proc: docker `--security-opt \
                          systempaths=unconfined`, Kubernetes `procMount: Unmasked`, or run ringfence outside of it)";
