//! Sandboxes: create, get, list, delete, and their records (RPC-8, DPL-8).

use proto::v1;
use tonic::Status;

use super::auth::Caller;
use super::{Api, random, reached};
use crate::sandbox;

pub(super) async fn create(
    api: &Api,
    asked: v1::CreateSandboxRequest,
) -> Result<v1::SandboxResponse, Status> {
    let random = random()?;
    let create = |state: &_, now_ms| {
        sandbox::create(state, &asked.name, asked.spec.as_ref(), random, now_ms)
    };
    let (sandbox, _) = api.change(create).await?;
    Ok(shown(sandbox))
}

pub(super) fn get(api: &Api, asked: &v1::GetSandboxRequest) -> Result<v1::SandboxResponse, Status> {
    let sandbox = sandbox::get(&api.engine.state(), &asked.name)?;
    Ok(shown(api.fleet.shown(sandbox, api.limits.silent)))
}

pub(super) fn list(
    api: &Api,
    asked: &v1::ListSandboxesRequest,
) -> Result<v1::ListSandboxesResponse, Status> {
    let listed = sandbox::list(&api.engine.state(), asked.limit, asked.offset).into_iter();
    let shown = listed.map(|sandbox| api.fleet.shown(sandbox, api.limits.silent));
    Ok(v1::ListSandboxesResponse {
        sandboxes: shown.collect(),
    })
}

/// GEN-7: its host learns of it by the push and closes what is open.
pub(super) async fn delete(
    api: &Api,
    asked: &v1::DeleteSandboxRequest,
) -> Result<v1::DeleteSandboxResponse, Status> {
    let delete = |state: &_, _| sandbox::delete(state, &asked.name);
    let (deleted, _) = api.change(delete).await?;
    api.forget_records();
    Ok(v1::DeleteSandboxResponse { deleted })
}

pub(super) fn logs(
    api: &Api,
    asked: &v1::GetSandboxLogsRequest,
) -> Result<v1::GetSandboxLogsResponse, Status> {
    // Why: who may call this may read every sandbox; what is asked here is whether there is one.
    reached(&api.engine.state(), &Caller::Viewer, &asked.sandbox_id)?;
    Ok(api.logs.read(asked))
}

fn shown(sandbox: v1::Sandbox) -> v1::SandboxResponse {
    v1::SandboxResponse {
        sandbox: Some(sandbox),
    }
}
