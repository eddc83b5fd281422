//! Files beyond the lists, the runtime directory, devices, and programs in memory.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::attempt::{Attempt, address, call};

/// Arguments after the first four: an unlisted file, a read-only listed file of the same user, a writable directory.
pub(crate) fn attempts(arguments: &[String]) -> Vec<Attempt> {
    let runtime = std::env::var("RINGFENCE_RUNTIME_DIR").unwrap_or_default();
    let append = |path: &str| OpenOptions::new().append(true).open(path);
    let mut attempts = vec![
        Attempt::of("create_in_etc", fs::write("/etc/ringfence-probe", "x")),
        Attempt::of("append_to_passwd", append("/etc/passwd")),
        Attempt::of("read_shadow", fs::read("/etc/shadow")),
        Attempt::of("read_root_home", fs::read_dir("/root")),
        Attempt::of("read_var_lib", fs::read_dir("/var/lib")),
        Attempt::of("read_kernel_messages", fs::read("/dev/kmsg")),
        Attempt::of("open_memory", fs::File::open("/dev/mem")),
        Attempt::of("open_ptmx", fs::File::open("/dev/ptmx")),
        Attempt::of("write_dev_shm", fs::write("/dev/shm/ringfence-probe", "x")),
        Attempt::of("write_dev_zero", append("/dev/zero")),
        Attempt::of("write_sysctl", append("/proc/sys/vm/memfd_noexec")),
        Attempt::of("write_sysrq", append("/proc/sysrq-trigger")),
        Attempt::of("write_runtime", append(&format!("{runtime}/ca.pem"))),
        Attempt::of("create_in_runtime", fs::write(format!("{runtime}/x"), "x")),
        Attempt::of(
            "remove_in_runtime",
            fs::remove_file(format!("{runtime}/ca.pem")),
        ),
        Attempt::of(
            "move_runtime",
            fs::rename(&runtime, format!("{runtime}.old")),
        ),
        Attempt::of("write_hosts", append("/etc/hosts")),
        Attempt::of("works_read_runtime", fs::read(format!("{runtime}/ca.pem"))),
        Attempt::of("works_dev_null", append("/dev/null")),
        Attempt::of("works_dev_urandom", fs::File::open("/dev/urandom")),
        Attempt::of("memfd_execute", memfd_execute()),
    ];
    let [_, _, _, _, unlisted, read_only, writable, ..] = arguments else {
        return attempts;
    };
    let base = std::path::Path::new(&runtime)
        .parent()
        .map(|base| base.display().to_string())
        .unwrap_or_default();
    attempts.extend([
        Attempt::of("read_unlisted", fs::read(unlisted)),
        Attempt::of("write_unlisted", append(unlisted)),
        Attempt::of("truncate_unlisted", truncate(unlisted)),
        Attempt::of(
            "change_mode_unlisted",
            fs::set_permissions(unlisted, Permissions::from_mode(0o777)),
        ),
        Attempt::of("remove_unlisted", fs::remove_file(unlisted)),
        Attempt::of(
            "link_unlisted",
            fs::hard_link(unlisted, format!("{writable}/stolen")),
        ),
        Attempt::of(
            "move_base_of_runtime",
            fs::rename(&base, format!("{base}.old")),
        ),
        Attempt::of("works_read_read_only", fs::read(read_only)),
        Attempt::of("write_read_only", append(read_only)),
        Attempt::of("truncate_read_only", truncate(read_only)),
        Attempt::of("remove_read_only", fs::remove_file(read_only)),
        Attempt::of(
            "move_read_only",
            fs::rename(read_only, format!("{writable}/moved")),
        ),
        Attempt::of("works_write", fs::write(format!("{writable}/new"), "x")),
        Attempt::of("works_move", move_between(writable)),
        Attempt::of("make_device", make_device(writable)),
        Attempt::of(
            "works_execute",
            execute("/proc/self/exe").and_then(|()| copy_and_execute(writable)),
        ),
    ]);
    attempts
}

fn truncate(path: &str) -> io::Result<()> {
    let path = format!("{path}\0");
    call(
        libc::SYS_truncate,
        [address(path.as_bytes()), 0, 0, 0, 0, 0],
    )
    .map(drop)
}

fn make_device(directory: &str) -> io::Result<()> {
    let path = format!("{directory}/device\0");
    let kind = (libc::S_IFCHR | 0o666) as usize;
    call(
        libc::SYS_mknodat,
        [
            libc::AT_FDCWD as usize,
            address(path.as_bytes()),
            kind,
            1 << 8 | 1,
            0,
            0,
        ],
    )
    .map(drop)
}

/// A file moves from one directory to another (LLK-1).
fn move_between(writable: &str) -> io::Result<()> {
    let (from, to) = (format!("{writable}/from"), format!("{writable}/to"));
    fs::create_dir_all(&from)?;
    fs::create_dir_all(&to)?;
    fs::write(format!("{from}/file"), "x")?;
    fs::rename(format!("{from}/file"), format!("{to}/file"))
}

fn execute(path: &str) -> io::Result<()> {
    let status = Command::new(path).arg("true").status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other("failed"))
    }
}

fn copy_and_execute(writable: &str) -> io::Result<()> {
    let copy = format!("{writable}/copy");
    fs::copy("/proc/self/exe", &copy)?;
    execute(&copy)
}

/// A program that exists in memory only: made without flags, as old programs do.
fn memfd_execute() -> io::Result<()> {
    let made = call(libc::SYS_memfd_create, [address(b"x\0"), 0, 0, 0, 0, 0])?;
    // SAFETY: the call returned a new descriptor, which nothing else owns.
    let fd = unsafe { OwnedFd::from_raw_fd(made as i32) };
    let mut file = fs::File::from(fd);
    file.write_all(&fs::read("/proc/self/exe")?)?;
    fs::set_permissions(
        format!("/proc/self/fd/{}", file.as_raw_fd()),
        Permissions::from_mode(0o777),
    )
    .ok();
    execute(&format!("/proc/self/fd/{}", file.as_raw_fd()))
}
