//! The entry process between its fork and its exec: the steps of SBX-1 in their order, and nothing else.
//!
//! It was forked from a process with one thread, so it may allocate; it still opens nothing it does not need, and
//! each step that fails ends the start (TR-117). Invariant: the exec is the last step, after Landlock and seccomp.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Resource, Rlimit, fchdir, setrlimit, setsid};
use serde::{Deserialize, Serialize};

use crate::handover;
use crate::identity::Identity;
use crate::init;
use crate::landlock::Rules;
use crate::report::{Failure, LandlockState, Skipped, Step};
use crate::seccomp::{self, Memfd};
use crate::spec::{Spec, Terminal};
use crate::sys;

/// From the entry process to pid 1.
#[derive(Deserialize, Serialize)]
pub(crate) enum Word {
    /// File rules are enforced; all that is left is the filter and the exec.
    Fenced {
        landlock: LandlockState,
        skipped: Vec<Skipped>,
    },
    /// The start ended here.
    Failed(Failure),
}

/// Becomes the command. Returns only when that failed.
pub(crate) fn run(
    spec: &Spec,
    identity: Identity,
    parent: &UnixStream,
    memfd: Memfd,
) -> Result<Infallible, Failure> {
    sys::default_signals().map_err(Step::ProcessGroup.because("signals"))?;
    if spec.terminal == Terminal::Detached {
        setsid().map_err(Step::ProcessGroup.because("setsid"))?;
    }
    let workdir = enter(&spec.workdir)?;
    let rules = Rules::open(spec, &workdir)?;
    drop(workdir);
    identity.assume()?;
    // Why 1 and not 0: the kernel ignores 0 when the host pipes dumps to a program, and 1 means none to both.
    let none = Rlimit {
        current: Some(1),
        maximum: Some(1),
    };
    setrlimit(Resource::Core, none).map_err(Step::Drop.because("core limit"))?;
    rustix::thread::set_no_new_privs(true).map_err(Step::Drop.because("no_new_privs"))?;
    let (landlock, skipped) = rules.enforce()?;
    handover::send(parent, &Word::Fenced { landlock, skipped }, &[])
        .map_err(Step::Landlock.because("report"))?;
    init::await_parent(parent)?;
    sys::close_above_stdio_on_exec().map_err(Step::Seccomp.because("close_range"))?;
    seccomp::enforce(memfd)?;
    execute(spec)
}

/// Enters the working directory before the identity is dropped, because its parents may be closed to the new one.
fn enter(workdir: &Path) -> Result<OwnedFd, Failure> {
    let directory = open(
        workdir,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(Step::Workdir.because(&workdir.display().to_string()))?;
    fchdir(&directory).map_err(Step::Workdir.because(&workdir.display().to_string()))?;
    Ok(directory)
}

/// Tries the command as given, or in each directory of the child's own `PATH`.
fn execute(spec: &Spec) -> Result<Infallible, Failure> {
    let Some((program, arguments)) = spec
        .command
        .split_first()
        .filter(|(program, _)| !program.is_empty())
    else {
        return Err(Step::NotFound.failed("the command is empty"));
    };
    let mut refused = None;
    for candidate in candidates(program, &spec.env) {
        let mut command = Command::new(&candidate);
        command
            .arg0(program)
            .args(arguments)
            .env_clear()
            .envs(spec.env.iter().map(|(name, value)| (name, value)));
        let error = command.exec();
        // Why the second look: "not found" is also a script whose interpreter is missing, and "permission denied" a
        // directory of `PATH` that is closed to the command.
        if candidate.symlink_metadata().is_err() {
            continue;
        }
        let why = if error.kind() == io::ErrorKind::NotFound {
            "its interpreter is missing".to_owned()
        } else {
            error.to_string()
        };
        let failure = Step::NotExecutable.failed(format!("{}: {why}", candidate.display()));
        refused = refused.or(Some(failure));
    }
    Err(refused.unwrap_or_else(|| {
        Step::NotFound.failed(format!(
            "{}: not found in the sandbox",
            Path::new(program).display()
        ))
    }))
}

/// The paths a program name stands for.
fn candidates(program: &OsStr, env: &[(std::ffi::OsString, std::ffi::OsString)]) -> Vec<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return vec![PathBuf::from(program)];
    }
    let path = env
        .iter()
        .find(|(name, _)| name == "PATH")
        .map_or(OsStr::new(DEFAULT_PATH), |(_, value)| value);
    path.as_bytes()
        .split(|byte| *byte == b':')
        // Why: an empty entry means the working directory, and `execvp` would search a name without a slash again.
        .map(|entry| {
            if entry.is_empty() {
                Path::new(".")
            } else {
                Path::new(OsStr::from_bytes(entry))
            }
            .join(program)
        })
        .collect()
}

/// Where programs are searched when the child has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
