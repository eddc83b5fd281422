//! A pid namespace for the load, as a sandbox has one: its first process is ours, the load is its child.
//!
//! Why: the gate looks for callers in the `/proc` of the sandbox, and what that costs depends on who is in there. There
//! are two: the load of one has its calls of connect(2) told, as every sandbox has, and goes through the gate.

use std::process::Command;

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::UnshareFlags;

use crate::{Outcome, client, stage, sys};

/// Makes the namespaces.
pub(crate) const ROLE: &str = "__cell";

/// Their first process.
pub(crate) const INIT_ROLE: &str = "__init";

/// Makes the namespaces, prints the number of the first process in them and waits for it.
pub(crate) fn enter(load: &str) -> Outcome<()> {
    sys::pin(stage::ENDS_CORE)?;
    sys::unshare(UnshareFlags::NEWPID | UnshareFlags::NEWNS)?;
    let mut init = Command::new(std::env::current_exe()?)
        .args([INIT_ROLE, load])
        .spawn()?;
    client::say(&init.id().to_string())?;
    init.wait()?;
    Ok(())
}

/// Process 1: mounts `/proc` and has one child, the load.
pub(crate) fn init(load: &str) -> Outcome<()> {
    mount_change(
        "/",
        MountPropagationFlags::REC | MountPropagationFlags::PRIVATE,
    )?;
    mount("proc", "/proc", "proc", MountFlags::empty(), None)?;
    Command::new(std::env::current_exe()?)
        .args([client::ROLE, load])
        .status()?;
    Ok(())
}
