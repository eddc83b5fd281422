//! Policies: get, update, status, list, and what hosts report of them (LIV).

use proto::v1;
use tonic::Status;

use super::auth::Caller;
use super::{Api, not_bound, reached};
use crate::model::{Revision, State};
use crate::policy;
use crate::refused::Refused;
use crate::sandbox;

/// The policy that is served (LIV-8); none, version 0 and an empty hash before there is one.
pub(super) fn get(
    api: &Api,
    caller: &Caller,
    asked: &v1::GetSandboxPolicyRequest,
) -> Result<v1::GetSandboxPolicyResponse, Status> {
    let state = api.engine.state();
    let sandbox = reached(&state, caller, &asked.sandbox_id)?;
    let Some(served) = policy::served(&state, &sandbox.id) else {
        return Ok(v1::GetSandboxPolicyResponse::default());
    };
    Ok(v1::GetSandboxPolicyResponse {
        policy: Some((*served.policy).clone()),
        version: served.version,
        policy_hash: served.hash.clone(),
    })
}

/// LIV-1: an operator sets a policy; a data plane writes one back that it completed, and no other. One of this machine is
/// the operator as well, and says which it is (`completes`).
pub(super) async fn update(
    api: &Api,
    caller: &Caller,
    asked: v1::UpdateSandboxPolicyRequest,
) -> Result<v1::UpdateSandboxPolicyResponse, Status> {
    let given = asked.policy.ok_or_else(|| missing("policy"))?;
    let update = |state: &State, now_ms| {
        let sandbox = sandbox::by_name(state, &asked.name)?;
        match caller {
            Caller::Local | Caller::Admin if !asked.completes => {
                policy::submit(state, sandbox, &given, now_ms)
            }
            Caller::Local | Caller::Admin => policy::write_back(state, sandbox, &given, now_ms),
            Caller::Host(_) if caller.reaches(sandbox) => {
                policy::write_back(state, sandbox, &given, now_ms)
            }
            Caller::Host(_) | Caller::Viewer | Caller::Stranger => Err(not_bound(&asked.name)),
        }
    };
    let (stored, _) = api.change(update).await?;
    Ok(v1::UpdateSandboxPolicyResponse {
        version: stored.version,
        policy_hash: stored.hash,
        warnings: stored.warnings,
    })
}

pub(super) fn status(
    api: &Api,
    asked: &v1::GetSandboxPolicyStatusRequest,
) -> Result<v1::GetSandboxPolicyStatusResponse, Status> {
    let state = api.engine.state();
    let sandbox = sandbox::by_name(&state, &asked.name)?;
    let revision = policy::revision(&state, sandbox, asked.version)?;
    Ok(v1::GetSandboxPolicyStatusResponse {
        revision: Some(v1::SandboxPolicyRevision {
            policy: Some((*revision.policy).clone()),
            ..described(revision)
        }),
        active_version: policy::active_version(&state, &sandbox.id),
    })
}

/// The versions without their policies.
pub(super) fn list(
    api: &Api,
    asked: &v1::ListSandboxPoliciesRequest,
) -> Result<v1::ListSandboxPoliciesResponse, Status> {
    let state = api.engine.state();
    let sandbox = sandbox::by_name(&state, &asked.name)?;
    let revisions = policy::list(&state, &sandbox.id, asked.limit, asked.offset);
    Ok(v1::ListSandboxPoliciesResponse {
        revisions: revisions
            .iter()
            .map(|revision| described(revision))
            .collect(),
    })
}

/// LIV-9, of one version; `DataPlane.Report` is for many.
pub(super) async fn report(
    api: &Api,
    caller: &Caller,
    asked: v1::ReportPolicyStatusRequest,
) -> Result<v1::ReportPolicyStatusResponse, Status> {
    let report = |state: &State, now_ms| {
        let sandbox = reached(state, caller, &asked.sandbox_id)?;
        let (id, version) = (&sandbox.id, asked.version);
        let changes = policy::report(
            state,
            id,
            version,
            asked.status(),
            &asked.load_error,
            now_ms,
        )?;
        Ok::<_, Refused>((changes, ()))
    };
    api.change(report).await?;
    Ok(v1::ReportPolicyStatusResponse {})
}

fn described(revision: &Revision) -> v1::SandboxPolicyRevision {
    v1::SandboxPolicyRevision {
        version: revision.version,
        policy_hash: revision.hash.clone(),
        status: revision.status.into(),
        load_error: revision.load_error.clone(),
        created_at_ms: revision.created_at_ms,
        loaded_at_ms: revision.loaded_at_ms,
        policy: None,
    }
}

fn missing(field: &str) -> Refused {
    Refused::Invalid(format!("{field}: is missing"))
}
