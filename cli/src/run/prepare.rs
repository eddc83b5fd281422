//! What there is before anything is launched: the names, the policy that holds, and a data plane that judges by it.
//!
//! Apart from `run`, which says in which order a start goes. A gateway that has a record already is asked for nothing here.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use dataplane::{DataPlane, Snapshot};
use policy::custom::Rules;
use policy::{PolicyDocument, Routes, SandboxId};
use sandbox::RuntimeDir;

use super::gateway::Joined;
use super::{Stop, inference_file};
use crate::args::RunArgs;
use crate::inputs;
use crate::print::USAGE;
use crate::reload;

/// What a sandbox is called.
pub(super) struct Names {
    pub(super) name: String,
    /// No other run has it.
    pub(super) id: String,
    /// Its name, as the data plane takes it.
    pub(super) sandbox: SandboxId,
}

pub(super) fn names(args: &RunArgs) -> Result<Names, Stop> {
    let mut random = [0u8; 6];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
        .map_err(Stop::own)?;
    let id = random
        .iter()
        .fold("sb-".to_owned(), |id, byte| id + &format!("{byte:02x}"));
    let name = args.name.clone().unwrap_or_else(|| id.clone());
    let sandbox = SandboxId::new(&name).ok_or_else(|| Stop {
        code: USAGE,
        why: "--name takes 1 to 253 bytes without control characters".to_owned(),
    })?;
    Ok(Names { name, id, sandbox })
}

/// What a sandbox is launched with.
pub(super) struct Prepared {
    /// As its author wrote it.
    pub(super) created: PolicyDocument,
    /// With the baseline.
    pub(super) complete: PolicyDocument,
    /// What of the baseline was added.
    pub(super) added: Vec<String>,
    pub(super) runtime_dir: Arc<RuntimeDir>,
}

/// Everything up to a data plane that runs.
pub(super) fn prepare(
    args: &RunArgs,
    names: &Names,
    document: PolicyDocument,
    own_routes: Routes,
    joined: Option<&Joined>,
) -> Result<(Prepared, DataPlane), Stop> {
    let Decided {
        created,
        complete,
        added,
        rules,
    } = decide(args, document, joined)?;
    // Nothing is known before the gateway says it, unless a file says it already (DPL-5, RB-5).
    let is_file = args.routes.is_some() || args.model.is_some();
    let routes = (joined.is_none() || is_file).then(|| Arc::new(own_routes));
    let available = inference_file(&routes.as_ref().map(Arc::clone).unwrap_or_default());
    let runtime_dir = RuntimeDir::create(
        &names.id,
        std::env::var_os("XDG_RUNTIME_DIR")
            .map(PathBuf::from)
            .as_deref(),
    )
    .map_err(Stop::own)?;
    runtime_dir.write_inference(&available).map_err(Stop::own)?;

    let compiled = inputs::compile(complete.clone(), rules);
    let policies = HashMap::from([(names.sandbox.clone(), Arc::new(compiled))]);
    let data_plane = dataplane::start(dataplane::Config {
        limits: dataplane::Limits::default(),
        workers: 1,
        helpers: 2,
        rules_program: inputs::RULES_PROGRAM.into(),
        link: link::Config {
            record_file: args.record.clone(),
            ..link::Config::default()
        },
        snapshot: Snapshot { policies, routes },
        site: policy::Site::default(),
        trust: dataplane::Trust::OwnAuthority,
    })
    .map_err(Stop::own)?;
    let ca_pem = data_plane.ca_pem().map_err(Stop::own)?;
    runtime_dir.write_trust(ca_pem).map_err(Stop::own)?;
    runtime_dir.write_hosts().map_err(Stop::own)?;
    // What the gateway has is recorded when it says it.
    if joined.and_then(Joined::id).is_none() && !added.is_empty() {
        let event = reload::baseline_added(&added);
        reload::say(data_plane.records(), &names.sandbox, event);
    }
    let prepared = Prepared {
        created,
        complete,
        added,
        runtime_dir: Arc::new(runtime_dir),
    };
    Ok((prepared, data_plane))
}

/// The policy of a start.
struct Decided {
    /// As its author wrote it.
    created: PolicyDocument,
    /// With the baseline.
    complete: PolicyDocument,
    /// What of the baseline was added.
    added: Vec<String>,
    rules: Option<Rules>,
}

/// POL-10: what the gateway has wins over what this machine has.
fn decide(args: &RunArgs, own: PolicyDocument, joined: Option<&Joined>) -> Result<Decided, Stop> {
    let stored = joined.map_or(Ok(None), Joined::stored)?;
    let (created, stored_rules) = match stored {
        Some((stored, rules)) => {
            if let Some(joined) = joined {
                joined.compare(args, &own, &stored);
            }
            (stored, Some(rules))
        }
        None => (own, None),
    };
    let mut complete = created.clone();
    let added = complete.complete();
    let rules = match stored_rules {
        Some(rules) => rules,
        None => inputs::rules(args, &complete)?,
    };
    Ok(Decided {
        created,
        complete,
        added,
        rules,
    })
}
