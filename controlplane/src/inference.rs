//! The cluster's one inference route: names while it is stored, a key and an address when it is resolved (RPC-10 to
//! RPC-12, RTE-5, INF-27).
//!
//! Pure, but for `probe`, which asks the provider itself. Apart from `provider` because a provider does not know what it
//! backs.
//!
//! Invariants: a stored route has no key and no address, so whatever changes in its provider is in the next resolution;
//! a broken route is an answer and not an error, and carries no key; a version is never given twice, not even over an
//! unset.

pub mod backend;
pub mod probe;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use policy::Protocol;
use prost::Message;
use proto::inference::{
    ClusterInferenceResponse, Deadlines, GetInferenceBundleResponse, ResolvedRoute, RouteSource,
    RouteStatus, SetClusterInferenceRequest,
};
use zeroize::Zeroizing;

use crate::model::{Change, Provider, Route, State};
use crate::provider;
use crate::provider::vault::Vault;
use crate::refused::Refused;
use backend::Backend;

/// What the gateway is started with (INF-27).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `--nvidia-default`.
    pub nvidia_default: bool,
    /// `--nvidia-default-model`.
    pub nvidia_default_model: String,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            nvidia_default: true,
            nvidia_default_model: "meta/llama-3.1-8b-instruct".to_owned(),
        }
    }
}

/// Sets the route (RPC-10). The version grows by one even when nothing else changes.
///
/// # Errors
/// `Invalid` for a blank or unusable field and for a provider that cannot back inference, `Precondition` for one that
/// does not exist, `Conflict` when the expected version is not the current one.
pub fn set(
    state: &State,
    vault: &dyn Vault,
    given: &SetClusterInferenceRequest,
) -> Result<(Vec<Change>, ClusterInferenceResponse), Refused> {
    let provider_name = filled("provider_name", &given.provider_name)?;
    let model_id = filled("model_id", &given.model_id)?;
    let deadlines = given.deadlines.unwrap_or_default();
    check_deadlines(&deadlines)?;
    expect(state, given.expected_version)?;
    backend(state, vault, provider_name)?;
    let route = Arc::new(Route {
        provider_name: provider_name.to_owned(),
        model_id: model_id.to_owned(),
        deadlines,
        version: state.route_version.saturating_add(1),
    });
    let answer = ClusterInferenceResponse {
        provider_name: route.provider_name.clone(),
        model_id: route.model_id.clone(),
        version: route.version,
        deadlines: Some(deadlines),
        source: RouteSource::Configured.into(),
        status: RouteStatus::Ready.into(),
        error_code: String::new(),
    };
    let mut changes = lifted(state);
    changes.push(Change::PutRoute(route));
    Ok((changes, answer))
}

/// Removes the route; says whether there was one. The NVIDIA default may take its place.
///
/// # Errors
/// `Conflict` when the expected version is not the current one.
pub fn unset(state: &State, expected_version: u64) -> Result<(Vec<Change>, bool), Refused> {
    expect(state, expected_version)?;
    if state.route.is_none() {
        return Ok((Vec::new(), false));
    }
    let mut changes = lifted(state);
    changes.push(Change::RemoveRoute);
    Ok((changes, true))
}

/// The route in force, for people (RPC-11).
///
/// # Errors
/// `NotFound` with the way to set one.
pub fn get(
    state: &State,
    vault: &dyn Vault,
    settings: &Settings,
) -> Result<ClusterInferenceResponse, Refused> {
    let route = InForce::of(state, settings).ok_or_else(|| {
        Refused::NotFound(
            "no inference route is configured; set one with \
             `ringfence cluster inference set --provider NAME --model ID`"
                .to_owned(),
        )
    })?;
    let (status, code) = match route.backend(vault) {
        Ok(_) => (RouteStatus::Ready, ""),
        Err(broken) => (RouteStatus::Broken, broken.code()),
    };
    Ok(ClusterInferenceResponse {
        provider_name: route.provider_name.to_owned(),
        model_id: route.model_id.to_owned(),
        version: route.version,
        deadlines: Some(route.deadlines),
        source: route.source.into(),
        status: status.into(),
        error_code: code.to_owned(),
    })
}

