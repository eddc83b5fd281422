//! Rounds that one process plays, whichever name it has.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, Ordering};
use std::time::Duration;

use rustix::net::{
    AddressFamily, Protocol, SocketFlags, SocketType, bind, connect as connect_to, socket_with,
    sockopt,
};

use crate::calls;
use crate::gate::{DOOR, HOST, Verdict, ask, connect, socket};

/// The rounds of a kind.
pub(crate) fn round(kind: &str) -> Option<Box<dyn Fn() -> Verdict>> {
    let plain = || ask(&connect(), HOST);
    Some(match kind {
        "plain" => Box::new(plain),
        "undumpable" => {
            calls::set_dumpable(0);
            Box::new(plain)
        }
        "signals" => {
            storm();
            Box::new(plain)
        }
        "nonblocking" => Box::new(nonblocking),
        "dual-stack" => Box::new(|| {
            let family = AddressFamily::INET6;
            let flags = SocketFlags::empty();
            let socket = socket_with(family, SocketType::STREAM, flags, None).expect("a socket");
            let to = SocketAddrV6::new(Ipv4Addr::LOCALHOST.to_ipv6_mapped(), 3128, 0, 0);
            _ = connect_to(&socket, &to);
            ask(&socket, HOST)
        }),
        "unspecified" => Box::new(|| {
            let socket = socket();
            let to = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 3128);
            _ = connect_to(&socket, &to);
            ask(&socket, HOST)
        }),
        "unspecified6" => Box::new(|| {
            let family = AddressFamily::INET6;
            let flags = SocketFlags::empty();
            let socket = socket_with(family, SocketType::STREAM, flags, None).expect("a socket");
            let to = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 3128, 0, 0);
            _ = connect_to(&socket, &to);
            ask(&socket, HOST)
        }),
        "multipath" => Box::new(multipath),
        "second-call" => Box::new(|| {
            let socket = connect();
            _ = connect_to(&socket, &DOOR);
            ask(&socket, HOST)
        }),
        "own-table" => Box::new(own_table),
        "swapped-descriptor" => Box::new(swapped_descriptor),
        "swapped-address" => Box::new(swapped_address),
        "many-at-once" => Box::new(many_at_once),
        "local-server" => Box::new(local_server),
        "own-filter" => {
            own_filter();
            Box::new(plain)
        }
        "own-notification" => {
            // Without a listener of its own, which is refused, nobody answers.
            let refused = calls::filter_connect(
                libc::SECCOMP_RET_USER_NOTIF,
                libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            );
            assert_eq!(errno(refused), libc::EBUSY);
            calls::filter_connect(libc::SECCOMP_RET_USER_NOTIF, 0).expect("a filter");
            Box::new(plain)
        }
        "other-doors" => Box::new(other_doors),
        _ => return None,
    })
}

fn errno(result: std::io::Result<()>) -> i32 {
    result
        .err()
        .and_then(|error| error.raw_os_error())
        .unwrap_or(0)
}

/// Signals that restart what they interrupt, as fast as can be.
fn storm() {
    calls::ignore_and_restart(libc::SIGURG);
    let target = calls::thread();
    std::thread::spawn(move || {
        loop {
            calls::signal_thread(target, libc::SIGURG);
            std::thread::sleep(Duration::from_micros(20));
        }
    });
}

fn nonblocking() -> Verdict {
    let flags = SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).expect("one");
    let begun = connect_to(&socket, &DOOR);
    assert_eq!(begun, Err(rustix::io::Errno::INPROGRESS));
    let mut ready = [rustix::event::PollFd::new(
        &socket,
        rustix::event::PollFlags::OUT,
    )];
    rustix::event::poll(&mut ready, None).expect("a wait");
    rustix::io::ioctl_fionbio(&socket, false).expect("a blocking socket");
    ask(&socket, HOST)
}

fn multipath() -> Verdict {
    let protocol = Protocol::from_raw(std::num::NonZeroU32::new(262).expect("a number"));
    let flags = SocketFlags::empty();
    match socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        flags,
        Some(protocol),
    ) {
        Ok(socket) => {
            _ = connect_to(&socket, &DOOR);
            ask(&socket, HOST)
        }
        Err(_) => Verdict::Nothing,
    }
}

/// A thread whose descriptor has another meaning than the same number elsewhere in its process.
fn own_table() -> Verdict {
    let place = socket();
    let number = place.as_raw_fd();
    std::thread::spawn(move || {
        calls::own_table();
        let mut own = calls::inherited(number);
        rustix::io::dup2(socket(), &mut own).expect("another socket in its place");
        _ = connect_to(&own, &DOOR);
        ask(&own, HOST)
    })
    .join()
    .expect("a thread")
}

