//! What data planes ask and say: their stream, their reports, and the credentials of their sandboxes (RPC-2, DPL).
//!
//! Invariant: what a host says moves the state of sandboxes that are bound to exactly the host id it speaks for, and
//! nothing else; the rest of a report is dropped without a word, because a sandbox may have been deleted meanwhile.

use proto::v1;
use proto::v1::SandboxSnapshot;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::auth::Caller;
use super::{Api, reached};
use crate::engine::{ChangeError, now_ms};
use crate::fleet::push::{self, Subscription};
use crate::model::{Change, State};
use crate::policy;
use crate::provider;
use crate::refused::Refused;
use crate::sandbox::{self, ClaimError};

/// Binds what the host claims, then pushes from the generation in which that holds: what is committed between is in the
/// first message or in a later one (TR-105).
pub(super) async fn subscribe(
    api: &Api,
    caller: &Caller,
    asked: v1::SubscribeRequest,
) -> Result<ReceiverStream<Result<v1::Snapshot, Status>>, Status> {
    check(caller, &asked.host_id)?;
    let claim = |state: &State, _| {
        let (mut changes, claimed) = sandbox::claim(state, &asked.host_id, &asked.sandbox_ids);
        changes.extend(overtake(state, asked.applied_generation)?);
        Ok::<_, Refused>((changes, claimed))
    };
    let (mut claimed, mut from) = api.change(claim).await?;
    if claimed
        .refused
        .iter()
        .any(|(_, why)| *why == ClaimError::Unknown)
    {
        // Another gateway may have made it a moment ago.
        api.engine
            .refresh()
            .await
            .map_err(ChangeError::<Refused>::Store)?;
        (claimed, from) = api.change(claim).await?;
    }
    let refused = claimed.refused.into_iter();
    let refused = refused.map(|(sandbox_id, why)| SandboxSnapshot {
        sandbox_id,
        error_code: why.code().to_owned(),
        ..SandboxSnapshot::default()
    });
    let subscription = Subscription {
        host_id: asked.host_id,
        applied: asked.applied_generation,
        from,
        refused: refused.collect(),
    };
    Ok(push::start(
        &api.fleet,
        subscription,
        &api.limits,
        api.draining.clone(),
    ))
}

/// A store that was put back from a backup is behind its hosts, and they refuse what is older than what they have (DPL-3):
/// then generations go on after theirs. What a host says moves that number, and nothing else.
fn overtake(state: &State, applied: u64) -> Result<Option<Change>, Refused> {
    if applied <= state.generation {
        return Ok(None);
    }
    if applied > APPLIED_MAX {
        return Err(Refused::Invalid(format!(
            "applied_generation: must not be above {APPLIED_MAX}"
        )));
    }
    Ok(Some(Change::AdvanceTo(applied + 1)))
}

pub(super) async fn report(
    api: &Api,
    caller: &Caller,
    asked: v1::ReportRequest,
) -> Result<v1::ReportResponse, Status> {
    check(caller, &asked.host_id)?;
    api.fleet.applied(&asked.host_id, asked.applied_generation);
    let Some(share) = api.fleet.share(&asked.host_id) else {
        return Ok(v1::ReportResponse {});
    };
    api.fleet.routes_told(&asked.host_id, asked.routes);
    let own = |sandbox_id: &str| share.contains_key(sandbox_id);
    // Why: a report is bounded by what it can be about. The newest come last, and win.
    let entries_max = share.len() * ENTRIES_PER_SANDBOX;
    let mut policies = asked.policies;
    policies.retain(|policy| own(&policy.sandbox_id));
    policies.drain(..policies.len().saturating_sub(entries_max));
    let mut sandboxes = asked.sandboxes;
    sandboxes.retain(|sandbox| own(&sandbox.sandbox_id));
    sandboxes.drain(..sandboxes.len().saturating_sub(entries_max));
    if !policies.is_empty() || !sandboxes.is_empty() {
        let host_id = &asked.host_id;
        let note = |state: &State, now_ms| {
            let changes = noted(state, host_id, &policies, &sandboxes, now_ms);
            Ok::<_, Refused>((changes, ()))
        };
        api.change(note).await?;
    }
    let now = now_ms();
    let records = asked.records.into_iter();
    for record in records.filter(|record| own(&record.sandbox_id)) {
        api.logs.keep(record, now);
    }
    Ok(v1::ReportResponse {})
}

/// What the entries of a report change, one upon the other.
fn noted(
    state: &State,
    host_id: &str,
    policies: &[v1::PolicyReport],
    sandboxes: &[v1::SandboxReport],
    now_ms: i64,
) -> Vec<Change> {
    let mut current = state.clone();
    let mut all = Vec::new();
    let mut note = |current: &mut State, changes: Vec<Change>| {
        changes.iter().for_each(|change| current.apply(change));
        all.extend(changes);
    };
    for policy in policies {
        let (id, version) = (&policy.sandbox_id, policy.version);
        if sandbox::of_host(&current, host_id, id).is_err() {
            continue;
        }
        let changes = policy::report(
            &current,
            id,
            version,
            policy.status(),
            &policy.load_error,
            now_ms,
        );
        // A version that is not there any more, or a status that says nothing.
        note(&mut current, changes.unwrap_or_default());
    }
    for sandbox in sandboxes {
        let change = sandbox::reported(&current, host_id, sandbox);
        note(&mut current, change.into_iter().collect());
    }
    all
}

/// PRV-10: the variables of a sandbox's providers, for the host that launches it.
pub(super) fn environment(
    api: &Api,
    caller: &Caller,
    asked: &v1::GetSandboxProviderEnvironmentRequest,
) -> Result<v1::GetSandboxProviderEnvironmentResponse, Status> {
    let state = api.engine.state();
    let sandbox = reached(&state, caller, &asked.sandbox_id)?;
    let environment = provider::environment(&state, &*api.vault, sandbox)?;
    Ok(v1::GetSandboxProviderEnvironmentResponse { environment })
}

/// Whether a caller may say that it is this host.
fn check(caller: &Caller, host_id: &str) -> Result<(), Refused> {
    let plain = !host_id.trim().is_empty() && !host_id.chars().any(char::is_control);
    if !plain || host_id.len() > HOST_ID_BYTES_MAX {
        return Err(Refused::Invalid(format!(
            "host_id: must have 1 to {HOST_ID_BYTES_MAX} bytes and no control characters"
        )));
    }
    if caller.speaks_for(host_id) {
        Ok(())
    } else {
        Err(Refused::Forbidden(format!(
            "this certificate does not speak for host {host_id:?}"
        )))
    }
}

/// A host id, `/`, and the name of a sandbox.
const HOST_ID_BYTES_MAX: usize = 512;

/// No store counts this far by itself; beyond, a host could use up all the numbers there are.
const APPLIED_MAX: u64 = 1 << 53;

/// How many entries of a report one sandbox can need: a version that comes while another goes, and as much again.
const ENTRIES_PER_SANDBOX: usize = 4;
