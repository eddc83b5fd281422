//! The sockets made inside a sandbox's network namespace. The listening ones are its identity (GEN-4).
//!
//! Apart from `handover`, which passes them on. Invariant: a socket belongs for ever to the namespace it was made in,
//! so a data plane that holds it sees this sandbox and no other.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, listen, netlink, socket_with, sockopt,
};

use crate::report::{Failure, Step};

/// The proxy's door inside every sandbox (GEN-3).
const PROXY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 3128);

/// The door for clients that ignore proxy variables and resolve `inference.local` (INF-29).
const DIRECT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 443);

/// Connections that may wait to be accepted, for each door.
const BACKLOG: i32 = 1024;

/// Made in the sandbox, for the data plane.
pub(crate) struct Inside {
    pub(crate) proxy: OwnedFd,
    pub(crate) direct: OwnedFd,
    /// NETLINK_SOCK_DIAG: who holds which socket of this namespace.
    pub(crate) diag: OwnedFd,
}

impl Inside {
    /// Makes them in the current network namespace.
    pub(crate) fn open() -> Result<Self, Failure> {
        let diag = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(netlink::SOCK_DIAG),
        )
        .map_err(Step::Listener.because("sock_diag"))?;
        Ok(Self {
            proxy: door(PROXY)?,
            direct: door(DIRECT)?,
            diag,
        })
    }
}

fn door(address: SocketAddrV4) -> Result<OwnedFd, Failure> {
    let open = || -> rustix::io::Result<OwnedFd> {
        let socket = socket_with(
            AddressFamily::INET,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &address)?;
        listen(&socket, BACKLOG)?;
        Ok(socket)
    };
    open().map_err(Step::Listener.because(&address.to_string()))
}
