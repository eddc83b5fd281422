//! `ringfence run`: one command in a fence, its data plane included.
//!
//! The order is that of GEN-5 and SBX-1: inputs, data plane, fence with its listeners, hand-over
//! confirmed, and only then the command. Whatever fails before ends the start, and says which step.

mod live;
mod spec;

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use dataplane::{Attachment, DataPlane, Lookup, Snapshot};
use policy::SandboxId;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sandbox::{Connects, Fence, Observe, Outcome, RuntimeDir, Started};

use crate::args::RunArgs;
use crate::inputs::{self, Files, InputError};
use crate::print::{self, NOT_STARTED, USAGE};
use crate::reload::{self, Contents};
use crate::signals::Signals;
use crate::summary;

pub(crate) use live::inference_file;
use live::{Begun, Live};

/// Runs the command and gives the exit code of CLI-6.
pub(crate) fn run(args: Box<RunArgs>) -> ExitCode {
    let args = Arc::from(args);
    match hide().and_then(|()| start(&args)) {
        Ok((running, data_plane)) => finish(&args, running, data_plane),
        Err(Stop { code, why }) => print::fail(code, why),
    }
}

/// No core of this process, which holds the keys, and nobody who traces it but root (SECURITY 38). The fence is
/// executed and begins anew.
fn hide() -> Result<(), Stop> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(Stop::own)
}

/// A start that failed.
struct Stop {
    code: u8,
    why: String,
}

impl Stop {
    fn own(why: impl std::fmt::Display) -> Stop {
        Stop {
            code: NOT_STARTED,
            why: why.to_string(),
        }
    }
}

impl From<InputError> for Stop {
    fn from(error: InputError) -> Self {
        match error {
            InputError::Usage(why) => Stop { code: USAGE, why },
            InputError::File(why) => Stop {
                code: NOT_STARTED,
                why,
            },
        }
    }
}

/// A command that is running, and what must outlive it.
struct Running {
    fence: Fence,
    signals: Signals,
    live: Live,
    _runtime_dir: Arc<RuntimeDir>,
}

fn start(args: &Arc<RunArgs>) -> Result<(Running, DataPlane), Stop> {
    let (name, id) = names(args)?;
    let sandbox_id = SandboxId::new(&name).ok_or_else(|| Stop {
        code: USAGE,
        why: "--name takes 1 to 253 bytes without control characters".to_owned(),
    })?;
    let files = Files::of(args);
    let seen = Contents::of(&files);
    let mut document = inputs::policy(args)?;
    let created = document.clone();
    let added = document.complete();
    let rules = inputs::rules(args, &document)?;
    let routes = inputs::routes(args)?;
    let available = inference_file(&routes);
    let runtime_dir = RuntimeDir::create(
        &id,
        std::env::var_os("XDG_RUNTIME_DIR")
            .map(PathBuf::from)
            .as_deref(),
    )
    .map_err(Stop::own)?;
    let mut spec = spec::of(args, &document, &added, &id, &name, &runtime_dir)?;
    let writable = spec::writable(&spec);
    if args.watch {
        reload::out_of_reach(&files, &writable)
            .map_err(|why| Stop::own(format!("--watch: {why}")))?;
    }
    // Before the first thread, so that no signal is lost between here and the wait.
    let signals = Signals::take().map_err(Stop::own)?;

    let compiled = inputs::compile(document, rules);
    let policies = HashMap::from([(sandbox_id.clone(), Arc::new(compiled))]);
    let data_plane = dataplane::start(dataplane::Config {
        limits: dataplane::Limits::default(),
        workers: 1,
        helpers: 2,
        rules_program: inputs::RULES_PROGRAM.into(),
        link: link::Config {
            record_file: args.record.clone(),
            ..link::Config::default()
        },
        snapshot: Snapshot {
            policies,
            routes: Some(Arc::new(routes)),
        },
        site: policy::Site::default(),
        trust: dataplane::Trust::OwnAuthority,
    })
    .map_err(Stop::own)?;
    let ca_pem = data_plane.ca_pem().map_err(Stop::own)?;
    runtime_dir.write_trust(ca_pem).map_err(Stop::own)?;
    runtime_dir.write_hosts().map_err(Stop::own)?;
    runtime_dir.write_inference(&available).map_err(Stop::own)?;

    let launched = |error: sandbox::LaunchError| Stop {
        code: error.exit_code(),
        why: error.to_string(),
    };
    spec.observe = match data_plane.can_observe() {
        Ok(()) => Observe::Connects,
        Err(why) => Observe::Nothing(why.to_string()),
    };
    let mut fence = sandbox::launch(&spec).map_err(launched)?;
    raise_descriptor_limit();
    attach(&data_plane, sandbox_id.clone(), &mut fence)?;
    let started = fence.go().map_err(launched)?;
    if !args.quiet {
        warn(&started);
    }
    let runtime_dir = Arc::new(runtime_dir);
    let live = Live::begin(Begun {
        args,
        files,
        writable,
        seen,
        created,
        id,
        name,
        sandbox: sandbox_id,
        data_plane: &data_plane,
        runtime_dir: &runtime_dir,
        started: &started,
    })
    .map_err(Stop::own)?;
    Ok((
        Running {
            fence,
            signals,
            live,
            _runtime_dir: runtime_dir,
        },
        data_plane,
    ))
}

