//! What the sandbox sees of the file system, apart from what Landlock lets it touch.
//!
//! Runs in pid 1, because a procfs shows the pid namespace of the process that mounts it. Invariants: nothing mounted
//! here reaches the host (`/` is private first); the runtime directory cannot be written, renamed or replaced from
//! inside, and the runtime directories of other sandboxes are not there.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, StatVfsMountFlags, open, statvfs};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, mount, mount_bind, mount_change, mount_remount,
};

use crate::report::{Failure, Step};

/// Mounts all, and returns the sandbox's own `/proc`.
pub(crate) fn arrange(runtime_dir: &Path) -> Result<OwnedFd, Failure> {
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .map_err(Step::Mount.because("make / private"))?;
    let proc = fresh_proc()?;
    hosts(&runtime_dir.join("hosts"))?;
    seclude(runtime_dir)?;
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
fn seclude(runtime_dir: &Path) -> Result<(), Failure> {
    let (Some(base), Some(name)) = (runtime_dir.parent(), runtime_dir.file_name()) else {
        return Err(Step::Mount.failed("the runtime directory has no parent"));
    };
    let because = || Step::Mount.because("runtime directory");
    let here = open(
        runtime_dir,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(because())?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount(
        "ringfence",
        base,
        "tmpfs",
        flags,
        Some(c"mode=0755,size=64k"),
    )
    .map_err(because())?;
    let target = base.join(name);
    rustix::fs::mkdir(&target, Mode::RWXU | Mode::XGRP | Mode::XOTH).map_err(because())?;
    let source = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&here));
    mount_bind(source, &target).map_err(because())?;
    read_only(&target)?;
    read_only(base)
}

/// Makes the mount at `target` read-only, keeping every restriction it has.
fn read_only(target: &Path) -> Result<(), Failure> {
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
