//! Runs every probe and says what the kernel answered: one line a probe, name and error number, 0 when it succeeded.

use std::ffi::c_long;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::{calls, files, network, process};

/// One thing a hostile program tries.
pub(crate) struct Attempt {
    pub(crate) name: String,
    pub(crate) errno: i32,
}

impl Attempt {
    pub(crate) fn of<T>(name: &str, result: io::Result<T>) -> Self {
        let errno = result
            .err()
            .map_or(0, |error| error.raw_os_error().unwrap_or(-1));
        Self {
            name: name.to_owned(),
            errno,
        }
    }
}

/// A system call by number, without the C library's help.
pub(crate) fn call(number: c_long, arguments: [usize; 6]) -> io::Result<c_long> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the callers pass null, small numbers or addresses of memory that lives over the call, and the calls
    // are expected to be refused.
    let answer = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(answer)
    }
}

/// The address of bytes that end in NUL.
pub(crate) fn address(text: &[u8]) -> usize {
    text.as_ptr() as usize
}

/// Refuses to run outside a fence: on a host, and as root, the attempts would succeed.
pub(crate) fn all(arguments: &[String]) -> ExitCode {
    if !fenced() {
        return ExitCode::from(2);
    }
    let mut out = io::stdout().lock();
    let attempts = [
        calls::attempts(),
        network::attempts(arguments),
        files::attempts(arguments),
        process::attempts(),
    ];
    for attempt in attempts.iter().flatten() {
        if writeln!(out, "{} {}", attempt.name, attempt.errno).is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Whether this process has a filter, no capability, and a sandbox's pid 1 above it.
fn fenced() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let has = |name: &str, value: &str| {
        status
            .lines()
            .any(|line| line.split_whitespace().eq([name, value]))
    };
    has("Seccomp:", "2")
        && has("CapBnd:", "0000000000000000")
        && has("PPid:", "1")
        && has("Pid:", "2")
}