/// While the call waits, its descriptor is made to name another socket.
fn swapped_descriptor() -> Verdict {
    let (one, other) = (socket(), socket());
    let number = one.as_raw_fd();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut place = calls::inherited(number);
            while !stop.load(Ordering::Relaxed) {
                _ = rustix::io::dup2(&other, &mut place);
            }
            std::mem::forget(place);
        });
        let address = address(DOOR);
        drop(calls::connect_raw(number, address.as_ptr(), address.len()));
        stop.store(true, Ordering::Relaxed);
    });
    ask(&other, HOST)
}

/// While the call waits, its address is made to lead elsewhere, and back.
fn swapped_address() -> Verdict {
    let socket = socket();
    let address: Vec<AtomicU8> = address(DOOR).into_iter().map(AtomicU8::new).collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                address[3].store(9, Ordering::Relaxed);
                address[3].store(DOOR.port().to_be_bytes()[1], Ordering::Relaxed);
            }
        });
        drop(calls::connect_raw(
            socket.as_raw_fd(),
            address.as_ptr().cast(),
            address.len(),
        ));
        stop.store(true, Ordering::Relaxed);
    });
    if sockopt::socket_error(&socket).is_ok() && rustix::net::getpeername(&socket).is_ok() {
        ask(&socket, HOST)
    } else {
        Verdict::Nothing
    }
}

fn address(to: SocketAddrV4) -> Vec<u8> {
    let mut bytes = (libc::AF_INET as u16).to_ne_bytes().to_vec();
    bytes.extend(to.port().to_be_bytes());
    bytes.extend(to.ip().octets());
    bytes.extend([0; 8]);
    bytes
}

/// Two hundred threads connect at the same moment, more than may wait for a hash; the worst verdict counts.
fn many_at_once() -> Verdict {
    let barrier = std::sync::Barrier::new(AT_ONCE);
    let verdicts: Vec<Verdict> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    ask(&connect(), HOST)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a thread"))
            .collect()
    });
    match verdicts.iter().find(|verdict| **verdict != verdicts[0]) {
        Some(other) => *other,
        None => verdicts[0],
    }
}

/// A server of the sandbox's own is reached as without a gate: nothing is bound, filed or kept.
fn local_server() -> Verdict {
    let server = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let Ok(std::net::SocketAddr::V4(to)) = server.local_addr() else {
        return Verdict::Nothing;
    };
    let client = socket();
    let connected = connect_to(&client, &to).is_ok();
    let (peer, _) = server.accept().expect("a connection");
    drop(client);
    // The end arrives at once: nobody else holds the client's socket.
    let ended = std::io::read_to_string(peer).is_ok_and(|text| text.is_empty());
    if connected && ended {
        Verdict::Allowed
    } else {
        Verdict::Nothing
    }
}

/// Filters of its own that allow or trace the call change nothing.
fn own_filter() {
    calls::filter_connect(libc::SECCOMP_RET_ALLOW, 0).expect("a filter");
    calls::filter_connect(libc::SECCOMP_RET_LOG, 0).expect("a filter");
}

/// Every other way to make a connection is refused.
fn other_doors() -> Verdict {
    let fast = socket();
    let refused = |result: std::io::Result<()>, errors: &[i32]| errors.contains(&errno(result));
    let not_supported = [libc::EOPNOTSUPP];
    let all = refused(calls::send_fast_open(&fast, DOOR), &not_supported)
        && refused(
            calls::set_tcp(&fast, libc::TCP_FASTOPEN_CONNECT, 1),
            &not_supported,
        )
        && refused(calls::connect_as_x32(&fast), &[libc::EPERM, libc::ENOSYS]);
    if all {
        Verdict::Denied
    } else {
        Verdict::Allowed
    }
}

/// Connects from a port that others may use as well, and asks.
pub(crate) fn from_port(port: i32, door: i32) -> ExitCode {
    match bound(port as u16) {
        Some(socket) => {
            let to = SocketAddrV4::new(Ipv4Addr::LOCALHOST, door as u16);
            _ = connect_to(&socket, &to);
            crate::code(ask(&socket, HOST))
        }
        None => crate::code(Verdict::Nothing),
    }
}

/// A socket at a port that others may use as well.
pub(crate) fn bound(port: u16) -> Option<OwnedFd> {
    let socket = socket();
    sockopt::set_socket_reuseaddr(&socket, true).ok()?;
    sockopt::set_socket_reuseport(&socket, true).ok()?;
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).ok()?;
    Some(socket)
}

/// The next port of a range that the kernel gives to nobody by itself.
pub(crate) fn next_port() -> u16 {
    static NEXT: AtomicI32 = AtomicI32::new(0);
    (20_000 + NEXT.fetch_add(1, Ordering::Relaxed) % 10_000) as u16
}

const AT_ONCE: usize = 200;
