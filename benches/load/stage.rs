//! The world of a run: namespaces, one private address on loopback, the same congestion control for everybody.
//!
//! Why a private address: ringfence refuses loopback destinations. Why one `lo`: over a veth pair a client runs out of
//! ports. Nothing of the host is touched.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::process::Command;

use crate::{Outcome, sys};

/// The part of this program that runs inside the namespaces.
pub(crate) const ROLE: &str = "__stage";

/// Where the origin is.
pub(crate) const ORIGIN: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);

/// Gate and relays.
pub(crate) const MIDDLE_CORE: usize = 0;

/// Everybody else.
pub(crate) const ENDS_CORE: usize = 1;

/// A service of the origin.
pub(crate) const fn origin(port: u16) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(ORIGIN, port))
}

/// A service in the middle.
pub(crate) const fn middle(port: u16) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
}

/// Starts this program again inside namespaces and passes its arguments on.
pub(crate) fn enter(words: &[&str]) -> Outcome<()> {
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-current-user", "--keep-caps"]);
    }
    let status = command
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child"])
        .args(["--mount-proc", "--"])
        .arg(std::env::current_exe()?)
        .arg(ROLE)
        .args(words)
        .status()
        .map_err(|error| format!("unshare (util-linux) does not start: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("the run failed: {status}").into())
    }
}

/// Makes the network. What it could not set is said, because figures then mean something else.
pub(crate) fn set() -> Outcome<Vec<String>> {
    sys::loopback_up()?;
    sys::loopback_address(ORIGIN)?;
    let mut unset = Vec::new();
    for (name, value, why) in SETTINGS {
        if let Err(error) = fs::write(format!("/proc/sys/net/{name}"), value) {
            unset.push(format!("{name} stays as it is ({error}): {why}"));
        }
    }
    Ok(unset)
}

const SETTINGS: [(&str, &str, &str); 4] = [
    (
        "ipv4/tcp_congestion_control",
        "reno",
        "bbr halves what loopback carries",
    ),
    (
        "ipv4/ip_local_port_range",
        "1100 65000",
        "set-ups use tens of thousands of ports",
    ),
    (
        "ipv4/tcp_tw_reuse",
        "1",
        "and leave as many waiting for a minute",
    ),
    ("core/somaxconn", "4096", "bursts of connections"),
];
