//! Providers: create, update, get, list, delete, test (PRV).

use proto::v1;
use tonic::Status;

use super::{Api, random};
use crate::inference::probe::Class;
use crate::provider::{self, Deletion, Fresh};
use crate::refused::Refused;

pub(super) async fn create(
    api: &Api,
    asked: v1::CreateProviderRequest,
) -> Result<v1::ProviderResponse, Status> {
    let given = given(asked.provider)?;
    let fresh = Fresh::of(random()?);
    let create = |state: &_, now_ms| provider::create(state, &*api.vault, &given, &fresh, now_ms);
    let (provider, _) = api.change(create).await?;
    Ok(shown(provider))
}

pub(super) async fn update(
    api: &Api,
    asked: v1::UpdateProviderRequest,
) -> Result<v1::ProviderResponse, Status> {
    let given = given(asked.provider)?;
    let update = |state: &_, _| provider::update(state, &*api.vault, &given);
    let (provider, _) = api.change(update).await?;
    Ok(shown(provider))
}

pub(super) fn get(
    api: &Api,
    asked: &v1::GetProviderRequest,
) -> Result<v1::ProviderResponse, Status> {
    Ok(shown(provider::get(&api.engine.state(), &asked.name)?))
}

pub(super) fn list(api: &Api, asked: &v1::ListProvidersRequest) -> v1::ListProvidersResponse {
    v1::ListProvidersResponse {
        providers: provider::list(&api.engine.state(), asked.limit, asked.offset),
    }
}

/// PRV-8: a forced delete waits a moment for hosts, and names those that may still use the credential.
pub(super) async fn delete(
    api: &Api,
    asked: &v1::DeleteProviderRequest,
) -> Result<v1::DeleteProviderResponse, Status> {
    let deletion = if asked.force {
        Deletion::Forced
    } else {
        Deletion::WhenUnused
    };
    let delete = |state: &_, _| provider::delete(state, &asked.name, deletion);
    let (deleted, generation) = api.change(delete).await?;
    let unconfirmed_hosts = if deleted && asked.force {
        api.fleet.unconfirmed(generation, api.limits.confirm).await
    } else {
        Vec::new()
    };
    Ok(v1::DeleteProviderResponse {
        deleted,
        unconfirmed_hosts,
    })
}

pub(super) async fn test(
    api: &Api,
    asked: &v1::TestProviderRequest,
) -> Result<v1::TestProviderResponse, Status> {
    let state = api.engine.state();
    // Why first: here a provider that does not exist is NOT_FOUND and no missing precondition.
    provider::get(&state, &asked.name)?;
    let backend = crate::inference::backend(&state, &*api.vault, &asked.name)?;
    let model = asked.model_id.trim();
    let model = (!model.is_empty()).then_some(model);
    let outcome = api.prober.ask(&backend, model).await;
    Ok(v1::TestProviderResponse {
        ok: outcome.class == Class::Ok,
        class: outcome.class.as_str().to_owned(),
        message: outcome.message,
    })
}

fn given(provider: Option<v1::Provider>) -> Result<v1::Provider, Status> {
    provider.ok_or_else(|| Refused::Invalid("provider: is missing".to_owned()).into())
}

fn shown(provider: v1::Provider) -> v1::ProviderResponse {
    v1::ProviderResponse {
        provider: Some(provider),
    }
}
