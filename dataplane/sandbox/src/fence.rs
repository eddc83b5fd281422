//! The fence process: the body of the hidden verb, from the order to the end of pid 1.
//!
//! It has one thread, no environment and no memory of the launcher. It makes the namespaces, forks pid 1 and waits.
//! Invariant: it ends pid 1, and with it the whole tree, when it ends for whatever reason.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use rustix::process::{
    DumpableBehavior, Signal, WaitOptions, set_dumpable_behavior, set_parent_process_death_signal,
    waitpid,
};

use crate::handover;
use crate::identity::{Identity, Starter};
use crate::init::{self, Plan};
use crate::listener::Inside;
use crate::namespace;
use crate::report::{Failure, Order, Report, Step};
use crate::spec::Spec;
use crate::sys::{self, Forked};
use crate::veil;

/// The hidden verb that makes the binary a fence process.
pub const VERB: &str = "__fence";

/// Body of the hidden verb: call it first in `main`, before a thread is started, when the first argument is [`VERB`].
///
/// Its exit code means nothing; the launcher learns everything over the socket it passed as descriptor 3.
#[must_use]
pub fn fence_main() -> ExitCode {
    let Some(channel) = sys::take_channel() else {
        return ExitCode::from(125);
    };
    let done = sys::close_above_channel()
        .map_err(Step::Order.because("close_range"))
        .and_then(|()| run(&channel));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Why ignored: a launcher that is gone needs no answer.
            drop(handover::send(&channel, &Report::Failed(failure), &[]));
            ExitCode::from(125)
        }
    }
}

fn run(channel: &UnixStream) -> Result<(), Failure> {
    let spec = order(channel)?;
    let starter = Starter::current()?;
    let read = |file: &str| {
        fs::read(file)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    };
    let (passwd, groups) = (read("/etc/passwd"), read("/etc/group"));
    let identity = Identity::resolve(
        spec.run_as_user.as_deref(),
        spec.run_as_group.as_deref(),
        starter,
        &passwd,
        &groups,
    )?;
    let ended_children = sys::block_signals().map_err(Step::Namespace.because("signals"))?;
    let sockets = veil::host_sockets();
    namespace::enter(identity, starter)?;
    // Why here: a change of credentials clears both, and the maps cannot be written by a process without a dump.
    hide(Step::Namespace)?;
    let inside = Inside::open()?;
    let plan = Plan {
        spec,
        identity,
        uid_outside: identity.uid_outside(starter),
        sockets,
    };
    match sys::fork().map_err(Step::Fork.because("fork pid 1"))? {
        Forked::Child => init::run(channel, &plan, inside, &ended_children),
        Forked::Parent(pid) => {
            drop((plan, inside));
            init::leave_stdio().map_err(Step::Fork.because("/dev/null"))?;
            wait_for(pid).map_err(Step::Fork.because("waitpid"))
        }
    }
}

/// Nobody reads this process's memory, and it dies with its parent.
pub(crate) fn hide(step: Step) -> Result<(), Failure> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(step.because("dumpable"))?;
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(step.because("pdeathsig"))
}

fn order(channel: &UnixStream) -> Result<Box<Spec>, Failure> {
    match handover::receive(channel) {
        Ok((Order::Launch(spec), _)) => Ok(spec),
        Ok((Order::Go | Order::Signal(_) | Order::Stop, _)) => {
            Err(Step::Order.failed("the first order is not a launch"))
        }
        Err(error) => Err(Step::Order.failed(error.to_string())),
    }
}

fn wait_for(pid: rustix::process::Pid) -> io::Result<()> {
    loop {
        match waitpid(Some(pid), WaitOptions::empty()) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
