//! The cluster's inference route: set, get, unset, and the bundle for a host (RPC-10 to RPC-12).

use proto::inference::{
    ClusterInferenceResponse, GetInferenceBundleResponse, SetClusterInferenceRequest,
    UnsetClusterInferenceRequest, UnsetClusterInferenceResponse,
};
use tonic::Status;

use super::Api;
use super::auth::{Caller, host_of};
use crate::engine::now_ms;
use crate::inference;

pub(super) async fn set(
    api: &Api,
    asked: SetClusterInferenceRequest,
) -> Result<ClusterInferenceResponse, Status> {
    if asked.verify {
        verify(api, &asked).await?;
    }
    let set = |state: &_, _| inference::set(state, &*api.vault, &asked);
    let (route, _) = api.change(set).await?;
    Ok(route)
}

/// Sends one small request with what is about to be saved.
async fn verify(api: &Api, asked: &SetClusterInferenceRequest) -> Result<(), Status> {
    let state = api.engine.state();
    // Why: nobody is asked over the network about what would be refused here anyway.
    inference::set(&state, &*api.vault, asked)?;
    let backend = inference::backend(&state, &*api.vault, &asked.provider_name)?;
    let outcome = api.prober.ask(&backend, Some(asked.model_id.trim())).await;
    match outcome.refusal() {
        Some(refused) => Err(refused.into()),
        None => Ok(()),
    }
}

pub(super) fn get(api: &Api) -> Result<ClusterInferenceResponse, Status> {
    let route = inference::get(&api.engine.state(), &*api.vault, &api.settings)?;
    Ok(route)
}

pub(super) async fn unset(
    api: &Api,
    asked: &UnsetClusterInferenceRequest,
) -> Result<UnsetClusterInferenceResponse, Status> {
    let unset = |state: &_, _| inference::unset(state, asked.expected_version);
    let (removed, _) = api.change(unset).await?;
    Ok(UnsetClusterInferenceResponse { removed })
}

/// RPC-12, RPC-2: the routes with their keys, for a host that has a sandbox to use them; the local data plane counts as one.
pub(super) fn bundle(api: &Api, caller: &Caller) -> GetInferenceBundleResponse {
    let state = api.engine.state();
    let bound = |sandbox: &std::sync::Arc<_>| {
        let host_id = host_of(sandbox);
        !host_id.is_empty() && caller.speaks_for(host_id)
    };
    if *caller == Caller::Local || state.sandboxes.values().any(bound) {
        return inference::bundle(&state, &*api.vault, &api.settings, now_ms());
    }
    GetInferenceBundleResponse {
        revision: inference::revision(&*api.vault, &[]),
        generated_at_ms: now_ms(),
        generation: state.generation,
        ..GetInferenceBundleResponse::default()
    }
}
