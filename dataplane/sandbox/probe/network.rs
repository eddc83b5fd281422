//! Ways out of a network namespace: families, direct traffic, host sockets.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixStream};
use std::time::Duration;

use crate::attempt::{Attempt, call};

const RAW: i32 = libc::SOCK_RAW;
const STREAM: i32 = libc::SOCK_STREAM;
const DGRAM: i32 = libc::SOCK_DGRAM;

/// Arguments: a port on which the host listens, the name of an abstract socket, paths of host sockets.
pub(crate) fn attempts(arguments: &[String]) -> Vec<Attempt> {
    let mut attempts: Vec<_> = [
        ("socket_netlink", libc::AF_NETLINK, RAW, 0),
        ("socket_packet", libc::AF_PACKET, RAW, 0),
        ("socket_bluetooth", libc::AF_BLUETOOTH, RAW, 0),
        ("socket_vsock", libc::AF_VSOCK, STREAM, 0),
        ("socket_alg", libc::AF_ALG, libc::SOCK_SEQPACKET, 0),
        ("socket_xdp", libc::AF_XDP, RAW, 0),
        ("socket_key", libc::AF_KEY, RAW, 2),
        ("socket_tipc", libc::AF_TIPC, STREAM, 0),
        ("socket_raw_icmp", libc::AF_INET, RAW, libc::IPPROTO_ICMP),
        (
            "socket_raw_flags",
            libc::AF_INET,
            RAW | libc::SOCK_CLOEXEC,
            libc::IPPROTO_RAW,
        ),
        ("socket_raw6", libc::AF_INET6, RAW, libc::IPPROTO_ICMPV6),
        ("socket_old_packet", libc::AF_INET, 10, 0),
        ("socket_ping", libc::AF_INET, DGRAM, libc::IPPROTO_ICMP),
    ]
    .into_iter()
    .map(|(name, family, kind, protocol)| {
        Attempt::of(
            name,
            call(
                libc::SYS_socket,
                [family as usize, kind as usize, protocol as usize, 0, 0, 0],
            ),
        )
    })
    .collect();
    for (name, family) in [
        ("pair_netlink", libc::AF_NETLINK),
        ("pair_vsock", libc::AF_VSOCK),
        ("pair_alg", libc::AF_ALG),
        ("pair_inet", libc::AF_INET),
    ] {
        let mut pair = [0_i32; 2];
        let kind = DGRAM as usize;
        let made = call(
            libc::SYS_socketpair,
            [family as usize, kind, 0, pair.as_mut_ptr() as usize, 0, 0],
        );
        attempts.push(Attempt::of(name, made));
    }
    for (name, address) in [
        ("tcp_out", "1.1.1.1:443"),
        ("tcp6_out", "[2606:4700:4700::1111]:443"),
        ("tcp_metadata", "169.254.169.254:80"),
    ] {
        attempts.push(Attempt::of(name, tcp(address)));
    }
    for (name, bind, address) in [
        ("udp_dns", "0.0.0.0:0", "8.8.8.8:53"),
        ("udp6_dns", "[::]:0", "[2001:4860:4860::8888]:53"),
    ] {
        attempts.push(Attempt::of(
            name,
            UdpSocket::bind(bind).and_then(|socket| socket.send_to(b"x", address)),
        ));
    }
    let [port, name, paths @ ..] = arguments else {
        return attempts;
    };
    attempts.push(Attempt::of(
        "tcp_host_loopback",
        tcp(&format!("127.0.0.1:{port}")),
    ));
    attempts.push(Attempt::of(
        "unix_abstract",
        UnixAddr::from_abstract_name(name).and_then(|at| UnixStream::connect_addr(&at)),
    ));
    for (index, path) in paths.iter().take(2).enumerate() {
        attempts.push(Attempt::of(
            &format!("unix_path_{index}"),
            UnixStream::connect(path),
        ));
    }
    attempts.push(Attempt::of("only_loopback", only_loopback()));
    // What must work: both doors are there.
    for door in ["127.0.0.1:3128", "127.0.0.1:443"] {
        attempts.push(Attempt::of(&format!("works_{door}"), tcp(door)));
    }
    attempts
}

fn tcp(address: &str) -> io::Result<TcpStream> {
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let limit = if matches!(address.ip(), IpAddr::V4(ip) if ip.is_loopback()) {
        2
    } else {
        5
    };
    TcpStream::connect_timeout(&address, Duration::from_secs(limit))
}

/// An error unless `lo` is all there is.
fn only_loopback() -> io::Result<()> {
    let mut table = String::new();
    std::fs::File::open("/proc/self/net/dev")?.read_to_string(&mut table)?;
    let names: Vec<_> = table
        .lines()
        .skip(2)
        .filter_map(|line| line.split(':').next())
        .map(str::trim)
        .collect();
    if names == ["lo"] {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::EEXIST))
    }
}
