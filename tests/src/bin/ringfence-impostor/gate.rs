//! The gate as a client sees it: a connection to it, a question, and how it judged.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// Allowed for the listed program; nothing listens there, so that an allowed question is answered soon.
pub(crate) const HOST: &str = "api.test:9";

pub(crate) const DOOR: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 3128);

/// How the gate judged a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It tried to reach the host.
    Allowed,
    /// `binary_not_allowed`.
    Denied,
    /// `identity_unavailable`.
    Unavailable,
    /// `integrity_violation`.
    Changed,
    /// There was no connection to judge.
    Nothing,
}

impl Verdict {
    pub(crate) const ALL: [Verdict; 5] = [
        Verdict::Allowed,
        Verdict::Denied,
        Verdict::Unavailable,
        Verdict::Changed,
        Verdict::Nothing,
    ];

    pub(crate) fn code(self) -> u8 {
        10 + self as u8
    }

    pub(crate) fn of_code(code: Option<i32>) -> Verdict {
        let of = |verdict: &&Verdict| code == Some(i32::from(verdict.code()));
        Verdict::ALL
            .iter()
            .find(of)
            .copied()
            .unwrap_or(Verdict::Nothing)
    }
}

pub(crate) fn socket() -> OwnedFd {
    socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::empty(),
        None,
    )
    .expect("a socket")
}

/// A connection to the gate.
pub(crate) fn connect() -> OwnedFd {
    let socket = socket();
    // Why dropped: without a connection the question finds nobody, which is the verdict.
    _ = rustix::net::connect(&socket, &DOOR);
    socket
}

/// Asks for a tunnel to `host` and says how that was judged.
pub(crate) fn ask(socket: &impl AsFd, host: &str) -> Verdict {
    if request(socket, host) {
        answer(socket)
    } else {
        Verdict::Nothing
    }
}

/// Whether the question could be sent.
pub(crate) fn request(socket: &impl AsFd, host: &str) -> bool {
    stream(socket)
        .write_all(format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
        .is_ok()
}

/// Reads the answer to a question.
pub(crate) fn answer(socket: &impl AsFd) -> Verdict {
    let mut stream = stream(socket);
    drop(stream.set_read_timeout(Some(Duration::from_secs(10))));
    let mut bytes = Vec::new();
    let mut buf = [0; 2_048];
    // Until the gate closes, which it does after every refusal.
    loop {
        match stream.read(&mut buf) {
            Ok(count @ 1..) => bytes.extend_from_slice(&buf[..count]),
            // A read with a limit is not restarted after a signal.
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => break,
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let has = |word: &str| text.contains(word);
    if has("identity_unavailable") {
        Verdict::Unavailable
    } else if has("integrity_violation") {
        Verdict::Changed
    } else if has("binary_not_allowed") {
        Verdict::Denied
    } else if text.starts_with("HTTP/1.1 502 ") {
        Verdict::Allowed
    } else {
        Verdict::Nothing
    }
}

fn stream(socket: &impl AsFd) -> TcpStream {
    let copy = socket.as_fd().try_clone_to_owned();
    TcpStream::from(copy.expect("a second descriptor"))
}
