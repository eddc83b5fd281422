//! Entries between those who file and the worker.

use super::*;
use policy::Executable;

const KEEP: Duration = Duration::from_secs(10);

fn who(path: &str, ancestors: &[&str]) -> Who {
    let executable = |path: &&str| Executable {
        path: path.as_bytes().into(),
        sha256: [7; 32],
    };
    Ok(Identity::new(Caller {
        pid: 2,
        exe: executable(&path),
        ancestors: ancestors.iter().map(executable).collect(),
        cmdline: Vec::new(),
    }))
}

fn path(who: Option<Who>) -> String {
    match who {
        Some(Ok(identity)) => String::from_utf8_lossy(&identity.caller.exe.path).into_owned(),
        Some(Err(error)) => format!("{error:?}"),
        None => "nobody".to_owned(),
    }
}

/// TR-046: an entry is for one connection.
#[test]
fn a_caller_is_taken_once() {
    let (filer, mut filed) = pair(4, KEEP);
    filer.file(1, who("/usr/bin/curl", &[])).unwrap();
    assert_eq!(path(filed.take(2)), "nobody");
    assert_eq!(path(filed.take(1)), "/usr/bin/curl");
    assert_eq!(path(filed.take(1)), "nobody");
}

/// IDN-2, TR-045: one socket that two programs connect is nobody's; two processes of one program are that program.
#[test]
fn two_programs_that_connect_one_socket_leave_no_caller() {
    let (filer, mut filed) = pair(8, KEEP);
    let both = [
        ("/a", "/sh", "/a", "/sh"),
        ("/a", "/sh", "/b", "/sh"),
        ("/a", "/sh", "/a", "/bash"),
    ];
    for (cookie, (one, above_one, other, above_other)) in (1..).zip(both) {
        filer.file(cookie, who(one, &[above_one])).unwrap();
        filer.file(cookie, who(other, &[above_other])).unwrap();
    }
    filer.file(4, who("/a", &[])).unwrap();
    filer.file(4, Err(IdentityError::Changed)).unwrap();
    let taken: Vec<_> = (1..=4).map(|cookie| path(filed.take(cookie))).collect();
    assert_eq!(taken, ["/a", "Unavailable", "Unavailable", "Unavailable"]);
}

/// TR-046: what nobody took in ten seconds is nobody's.
#[test]
fn an_entry_that_is_too_old_is_nobodys() {
    let (filer, mut filed) = pair(4, Duration::ZERO);
    filer.file(1, who("/a", &[])).unwrap();
    assert_eq!(path(filed.take(1)), "nobody");
}

/// B1: calls that lead to no connection cannot make the table grow, and its room comes back with time.
#[test]
fn what_finds_no_room_is_not_filed() {
    let (filer, mut filed) = pair(2, KEEP);
    filer.file(1, who("/a", &[])).unwrap();
    filer.file(2, who("/b", &[])).unwrap();
    assert_eq!(filer.file(3, who("/c", &[])), Err(Full));
    filed.drain();
    assert_eq!(
        filer.file(3, who("/c", &[])),
        Err(Full),
        "the map counts as well"
    );
    assert_eq!(path(filed.take(1)), "/a");
    filer.file(3, who("/c", &[])).unwrap();
    filer.file(3, who("/c", &[])).unwrap_err();
    filed.keep = Duration::ZERO;
    filed.sweep();
    assert_eq!(filed.open.load(Ordering::Relaxed), 0);
    assert_eq!(filed.by_cookie.len(), 0);
    filer.file(4, who("/d", &[])).unwrap();
}

/// A second call for one socket takes no second place.
#[test]
fn a_repeated_call_does_not_use_the_room_up() {
    let (filer, mut filed) = pair(2, KEEP);
    for _ in 0..100 {
        filer.file(1, who("/a", &[])).unwrap();
        filed.drain();
    }
    assert_eq!(path(filed.take(1)), "/a");
    assert_eq!(filed.open.load(Ordering::Relaxed), 0);
}
