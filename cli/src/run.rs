//! `ringfence run`: one command in a fence, its data plane included.
//!
//! The order is that of GEN-5 and SBX-1: inputs, data plane, fence with its listeners, hand-over
//! confirmed, and only then the command. Whatever fails before ends the start, and says which step.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dataplane::{Attachment, DataPlane, Lookup, Snapshot};
use link::record::{Event, PolicyVersion, Text};
use policy::{PolicyDocument, Routes, SandboxId};
use sandbox::{
    Connects, Environment, Fence, Filesystem, Hints, InferenceFile, Listed, Observe, Outcome,
    RuntimeDir, Spec, Started, Terminal,
};

use crate::args::RunArgs;
use crate::inputs::{self, Files, InputError};
use crate::print::{self, NOT_STARTED, USAGE};
use crate::reload::{self, Contents, Reload, Reloading};
use crate::signals::Signals;
use crate::status::{Board, Facts, LandlockFacts, PolicyFacts, RouteFacts};
use crate::summary;

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
    /// Absent when there is no file to read again.
    reloading: Option<Reloading>,
    /// Shows the sandbox in `status`, unless `reloading` does.
    _board: Option<Board>,
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
    let routes_count = routes.as_slice().len();
    let runtime_dir = RuntimeDir::create(
        &id,
        std::env::var_os("XDG_RUNTIME_DIR")
            .map(PathBuf::from)
            .as_deref(),
    )
    .map_err(Stop::own)?;
    let mut spec = spec(args, &document, &added, &id, &name, &runtime_dir)?;
    // Before the first thread, so that no signal is lost between here and the wait.
    let signals = Signals::take().map_err(Stop::own)?;

    let mut compiled = inputs::compile(document);
    if let Some(rules) = rules {
        compiled = compiled.with_rules(rules);
    }
    let hash = compiled.hash().to_owned();
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
    attach(&data_plane, sandbox_id.clone(), &mut fence)?;
    let started = fence.go().map_err(launched)?;
    if !args.quiet {
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
    let first = PolicyVersion {
        version: 1,
        hash: Text::new(hash.as_bytes()),
    };
    reload::say(
        data_plane.records(),
        &sandbox_id,
        Event::PolicyLoaded(first),
    );
    let facts = facts(args, &files, (id, name), (hash, routes_count), &started);
    let board = board(&runtime_dir, facts);
    let runtime_dir = Arc::new(runtime_dir);
    let (reloading, board) = if files.paths().is_empty() {
        (None, board)
    } else {
        let reloading = Reloading::start(Reload {
            args: Arc::clone(args),
            files,
            sandbox: sandbox_id,
            created,
            snapshots: data_plane.snapshots().clone(),
            records: data_plane.records().clone(),
            runtime_dir: Arc::clone(&runtime_dir),
            board,
            version: 1,
            seen,
            said: None,
        })
        .map_err(Stop::own)?;
        (Some(reloading), None)
    };
    Ok((
        Running {
            fence,
            signals,
            reloading,
            _board: board,
            _runtime_dir: runtime_dir,
        },
        data_plane,
    ))
}

/// Shows the sandbox to `ringfence status`. One that cannot be shown runs all the same.
fn board(runtime_dir: &RuntimeDir, facts: Facts) -> Option<Board> {
    let base = runtime_dir.path().parent()?;
    match Board::hang(base, facts) {
        Ok(board) => Some(board),
        Err(error) => {
            print::message(format_args!(
                "warning: `ringfence status` will not show this sandbox: {error}"
            ));
            None
        }
    }
}

