//! The sandbox: a command in its own namespaces, under Landlock and seccomp, with one way out.
//!
//! The launcher never forks itself into the sandbox. It executes its own binary again with the hidden verb
//! [`VERB`], an empty environment and one socket on descriptor 3, so that no memory of the launcher (keys, routes,
//! the CA) exists in the sandbox, and so that everything between a fork and an exec runs in a process with one thread.
//!
//! ```text
//! launcher ──Launch──► fence: user, mount, pid, network, ipc namespaces; lo up; listeners
//!                        └─ pid 1: mounts, filter of connect(2) ──Ready + 5 descriptors──► launcher attaches them to a data plane
//!          ──Go──────► pid 1: missing directories, fork
//!                        └─ entry: process group, path descriptors, identity, no_new_privs, Landlock, seccomp, exec
//!          ◄─Started──  pid 1: drops everything, reaps, forwards signals
//!          ◄─Ended────  pid 1 exits; the kernel ends whatever is left
//! ```
//!
//! Invariants: the entry process is executed only after `Go`; a step that fails ends the start and names itself;
//! when the launcher, the fence or pid 1 dies, every process of the sandbox dies.
//! This crate never knows a policy, a route or a key.

mod calls;
mod child;
mod environment;
mod fence;
mod handover;
mod hidden;
mod identity;
mod init;
mod landlock;
mod launch;
mod listener;
mod mounts;
mod namespace;
mod report;
mod runtime;
mod seccomp;
mod spec;
mod stop;
mod sys;
mod veil;

pub use environment::{Environment, EnvironmentError, Hints, user_entry};
pub use fence::{VERB, fence_main};
pub use launch::{Fence, LaunchError, LaunchOptions, Listeners, Remote, launch, launch_with};
pub use report::{Connects, Failure, LandlockState, Outcome, Skipped, Started, Step};
pub use runtime::{InferenceFile, RuntimeDir, RuntimeError};
pub use spec::{Compatibility, Filesystem, Listed, Observe, Origin, Spec, Terminal};
