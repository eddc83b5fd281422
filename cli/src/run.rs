//! `ringfence run`: one command in a fence, its data plane included.
//!
//! The order is that of GEN-5 and SBX-1: inputs, data plane, fence with its listeners, hand-over
//! confirmed, and only then the command. Whatever fails before ends the start, and says which step.

mod began;
mod gateway;
mod hidden;
mod live;
mod prepare;
mod spec;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use dataplane::{Attachment, DataPlane, Lookup};
use link::record::Event;
use policy::SandboxId;
use sandbox::{Fence, LandlockState, Observe, Outcome, RuntimeDir};

use crate::args::RunArgs;
use crate::inputs::{self, Files, InputError};
use crate::print::{self, NOT_STARTED, USAGE};
use crate::process;
use crate::reload::{self, Contents};
use crate::settings::Settings;
use crate::signals::Signals;
use crate::summary;

use gateway::{Following, Joined, Later, Setting};
pub(crate) use live::inference_file;
use live::{Begun, Live};
use prepare::{Names, Prepared};

/// Runs the command and gives the exit code of CLI-6.
pub(crate) fn run(args: Box<RunArgs>, settings: &Settings) -> ExitCode {
    let args = Arc::from(args);
    match process::hide()
        .map_err(Stop::own)
        .and_then(|()| start(&args, settings))
    {
        Ok((running, data_plane)) => finish(&args, running, data_plane),
        Err(Stop { code, why }) => print::fail(code, why),
    }
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
    /// Absent without a gateway.
    following: Option<Following>,
    _runtime_dir: Arc<RuntimeDir>,
}

fn start(args: &Arc<RunArgs>, settings: &Settings) -> Result<(Running, DataPlane), Stop> {
    let names = prepare::names(args)?;
    let files = Files::of(args);
    let seen = Contents::of(&files);
    let document = inputs::policy(args)?;
    let routes = inputs::routes(args)?;
    // Before the first thread, so that no signal is lost between here and the wait.
    let signals = Signals::take().map_err(Stop::own)?;
    let joined = Joined::begin(args, settings, &names.name, &document)?;
    let (files, seen) = match &joined {
        Some(_) => {
            let files = files.without_policy();
            let seen = Contents::of(&files);
            (files, seen)
        }
        None => (files, seen),
    };
    let prepared = prepare::prepare(args, &names, document, routes, joined.as_ref());
    let (prepared, data_plane) = match prepared {
        Ok(prepared) => prepared,
        Err(stop) => {
            joined.into_iter().for_each(Joined::give_up);
            return Err(stop);
        }
    };
    let runtime_dir = Arc::clone(&prepared.runtime_dir);
    let record_id = joined.as_ref().and_then(Joined::id);
    let record_id = record_id.unwrap_or(&names.id).to_owned();
    let later = joined
        .as_ref()
        .map(|joined| Later::new(&runtime_dir, joined.address()));
    let following = match (joined, &later) {
        (Some(joined), Some(later)) => Some(joined.follow(Setting {
            args,
            sandbox: &names.sandbox,
            created: &prepared.created,
            data_plane: &data_plane,
            later,
        })?),
        (None, _) | (_, None) => None,
    };
    let launched = launch(Launch {
        args,
        settings,
        names,
        prepared,
        files,
        seen,
        data_plane: &data_plane,
        record_id,
        later: later.as_ref(),
        following: following.as_ref(),
    });
    let (fence, live) = match launched {
        Ok(launched) => launched,
        Err(stop) => {
            if let Some(following) = following {
                following.failed(&stop);
            }
            return Err(stop);
        }
    };
    if let (Some(name), Some(_)) = (&args.name, &following) {
        crate::sandbox::remember(name, settings);
    }
    Ok((
        Running {
            fence,
            signals,
            live,
            following,
            _runtime_dir: runtime_dir,
        },
        data_plane,
    ))
}

/// What a launch needs.
struct Launch<'a> {
    args: &'a Arc<RunArgs>,
    settings: &'a Settings,
    names: Names,
    prepared: Prepared,
    files: Files,
    seen: Contents,
    data_plane: &'a DataPlane,
    /// As the command is told.
    record_id: String,
    later: Option<&'a Later>,
    following: Option<&'a Following>,
}

/// The fence, the hand-over, the command.
fn launch(launch: Launch<'_>) -> Result<(Fence, Live), Stop> {
    let Launch {
        args,
        settings,
        names: Names { name, id, sandbox },
        prepared,
        files,
        seen,
        data_plane,
        record_id,
        later,
        following,
    } = launch;
    let Prepared {
        created,
        complete,
        added,
        runtime_dir,
    } = prepared;
    let who = spec::Who {
        id: &record_id,
        name: &name,
        credentials: following.map_or(&[][..], |following| &following.credentials),
    };
    let mut spec = spec::of(args, &complete, &added, who, &runtime_dir, settings)?;
    let writable = spec::writable(&spec);
    if args.watch {
        reload::out_of_reach(&files, &writable)
            .map_err(|why| Stop::own(format!("--watch: {why}")))?;
    }

    let launched = |error: sandbox::LaunchError| Stop {
        code: error.exit_code(),
        why: error.to_string(),
    };
    spec.observe = match data_plane.can_observe() {
        Ok(()) => Observe::Connects,
        Err(why) => Observe::Nothing(why.to_string()),
    };
    let mut fence = sandbox::launch(&spec).map_err(launched)?;
    // After the launch: a command keeps the limit its caller gave it, because programs with `select` break under a large one.
    process::raise_descriptor_limit();
    attach(data_plane, sandbox.clone(), &mut fence)?;
    let started = fence.go().map_err(launched)?;
    if !args.quiet {
        began::warn(&started);
    }
    if started.landlock != LandlockState::Full {
        let event = Event::LandlockDegraded(began::degraded(&started));
        reload::say(data_plane.records(), &sandbox, event);
    }
    if let Some(later) = later {
        later.started(fence.remote());
    }
    if let Some(following) = following {
        following.started(began::report(&started));
    }
    let live = Live::begin(Begun {
        args,
        files,
        writable,
        seen,
        created,
        id,
        name,
        sandbox,
        data_plane,
        runtime_dir: &runtime_dir,
        started: &started,
        gateway: later,
    })
    .map_err(Stop::own)?;
    Ok((fence, live))
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
        following,
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
    if let Some(following) = following {
        following.end();
    }
    let denied = data_plane.close();
    if !args.quiet {
        if outcome == Outcome::TimedOut {
            print::message("the time was up (--timeout)");
        }
        print::block(&summary::text(&denied));
    }
    ExitCode::from(outcome.exit_code())
}
