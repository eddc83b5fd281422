//! The versions of a sandbox's policy: how one comes, what a data plane says of it, which one is served (LIV).
//!
//! Apart from `sandbox`, which owns them, and from `policy/check`, which says whether a policy may be one. Pure: state in,
//! changes out.
//!
//! ```text
//!  submit ─► PENDING ─┬─► LOADED ────────► SUPERSEDED   when a newer one is LOADED
//!                     ├─► FAILED
//!                     └─► SUPERSEDED                    when a newer one is stored
//! ```
//! A data plane that starts anew reports again, so FAILED and SUPERSEDED may still become LOADED, and LOADED become FAILED.
//!
//! Invariants: versions are consecutive; at most one is LOADED, and a late report never puts an older one in its place;
//! served is the highest that is not FAILED; what is stored is complete (BAS-3).

mod check;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use proto::v1;
use proto::v1::PolicyStatus;

use crate::clamp::clamp;
use crate::model::{Change, Revision, State};
use crate::page::page;
use crate::refused::Refused;

/// What became of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The version that holds it: a new one, or the newest where that says the same (LIV-6).
    pub version: u32,
    /// LIV-5.
    pub hash: String,
    /// What is worth a look, and faults that the version in force already has (LIV-2).
    pub warnings: Vec<String>,
}

/// Stores a policy as the next version of a sandbox's, completed (BAS-3).
///
/// Of `rego` only the length is looked at: reading a hostile text may take for ever, so the caller has it checked in a
/// process of its own, and a text that does not compile is FAILED by the data plane otherwise.
///
/// # Errors
/// `Invalid` with everything that is wrong (LIV-2) and everything a live sandbox cannot change (LIV-3).
pub fn submit(
    state: &State,
    sandbox: &v1::Sandbox,
    given: &v1::SandboxPolicy,
    now_ms: i64,
) -> Result<(Vec<Change>, Submitted), Refused> {
    let revisions = state.revisions_of(&sandbox.id);
    let in_force = served(state, &sandbox.id);
    let created = at_creation(revisions, sandbox);
    let accepted = check::check(
        created.as_deref(),
        in_force.map(|revision| &*revision.policy),
        given,
    )
    .map_err(|faults| Refused::Invalid(faults.to_string()))?;
    let warnings = accepted.warnings.iter().map(ToString::to_string).collect();
    if let Some(same) = in_force.filter(|revision| revision.hash == accepted.hash) {
        let unchanged = Submitted {
            version: same.version,
            hash: accepted.hash,
            warnings,
        };
        return Ok((Vec::new(), unchanged));
    }
    let newest = revisions.last().map_or(0, |revision| revision.version);
    let version = newest.checked_add(1).ok_or_else(|| {
        Refused::Precondition(format!("sandbox `{}` has no versions left", sandbox.name))
    })?;
    let overtaken = revisions
        .iter()
        .filter(|revision| revision.status == PolicyStatus::Pending)
        .map(|revision| with_status(revision, PolicyStatus::Superseded));
    let mut changes: Vec<Change> = overtaken.collect();
    changes.push(Change::PutRevision(Arc::new(Revision {
        sandbox_id: sandbox.id.clone(),
        version,
        policy: Arc::new(accepted.policy),
        hash: accepted.hash.clone(),
        status: PolicyStatus::Pending,
        load_error: String::new(),
        created_at_ms: now_ms,
        loaded_at_ms: 0,
    })));
    changes.extend(outdated(revisions, in_force));
    let submitted = Submitted {
        version,
        hash: accepted.hash,
        warnings,
    };
    Ok((changes, submitted))
}

/// Takes what a host writes back: the policy in force, which it had to complete (BAS-3), or the first one of a sandbox
/// that has none (POL-10). A host decides nothing, so anything else is refused (TR-110).
///
/// # Errors
/// `Forbidden` for another policy than the one in force; as [`submit`].
pub fn write_back(
    state: &State,
    sandbox: &v1::Sandbox,
    given: &v1::SandboxPolicy,
    now_ms: i64,
) -> Result<(Vec<Change>, Submitted), Refused> {
    let adds_only = match served(state, &sandbox.id) {
        Some(in_force) => match (check::completed(&in_force.policy), check::completed(given)) {
            (Some(in_force), Some(given)) => in_force == given,
            (None, _) | (_, None) => false,
        },
        None => state.revisions_of(&sandbox.id).is_empty(),
    };
    if !adds_only {
        return Err(Refused::Forbidden(format!(
            "a host may complete the policy of sandbox `{}`, and not change it",
            sandbox.name
        )));
    }
    submit(state, sandbox, given, now_ms)
}

/// Notes what a data plane says of a version (LIV-7, LIV-9). Without news there are no changes.
///
/// # Errors
/// `Invalid` for another status than LOADED and FAILED, and for version 0; `NotFound` for a version or sandbox that is not
/// there.
pub fn report(
    state: &State,
    sandbox_id: &str,
    version: u32,
    status: PolicyStatus,
    load_error: &str,
    now_ms: i64,
) -> Result<Vec<Change>, Refused> {
    if version == 0 {
        return Err(Refused::Invalid("version: must be at least 1".to_owned()));
    }
    let revisions = state.revisions_of(sandbox_id);
    let reported = revisions
        .iter()
        .find(|revision| revision.version == version)
        .ok_or_else(|| unknown(version));
    match status {
        PolicyStatus::Loaded => Ok(loaded(revisions, reported?, now_ms)),
        PolicyStatus::Failed => Ok(failed(reported?, load_error)),
        PolicyStatus::Unspecified | PolicyStatus::Pending | PolicyStatus::Superseded => Err(
            Refused::Invalid("status: only LOADED and FAILED can be reported".to_owned()),
        ),
    }
}