/// The routes as a data plane needs them: none or one, each ready with its key or broken with a code and without key.
pub fn resolve(state: &State, vault: &dyn Vault, settings: &Settings) -> Vec<ResolvedRoute> {
    let route = InForce::of(state, settings);
    route.iter().map(|route| route.resolved(vault)).collect()
}

/// The revision of a bundle (RPC-12): a keyed hash over the encoded routes, so every field counts, those of later
/// versions of the message too.
///
/// Why keyed by the vault: without its key nobody can try guesses at a weak credential against a revision, and every
/// gateway that shares the vault gives equal content the same one. A vault under another key gives other revisions, once.
pub fn revision(vault: &dyn Vault, routes: &[ResolvedRoute]) -> String {
    let mut message = Zeroizing::new(REVISION_LABEL.to_vec());
    for route in routes {
        // Length first: no two lists read the same. Maps are encoded in the order of their keys.
        let encoded = Zeroizing::new(route.encode_length_delimited_to_vec());
        message.extend_from_slice(&encoded);
    }
    let tag = vault.tag(&message);
    tag.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Everything for a host, or for whoever fetches it once (RPC-12). It never fails.
pub fn bundle(
    state: &State,
    vault: &dyn Vault,
    settings: &Settings,
    now_ms: i64,
) -> GetInferenceBundleResponse {
    let routes = resolve(state, vault, settings);
    GetInferenceBundleResponse {
        revision: revision(vault, &routes),
        routes,
        generated_at_ms: now_ms,
        generation: state.generation,
    }
}

/// The backend of a provider that a request names, to verify it before it is saved or to test it.
///
/// # Errors
/// `Precondition` for a provider that does not exist, `Invalid` for one that cannot back inference.
pub fn backend(state: &State, vault: &dyn Vault, provider_name: &str) -> Result<Backend, Refused> {
    let name = filled("provider_name", provider_name)?;
    let provider = state.providers.get(name).ok_or_else(|| {
        Refused::Precondition(format!(
            "provider `{name}` does not exist; make it with `ringfence provider create`"
        ))
    })?;
    Backend::of(provider, vault).map_err(|error| error.refused(name))
}

/// The route that requests take: the configured one, else the NVIDIA default.
struct InForce<'a> {
    provider_name: &'a str,
    model_id: &'a str,
    deadlines: Deadlines,
    version: u64,
    source: RouteSource,
    provider: Option<&'a Provider>,
}

/// Why a route answers nothing.
#[derive(Clone, Copy)]
enum Broken {
    /// Its provider is gone (PRV-8).
    Missing,
    /// Its provider cannot back it any more.
    Unusable,
}

