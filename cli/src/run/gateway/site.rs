//! What a gateway says, put in force for the one sandbox of a run.
//!
//! Apart from `link`, which decodes it, because only here is known which half of it counts: routes of a file win over the
//! gateway's (RB-5), and a policy must be one the running command can take (LIV-3). Invariants: one change is one snapshot;
//! what failed is said once; a sandbox that was deleted ends (GEN-7, SBX-8).

use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use dataplane::Snapshot;
use link::record::{Applied, Event, PolicyVersion, Revoked, StreamLost, Text};
use link::{Freshness, Served, ServedSandbox, Site, Standing, Stream};
use policy::custom::Rules;
use policy::{Policy, PolicyDocument, Routes, SandboxId};
use proto::v1::SandboxPolicy;
use sandbox::{Remote, RuntimeDir};

use super::clerk::Job;
use crate::inputs;
use crate::print;
use crate::reload;
use crate::run::inference_file;
use crate::status::{Board, GatewayFacts, Refused};

/// The one sandbox of a run, and how it is changed.
pub(super) struct RunSite {
    /// The id of its record.
    pub(super) record: String,
    pub(super) sandbox: SandboxId,
    /// The policy it was created with, as its author wrote it.
    pub(super) created: PolicyDocument,
    pub(super) routes_of: RoutesOf,
    pub(super) snapshots: link::Slot<Snapshot>,
    pub(super) records: link::Records,
    pub(super) later: Later,
    pub(super) jobs: SyncSender<Job>,
    pub(super) in_force: InForce,
}

/// Whose routes count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RoutesOf {
    /// `--routes` or `--model` (RB-5).
    File,
    Gateway,
}

/// What was put in force last, to tell what is new.
#[derive(Default)]
pub(super) struct InForce {
    policy: Option<Arc<Policy>>,
    version: u32,
    failed: Option<u32>,
    routes: Option<Arc<Routes>>,
    /// Why the gateway does not serve it; empty when it does.
    word: String,
}

/// What of a run is there only after a stream may have begun. Clones are the same.
#[derive(Clone)]
pub(in crate::run) struct Later(Arc<Shared>);

struct Shared {
    runtime_dir: Arc<RuntimeDir>,
    /// The gateway, for people.
    address: String,
    board: OnceLock<Board>,
    seen: Mutex<Seen>,
    command: Mutex<Command>,
}

/// What `status` is told as soon as it can be.
#[derive(Clone, Copy, Default)]
struct Seen {
    standing: Standing,
    version: u32,
    place: Host,
}

/// Where the gateway has the sandbox.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Host {
    #[default]
    Here,
    Elsewhere,
}

/// The command, as far as it has come.
enum Command {
    NotStarted,
    Runs(Remote),
    /// The sandbox was deleted: it must not run.
    Unwanted,
    /// It has ended, and what becomes of its sandbox now is nobody's business.
    Ended,
}

impl Later {
    pub(in crate::run) fn new(runtime_dir: &Arc<RuntimeDir>, address: String) -> Later {
        Later(Arc::new(Shared {
            runtime_dir: Arc::clone(runtime_dir),
            address,
            board: OnceLock::new(),
            seen: Mutex::default(),
            command: Mutex::new(Command::NotStarted),
        }))
    }

    /// The command runs. One whose sandbox was deleted meanwhile is ended.
    pub(in crate::run) fn started(&self, remote: Remote) {
        let mut command = self.command();
        match &*command {
            Command::Unwanted => remote.stop(),
            Command::NotStarted | Command::Runs(_) | Command::Ended => {
                *command = Command::Runs(remote);
            }
        }
    }

    /// The command has ended.
    pub(super) fn ended(&self) {
        *self.command() = Command::Ended;
    }

    /// The sandbox is shown in `status`, from now on with all that changes.
    pub(in crate::run) fn shown(&self, board: &Board) {
        drop(self.0.board.set(board.clone()));
        // What came between the facts and the board.
        self.show_link();
    }

    /// How it stands with the gateway.
    pub(in crate::run) fn facts(&self) -> GatewayFacts {
        let Seen { standing, .. } = self.seen();
        GatewayFacts {
            address: self.0.address.clone(),
            connected: standing.stream == Stream::Up,
            generation: standing.generation,
            stale: standing.freshness == Freshness::Stale,
        }
    }

