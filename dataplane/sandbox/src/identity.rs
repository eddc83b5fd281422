//! Who the command runs as: names looked up, and the identity taken for good.
//!
//! Apart from `namespace`, which maps it, and `child`, which says when. Invariants: uid 0 is never the answer; after
//! [`Identity::assume`] no capability is left in any set and uid 0 cannot be regained.
//! Names come from `/etc/passwd` and `/etc/group` only: name services would need code and sockets in the fence.

use rustix::fs::{Gid, Uid};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::report::{Failure, Step};

/// Uid and gid the command has inside, and how they come about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Identity {
    /// A privileged start: the process changes to them.
    Drop { uid: u32, gid: u32 },
    /// An unprivileged start: a user namespace maps them to the caller.
    Map { uid: u32, gid: u32 },
}

/// Who started ringfence.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Starter {
    Privileged,
    Unprivileged { uid: u32, gid: u32 },
}

impl Starter {
    /// Who this process is. Root without the capabilities to make a sandbox is an error that says so.
    pub(crate) fn current() -> Result<Self, Failure> {
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        if !uid.is_root() {
            return Ok(Self::Unprivileged {
                uid: uid.as_raw(),
                gid: gid.as_raw(),
            });
        }
        let have = rustix::thread::capabilities(None)
            .map_err(Step::Identity.because("capget"))?
            .effective;
        let missing = NEEDED
            .iter()
            .filter(|(needed, _)| !have.contains(*needed))
            .map(|(_, name)| *name)
            .collect::<Vec<_>>();
        if missing.is_empty() {
            return Ok(Self::Privileged);
        }
        Err(Step::Identity.failed(format!(
            "root lacks {}, probably taken away by a container runtime: give them back, or start ringfence as another user",
            missing.join(", ")
        )))
    }
}

impl Identity {
    /// The uid the host knows the command by.
    pub(crate) fn uid_outside(self, starter: Starter) -> u32 {
        match (self, starter) {
            (_, Starter::Unprivileged { uid, .. })
            | (Self::Drop { uid, .. } | Self::Map { uid, .. }, Starter::Privileged) => uid,
        }
    }

    /// Looks the names up in the texts of `/etc/passwd` and `/etc/group`.
    pub(crate) fn resolve(
        user: Option<&str>,
        group: Option<&str>,
        starter: Starter,
        passwd: &str,
        groups: &str,
    ) -> Result<Self, Failure> {
        let named = user.map(|name| find_user(name, passwd)).transpose()?;
        let group = group.map(|name| find_group(name, groups)).transpose()?;
        let identity = match (starter, named) {
            (Starter::Privileged, None) => {
                return Err(Step::Identity.failed(
                    "started as root, so a user for the command is needed: pass `--user NAME[:GROUP]` or set \
                     `process.run_as_user` in the policy",
                ));
            }
            (Starter::Privileged, Some((uid, own))) => Self::Drop {
                uid,
                gid: group.unwrap_or(own),
            },
            (Starter::Unprivileged { .. }, Some((uid, own))) => Self::Map {
                uid,
                gid: group.unwrap_or(own),
            },
            (Starter::Unprivileged { uid, gid }, None) => Self::Map {
                uid,
                gid: group.unwrap_or(gid),
            },
        };
        match identity {
            Self::Drop { uid: 0, .. } | Self::Map { uid: 0, .. } => {
                Err(Step::Identity.failed("the command may not run as root (uid 0)"))
            }
            Self::Drop { gid: 0, .. } => {
                Err(Step::Identity.failed("the command may not run in group root (gid 0)"))
            }
            Self::Drop { .. } | Self::Map { .. } => Ok(identity),
        }
    }

