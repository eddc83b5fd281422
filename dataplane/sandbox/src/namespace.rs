//! The namespaces of a sandbox, made by the fence process for its descendants.
//!
//! Order matters: the user namespace first, because it gives an unprivileged caller the right to the others.
//! The pid namespace begins with the next fork. Invariant: the network namespace has no interface but loopback, and
//! nothing here ever moves one into it (GEN-3).

use std::fs;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::thread::UnshareFlags;

use crate::identity::{Identity, Starter};
use crate::report::{Failure, Step};
use crate::sys;

/// Enters new namespaces: user (when unprivileged), mount, network, ipc, and pid for the children; loopback is up.
pub(crate) fn enter(identity: Identity, starter: Starter) -> Result<(), Failure> {
    if let Starter::Unprivileged {
        uid: outside_uid,
        gid: outside_gid,
    } = starter
    {
        let (Identity::Drop { uid, gid } | Identity::Map { uid, gid }) = identity;
        sys::unshare(UnshareFlags::NEWUSER).map_err(|error| {
            Step::Namespace.failed(format!("user namespace: {error} ({USER_CAUSES})"))
        })?;
        for (file, text) in [
            ("/proc/self/setgroups", "deny".to_owned()),
            ("/proc/self/uid_map", format!("{uid} {outside_uid} 1")),
            ("/proc/self/gid_map", format!("{gid} {outside_gid} 1")),
        ] {
            fs::write(file, text).map_err(|error| {
                Step::IdentityMap.failed(format!("{file}: {error} ({USER_CAUSES})"))
            })?;
        }
    }
    for (flag, name) in [
        (UnshareFlags::NEWNS, "mount"),
        (UnshareFlags::NEWNET, "network"),
        (UnshareFlags::NEWIPC, "ipc"),
        (UnshareFlags::NEWPID, "pid"),
    ] {
        sys::unshare(flag).map_err(|error| {
            Step::Namespace.failed(format!("{name} namespace: {error} ({USER_CAUSES})"))
        })?;
    }
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(Step::Loopback.because("socket"))?;
    sys::loopback_up(std::os::fd::AsFd::as_fd(&socket)).map_err(Step::Loopback.because("lo up"))?;
    only_connect_connects();
    Ok(())
}

/// TCP fast open connects with the first send instead of connect(2), and MPTCP through a second socket that the program
/// does not hold. Programs do without both.
fn only_connect_connects() {
    for setting in ["ipv4/tcp_fastopen", "mptcp/enabled"] {
        // Why ignored: a kernel without it has no such setting, /proc/sys may be read-only in a container, and a connection
        // made that way belongs to nobody the data plane has seen, which it refuses.
        fs::write(format!("/proc/sys/net/{setting}"), "0").ok();
    }
}

const USER_CAUSES: &str = "likely cause: unprivileged user namespaces are off, see kernel.unprivileged_userns_clone, \
                           user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns, or the seccomp profile \
                           of the surrounding container";