/// What the start could not do, and what that means.
fn warn(started: &Started) {
    for skipped in started.skipped.iter().filter(|skipped| skipped.degrades) {
        print::message(format_args!(
            "warning: {}: {}",
            skipped.path.display(),
            skipped.reason
        ));
    }
    if started.landlock == sandbox::LandlockState::None {
        print::message("warning: this kernel has no Landlock; file rules are not enforced");
    }
    if let Connects::Unobserved(why) = &started.connects {
        print::message(format_args!(
            "warning: connect(2) cannot be observed: {why}; a program that means to can be taken for another one that \
                 `binaries` lists (docs/decisions/0009)"
        ));
    }
}

/// One connection takes two descriptors and a splice's pipe two more, and the usual soft limit is 1,024. After the launch,
/// because a command keeps the limit its caller gave it: programs with `select` break under a large one.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // Why ignored: what is left is what there was, and running out of it is an answer (LIM-1).
    _ = setrlimit(Resource::Nofile, raised);
}

/// The sandbox's name, and an id that no other run has.
fn names(args: &RunArgs) -> Result<(String, String), Stop> {
    let mut random = [0u8; 6];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
        .map_err(Stop::own)?;
    let id = random
        .iter()
        .fold("sb-".to_owned(), |id, byte| id + &format!("{byte:02x}"));
    Ok((args.name.clone().unwrap_or_else(|| id.clone()), id))
}

/// Hands the listeners to the data plane and waits until it confirms (GEN-5).
fn attach(data_plane: &DataPlane, id: SandboxId, fence: &mut Fence) -> Result<(), Stop> {
    let listeners = fence.listeners.hand_over().map_err(Stop::own)?;
    let lookup = Lookup::new(listeners.diag, listeners.proc);
    let attachment = Attachment {
        id,
        proxy: listeners.proxy,
        direct: Some(listeners.direct),
        lookup,
        calls: listeners.calls,
    };
    data_plane.attach(attachment).map_err(Stop::own)
}

/// Passes signals on, waits for the end, and says what was denied.
fn finish(args: &RunArgs, running: Running, data_plane: DataPlane) -> ExitCode {
    let Running {
        fence,
        signals,
        live,
        _runtime_dir,
    } = running;
    let remote = fence.remote();
    let handle = signals.handle();
    let ask = live.asker();
    let forwarding = std::thread::spawn(move || {
        let ask = ask.as_ref().map(|ask| ask as &dyn Fn());
        signals.pass_on(&remote, ask);
    });
    let outcome = match args.timeout {
        Some(seconds) => fence.wait_timeout(Duration::from_secs(seconds)),
        None => fence.wait(),
    };
    handle.close();
    drop(forwarding.join());
    // What it was about to put in force has nobody to be in force for.
    live.end();
    let denied = data_plane.close();
    if !args.quiet {
        if outcome == Outcome::TimedOut {
            print::message("the time was up (--timeout)");
        }
        print::block(&summary::text(&denied));
    }
    ExitCode::from(outcome.exit_code())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SECURITY 38
    #[test]
    fn the_process_that_holds_the_keys_cannot_be_dumped() {
        assert!(hide().is_ok());
        assert_eq!(
            rustix::process::dumpable_behavior().unwrap(),
            rustix::process::DumpableBehavior::NotDumpable
        );
    }
}