    /// Takes the identity and gives every capability up, the bounding set included (SBX-4, SBX-5).
    pub(crate) fn assume(self) -> Result<(), Failure> {
        for capability in CapabilitySet::all().iter() {
            match rustix::thread::remove_capability_from_bounding_set(capability) {
                // Why: EINVAL is a capability this kernel does not know.
                Ok(()) | Err(Errno::INVAL) => {}
                Err(error) => return Err(Step::Drop.failed(format!("bounding set: {error}"))),
            }
        }
        if let Self::Drop { uid, gid } = self {
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            rustix::thread::set_thread_groups(&[gid]).map_err(Step::Drop.because("setgroups"))?;
            rustix::thread::set_thread_res_gid(gid, gid, gid)
                .map_err(Step::Drop.because("setresgid"))?;
            rustix::thread::set_thread_res_uid(uid, uid, uid)
                .map_err(Step::Drop.because("setresuid"))?;
        }
        let none = CapabilitySets {
            effective: CapabilitySet::empty(),
            permitted: CapabilitySet::empty(),
            inheritable: CapabilitySet::empty(),
        };
        match rustix::thread::clear_ambient_capability_set() {
            Ok(()) | Err(Errno::INVAL) => {}
            Err(error) => return Err(Step::Drop.failed(format!("ambient set: {error}"))),
        }
        rustix::thread::set_capabilities(None, none).map_err(Step::Drop.because("capset"))?;
        self.verify()
    }

    /// Checks with the kernel what `assume` asked for.
    fn verify(self) -> Result<(), Failure> {
        let (Self::Drop { uid, gid } | Self::Map { uid, gid }) = self;
        let (now_uid, now_gid) = (rustix::process::getuid(), rustix::process::getgid());
        if now_uid.as_raw() != uid || rustix::process::geteuid() != now_uid {
            return Err(Step::Drop.failed(format!("uid is {} and not {uid}", now_uid.as_raw())));
        }
        if now_gid.as_raw() != gid || rustix::process::getegid() != now_gid {
            return Err(Step::Drop.failed(format!("gid is {} and not {gid}", now_gid.as_raw())));
        }
        let left = rustix::thread::capabilities(None).map_err(Step::Drop.because("capget"))?;
        if !(left.effective | left.permitted | left.inheritable).is_empty() {
            return Err(Step::Drop.failed("capabilities are left"));
        }
        if rustix::thread::set_thread_uid(Uid::ROOT).is_ok() {
            return Err(Step::Drop.failed("uid 0 could be regained"));
        }
        Ok(())
    }
}

/// Uid and own group of a name or number.
fn find_user(name: &str, passwd: &str) -> Result<(u32, u32), Failure> {
    let number = name.parse::<u32>().ok();
    for line in passwd.lines() {
        let mut fields = line.split(':');
        let (Some(entry), Some(_), Some(uid), Some(gid)) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let (Ok(uid), Ok(gid)) = (uid.parse::<u32>(), gid.parse::<u32>()) else {
            continue;
        };
        if entry == name || number == Some(uid) {
            return Ok((uid, gid));
        }
    }
    // Why: a number needs no entry; its group is then the same number, as many systems give it.
    number
        .map(|uid| (uid, uid))
        .ok_or_else(|| Step::Identity.failed(format!("user `{name}` not found in /etc/passwd")))
}

/// Gid of a name or number.
fn find_group(name: &str, groups: &str) -> Result<u32, Failure> {
    if let Ok(gid) = name.parse() {
        return Ok(gid);
    }
    groups
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            Some((fields.next()?, fields.nth(1)?))
        })
        .find(|(entry, _)| *entry == name)
        .and_then(|(_, gid)| gid.parse().ok())
        .ok_or_else(|| Step::Identity.failed(format!("group `{name}` not found in /etc/group")))
}

/// What making a sandbox without a user namespace takes, and a data plane beside it.
const NEEDED: [(CapabilitySet, &str); 7] = [
    (CapabilitySet::SYS_ADMIN, "CAP_SYS_ADMIN"),
    (CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN"),
    (CapabilitySet::NET_BIND_SERVICE, "CAP_NET_BIND_SERVICE"),
    (CapabilitySet::SETUID, "CAP_SETUID"),
    (CapabilitySet::SETGID, "CAP_SETGID"),
    (CapabilitySet::SETPCAP, "CAP_SETPCAP"),
    // To see who calls connect(2): the command is another user's process.
    (CapabilitySet::SYS_PTRACE, "CAP_SYS_PTRACE"),
];

#[cfg(test)]
mod tests;
