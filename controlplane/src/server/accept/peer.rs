//! Who is at the other end of the Unix socket, as the kernel says.
//!
//! Apart from `accept` because it asks the kernel and no socket. A uid is not enough: a command in a sandbox has that of
//! whoever started it, and would be an admin (SBX-3). So a peer is let in only when it lives in the pid namespace and the
//! user namespace of the gateway, into which no process of a sandbox can come back.
//!
//! Invariant: what cannot be found out lets nobody in. Cost: some six reads of `/proc` a connection.
//!
//! Why by process number and not by descriptor (SO_PEERPIDFD, Linux 6.5): a number of a process that has ended may be
//! another's by the time of the look. For that a peer has to end, and its number to come round, between its connect and
//! our accept; the first is seen here as no process at all.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::geteuid;
use tokio::net::UnixStream;

use crate::api::auth::Caller;

/// The caller of a connection.
pub(super) fn caller_of(stream: &UnixStream) -> Caller {
    let Ok(peer) = stream.peer_cred() else {
        return Caller::Stranger;
    };
    let is_ours = peer.uid() == 0 || peer.uid() == geteuid().as_raw();
    match peer.pid() {
        Some(pid) if is_ours && lives_with_us(pid) => Caller::Local,
        Some(_) | None => Caller::Stranger,
    }
}

/// Whether a process is in our pid namespace and in our user namespace. Zero is a process that our namespace cannot name.
fn lives_with_us(pid: i32) -> bool {
    // Why: a /proc of an outer namespace has other processes under the numbers that we are told.
    let ours = fs::read_link("/proc/self");
    if pid <= 0 || !ours.is_ok_and(|link| link == Path::new(&std::process::id().to_string())) {
        return false;
    }
    let (ours, theirs) = (Path::new("/proc/self"), format!("/proc/{pid}"));
    let theirs = Path::new(&theirs);
    // Why a second way each: the links of a process that cannot be dumped are for root, and `ringfence run` is one.
    same(ours, theirs, |process| namespace(process, "pid"))
        .unwrap_or_else(|| numbers(theirs) == Some(1))
        && same(ours, theirs, |process| namespace(process, "user"))
            .or_else(|| {
                same(ours, theirs, |process| {
                    fs::read(process.join("uid_map")).ok()
                })
            })
            .unwrap_or(false)
}

/// Whether two processes are alike in something; `None` when that of one cannot be had.
fn same<T: PartialEq>(ours: &Path, theirs: &Path, of: impl Fn(&Path) -> Option<T>) -> Option<bool> {
    Some(of(ours)? == of(theirs)?)
}

/// What identifies a namespace of a process (namespaces(7)).
fn namespace(process: &Path, kind: &str) -> Option<(u64, u64)> {
    let about = fs::metadata(process.join("ns").join(kind)).ok()?;
    Some((about.dev(), about.ino()))
}

/// How many pid namespaces, from ours inward, have a number for a process: one for those in ours (proc_pid_status(5)).
fn numbers(process: &Path) -> Option<usize> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?;
    Some(line.split_ascii_whitespace().count())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A process in namespaces of its own; it ends with this value.
    struct Elsewhere {
        unshare: Child,
        pid: i32,
    }

    impl Elsewhere {
        fn start(flags: &[&str]) -> Elsewhere {
            let mut unshare = Command::new("unshare")
                .args(flags)
                // The number that our own /proc has for it, which nothing is mounted over.
                .args([
                    "--",
                    "sh",
                    "-c",
                    "read pid rest < /proc/self/stat; echo $pid; read end",
                ])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut said = String::new();
            let stdout = unshare.stdout.take().unwrap();
            BufReader::new(stdout).read_line(&mut said).unwrap();
            let pid = said.trim().parse().unwrap();
            Elsewhere { unshare, pid }
        }
    }

    impl Drop for Elsewhere {
        fn drop(&mut self) {
            // Its input ends, and with that the shell.
            drop(self.unshare.stdin.take());
            _ = self.unshare.wait();
        }
    }

    /// SBX-3
    #[test]
    fn who_lives_in_other_namespaces_does_not_live_with_us() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(lives_with_us(own));
        assert!(lives_with_us(Elsewhere::start(&[]).pid));
        for nobody in [0, -1, i32::MAX] {
            assert!(!lives_with_us(nobody));
        }
        for flags in [
            &["--user"][..],
            &["--user", "--map-root-user"],
            &["--user", "--map-current-user", "--pid", "--fork"],
        ] {
            let elsewhere = Elsewhere::start(flags);
            assert!(!lives_with_us(elsewhere.pid), "{flags:?}");
        }
    }

    /// The second ways, for processes whose links are not ours to read.
    #[test]
    fn namespaces_are_told_apart_without_their_links() {
        let map = |process: &Path| fs::read(process.join("uid_map")).ok();
        let own = Path::new("/proc/self");
        assert_eq!(numbers(own), Some(1));
        assert_eq!(same(own, own, map), Some(true));
        let elsewhere = Elsewhere::start(&["--user", "--map-root-user", "--pid", "--fork"]);
        let process = format!("/proc/{}", elsewhere.pid);
        assert_eq!(numbers(Path::new(&process)), Some(2));
        assert_eq!(same(own, Path::new(&process), map), Some(false));
    }
}
