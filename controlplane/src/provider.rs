//! Providers: named bundles of credentials and settings (PRV).
//!
//! Pure: a state and a request go in, changes and an answer come out. Apart from `inference`, which makes a backend of a
//! provider: here most types back nothing and are carriers of credentials for sandboxes.
//!
//! Invariants: a credential is sealed before it is part of a change; no answer and no refusal holds a value; create and
//! update ask the same questions of what they are given, and none of what they do not touch (TR-111).

pub mod endpoint;
mod entry;
mod fresh;
pub mod kinds;
#[cfg(test)]
mod tests;
pub mod vault;

use std::collections::BTreeMap;
use std::sync::Arc;

use policy::route::{Profile, Reach};
use proto::v1;

use crate::model::{Change, Provider, Sealed, State};
use crate::page::page;
use crate::refused::Refused;
use endpoint::Endpoint;
use entry::Map;
pub use fresh::Fresh;
use kinds::Kind;
use vault::Vault;

/// What every answer shows for a credential, and no request may hold (PRV-6).
pub const REDACTED: &str = "<redacted>";

/// Makes a provider (PRV-3). The answer is redacted.
///
/// # Errors
/// `Exists` for a name that is taken, `Invalid` for what PRV-1, PRV-4 and PRV-11 do not take.
pub fn create(
    state: &State,
    vault: &dyn Vault,
    given: &v1::Provider,
    fresh: &Fresh,
    now_ms: i64,
) -> Result<(Vec<Change>, v1::Provider), Refused> {
    let is_taken = |name: &str| state.providers.contains_key(name);
    let name = match entry::name(&given.name)? {
        Some(name) if is_taken(name) => {
            return Err(Refused::Exists(format!("provider `{name}` exists already")));
        }
        Some(name) => name.to_owned(),
        None => fresh.name(is_taken),
    };
    let mut provider = Provider {
        id: fresh.id().to_owned(),
        name,
        kind: known(&given.r#type)?.name.to_owned(),
        credentials: BTreeMap::new(),
        config: BTreeMap::new(),
        allow_private_endpoint: given.allow_private_endpoint.unwrap_or_default(),
        created_at_ms: now_ms,
    };
    refuse_empty(Map::Credentials, &given.credentials)?;
    refuse_empty(Map::Config, &given.config)?;
    merge_credentials(&mut provider, vault, &given.credentials)?;
    merge_config(&mut provider, &given.config)?;
    check_endpoint(&provider)?;
    let answer = redacted(&provider);
    let mut changes = Vec::new();
    if state.tombstones.contains(&provider.name) {
        changes.push(Change::LiftTombstone(provider.name.clone()));
    }
    changes.push(Change::PutProvider(Arc::new(provider)));
    Ok((changes, answer))
}

/// Merges into a provider (PRV-5): what is not given stays, a given key is set, an empty value deletes its key.
/// Without a difference there is no change. The answer is redacted.
///
/// # Errors
/// `NotFound`, or `Invalid` as for `create`, for another type or id, and where no credential would be left.
pub fn update(
    state: &State,
    vault: &dyn Vault,
    given: &v1::Provider,
) -> Result<(Vec<Change>, v1::Provider), Refused> {
    let old = find(state, &given.name)?;
    if !given.id.trim().is_empty() && given.id.trim() != old.id {
        return Err(Refused::Invalid("id: it never changes".to_owned()));
    }
    if !given.r#type.trim().is_empty() && known(&given.r#type)?.name != old.kind {
        return Err(Refused::Invalid(format!(
            "type: it never changes; `{}` is of type {}, so create another provider",
            old.name, old.kind
        )));
    }
    let mut next = Provider::clone(old);
    merge_credentials(&mut next, vault, &given.credentials)?;
    merge_config(&mut next, &given.config)?;
    if let Some(word) = given.allow_private_endpoint {
        next.allow_private_endpoint = word;
    }
    // Why: a key can be rotated while the address has a fault that an older version took.
    if next.config != old.config || next.allow_private_endpoint != old.allow_private_endpoint {
        check_endpoint(&next)?;
    }
    let answer = redacted(&next);
    if next == **old {
        return Ok((Vec::new(), answer));
    }
    Ok((vec![Change::PutProvider(Arc::new(next))], answer))
}

