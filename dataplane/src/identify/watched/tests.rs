//! What is read of a thread, and the state of a socket.

use super::*;

/// IDN-2: the sandbox's own number is the last one, however deep the namespaces are.
#[test]
fn the_innermost_number_counts() {
    let status =
        b"Name:\tNSpid:\nTgid:\t4711\nPid:\t4712\nNStgid:\t4711\t90\t2\nNSpid:\t4712\t91\t3\n";
    assert_eq!(field(status, b"Tgid:"), Some(4711));
    assert_eq!(field(status, b"NStgid:"), Some(2));
    assert_eq!(field(status, b"NSpid:"), Some(3));
    assert_eq!(field(status, b"PPid:"), None);
    assert_eq!(field(b"NSpid:\n", b"NSpid:"), None);
}

/// IDN-2: nothing is filed for a socket that is connected, and a thread of this process is found by its number.
#[test]
fn only_a_socket_that_is_not_connected_is_closed() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert!(!is_closed(&OwnedFd::from(client)));
    assert!(!is_closed(&OwnedFd::from(server)));
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::STREAM,
        None,
    );
    assert!(is_closed(&socket.unwrap()));
    let proc = rustix::fs::open(c"/proc", OFlags::PATH, Mode::empty()).unwrap();
    let own = Thread::open(proc.as_fd(), std::process::id()).unwrap();
    let copy = pidfd_getfd(&own.pidfd, 0, PidfdGetfdFlags::empty());
    assert!(!matches!(copy, Err(Errno::SRCH)));
    assert!(Thread::open(proc.as_fd(), 0).is_none());
}
