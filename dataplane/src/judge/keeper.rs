//! The process that evaluates an operator's rules, and ends every evaluation in time.
//!
//! ```text
//!  data plane ── questions ─► keeper ── question ─► evaluator (a fork of the keeper, which has the rules ready)
//!             ◄── answers ───        ◄── answer ──
//! ```
//!
//! Nothing inside the engine ends one call of a builtin, and no allocation can be refused it (docs/decisions/0013). So
//! the evaluator is a process of its own: it is killed when its processor time is up, and the kernel refuses it
//! memory. The keeper makes the next one by a fork, which costs a fraction of a millisecond.
//!
//! Invariants: both run one thread and hold no descriptor but their channels; the keeper answers every question,
//! within the bounds and what a kill takes; an evaluator that said one thing out of turn is ended.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use policy::custom::{Evaluator, Rules};
use rustix::process::{Pid, Resource, Rlimit, Signal};

use super::frame;
use super::launch::Bounds;
use crate::clock;
use crate::sys::process::{self as sys, Forked};

/// The verb under which a binary calls [`rules_main`]. No verb for people.
pub const RULES_VERB: &str = "__rules";

/// The life of a keeper: channel on descriptor 0, bounds in the arguments behind the verb.
pub fn rules_main() -> ExitCode {
    let Some(bounds) = Bounds::from_args(std::env::args().skip(2)) else {
        return ExitCode::FAILURE;
    };
    match keep(bounds) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn keep(bounds: Bounds) -> io::Result<()> {
    sys::close_from(3)?;
    let mut channel = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    limit(Resource::Core, 0)?;
    rustix::thread::set_no_new_privs(true)?;
    limit(Resource::Data, KEEPER_MEMORY_BYTES_MAX)?;
    let Some(rules) = frame::read(&mut channel)? else {
        return Ok(());
    };
    let Some(rules) = Rules::from_bytes(&rules) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let evaluator = match rules.check().and_then(|()| Evaluator::new(&rules)) {
        Ok(evaluator) => evaluator,
        Err(problem) => {
            let problem = serde_json::to_vec(&problem)?;
            return frame::write(&mut channel, &[&[frame::UNUSABLE], &problem]);
        }
    };
    let mut keeper = Keeper {
        channel,
        evaluator,
        bounds,
        current: None,
    };
    _ = sys::short_turns(0, TURN);
    keeper.renew()?;
    frame::write(&mut keeper.channel, &[&[frame::READY]])?;
    while let Some(question) = frame::read(&mut keeper.channel)? {
        match keeper.ask(&question) {
            Some(answer) => frame::write(&mut keeper.channel, &[&[frame::ANSWER], &answer])?,
            None => {
                // The answer first: nobody waits for the next evaluator yet.
                frame::write(&mut keeper.channel, &[&[frame::STOPPED]])?;
                keeper.renew()?;
            }
        }
    }
    Ok(())
}

struct Keeper {
    channel: UnixStream,
    evaluator: Evaluator,
    bounds: Bounds,
    current: Option<Current>,
}

/// The evaluator that is asked now.
struct Current {
    pid: Pid,
    channel: UnixStream,
}

impl Keeper {
    /// Ends the evaluator there is, if any, and makes another.
    fn renew(&mut self) -> io::Result<()> {
        self.current = None;
        let (channel, theirs) = UnixStream::pair()?;
        match sys::fork()? {
            Forked::Parent(pid) => {
                drop(theirs);
                let mut current = Current { pid, channel };
                // What it takes to get started is not the time of its first question.
                frame::read(&mut current.channel)?;
                current.channel.set_nonblocking(true)?;
                self.current = Some(current);
                Ok(())
            }
            Forked::Child => {
                // What became of it is seen by the keeper: it says no more.
                _ = evaluate(&mut self.evaluator, self.bounds, theirs);
                sys::exit_now()
            }
        }
    }

    fn ask(&mut self, question: &[u8]) -> Option<Vec<u8>> {
        let current = self.current.as_mut()?;
        current.ask(question, self.bounds)
    }
}

impl Current {
    /// The answer; `None` when there is none within the bounds.
    fn ask(&mut self, question: &[u8], bounds: Bounds) -> Option<Vec<u8>> {
        let clock = sys::CpuClock::of(self.pid)?;
        let (used, began) = (clock.read()?, clock::now());
        self.channel.set_nonblocking(false).ok()?;
        frame::write(&mut self.channel, &[question]).ok()?;
        self.channel.set_nonblocking(true).ok()?;
        let mut answer = Vec::new();
        loop {
            let spent = clock.read()?.saturating_sub(used);
            let (cpu, wall) = (
                bounds
                    .cpu
                    .checked_sub(spent)
                    .filter(|left| !left.is_zero())?,
                bounds.wall.checked_sub(began.elapsed())?,
            );
            if !sys::readable_within(self.channel.as_fd(), cpu.min(wall)) {
                continue;
            }
            let mut part = [0; 4096];
            match io::Read::read(&mut self.channel, &mut part) {
                Ok(0) => return None,
                Ok(len) => answer.extend_from_slice(part.get(..len)?),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(_) => return None,
            }
            if let Some((head, rest)) = answer.split_first_chunk() {
                let len = frame::len(*head).ok()?;
                if rest.len() >= len {
                    return (rest.len() == len).then(|| rest.to_vec());
                }
            }
        }
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        // It is our child and not waited for yet, so the number is its own.
        _ = rustix::process::kill_process(self.pid, Signal::KILL);
        _ = rustix::process::waitpid(Some(self.pid), rustix::process::WaitOptions::empty());
    }
}

/// The life of an evaluator: it ends with its keeper.
fn evaluate(evaluator: &mut Evaluator, bounds: Bounds, channel: UnixStream) -> io::Result<()> {
    // The descriptors of the keeper: its channel to the data plane, and its end of this one.
    let channel = UnixStream::from(sys::keep_only(OwnedFd::from(channel))?);
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // Whoever serves connections goes first.
    _ = sys::short_turns(NICE, TURN);
    limit(
        Resource::Data,
        data_bytes()?.saturating_add(bounds.memory_bytes),
    )?;
    // Nothing the rules could call opens or writes a file; were it otherwise, it could not.
    limit(Resource::Nofile, 0)?;
    limit(Resource::Fsize, 0)?;
    let (mut from, mut to) = (&channel, &channel);
    frame::write(&mut to, &[&[frame::READY]])?;
    while let Some(question) = frame::read(&mut from)? {
        let answer = evaluator.answer(&question);
        frame::write(&mut to, &[&answer])?;
    }
    Ok(())
}

fn limit(resource: Resource, most: u64) -> io::Result<()> {
    let limit = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    Ok(rustix::process::setrlimit(resource, limit)?)
}

/// Data of this process that is mapped now.
#[expect(
    clippy::disallowed_methods,
    reason = "a process that serves no connection reads its own size"
)]
fn data_bytes() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    text.lines()
        .find_map(|line| line.strip_prefix("VmData:"))
        .and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        .map(|kib| kib.saturating_mul(1024))
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// An evaluation that burns time is interrupted as often, by the keeper that ends it and by workers; and the keeper
/// is there when it wakes up.
const TURN: Duration = Duration::from_micros(100);

/// Lower than those who serve connections, and still served when they are busy.
const NICE: i32 = 5;

/// Rules of 256 KiB and data of 1 MiB, prepared, with room.
const KEEPER_MEMORY_BYTES_MAX: u64 = 512 * 1024 * 1024;
