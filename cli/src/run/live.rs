//! What goes on beside a running command: the policy that may change, and what `ringfence status` is shown.
//!
//! Apart from `run`, which starts and ends it, and from `reload` and `status`, which do it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use dataplane::DataPlane;
use link::record::{Event, PolicyVersion, Text};
use policy::{PolicyDocument, Routes, SandboxId};
use sandbox::{Connects, InferenceFile, RuntimeDir, Started};

use super::gateway::Later;
use crate::args::RunArgs;
use crate::inputs::Files;
use crate::print;
use crate::reload::{self, Contents, Reload, Reloading};
use crate::status::{Board, Facts, LandlockFacts, PolicyFacts, RouteFacts};

/// A sandbox whose command was started just now.
pub(super) struct Begun<'a> {
    pub(super) args: &'a Arc<RunArgs>,
    pub(super) files: Files,
    /// What the command may write.
    pub(super) writable: Vec<PathBuf>,
    /// What the files held before they were read.
    pub(super) seen: Contents,
    /// The policy as its author wrote it.
    pub(super) created: PolicyDocument,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) sandbox: SandboxId,
    pub(super) data_plane: &'a DataPlane,
    pub(super) runtime_dir: &'a Arc<RuntimeDir>,
    pub(super) started: &'a Started,
    /// Absent without a gateway.
    pub(super) gateway: Option<&'a Later>,
}

/// Lasts as long as the command.
pub(super) struct Live {
    /// Absent when there is no file to read again.
    reloading: Option<Reloading>,
    /// Shows the sandbox in `status`, unless `reloading` does.
    board: Option<Board>,
}

impl Live {
    /// Records the first policy, shows the sandbox, and waits for reasons to reload.
    pub(super) fn begin(begun: Begun<'_>) -> std::io::Result<Live> {
        let newest = begun.data_plane.snapshots().load();
        let in_force = newest.value.policies.get(&begun.sandbox);
        let hash = in_force.map_or("", |policy| policy.hash()).to_owned();
        let routes = newest.value.routes.as_ref();
        let first = PolicyVersion {
            version: 1,
            hash: Text::new(hash.as_bytes()),
        };
        let records = begun.data_plane.records();
        if begun.gateway.is_none() {
            reload::say(records, &begun.sandbox, Event::PolicyLoaded(first));
        }
        let count = routes.map_or(0, |routes| routes.as_slice().len());
        let board = hang(begun.runtime_dir, facts(&begun, hash, count));
        if let (Some(board), Some(gateway)) = (&board, begun.gateway) {
            gateway.shown(board);
        }
        if begun.files.paths().is_empty() {
            let reloading = None;
            return Ok(Live { reloading, board });
        }
        let reloading = Reloading::start(Reload {
            args: Arc::clone(begun.args),
            files: begun.files,
            writable: begun.writable,
            sandbox: begun.sandbox,
            created: begun.created,
            snapshots: begun.data_plane.snapshots().clone(),
            records: records.clone(),
            runtime_dir: Arc::clone(begun.runtime_dir),
            board,
            version: 1,
            seen: begun.seen,
            said: None,
        })?;
        Ok(Live {
            reloading: Some(reloading),
            board: None,
        })
    }

    /// A way to ask for a reload, when there is something to read again.
    pub(super) fn asker(&self) -> Option<impl Fn() + use<>> {
        self.reloading.as_ref().map(Reloading::asker)
    }

    /// Ends it all. The askers are gone by now.
    pub(super) fn end(self) {
        self.reloading.into_iter().for_each(Reloading::end);
        drop(self.board);
    }
}

/// Shows the sandbox to `ringfence status`. One that cannot be shown runs all the same.
fn hang(runtime_dir: &RuntimeDir, facts: Facts) -> Option<Board> {
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

fn facts(begun: &Begun<'_>, hash: String, routes: usize) -> Facts {
    let (files, started) = (&begun.files, begun.started);
    let absolute = |path: &Path| {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        path.display().to_string()
    };
    let now = link::record::rfc3339(SystemTime::now());
    Facts {
        id: begun.id.clone(),
        name: begun.name.clone(),
        pid: std::process::id(),
        started: now.clone(),
        policy: PolicyFacts {
            file: files.document().map(absolute),
            version: begun.gateway.map_or(1, Later::version),
            hash,
            loaded: now,
        },
        routes: RouteFacts {
            file: files.routes().map(absolute),
            count: routes,
        },
        gateway: begun.gateway.map(Later::facts),
        reload_error: None,
        watch: begun.args.watch,
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

/// What the sandbox may know of its routes (ENV-4).
pub(crate) fn inference_file(routes: &Routes) -> InferenceFile {
    InferenceFile {
        url: "https://inference.local/v1".to_owned(),
        available: !routes.as_slice().is_empty(),
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
