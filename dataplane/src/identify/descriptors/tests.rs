//! Sockets of this process, and of its threads.

use super::super::process::tests::{proc, this};
use super::*;
use rustix::fs::{CWD, readlinkat};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::os::fd::AsRawFd;

fn link_of(socket: &impl AsRawFd) -> Vec<u8> {
    // Why by thread: the socket may be in this thread's own table.
    let path = format!("/proc/thread-self/fd/{}", socket.as_raw_fd());
    readlinkat(CWD, path, Vec::new()).unwrap().into_bytes()
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

/// IDN-3: one that ended and was not waited for holds nothing, and is no reason to refuse others, though its table is shown
/// to root alone.
#[test]
fn a_process_that_nobody_waited_for_holds_nothing() {
    let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
    let zombie = loop {
        let process = Process::read(proc().as_fd(), child.id()).unwrap();
        if process.program().is_none() {
            break process;
        }
        std::thread::yield_now();
    };
    let mut look = Look::at_most(1 << 20);
    assert_eq!(zombie.holds(b"socket:[1]", &mut look), Ok(false));
    child.wait().unwrap();
}

/// SECURITY 29: a table that is too long to look through is not an empty one.
#[test]
fn a_spent_budget_is_not_the_answer_no() {
    assert_eq!(
        this().holds(b"socket:[1]", &mut Look::at_most(1)),
        Err(ReadError::Hidden)
    );
}