/// A provider, redacted.
///
/// # Errors
/// `NotFound`, and `Invalid` for a blank name.
pub fn get(state: &State, name: &str) -> Result<v1::Provider, Refused> {
    find(state, name).map(|provider| redacted(provider))
}

/// Providers by creation time, then name, redacted (PRV-12).
pub fn list(state: &State, limit: u32, offset: u32) -> Vec<v1::Provider> {
    let providers = page(by_age(state), limit, offset);
    providers
        .into_iter()
        .map(|provider| redacted(provider))
        .collect()
}

/// Whether what refers to a provider keeps it (PRV-7, PRV-8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// Refused while something refers to it.
    WhenUnused,
    /// Whatever refers to it is left with a tombstone.
    Forced,
}

/// Deletes a provider; says whether there was one.
///
/// # Errors
/// `Precondition` naming every reference, and `Invalid` for a blank name.
pub fn delete(
    state: &State,
    name: &str,
    deletion: Deletion,
) -> Result<(Vec<Change>, bool), Refused> {
    let name = named(name)?;
    let Some(provider) = state.providers.get(name) else {
        return Ok((Vec::new(), false));
    };
    let references = references(state, name);
    let mut changes = vec![Change::RemoveProvider(Arc::clone(provider))];
    if !references.is_empty() {
        match deletion {
            Deletion::WhenUnused => {
                return Err(Refused::Precondition(format!(
                    "provider `{name}` is in use by {}; end that first, or delete it with force",
                    references.join(", ")
                )));
            }
            Deletion::Forced => changes.push(Change::PutTombstone(name.to_owned())),
        }
    }
    Ok((changes, true))
}

/// The variables that the providers of a sandbox become in it (PRV-10): of equal keys the first provider's.
///
/// # Errors
/// `Precondition` with `provider_missing` for one that does not exist, and for a credential that cannot be used.
pub fn environment(
    state: &State,
    vault: &dyn Vault,
    sandbox: &v1::Sandbox,
) -> Result<BTreeMap<String, String>, Refused> {
    let names = sandbox.spec.iter().flat_map(|spec| &spec.providers);
    let mut environment = BTreeMap::new();
    for name in names {
        let provider = state.providers.get(name).ok_or_else(|| {
            Refused::Precondition(format!(
                "provider_missing: sandbox `{}` is to have the credentials of provider `{name}`, which does not exist; \
                 create it again, or make the sandbox without it",
                sandbox.name
            ))
        })?;
        for (key, sealed) in &provider.credentials {
            if !environment.contains_key(key) {
                let value = usable(vault, provider, key, sealed)?;
                environment.insert(key.clone(), value);
            }
        }
    }
    Ok(environment)
}

/// Providers, the oldest first.
pub(crate) fn by_age(state: &State) -> Vec<&Arc<Provider>> {
    let mut providers: Vec<_> = state.providers.values().collect();
    // Stable, and the map is in order of names.
    providers.sort_by_key(|provider| provider.created_at_ms);
    providers
}

/// A value, opened and asked once more whether it can carry anything but itself (PRV-4).
fn usable(
    vault: &dyn Vault,
    provider: &Provider,
    key: &str,
    sealed: &Sealed,
) -> Result<String, Refused> {
    let refused = |why: &dyn std::fmt::Display| {
        Refused::Precondition(format!(
            "credential {key} of provider `{}` cannot be used: {why}; set it again",
            provider.name
        ))
    };
    let value = vault
        .open(&provider.id, key, sealed)
        .map_err(|error| refused(&error))?;
    if !entry::is_one_line(&value) {
        return Err(refused(&"it holds CR, LF or NUL"));
    }
    Ok(value.to_string())
}

/// What refers to a provider, in words. The NVIDIA default is no reference (PRV-7).
fn references(state: &State, name: &str) -> Vec<String> {
    let route = state.route.iter();
    let route = route
        .filter(|route| route.provider_name == name)
        .map(|route| format!("the inference route (model {})", route.model_id));
    let uses = |sandbox: &&Arc<v1::Sandbox>| {
        let mut names = sandbox.spec.iter().flat_map(|spec| &spec.providers);
        names.any(|used| used == name)
    };
    let sandboxes = state.sandboxes.values().filter(uses);
    route
        .chain(sandboxes.map(|sandbox| format!("sandbox `{}`", sandbox.name)))
        .collect()
}

