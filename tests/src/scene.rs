//! One world for one test: namespaces with a private network, names and trust.
//!
//! [`play`] runs the test function a second time, in a child of the test program that `unshare(1)` puts into
//! its own mount, network and pid namespaces (and, without root, a user namespace that maps the caller to
//! itself). There the scene is staged and the body runs; the outer half waits, with a limit, and reports. The
//! end of the scene's first process ends every other process of it, and with them mounts and interfaces.
//!
//! The world: `10.99.0.0/24` (private) and `45.45.45.0/24` (public by class, local here) on `lo`; `/etc/hosts`,
//! `/etc/resolv.conf`, `/etc/passwd`, `/etc/group` and the system's certificate bundle replaced; `/mnt` a tmpfs
//! with `bin/`, `scripts/`, `clients/` for the sandbox to read, `work/` to write, and `private/`, which no
//! policy of a test lists.

mod enter;
mod stage;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::mount::{MountFlags, mount};

use crate::authority::Authority;
use crate::run::Run;
use crate::sys;

/// Private address of the scene's servers.
pub const PRIVATE: &str = "10.99.0.1";
/// A public address (by class) that is local to the scene.
pub const PUBLIC: &str = "45.45.45.1";
/// Where the scene's recording name server may listen.
pub const NAME_SERVER: &str = "10.99.0.53";
/// Names that resolve to [`PRIVATE`] in the scene.
pub const PRIVATE_NAMES: &[&str] = &[
    "api.test",
    "git.test",
    "model.test",
    "denied.test",
    "origin.test",
    "origin2.test",
    "pypi.test",
    "npm.test",
    "crates.test",
];
/// Names that resolve to [`PUBLIC`] in the scene: one of nobody, and where the providers' own servers are.
pub const PUBLIC_NAMES: &[&str] = &[
    "public.test",
    "integrate.api.nvidia.com",
    "api.openai.com",
    "api.anthropic.com",
];
/// The user and group that sandboxed commands run as.
pub const AGENT: &str = "agent";

/// Default limit of a scene.
const LIMIT: Duration = Duration::from_secs(300);

/// The world of one test. Made by [`play`].
#[derive(Debug)]
pub struct Scene {
    authority: Authority,
    ringfence: PathBuf,
}

/// Plays `act` in a scene of its own, for at most five minutes.
///
/// # Panics
/// When the scene fails, with what it printed, or when namespaces cannot be made.
pub fn play<F: FnOnce(&Scene)>(act: F) {
    play_within(LIMIT, act);
}

/// As [`play`], with another limit.
///
/// # Panics
/// As [`play`].
pub fn play_within<F: FnOnce(&Scene)>(limit: Duration, act: F) {
    let test = test_path(std::any::type_name::<F>());
    if enter::is_inside(&test) {
        act(&stage::set());
    } else {
        enter::enter(&test, limit);
    }
}

impl Scene {
    /// The authority the scene's processes trust.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The binary under test.
    pub fn ringfence(&self) -> &Path {
        &self.ringfence
    }

    /// A `ringfence run` to be filled in.
    pub fn run(&self) -> Run {
        Run::new(&self.ringfence)
    }

    /// Makes one more address local to the scene; an IPv4 address with the /24 it is in.
    ///
    /// # Panics
    /// When the kernel refuses it.
    pub fn address(&self, label: &str, address: IpAddr) {
        match address {
            IpAddr::V4(address) => sys::loopback_block(&format!("lo:{label}"), address),
            IpAddr::V6(address) => sys::loopback_v6(address),
        }
        .unwrap_or_else(|error| unreachable!("{address} on loopback: {error}"));
    }

    /// Covers a directory of the machine by an empty one, in the scene alone.
    ///
    /// # Panics
    /// When the kernel refuses it.
    pub fn cover(&self, directory: &str) {
        let empty = Some(c"mode=0755");
        mount("tmpfs", directory, "tmpfs", MountFlags::empty(), empty)
            .unwrap_or_else(|error| unreachable!("a tmpfs over {directory}: {error}"));
    }

    /// The directory that sandboxes may write (`/mnt/work`).
    pub fn work(&self) -> &'static Path {
        Path::new("/mnt/work")
    }

    /// The directory that no sandbox may see (`/mnt/private`).
    pub fn private(&self) -> &'static Path {
        Path::new("/mnt/private")
    }
}

/// `clients::tests::name::{{closure}}` → `tests::name`, as libtest calls the test.
fn test_path(closure: &str) -> String {
    let path = closure.split_once("::").map_or(closure, |(_, path)| path);
    path.split("::{{closure}}")
        .next()
        .unwrap_or(path)
        .to_owned()
}