impl<'a> InForce<'a> {
    fn of(state: &'a State, settings: &'a Settings) -> Option<InForce<'a>> {
        let Some(route) = &state.route else {
            return InForce::default(state, settings);
        };
        Some(InForce {
            provider_name: &route.provider_name,
            model_id: &route.model_id,
            deadlines: route.deadlines,
            version: route.version,
            source: RouteSource::Configured,
            provider: state.providers.get(&route.provider_name).map(|it| &**it),
        })
    }

    /// INF-27: the oldest provider of type nvidia.
    fn default(state: &'a State, settings: &'a Settings) -> Option<InForce<'a>> {
        if !settings.nvidia_default {
            return None;
        }
        let oldest = provider::by_age(state)
            .into_iter()
            .find(|provider| provider.kind == "nvidia")?;
        let own = oldest.config.get("NVIDIA_DEFAULT_MODEL");
        let own = own.map(|model| model.trim());
        Some(InForce {
            provider_name: &oldest.name,
            model_id: own
                .filter(|model| !model.is_empty())
                .unwrap_or(&settings.nvidia_default_model),
            deadlines: Deadlines::default(),
            version: 0,
            source: RouteSource::NvidiaDefault,
            provider: Some(oldest),
        })
    }

    fn backend(&self, vault: &dyn Vault) -> Result<Backend, Broken> {
        let provider = self.provider.ok_or(Broken::Missing)?;
        Backend::of(provider, vault).map_err(|_| Broken::Unusable)
    }

    fn resolved(&self, vault: &dyn Vault) -> ResolvedRoute {
        let resolved = match self.backend(vault) {
            Ok(backend) => backend.resolved(),
            Err(broken) => ResolvedRoute {
                // Why all: a request of any protocol is to hear what is wrong, and not that its protocol has no route.
                protocols: backend::ids(&Protocol::ALL),
                status: RouteStatus::Broken.into(),
                error_code: broken.code().to_owned(),
                ..ResolvedRoute::default()
            },
        };
        ResolvedRoute {
            name: ROUTE_NAME.to_owned(),
            model_id: self.model_id.to_owned(),
            deadlines: Some(self.deadlines),
            version: self.version,
            ..resolved
        }
    }
}

impl Broken {
    fn code(self) -> &'static str {
        match self {
            Broken::Missing => "provider_missing",
            Broken::Unusable => "route_broken",
        }
    }
}

/// The tombstone of the provider that the route has named until now (PRV-8). A sandbox that names it too is still
/// refused, because the provider is still missing.
fn lifted(state: &State) -> Vec<Change> {
    let named = state.route.iter().map(|route| &route.provider_name);
    named
        .filter(|name| state.tombstones.contains(*name))
        .map(|name| Change::LiftTombstone(name.clone()))
        .collect()
}

fn expect(state: &State, expected_version: u64) -> Result<(), Refused> {
    let current = state.route.as_ref().map_or(0, |route| route.version);
    if expected_version != 0 && expected_version != current {
        let now = match current {
            0 => "there is no route now".to_owned(),
            version => format!("the current version is {version}"),
        };
        return Err(Refused::Conflict(format!(
            "expected_version: {now}, not {expected_version}; read it again and repeat the change"
        )));
    }
    Ok(())
}

fn filled<'a>(field: &str, text: &'a str) -> Result<&'a str, Refused> {
    let text = text.trim();
    let why = if text.is_empty() {
        "must not be blank".to_owned()
    } else if text.len() > TEXT_BYTES_MAX {
        format!("at most {TEXT_BYTES_MAX} bytes")
    } else if text.chars().any(char::is_control) {
        "no control characters".to_owned()
    } else {
        return Ok(text);
    };
    Err(Refused::Invalid(format!("{field}: {why}")))
}

fn check_deadlines(deadlines: &Deadlines) -> Result<(), Refused> {
    let Deadlines {
        connect_ms,
        header_ms,
        idle_ms,
        total_ms,
    } = *deadlines;
    let all = [
        ("connect_ms", connect_ms),
        ("header_ms", header_ms),
        ("idle_ms", idle_ms),
        ("total_ms", total_ms),
    ];
    match all.into_iter().find(|(_, value)| *value > DEADLINE_MS_MAX) {
        Some((name, _)) => Err(Refused::Invalid(format!(
            "deadlines.{name}: at most {DEADLINE_MS_MAX} ms, which is a day"
        ))),
        None => Ok(()),
    }
}

/// The only name of a route.
const ROUTE_NAME: &str = "inference.local";

/// Names and model ids: they stand in answers and records.
const TEXT_BYTES_MAX: usize = 253;

/// As for routes from a file: past a day it is a typing error.
const DEADLINE_MS_MAX: u32 = 24 * 3_600 * 1_000;

/// Keeps a revision apart from every other tag of the vault.
const REVISION_LABEL: &[u8] = b"ringfence inference revision 1\0";