fn known(text: &str) -> Result<&'static Kind, Refused> {
    if text.trim().is_empty() {
        let expected = kinds::names();
        return Err(Refused::Invalid(format!(
            "type: must not be blank; expected one of {expected}"
        )));
    }
    if text.len() > entry::TYPE_BYTES_MAX {
        return Err(Refused::Invalid(format!(
            "type: at most {} bytes",
            entry::TYPE_BYTES_MAX
        )));
    }
    kinds::kind(text).ok_or_else(|| {
        let expected = kinds::names();
        Refused::Invalid(format!(
            "type: {text:?} is not known; expected one of {expected}"
        ))
    })
}

fn named(text: &str) -> Result<&str, Refused> {
    entry::name(text)?.ok_or_else(|| Refused::Invalid("name: must not be blank".to_owned()))
}

fn find<'a>(state: &'a State, name: &str) -> Result<&'a Arc<Provider>, Refused> {
    let name = named(name)?;
    state
        .providers
        .get(name)
        .ok_or_else(|| Refused::NotFound(format!("there is no provider `{name}`")))
}

/// An empty value deletes, and of a new provider there is nothing to delete.
fn refuse_empty(map: Map, given: &BTreeMap<String, String>) -> Result<(), Refused> {
    match given.iter().find(|(_, value)| value.is_empty()) {
        Some((key, _)) => Err(Refused::Invalid(format!(
            "{map}: the value of {key:?} must not be empty"
        ))),
        None => Ok(()),
    }
}

fn merge_credentials(
    provider: &mut Provider,
    vault: &dyn Vault,
    given: &BTreeMap<String, String>,
) -> Result<(), Refused> {
    let before = provider.credentials.len();
    for (key, value) in given {
        if value.is_empty() {
            provider.credentials.remove(key);
            continue;
        }
        entry::check(Map::Credentials, key, value)?;
        // Why: sealing the same value again gives other bytes, and a change where nothing changed.
        let kept = provider.credentials.get(key);
        let kept = kept.and_then(|sealed| vault.open(&provider.id, key, sealed).ok());
        if kept.is_none_or(|kept| *kept != *value) {
            let sealed = vault.seal(&provider.id, key, value).map_err(|error| {
                Refused::Precondition(format!("credentials: {key} cannot be kept: {error}"))
            })?;
            provider.credentials.insert(key.clone(), sealed);
        }
    }
    if provider.credentials.is_empty() {
        return Err(Refused::Invalid(
            "credentials: at least one is needed".to_owned(),
        ));
    }
    check_count(Map::Credentials, before, provider.credentials.len())
}

fn merge_config(provider: &mut Provider, given: &BTreeMap<String, String>) -> Result<(), Refused> {
    let before = provider.config.len();
    for (key, value) in given {
        if value.is_empty() {
            provider.config.remove(key);
            continue;
        }
        entry::check(Map::Config, key, value)?;
        provider.config.insert(key.clone(), value.clone());
    }
    check_count(Map::Config, before, provider.config.len())
}

fn check_count(map: Map, before: usize, after: usize) -> Result<(), Refused> {
    if after > map.entries_max().max(before) {
        return Err(Refused::Invalid(format!(
            "{map}: at most {} entries, and these are {after}",
            map.entries_max()
        )));
    }
    Ok(())
}

/// PRV-11. Only a type that backs inference has an endpoint.
fn check_endpoint(provider: &Provider) -> Result<(), Refused> {
    let Some(profile) = Profile::of(&provider.kind) else {
        return Ok(());
    };
    let reach = Reach::by_word(provider.allow_private_endpoint);
    Endpoint::of(profile, &provider.config, reach)
        .map(|_| ())
        .map_err(|error| Refused::Invalid(error.to_string()))
}

/// The message of a provider, without a value of a credential (PRV-6).
fn redacted(provider: &Provider) -> v1::Provider {
    let keys = provider.credentials.keys();
    v1::Provider {
        id: provider.id.clone(),
        name: provider.name.clone(),
        r#type: provider.kind.clone(),
        credentials: keys.map(|key| (key.clone(), REDACTED.to_owned())).collect(),
        config: provider.config.clone(),
        allow_private_endpoint: Some(provider.allow_private_endpoint),
    }
}
