//! Starting the process of an operator's rules, from a thread that may wait.
//!
//! Apart from `keeper`, which is that process. Whether rules can be used at all is found out here as well: reading a
//! hostile text may take for ever, so even that happens where it can be ended.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use policy::Problem;
use policy::custom::{Rules, Ruling};

use super::frame;
use super::keeper::RULES_VERB;

/// Starts processes that evaluate rules.
#[derive(Clone, Debug)]
pub struct Evaluators {
    /// The binary that has the hidden verb; the running one by default.
    program: PathBuf,
    /// How long a process may take to read and prepare its rules.
    ready_within: Duration,
    /// What one evaluation may take.
    pub(super) bounds: Bounds,
}

/// What one evaluation may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Processor time.
    pub(super) cpu: Duration,
    /// Time on the clock, also when other processes have the processors.
    pub(super) wall: Duration,
    /// Memory beyond what the prepared rules take.
    pub(super) memory_bytes: u64,
}

/// Why rules cannot be used.
#[derive(Debug)]
pub enum RulesError {
    /// Something is wrong with them.
    Rules(Problem),
    /// They could not be read within the bounds.
    Stopped,
    /// The process could not be started.
    Start(io::Error),
}

/// Rules that are ready to be asked.
pub struct Prepared(Running);

/// A process whose rules are ready.
pub(super) struct Running {
    pub(super) child: Child,
    pub(super) channel: UnixStream,
}

impl Evaluators {
    /// Evaluators that are `program`, within `limits`.
    pub fn new(program: PathBuf, limits: &crate::Limits) -> Evaluators {
        Evaluators {
            program,
            ready_within: limits.rules_ready_time,
            bounds: Bounds {
                cpu: limits.rules_cpu_time,
                wall: limits.rules_wall_time,
                memory_bytes: limits.rules_memory_bytes_max,
            },
        }
    }

    /// Looks whether rules can be used (RGO-6).
    ///
    /// # Errors
    /// What is wrong with them, at its file, line and column.
    pub fn check(&self, rules: &Rules) -> Result<(), RulesError> {
        self.start(rules).map(drop)
    }

    /// Prepares rules for somebody who may wait for an answer: a person at a shell, a benchmark.
    ///
    /// # Errors
    /// As [`Evaluators::check`].
    pub fn open(&self, rules: &Rules) -> Result<Prepared, RulesError> {
        self.start(rules).map(Prepared)
    }

    /// Starts a process and waits until its rules are ready.
    pub(super) fn start(&self, rules: &Rules) -> Result<Running, RulesError> {
        let (channel, theirs) = UnixStream::pair().map_err(RulesError::Start)?;
        let child = Command::new(&self.program)
            .arg(RULES_VERB)
            .args(self.bounds.to_args())
            .env_clear()
            // The allocator takes memory as it is needed, so that the bound on it counts what is used.
            .env("MIMALLOC_ARENA_RESERVE", "0")
            .env("MIMALLOC_DISALLOW_ARENA_ALLOC", "1")
            // A Ctrl-C is meant for the command.
            .process_group(0)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(RulesError::Start)?;
        let mut running = Running { child, channel };
        let ready = running
            .channel
            .set_read_timeout(Some(self.ready_within))
            .and_then(|()| frame::write(&mut running.channel, &[&rules.to_bytes()]))
            .and_then(|()| frame::read(&mut running.channel));
        match ready {
            Ok(Some(message)) => match &*message {
                [frame::READY, ..] => Ok(running),
                [frame::UNUSABLE, problem @ ..] => Err(RulesError::Rules(
                    serde_json::from_slice(problem).map_err(|_| RulesError::Stopped)?,
                )),
                _ => Err(RulesError::Stopped),
            },
            Ok(None) | Err(_) => Err(RulesError::Stopped),
        }
    }
}

impl Prepared {
    /// The answer to one question, as [`policy::custom::question`] writes it.
    pub fn ask(&mut self, question: &[u8]) -> Ruling {
        let Prepared(Running { channel, .. }) = self;
        let answer = frame::write(channel, &[question]).and_then(|()| frame::read(channel));
        match answer.ok().flatten().as_deref() {
            Some([frame::ANSWER, answer @ ..]) => Ruling::read(answer),
            Some(_) | None => Ruling::failed(),
        }
    }
}

impl Bounds {
    pub(super) fn to_args(self) -> [String; 3] {
        [
            self.cpu.as_micros().to_string(),
            self.wall.as_micros().to_string(),
            self.memory_bytes.to_string(),
        ]
    }

    pub(super) fn from_args(mut args: impl Iterator<Item = String>) -> Option<Bounds> {
        let mut number = || args.next()?.parse().ok();
        Some(Bounds {
            cpu: Duration::from_micros(number()?),
            wall: Duration::from_micros(number()?),
            memory_bytes: number()?,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is not left behind.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RulesError::Rules(problem) => write!(f, "{problem}"),
            RulesError::Stopped => f.write_str(
                "the rules could not be prepared within the bounds on time and memory; brackets nested more than a few \
                 levels deep are a likely cause",
            ),
            RulesError::Start(error) => {
                write!(f, "the process that evaluates the rules could not be started: {error}")
            }
        }
    }
}

impl std::error::Error for RulesError {}
