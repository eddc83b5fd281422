//! Policy and routes of a running sandbox, read again: whole or not at all (LIV-11, RTE-11).
//!
//! Apart from `run` because it goes on while the command runs, on a thread of its own. Invariants: all files of one
//! reload are put in force as one snapshot, or none is and what was in force stays; what was fixed at the start stays
//! as it was (LIV-3); an error is said once, and shown by `ringfence status` until a reload succeeds.

#[cfg(test)]
mod tests;
mod watch;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::SystemTime;

use dataplane::Snapshot;
use link::record::{Applied, Event, PolicyVersion, Record, Stage, Text};
use policy::{Policy, PolicyDocument, Problem, Problems, Routes, SandboxId};
use sandbox::RuntimeDir;

use crate::args::RunArgs;
use crate::inputs::{self, Again, Files};
use crate::print;
use crate::run::inference_file;
use crate::status::{Board, Facts, Refused};

use watch::Watch;

/// What a reload needs to know, and what it acts on.
pub(crate) struct Reload {
    pub(crate) args: Arc<RunArgs>,
    pub(crate) files: Files,
    /// What the command may write: no file in it says what the command may do.
    pub(crate) writable: Vec<PathBuf>,
    pub(crate) sandbox: SandboxId,
    /// The policy the sandbox was created with, as its author wrote it (LIV-3).
    pub(crate) created: PolicyDocument,
    pub(crate) snapshots: link::Slot<Snapshot>,
    pub(crate) records: link::Records,
    pub(crate) runtime_dir: Arc<RuntimeDir>,
    /// Absent when it could not be hung out.
    pub(crate) board: Option<Board>,
    /// Counts policies, from 1 (LIV-1).
    pub(crate) version: u64,
    /// What the files held when they were read last, for [`Why::Changed`].
    pub(crate) seen: Contents,
    /// The error that was said last, and what the files held then.
    pub(crate) said: Option<(Contents, String)>,
}

/// Why the files are read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Somebody asks: SIGHUP.
    Asked,
    /// Something happened to them; what they hold may be the same.
    Changed,
}

/// A fingerprint of what files hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contents(u64);

impl Contents {
    /// Reads the files, each up to more than what may be in one.
    pub(crate) fn of(files: &Files) -> Contents {
        let mut state = DefaultHasher::new();
        for path in files.paths() {
            match regular(&path).and_then(|file| {
                let mut bytes = Vec::new();
                file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
                Ok(bytes)
            }) {
                Ok(bytes) => (1u8, bytes).hash(&mut state),
                Err(error) => (0u8, error.to_string()).hash(&mut state),
            }
        }
        Contents(state.finish())
    }
}

/// Opens a file that can be read twice; a pipe cannot, and would be waited for.
fn regular(path: &Path) -> std::io::Result<std::fs::File> {
    let about = std::fs::metadata(path)?;
    if !about.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    std::fs::File::open(path)
}

/// Whether the command can change none of the files, nor a link that leads to one. Judged by what it was granted,
/// without a look at owners and modes, which it may be able to change.
///
/// # Errors
/// The file and the grant.
pub(crate) fn out_of_reach(files: &Files, writable: &[PathBuf]) -> Result<(), String> {
    for file in files.paths() {
        let mut touched = watch::looked_in(&file);
        touched.extend(std::fs::canonicalize(&file).ok());
        for grant in writable {
            let resolved = std::fs::canonicalize(grant).ok();
            let grants = [Some(grant), resolved.as_ref()];
            let mut reached = grants.into_iter().flatten();
            if reached.any(|grant| touched.iter().any(|path| path.starts_with(grant))) {
                return Err(format!(
                    "{}: is not read again, because the command may write in {}; move it to where it may not",
                    file.display(),
                    grant.display()
                ));
            }
        }
    }
    Ok(())
}

/// The thread that reloads, and the one that watches.
pub(crate) struct Reloading {
    watch: Option<Watch>,
    ask: SyncSender<Why>,
    thread: JoinHandle<()>,
}

impl Reloading {
    /// Starts to wait for reasons to reload.
    pub(crate) fn start(mut reload: Reload) -> std::io::Result<Reloading> {
        let (ask, asked): (_, Receiver<Why>) = sync_channel(REASONS_MAX);
        let watched = reload.args.watch.then(|| reload.files.paths());
        let changed = ask.clone();
        let watch = watched
            .map(|files| Watch::start(files, move || _ = changed.try_send(Why::Changed)))
            .transpose()?;
        let thread = std::thread::Builder::new()
            .name("reload".to_owned())
            .spawn(move || {
                while let Ok(why) = asked.recv() {
                    reload.run(why);
                }
            })?;
        Ok(Reloading { watch, ask, thread })
    }

    /// A way to ask. A question that finds others waiting is answered with them.
    pub(crate) fn asker(&self) -> impl Fn() + use<> {
        let ask = self.ask.clone();
        move || _ = ask.try_send(Why::Asked)
    }

    /// Ends both threads. The askers are gone by now.
    pub(crate) fn end(self) {
        drop(self.watch);
        drop(self.ask);
        drop(self.thread.join());
    }
}

impl Reload {
    fn run(&mut self, why: Why) {
        let contents = Contents::of(&self.files);
        if why == Why::Changed && contents == self.seen {
            return;
        }
        self.seen = contents;
        match self.read() {
            Ok(again) => self.apply(again),
            Err(error) => self.refuse(contents, error),
        }
    }

