//! The filter that stops a process at connect(2) until the data plane has seen who calls (IDN-2).
//!
//! Apart from `seccomp`, which refuses calls and can be installed by everybody; this one hands out a descriptor, of
//! which the kernel allows one for a process and its ancestors. Pid 1 installs it, so that the descriptor travels with
//! the listeners and every process of the sandbox inherits the filter.
//!
//! Invariants: whoever in the sandbox calls connect(2) waits until the descriptor's holder lets it go on; when nobody
//! holds the descriptor any more, the call fails (ENOSYS). The answers of the other filters come first: x32 numbers and
//! foreign architectures never reach this one.

use std::io;
use std::os::fd::OwnedFd;

use seccompiler::{BpfProgram, sock_filter};

use crate::report::Connects;
use crate::spec::Observe;
use crate::sys;

/// Installs the filter on this process and what descends from it.
///
/// Why a failure is not the end of the start: IDN-3 says what is done where connect(2) cannot be observed.
pub(crate) fn observe(wanted: &Observe) -> (Option<OwnedFd>, Connects) {
    match wanted {
        Observe::Nothing(why) => (None, Connects::Unobserved(why.clone())),
        Observe::Connects => match sys::listen_to_filter(&program()) {
            Ok(calls) => (Some(calls), Connects::Observed),
            Err(error) => (None, Connects::Unobserved(because(&error))),
        },
    }
}

fn because(error: &io::Error) -> String {
    let cause = match error.raw_os_error() {
        Some(libc::EBUSY) => {
            "a container runtime or supervisor around ringfence listens to system calls itself"
        }
        Some(libc::EINVAL | libc::ENOSYS) => {
            "the kernel is too old (5.5 is needed), or a runtime hides seccomp"
        }
        Some(libc::EPERM | libc::EACCES) => "a seccomp filter around ringfence forbids it",
        _ => "the kernel refused the filter",
    };
    format!("{cause} ({error})")
}

/// A foreign architecture has other numbers, and the filter of `seccomp` ends a process that uses one; so does this,
/// for pid 1's sake.
fn program() -> BpfProgram {
    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const NUMBER_AT: u32 = 0;
    const ARCHITECTURE_AT: u32 = 4;
    let statement = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    let connect = u32::try_from(libc::SYS_connect).unwrap_or(u32::MAX);
    vec![
        statement(LOAD_WORD, 0, 0, ARCHITECTURE_AT),
        statement(JUMP_IF_EQUAL, 1, 0, ARCHITECTURE),
        statement(RETURN, 0, 0, libc::SECCOMP_RET_KILL_PROCESS),
        statement(LOAD_WORD, 0, 0, NUMBER_AT),
        statement(JUMP_IF_EQUAL, 0, 1, connect),
        statement(RETURN, 0, 0, libc::SECCOMP_RET_USER_NOTIF),
        statement(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

// AUDIT_ARCH_*: machine, 64 bits, little-endian.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;
