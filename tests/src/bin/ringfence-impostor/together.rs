//! Rounds that two programs play: the one that is not listed leads, the listed one is used.

use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::net::{
    AddressFamily, SocketFlags, SocketType, connect as connect_to, socketpair, sockopt,
};

use crate::alone::{bound, next_port};
use crate::gate::{DOOR, HOST, Verdict, ask, connect, request, socket};
use crate::{EVIL, LISTED, calls, execute};

/// The rounds of a kind.
pub(crate) fn round(kind: &str) -> Option<Box<dyn Fn() -> Verdict>> {
    let verdict_of = |program: &'static str, words: &'static [&'static str]| {
        Box::new(move || verdict(start(program, words))) as Box<dyn Fn() -> Verdict>
    };
    Some(match kind {
        "new-process" => verdict_of(LISTED, &["call"]),
        "alternating" => Box::new(alternating),
        "execute-after" => verdict_of(EVIL, &["connect-and-execute", "speak", "3"]),
        "execute-beside" => verdict_of(EVIL, &["execute-beside", "speak", "3"]),
        "parked" => Box::new(|| parked("take")),
        "parked-asked" => Box::new(parked_asked),
        "passed-to-listed" => Box::new(passed_to_listed),
        "inherited-by-listed" => Box::new(inherited_by_listed),
        "passed-by-listed" => Box::new(passed_by_listed),
        "orphaned" => Box::new(orphaned),
        "shared" => Box::new(shared),
        "same-port" => Box::new(same_port),
        "reset-port" => Box::new(reset_port),
        "left-entry" => Box::new(left_entry),
        _ => return None,
    })
}

fn start(program: &str, words: &[&str]) -> Child {
    Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .spawn()
        .expect("a process")
}

fn verdict(mut child: Child) -> Verdict {
    drop(child.stdin.take());
    Verdict::of_code(child.wait().ok().and_then(|status| status.code()))
}

fn queue() -> (OwnedFd, OwnedFd) {
    let flags = SocketFlags::empty();
    socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).expect("a pair")
}

/// Processes of both names one after the other: what was kept of one must not serve another.
fn alternating() -> Verdict {
    let listed = verdict(start(LISTED, &["call"]));
    let evil = verdict(start(EVIL, &["call"]));
    match (listed, evil) {
        (Verdict::Allowed, evil) => evil,
        _ => Verdict::Nothing,
    }
}

/// Connects in one thread and executes the listed program in another, at once.
pub(crate) fn execute_beside(then: &[&str]) -> ExitCode {
    let socket = socket();
    calls::keep_over_exec(&socket);
    // The number that the listed program is told.
    assert_eq!(socket.as_raw_fd(), 3);
    std::thread::spawn(move || _ = connect_to(&socket, &DOOR));
    // Each round a little later, so that all moments of the call are met.
    let until = Instant::now() + Duration::from_micros(u64::from(std::process::id() % 40) * 5);
    while Instant::now() < until {
        std::hint::spin_loop();
    }
    execute(then)
}

/// The connected socket lies in a queue while its process becomes the listed program, which then takes it and asks.
fn parked(then: &str) -> Verdict {
    let (near, far) = queue();
    let (near, far) = (near.as_raw_fd().to_string(), (near, far));
    let other = far.1.as_raw_fd().to_string();
    verdict(start(EVIL, &["park-and-execute", &other, then, &near]))
}

/// As `parked`, but the answer is read by the one that is not listed.
fn parked_asked() -> Verdict {
    let (near, far) = queue();
    let child = start(
        EVIL,
        &["park-and-execute", &far.as_raw_fd().to_string(), "wait"],
    );
    let answer = calls::take(&near).map(|socket| crate::gate::answer(&socket));
    verdict(child);
    answer.unwrap_or(Verdict::Nothing)
}

fn passed_to_listed() -> Verdict {
    let (near, far) = queue();
    let child = start(LISTED, &["take", &far.as_raw_fd().to_string()]);
    calls::give(&near, &connect());
    verdict(child)
}

fn inherited_by_listed() -> Verdict {
    let socket = connect();
    request(&socket, HOST);
    verdict(start(LISTED, &["answer", &socket.as_raw_fd().to_string()]))
}

