//! Reading processes: this one, and its threads.

use super::*;
use rustix::fs::{CWD, open, readlinkat};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;

fn proc() -> OwnedFd {
    open(c"/proc", OFlags::RDONLY | DIRECTORY, Mode::empty()).unwrap()
}

fn this() -> Process {
    Process::read(proc().as_fd(), std::process::id()).unwrap()
}

fn link_of(socket: &impl AsRawFd) -> Vec<u8> {
    // Why by thread: the socket may be in this thread's own table.
    let path = format!("/proc/thread-self/fd/{}", socket.as_raw_fd());
    readlinkat(CWD, path, Vec::new()).unwrap().into_bytes()
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

/// IDN-3: a holder is a holder by any of its threads, also one with a descriptor table of its own.
#[test]
fn a_socket_in_the_table_of_one_thread_is_held_by_the_process() {
    let mut look = Look::at_most(1 << 20);
    let common = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    assert_eq!(this().holds(&link_of(&common), &mut look), Ok(true));
    std::thread::spawn(|| {
        // SAFETY: the thread uses no descriptor that another one closes: it opens its own after the split, and ends.
        unsafe { unshare_unsafe(UnshareFlags::FILES) }.unwrap();
        let own = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let process = Process::read(proc().as_fd(), std::process::id()).unwrap();
        let link = link_of(&own);
        assert_eq!(
            holds(
                process.directory.as_fd(),
                c"fd",
                &link,
                &mut Look::at_most(1 << 20)
            ),
            Ok(false),
            "not in the first table"
        );
        assert_eq!(process.holds(&link, &mut Look::at_most(1 << 20)), Ok(true));
    })
    .join()
    .unwrap();
    assert_eq!(this().holds(b"socket:[1]", &mut look), Ok(false));
}

/// SECURITY 29: a table that is too long to look through is not an empty one.
#[test]
fn a_spent_budget_is_not_the_answer_no() {
    assert_eq!(
        this().holds(b"socket:[1]", &mut Look::at_most(1)),
        Err(ReadError::Hidden)
    );
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