fn facts(
    args: &RunArgs,
    files: &Files,
    (id, name): (String, String),
    (hash, routes): (String, usize),
    started: &Started,
) -> Facts {
    let absolute = |path: &Path| {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        path.display().to_string()
    };
    let now = link::record::rfc3339(SystemTime::now());
    Facts {
        id,
        name,
        pid: std::process::id(),
        started: now.clone(),
        policy: PolicyFacts {
            file: files.document().map(absolute),
            version: 1,
            hash,
            loaded: now,
        },
        routes: RouteFacts {
            file: files.routes().map(absolute),
            count: routes,
        },
        reload_error: None,
        watch: args.watch,
        identity: match &started.connects {
            Connects::Observed => "notification".to_owned(),
            Connects::Unobserved(_) => "fallback".to_owned(),
        },
        landlock: LandlockFacts {
            state: started.landlock.as_str().to_owned(),
            skipped: started
                .skipped
                .iter()
                .map(|skipped| skipped.path.display().to_string())
                .collect(),
        },
    }
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

fn spec(
    args: &RunArgs,
    document: &PolicyDocument,
    added: &[String],
    id: &str,
    name: &str,
    runtime_dir: &RuntimeDir,
) -> Result<Spec, Stop> {
    let usage = |why: String| Stop { code: USAGE, why };
    let user = args
        .variables
        .iter()
        .map(|text| sandbox::user_entry(text, |name| std::env::var_os(name)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| usage(error.to_string()))?;
    let environment = Environment {
        id,
        name,
        runtime_dir: runtime_dir.path(),
        user: &user,
        providers: &[],
        hints: if args.no_inference_hints {
            Hints::LeaveOut
        } else {
            Hints::Set
        },
    };
    let workdir = match &args.workdir {
        Some(workdir) => {
            std::path::absolute(workdir).map_err(|error| usage(format!("--workdir: {error}")))?
        }
        None => std::env::current_dir()
            .map_err(|error| usage(format!("the current directory is gone: {error}")))?,
    };
    let (user, group) = identity(args, document);
    Ok(Spec {
        command: command(args),
        env: environment.build(std::env::vars_os()),
        workdir,
        filesystem: filesystem(document, added),
        compatibility: match document.landlock.compatibility {
            policy::document::Compatibility::BestEffort => sandbox::Compatibility::BestEffort,
            policy::document::Compatibility::HardRequirement => {
                sandbox::Compatibility::HardRequirement
            }
        },
        run_as_user: user,
        run_as_group: group,
        runtime_dir: runtime_dir.path().to_owned(),
        terminal: Terminal::of_stdin(),
        observe: Observe::Nothing("the data plane is not started".to_owned()),
    })
}

/// CLI-19: the flag wins over the policy.
fn identity(args: &RunArgs, document: &PolicyDocument) -> (Option<String>, Option<String>) {
    let named = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    match &args.user {
        Some(user) => match user.split_once(':') {
            Some((user, group)) => (named(user), named(group)),
            None => (named(user), None),
        },
        None => (
            named(&document.process.run_as_user),
            named(&document.process.run_as_group),
        ),
    }
}

fn command(args: &RunArgs) -> Vec<OsString> {
    if !args.command.is_empty() {
        return args.command.clone();
    }
    match std::env::var_os("RINGFENCE_SANDBOX_COMMAND").filter(|command| !command.is_empty()) {
        Some(command) => vec!["/bin/sh".into(), "-c".into(), command],
        None => vec!["/bin/bash".into()],
    }
}

fn filesystem(document: &PolicyDocument, added: &[String]) -> Filesystem {
    let Some(filesystem) = &document.filesystem else {
        return Filesystem::default();
    };
    // The restrictive default has no author: nobody who wrote `/tmp` meant the sockets in it.
    let mut restrictive = PolicyDocument::restrictive_default();
    restrictive.complete();
    let ours = restrictive.filesystem.as_ref() == Some(filesystem);
    let listed = |path: &policy::document::PolicyPath| {
        if ours || added.iter().any(|added| added == path.as_str()) {
            Listed::baseline(path.as_str())
        } else {
            Listed::author(path.as_str())
        }
    };
    Filesystem {
        read_only: filesystem.read_only.iter().map(listed).collect(),
        read_write: filesystem.read_write.iter().map(listed).collect(),
        include_workdir: filesystem.include_workdir,
    }
}

/// What the sandbox may know of its routes (ENV-4).
pub(crate) fn inference_file(routes: &Routes) -> InferenceFile {
    InferenceFile {
        url: "https://inference.local/v1".to_owned(),
        available: !routes.is_empty(),
        protocols: protocols(routes),
        model: routes.as_slice().first().map(|route| route.model.clone()),
        note: "no credential is needed; clients that insist on one accept any text".to_owned(),
    }
}

fn protocols(routes: &Routes) -> Vec<String> {
    let mut names: Vec<String> = routes
        .as_slice()
        .iter()
        .flat_map(|route| &route.protocols)
        .map(|protocol| protocol.as_str().to_owned())
        .collect();
    names.sort();
    names.dedup();
    names
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
        reloading,
        _board,
        _runtime_dir,
    } = running;
    let remote = fence.remote();
    let handle = signals.handle();
    let ask = reloading.as_ref().map(Reloading::asker);
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
    reloading.into_iter().for_each(Reloading::end);
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

    /// BAS-1, SBX-3
    #[test]
    fn only_what_a_policy_lists_is_its_authors() {
        let mut default = PolicyDocument::restrictive_default();
        let added = default.complete();
        let of_nobody = filesystem(&default, &added);
        let text = "version: 1\nfilesystem_policy: { read_write: [/tmp, /mine] }\n";
        let mut written = policy::parse(text, "policy.yaml").unwrap().document;
        let added = written.complete();
        let of_author = filesystem(&written, &added);
        let authored = |listed: &[Listed]| {
            let authors = listed
                .iter()
                .filter(|listed| listed.origin == sandbox::Origin::Author);
            authors
                .map(|listed| listed.path.display().to_string())
                .collect::<Vec<_>>()
        };
        assert!(!of_nobody.read_write.is_empty());
        assert_eq!(authored(&of_nobody.read_write), [""; 0]);
        assert_eq!(authored(&of_nobody.read_only), [""; 0]);
        assert_eq!(authored(&of_author.read_write), ["/tmp", "/mine"]);
    }

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