/// ID-3: what the listed program connected is its own, wherever it goes.
fn passed_by_listed() -> Verdict {
    let (near, far) = queue();
    let child = start(LISTED, &["give", &far.as_raw_fd().to_string()]);
    let socket = calls::take(&near);
    verdict(child);
    socket.map_or(Verdict::Nothing, |socket| ask(&socket, HOST))
}

/// The parent ends, and takes its time, while its child connects.
fn orphaned() -> Verdict {
    let (near, far) = queue();
    let parent = start(EVIL, &["leave-behind", &far.as_raw_fd().to_string()]);
    drop(far);
    let mut code = [0];
    rustix::io::read(&near, &mut code).ok();
    verdict(parent);
    Verdict::of_code(Some(i32::from(code[0])))
}

/// Starts the listed program and ends at once, with memory that takes a while to be freed.
pub(crate) fn leave_behind(queue: &str) -> ExitCode {
    let memory = vec![1_u8; 16 << 20];
    let child = Command::new(LISTED).args(["tell", queue]).spawn();
    std::mem::forget((memory, child));
    ExitCode::SUCCESS
}

/// Both connect one socket at the same moment. `Allowed` only if the one that is not listed made the connection.
fn shared() -> Verdict {
    let socket = socket();
    let (start_near, start_far) = queue();
    let child = start(
        LISTED,
        &[
            "join",
            &socket.as_raw_fd().to_string(),
            &start_far.as_raw_fd().to_string(),
        ],
    );
    drop(start_far);
    let (told, tell) = mpsc::channel();
    let ours = std::thread::scope(|scope| {
        scope.spawn(|| {
            // Both are let go by one byte each; who is first is chance.
            rustix::io::read(&start_near, &mut [0]).ok();
            rustix::io::write(&start_near, b"x").ok();
            told.send(()).ok();
        });
        tell.recv_timeout(Duration::from_secs(5)).ok();
        connect_to(&socket, &DOOR).is_ok()
    });
    let theirs = child
        .wait_with_output()
        .ok()
        .and_then(|output| output.status.code())
        == Some(0);
    let judged = ask(&socket, HOST);
    match (ours, theirs, judged) {
        // The listed one made it, and it alone was seen or both were.
        (false, true, Verdict::Allowed | Verdict::Unavailable) => Verdict::Denied,
        (_, _, judged) => judged,
    }
}

/// Connects an inherited socket when told; 0 when it made the connection.
pub(crate) fn join(socket: i32, start: i32) -> ExitCode {
    let (socket, start) = (calls::inherited(socket), calls::inherited(start));
    rustix::io::write(&start, b"r").ok();
    rustix::io::read(&start, &mut [0]).ok();
    match connect_to(&socket, &DOOR) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Both have sockets at one port; the listed one is connected to the other door.
fn same_port() -> Verdict {
    let port = next_port();
    let Some(ours) = bound(port) else {
        return Verdict::Nothing;
    };
    let child = start(LISTED, &["port", &port.to_string(), "443"]);
    _ = connect_to(&ours, &DOOR);
    let judged = ask(&ours, HOST);
    verdict(child);
    judged
}

/// A connection that was reset, with its question unread, from a port that the listed program uses next. Nothing may be
/// done for it; the record tells.
fn reset_port() -> Verdict {
    let port = next_port();
    let Some(ours) = bound(port) else {
        return Verdict::Nothing;
    };
    let child = Command::new(LISTED)
        .args(["port", &port.to_string(), "3128"])
        .stdin(Stdio::piped())
        .spawn();
    _ = connect_to(&ours, &DOOR);
    request(&ours, "git.test:9");
    sockopt::set_socket_linger(&ours, Some(Duration::ZERO)).expect("an option");
    drop(ours);
    match child.map(verdict) {
        Ok(Verdict::Allowed | Verdict::Nothing) => Verdict::Denied,
        Ok(other) => other,
        Err(_) => Verdict::Nothing,
    }
}

/// The listed program's call was refused and left what it left; another program uses its port.
fn left_entry() -> Verdict {
    let port = next_port();
    verdict(start(LISTED, &["port", &port.to_string(), "9"]));
    let Some(ours) = bound(port) else {
        return Verdict::Nothing;
    };
    _ = connect_to(&ours, &DOOR);
    ask(&ours, HOST)
}
