//! A connection's four-tuple to its client socket: one exact question to the kernel, never a dump.
//!
//! It exists apart from `owner.rs` and `observed.rs`, which ask, because it is a wire format, `sock_diag(7)`, in and out. The netlink socket was made
//! in the sandbox's network namespace and sees that namespace only, so the same port elsewhere cannot answer.
//!
//! Invariant: a socket is given only when the answer names exactly the tuple asked for. The kernel falls back to a
//! listener when there is no such connection; that is not an answer.

use std::cell::Cell;
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{RecvFlags, SendFlags, recv, send};

/// The netlink socket. One question is under way at a time.
pub(super) struct Diag {
    socket: OwnedFd,
    sequence: Cell<u32>,
}

/// The client's socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    inode: u32,
    cookie: u64,
    state: u8,
}

impl Found {
    /// `None` when it was closed by its last holder, or belongs to a handshake that nobody holds yet.
    pub(super) fn inode(self) -> Option<u32> {
        (self.inode != 0).then_some(self.inode)
    }

    /// The number that the kernel gives to this socket and never to another. `None` when no connection was made by it:
    /// it is still trying.
    pub(super) fn cookie_of_connected(self) -> Option<u64> {
        CONNECTED.contains(&self.state).then_some(self.cookie)
    }
}

impl Diag {
    pub(super) fn new(socket: OwnedFd) -> Diag {
        Diag {
            socket,
            sequence: Cell::new(1),
        }
    }

    /// The socket that is connected from `client` to `proxy`. Two system calls, which never wait.
    pub(super) fn find(&self, client: SocketAddrV4, proxy: SocketAddrV4) -> Option<Found> {
        let sequence = self.sequence.get();
        self.sequence.set(sequence.wrapping_add(1));
        let question = question(sequence, client, proxy);
        let socket = self.socket.as_fd();
        send(socket, &question, SendFlags::empty()).ok()?;
        let mut buf = [0; ANSWER_BYTES_MAX];
        // The kernel has answered when `send` returns. What an earlier, given up question left is passed over.
        for _ in 0..ANSWERS_MAX {
            let (count, _) = recv(socket, &mut buf[..], RecvFlags::DONTWAIT).ok()?;
            let message = buf.get(..count)?;
            if number(message, 8)? == sequence {
                return found(message, client, proxy);
            }
        }
        None
    }
}

/// `nlmsghdr` and `inet_diag_req_v2`. Numbers are the machine's, ports and addresses the network's.
fn question(sequence: u32, client: SocketAddrV4, proxy: SocketAddrV4) -> [u8; 72] {
    let mut out = [0; 72];
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(place) = out.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    put(0, &72_u32.to_ne_bytes());
    put(4, &SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    put(6, &NLM_F_REQUEST.to_ne_bytes());
    put(8, &sequence.to_ne_bytes());
    put(16, &[AF_INET, IPPROTO_TCP]);
    put(20, &u32::MAX.to_ne_bytes());
    put(24, &client.port().to_be_bytes());
    put(26, &proxy.port().to_be_bytes());
    put(28, &client.ip().octets());
    put(44, &proxy.ip().octets());
    // No cookie is asked for.
    put(64, &[0xff; 8]);
    out
}

/// Reads `nlmsghdr` and `inet_diag_msg`.
fn found(message: &[u8], client: SocketAddrV4, proxy: SocketAddrV4) -> Option<Found> {
    let kind = u16::from_ne_bytes(message.get(4..6)?.try_into().ok()?);
    if kind != SOCK_DIAG_BY_FAMILY {
        return None;
    }
    let [family, state] = message.get(16..18)?.try_into().ok()?;
    let port = |at: usize| {
        Some(u16::from_be_bytes(
            message.get(at..at + 2)?.try_into().ok()?,
        ))
    };
    let is_tuple = state != TCP_LISTEN
        && port(20)? == client.port()
        && port(22)? == proxy.port()
        && is_address(family, message.get(24..40)?, client)
        && is_address(family, message.get(40..56)?, proxy);
    let cookie = u64::from_ne_bytes(message.get(60..68)?.try_into().ok()?);
    let inode = number(message, 84)?;
    is_tuple.then_some(Found {
        inode,
        cookie,
        state,
    })
}

/// A dual-stack socket shows an IPv4 connection as v4-mapped.
fn is_address(family: u8, shown: &[u8], addr: SocketAddrV4) -> bool {
    match family {
        AF_INET => shown.get(..4) == Some(&addr.ip().octets()[..]),
        AF_INET6 => shown == addr.ip().to_ipv6_mapped().octets(),
        _ => false,
    }
}

fn number(message: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(
        message.get(at..at + 4)?.try_into().ok()?,
    ))
}

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
const TCP_LISTEN: u8 = 10;
/// ESTABLISHED, FIN_WAIT1, FIN_WAIT2, TIME_WAIT, CLOSE_WAIT, LAST_ACK, CLOSING.
const CONNECTED: [u8; 7] = [1, 4, 5, 6, 8, 9, 11];
const ANSWER_BYTES_MAX: usize = 1_024;
const ANSWERS_MAX: usize = 16;

#[cfg(test)]
mod tests;