    /// Everything the files say, as far as a running sandbox can take it.
    fn read(&self) -> Result<Again, String> {
        for path in self.files.paths() {
            regular(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        }
        out_of_reach(&self.files, &self.writable)?;
        let again = inputs::again(&self.args, &self.files)?;
        let written = again.policy.as_ref().map(|policy| &policy.written);
        if let Some(written) = written
            && let Err(changes) = policy::update(&self.created, written)
        {
            let file = self.files.document().unwrap_or(Path::new("policy"));
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let findings = changes
                .into_iter()
                .map(|change| (change.path, change.message));
            return Err(Problems::about(&text, &file.display().to_string(), findings).to_string());
        }
        Ok(again)
    }

    /// Puts all of it in force.
    fn apply(&mut self, again: Again) {
        let newest = self.snapshots.load();
        let before = newest.value.policies.get(&self.sandbox);
        let policy = again.policy.map(|again| {
            let policy = replacement(again.compiled, before);
            if before.is_none_or(|before| before.hash() != policy.hash()) {
                self.version += 1;
                self.warn(&again.warnings);
            }
            policy
        });
        let routes = again.routes.map(|routes| {
            let before = newest.value.routes.as_ref().map(Arc::clone);
            Arc::new(routes.in_place_of(&before.unwrap_or_default()))
        });
        // A gateway may put the other half in force at the same time.
        let generation = self.snapshots.update(|newest| {
            let mut next = newest.clone();
            if let Some(policy) = &policy {
                next.policies
                    .insert(self.sandbox.clone(), Arc::clone(policy));
            }
            if let Some(routes) = &routes {
                next.routes = Some(Arc::clone(routes));
            }
            next
        });
        self.said = None;
        if let Some(policy) = &policy {
            self.record(Event::PolicyLoaded(PolicyVersion {
                version: self.version,
                hash: Text::new(policy.hash().as_bytes()),
            }));
        }
        let newest = self.snapshots.load();
        let routes = newest.value.routes.as_ref().map(Arc::clone);
        let routes = routes.unwrap_or_default();
        self.record(Event::SnapshotApplied(Applied {
            generation: generation.number(),
            routes: routes.as_slice().len(),
            sandboxes: newest.value.policies.len(),
        }));
        self.tell_inside(&routes);
        let version = self.version;
        self.show(|facts| {
            facts.reload_error = None;
            if let Some(policy) = policy {
                facts.policy.version = version;
                facts.policy.hash = policy.hash().to_owned();
                facts.policy.loaded = link::record::rfc3339(SystemTime::now());
            }
            facts.routes.count = routes.as_slice().len();
        });
    }

    /// What the sandbox may know of its routes (ENV-4).
    fn tell_inside(&self, routes: &Routes) {
        if let Err(error) = self.runtime_dir.write_inference(&inference_file(routes)) {
            print::message(format_args!("warning: {error}"));
        }
    }

    fn warn(&self, warnings: &[Problem]) {
        if !self.args.quiet {
            for warning in warnings {
                print::message(format_args!("warning: {warning}"));
            }
        }
    }

    /// Says why nothing changed, unless that was said of these very files.
    fn refuse(&mut self, contents: Contents, error: String) {
        let error = (contents, error);
        if self.said.as_ref() == Some(&error) {
            return;
        }
        let (_, text) = &error;
        print::message(format_args!(
            "not reloaded, what was in force stays:\n{text}"
        ));
        let newest = self.snapshots.load();
        let in_force = newest.value.policies.get(&self.sandbox);
        let version = PolicyVersion {
            version: self.version,
            hash: Text::new(in_force.map_or("", |policy| policy.hash()).as_bytes()),
        };
        self.record(Event::PolicyFailed(version, Text::new(text.as_bytes())));
        self.show(|facts| {
            facts.reload_error = Some(Refused {
                at: link::record::rfc3339(SystemTime::now()),
                error: text.clone(),
            });
        });
        self.said = Some(error);
    }

    /// Shows what changed to `ringfence status`.
    fn show(&self, change: impl FnOnce(&mut Facts)) {
        if let Some(board) = &self.board {
            board.change(change);
        }
    }

    fn record(&self, event: Event) {
        say(&self.records, &self.sandbox, event);
    }
}

/// What a policy lacked (BAS-3).
pub(crate) fn baseline_added(paths: &[String]) -> Event {
    let paths = paths.iter().map(|path| Text::new(path.as_bytes()));
    Event::BaselineAdded(paths.collect())
}

/// Records what is no request's.
pub(crate) fn say(records: &link::Records, sandbox: &SandboxId, event: Event) {
    records.push(Record {
        at: SystemTime::now(),
        sandbox_id: Text::new(sandbox.as_str().as_bytes()),
        request_id: None,
        stage: Stage::Load,
        event,
    });
}

/// The policy that was read, or the one in force where both are the same and asking anew costs a process: own rules
/// are prepared once. A table is compiled anew even then: the links it speaks of may lead elsewhere now (IDN-8).
fn replacement(read: Policy, before: Option<&Arc<Policy>>) -> Arc<Policy> {
    match before {
        Some(before) if read.rules().is_some() && read.hash() == before.hash() => {
            Arc::clone(before)
        }
        Some(_) | None => Arc::new(read),
    }
}

/// Reasons that may wait; a further one is answered by those that do.
const REASONS_MAX: usize = 4;

/// Larger than any file that is accepted.
const FILE_BYTES_MAX: u64 = 16 << 20;