    /// The version in force; 1 before the gateway says one, as it will be the first.
    pub(in crate::run) fn version(&self) -> u64 {
        self.seen().version.max(1).into()
    }

    fn seen(&self) -> Seen {
        *self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn see(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.0.seen.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn show_link(&self) {
        if let Some(board) = self.0.board.get() {
            let gateway = Some(self.facts());
            board.change(|facts| facts.gateway = gateway);
        }
    }

    /// Whether the gateway said that another host has the sandbox.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.seen().place == Host::Elsewhere
    }

    /// Ends the command, now or as soon as it has begun.
    fn stop(&self, why: impl std::fmt::Display) {
        let mut command = self.command();
        match &*command {
            Command::Unwanted | Command::Ended => return,
            Command::Runs(remote) => remote.stop(),
            Command::NotStarted => {}
        }
        print::message(why);
        *command = Command::Unwanted;
    }

    fn command(&self) -> std::sync::MutexGuard<'_, Command> {
        self.0
            .command
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Site for RunSite {
    fn check_rules(&self, rules: &Rules) -> Result<(), String> {
        inputs::check(rules)
    }

    fn takes(&self, sandbox_id: &str, written: &PolicyDocument) -> Result<(), String> {
        if sandbox_id != self.record {
            return Ok(());
        }
        let changes = match policy::update(&self.created, written) {
            Ok(_) => return Ok(()),
            Err(changes) => changes.into_iter(),
        };
        let lines: Vec<_> = changes
            .map(|change| format!("{}: {}", change.path, change.message))
            .collect();
        Err(lines.join("\n"))
    }

    fn apply(&mut self, served: &Served) {
        let ours = served.sandboxes.get(&self.record);
        let word = ours.map_or("", |ours| &ours.error_code);
        // Said of a sandbox that was deleted while nobody could be told.
        if served.removed.contains(&self.record) || word == UNKNOWN {
            self.later
                .stop("the sandbox was deleted at the gateway; its processes are ended");
            return;
        }
        self.tell_word(word);
        let policy = ours.and_then(|ours| ours.policy.as_ref());
        let routes = (self.routes_of == RoutesOf::Gateway).then_some(&served.routes);
        self.snapshots.update(|newest| {
            let mut next = newest.clone();
            if let Some(policy) = policy {
                next.policies
                    .insert(self.sandbox.clone(), Arc::clone(policy));
            }
            if let Some(routes) = routes {
                next.routes = Some(Arc::clone(routes));
            }
            next
        });
        if let Some(ours) = ours {
            self.tell_policy(ours);
        }
        if let Some(routes) = routes {
            self.tell_routes(routes);
            for provider in &served.revoked {
                let provider = provider.as_ref();
                self.record(Event::ProviderRevoked(Revoked {
                    provider: provider.map(|provider| Text::new(provider.as_bytes())),
                    generation: served.generation,
                }));
            }
        }
        let count = self.snapshots.load();
        let count = count
            .value
            .routes
            .as_ref()
            .map_or(0, |all| all.as_slice().len());
        self.record(Event::SnapshotApplied(Applied {
            generation: served.generation,
            routes: count,
            sandboxes: 1,
        }));
        if let Some(board) = self.later.0.board.get() {
            board.change(|facts| facts.routes.count = count);
        }
    }

    fn link_changed(&mut self, standing: Standing) {
        self.later.see(|seen| seen.standing = standing);
        self.later.show_link();
    }

    fn stream_lost(&mut self, why: &str, retry: Duration) {
        self.record(Event::StreamLost(StreamLost {
            error: Text::new(why.as_bytes()),
            retry,
        }));
    }
}

impl RunSite {
    /// Whether the command that runs could have been started by this policy: its files, its user and its Landlock rules
    /// are those of the policy it was started with. None fits always.
    ///
    /// # Errors
    /// Which section differs.
    pub(super) fn fits(&self, stored: Option<&SandboxPolicy>) -> Result<(), String> {
        let Some(stored) = stored else {
            return Ok(());
        };
        let mut stored = policy_proto::document(stored)
            .map_err(|faults| faults.to_string())?
            .document;
        let mut created = self.created.clone();
        stored.complete();
        created.complete();
        let sections = [
            ("filesystem_policy", stored.filesystem == created.filesystem),
            ("landlock", stored.landlock == created.landlock),
            ("process", stored.process == created.process),
        ];
        match sections.into_iter().find(|(_, is_same)| !is_same) {
            None => Ok(()),
            Some((section, _)) => Err(section.to_owned()),
        }
    }

    /// Ends a command that was started by another policy than the gateway has.
    pub(super) fn unfit(&self, section: &str) {
        self.later.stop(format_args!(
            "the gateway has a policy of this sandbox that says otherwise in `{section}` than what its command was started with; its processes are ended. Start it again"
        ));
    }

    /// Records and shows what became of the policy, when something did.
    fn tell_policy(&mut self, ours: &ServedSandbox) {
        let before = &mut self.in_force;
        let is_new = match (&before.policy, &ours.policy) {
            (Some(before), Some(now)) => !Arc::ptr_eq(before, now),
            (None, Some(_)) => true,
            (_, None) => false,
        };
        let is_renumbered = before.version != ours.version && ours.policy.is_some();
        let failed = ours.failed.as_ref().map(|(version, _)| *version);
        let has_failed = before.failed != failed && failed.is_some();
        before.failed = failed;
        before.version = ours.version;
        before.policy.clone_from(&ours.policy);
        let hash = ours.policy.as_ref().map_or("", |policy| policy.hash());
        let version = || PolicyVersion {
            version: ours.version.into(),
            hash: Text::new(hash.as_bytes()),
        };
        if is_new || is_renumbered {
            self.later.see(|seen| seen.version = ours.version);
            self.record(Event::PolicyLoaded(version()));
            self.show(ours, hash);
        }
        if is_new && !ours.added.is_empty() {
            self.record(reload::baseline_added(&ours.added));
            self.write_back(ours);
        }
        if let Some((failed, why)) = ours.failed.as_ref().filter(|_| has_failed) {
            print::message(format_args!(
                "version {failed} of the policy cannot be used, what was in force stays:\n{why}"
            ));
            self.record(Event::PolicyFailed(version(), Text::new(why.as_bytes())));
            if let Some(board) = self.later.0.board.get() {
                board.change(|facts| {
                    facts.reload_error = Some(Refused {
                        at: link::record::rfc3339(SystemTime::now()),
                        error: why.clone(),
                    });
                });
            }
        }
    }

    fn show(&self, ours: &ServedSandbox, hash: &str) {
        if let Some(board) = self.later.0.board.get() {
            board.change(|facts| {
                facts.reload_error = None;
                facts.policy.file = None;
                facts.policy.version = ours.version.into();
                hash.clone_into(&mut facts.policy.hash);
                facts.policy.loaded = link::record::rfc3339(SystemTime::now());
            });
        }
    }

    /// What keeps the gateway from serving this sandbox.
    fn tell_word(&mut self, word: &str) {
        if word != self.in_force.word {
            word.clone_into(&mut self.in_force.word);
            match word {
                "" => {}
                ELSEWHERE => {
                    self.later.see(|seen| seen.place = Host::Elsewhere);
                    print::message(
                        "warning: the sandbox of this name belongs to another host and is not served here",
                    );
                }
                other => print::message(format_args!(
                    "warning: the gateway does not serve this sandbox: {other}"
                )),
            }
        }
    }

    /// BAS-3: what had to be completed here is stored complete.
    fn write_back(&self, ours: &ServedSandbox) {
        let Some(policy) = &ours.policy else {
            return;
        };
        let mut message = policy_proto::message(policy.document());
        message.rego = ours.rego.to_string();
        // One that finds the clerk busy is written at the next start.
        drop(self.jobs.try_send(Job::WriteBack(Box::new(message))));
    }

    /// What the sandbox may know of its routes (ENV-4).
    fn tell_routes(&mut self, routes: &Arc<Routes>) {
        let before = self.in_force.routes.replace(Arc::clone(routes));
        if before.is_some_and(|before| Arc::ptr_eq(&before, routes)) {
            return;
        }
        let dir = &self.later.0.runtime_dir;
        if let Err(error) = dir.write_inference(&inference_file(routes)) {
            print::message(format_args!("warning: {error}"));
        }
    }

    fn record(&self, event: Event) {
        reload::say(&self.records, &self.sandbox, event);
    }
}

/// A gateway's words on a sandbox that it does not serve.
const UNKNOWN: &str = "sandbox_unknown";
const ELSEWHERE: &str = "sandbox_elsewhere";
