//! Reading processes, first of all this one.

use super::*;
use rustix::fs::open;
use std::os::unix::ffi::OsStrExt;

pub(in crate::identify) fn proc() -> OwnedFd {
    open(c"/proc", OFlags::RDONLY | DIRECTORY, Mode::empty()).unwrap()
}

pub(in crate::identify) fn this() -> Process {
    Process::read(proc().as_fd(), std::process::id()).unwrap()
}

/// IDN-1
#[test]
fn this_process_has_its_own_program() {
    let process = this();
    let exe = std::fs::canonicalize(std::env::current_exe().unwrap()).unwrap();
    assert_eq!(
        &*process.program().unwrap().path,
        exe.as_os_str().as_bytes()
    );
    assert_eq!(
        process.parent().unwrap(),
        rustix::process::getppid()
            .unwrap()
            .as_raw_nonzero()
            .get()
            .unsigned_abs()
    );
    assert!(process.is_unchanged());
    assert!(
        process
            .cmdline()
            .starts_with(std::env::args().next().unwrap().as_bytes())
    );
}

/// TR-051: the name of a process is its own to choose and may look like the fields after it.
#[test]
fn a_process_name_with_parentheses_does_not_shift_the_fields() {
    let rest = "S 7 1 1 0 -1 4194304 1 0 0 0 1 2 3 4 20 0 5 0 99 1000 10";
    for name in ["x", "a b", ") S 666 1", "(((", ")", "\u{1}\n) R 1"] {
        let state = parse_state(format!("42 ({name}) {rest}").as_bytes()).unwrap();
        assert_eq!((state.parent, state.start_ticks), (7, 99), "{name:?}");
    }
    for broken in [
        "",
        "42",
        "42 (x",
        "42 (x)",
        "42 (x) S",
        "42 (x) S 7 1 1",
        "42 (x) S -7 1 1 0 -1 0 1 0 0 0 1 2 3 4 20 0 5 0 99",
    ] {
        assert!(parse_state(broken.as_bytes()).is_none(), "{broken:?}");
    }
}

/// IDN-6
#[test]
fn a_process_that_does_not_exist_has_ended() {
    assert_eq!(
        Process::read(proc().as_fd(), u32::MAX).err(),
        Some(ReadError::Ended)
    );
    assert!(pids(proc().as_fd()).unwrap().contains(&std::process::id()));
}