/// The version a data plane is sent: the highest that is not FAILED (LIV-8).
pub fn served<'s>(state: &'s State, sandbox_id: &str) -> Option<&'s Arc<Revision>> {
    let revisions = state.revisions_of(sandbox_id).iter();
    revisions
        .rev()
        .find(|revision| revision.status != PolicyStatus::Failed)
}

/// The version that is LOADED; 0 before any is.
pub fn active_version(state: &State, sandbox_id: &str) -> u32 {
    let revisions = state.revisions_of(sandbox_id).iter();
    revisions
        .filter(|revision| revision.status == PolicyStatus::Loaded)
        .map(|revision| revision.version)
        .max()
        .unwrap_or(0)
}

/// One version of a sandbox's policy; 0 is the newest.
///
/// # Errors
/// `NotFound` for a version that is not there, or not any more.
pub fn revision<'s>(
    state: &'s State,
    sandbox: &v1::Sandbox,
    version: u32,
) -> Result<&'s Arc<Revision>, Refused> {
    let revisions = state.revisions_of(&sandbox.id);
    match version {
        0 => revisions
            .last()
            .ok_or_else(|| Refused::NotFound(format!("sandbox `{}` has no policy", sandbox.name))),
        version => revisions
            .iter()
            .find(|revision| revision.version == version)
            .ok_or_else(|| unknown(version)),
    }
}

/// The versions of a sandbox's policy, newest first. A limit of 0 is 100; more than 1,000 is 1,000.
pub fn list(state: &State, sandbox_id: &str, limit: u32, offset: u32) -> Vec<Arc<Revision>> {
    let revisions = state.revisions_of(sandbox_id).iter();
    page(revisions.rev().cloned(), limit, offset)
}

/// The policy a sandbox was created with: the measure of what may change (LIV-3). None before there is any.
fn at_creation<'s>(
    revisions: &'s [Arc<Revision>],
    sandbox: &'s v1::Sandbox,
) -> Option<Cow<'s, v1::SandboxPolicy>> {
    let first = &revisions.first()?.policy;
    let given = sandbox.spec.as_ref().and_then(|spec| spec.policy.as_ref());
    if let Some(given) = given {
        return Some(Cow::Borrowed(given));
    }
    // Version 1 is complete, whether or not its author wrote a section of files. Where nothing but what everybody has is
    // in it, nobody did, and the next one may leave it out, too.
    if first.filesystem == check::baseline() {
        let mut first = v1::SandboxPolicy::clone(first);
        first.filesystem = None;
        return Some(Cow::Owned(first));
    }
    Some(Cow::Borrowed(first))
}

fn loaded(revisions: &[Arc<Revision>], reported: &Arc<Revision>, now_ms: i64) -> Vec<Change> {
    let is_loaded = |revision: &&Arc<Revision>| revision.status == PolicyStatus::Loaded;
    let in_force: Vec<_> = revisions.iter().filter(is_loaded).collect();
    // As new as this one or newer: the report is late, or says nothing new.
    if in_force
        .iter()
        .any(|revision| revision.version >= reported.version)
    {
        return Vec::new();
    }
    let older = in_force.into_iter();
    let older = older.map(|revision| with_status(revision, PolicyStatus::Superseded));
    let now_loaded = Change::PutRevision(Arc::new(Revision {
        status: PolicyStatus::Loaded,
        load_error: String::new(),
        loaded_at_ms: now_ms,
        ..Revision::clone(reported)
    }));
    older.chain([now_loaded]).collect()
}

fn failed(reported: &Arc<Revision>, load_error: &str) -> Vec<Change> {
    // LIV-8: it is reported once; what comes after adds nothing.
    if reported.status == PolicyStatus::Failed {
        return Vec::new();
    }
    vec![Change::PutRevision(Arc::new(Revision {
        status: PolicyStatus::Failed,
        load_error: clamp(load_error, LOAD_ERROR_BYTES_MAX).to_owned(),
        ..Revision::clone(reported)
    }))]
}

/// What is removed when another version comes: the oldest ones, but for the first, the one in force and the one loaded.
fn outdated<'s>(
    revisions: &'s [Arc<Revision>],
    in_force: Option<&'s Arc<Revision>>,
) -> impl Iterator<Item = Change> + 's {
    let excess = (revisions.len() + 1).saturating_sub(REVISIONS_MAX);
    let kept = in_force.map(|revision| revision.version);
    revisions
        .iter()
        .filter(move |revision| match revision.status {
            PolicyStatus::Superseded | PolicyStatus::Failed => {
                revision.version != 1 && Some(revision.version) != kept
            }
            PolicyStatus::Unspecified | PolicyStatus::Pending | PolicyStatus::Loaded => false,
        })
        .take(excess)
        .map(|revision| Change::RemoveRevision {
            sandbox_id: revision.sandbox_id.clone(),
            version: revision.version,
        })
}

fn with_status(revision: &Arc<Revision>, status: PolicyStatus) -> Change {
    Change::PutRevision(Arc::new(Revision {
        status,
        ..Revision::clone(revision)
    }))
}

fn unknown(version: u32) -> Refused {
    Refused::NotFound(format!("there is no version {version} of the policy"))
}

/// How many versions of a policy are kept.
const REVISIONS_MAX: usize = 1_000;

/// How much of a data plane's message is kept (TR-110).
const LOAD_ERROR_BYTES_MAX: usize = 4_096;
