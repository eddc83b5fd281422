//! The records of sandboxes: made, shown, bound to the host that runs them, removed.
//!
//! Apart from `policy`, which keeps the versions of what they may do, and from `fleet`, which knows who is connected. Pure:
//! state in, changes out.
//!
//! Invariants: a sandbox is bound to one host at most, at its first claim and until it is deleted; what a host reports is
//! kept only of sandboxes bound to it, and cut to size (TR-110); the spec stays as it was given.

mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use policy::SandboxId;
use proto::v1;

use crate::model::{Change, State};
use crate::page::page;
use crate::policy::{active_version, served, submit};
use crate::refused::Refused;

pub use report::reported;

/// Makes a sandbox, and version 1 of its policy when one is given. `random` becomes the id, and the name of one that got
/// none.
///
/// # Errors
/// `Invalid` with everything that is wrong with the spec; `Exists` for a name that is taken; `Precondition` naming every
/// provider that does not exist (PRV-10).
pub fn create(
    state: &State,
    name: &str,
    spec: Option<&v1::SandboxSpec>,
    random: [u8; ID_BYTES],
    now_ms: i64,
) -> Result<(Vec<Change>, v1::Sandbox), Refused> {
    let spec = spec.cloned().unwrap_or_default();
    let digits = random.iter().map(|byte| format!("{byte:02x}"));
    let id = format!("sb-{}", digits.collect::<String>());
    let name = if name.trim().is_empty() { &id } else { name };
    let mut faults = faults(name, &spec);
    let sandbox = v1::Sandbox {
        id: id.clone(),
        name: name.to_owned(),
        spec: Some(spec),
        status: None,
        phase: v1::SandboxPhase::Provisioning.into(),
        created_at_ms: now_ms,
        current_policy_version: 0,
    };
    let spec = sandbox.spec.as_ref();
    let given = spec.and_then(|spec| spec.policy.as_ref());
    // There is no such sandbox yet, and so no version to compare with.
    let policy = given.map(|policy| submit(state, &sandbox, policy, now_ms));
    let mut changes = vec![Change::PutSandbox(Arc::new(sandbox.clone()))];
    let mut current_policy_version = 0;
    match policy {
        Some(Ok((revision, submitted))) => {
            changes.extend(revision);
            current_policy_version = submitted.version;
        }
        Some(Err(Refused::Invalid(why))) => faults.push(format!("spec.policy: {why}")),
        Some(Err(other)) => return Err(other),
        None => {}
    }
    if !faults.is_empty() {
        return Err(Refused::Invalid(faults.join("\n")));
    }
    if state.sandboxes.contains_key(&sandbox.name) || state.sandbox_by_id(&id).is_some() {
        return Err(Refused::Exists(format!(
            "there is a sandbox `{}` already",
            sandbox.name
        )));
    }
    let providers = spec.map_or(&[][..], |spec| &spec.providers);
    missing(state, providers)?;
    let shown = v1::Sandbox {
        current_policy_version,
        ..sandbox
    };
    Ok((changes, shown))
}

/// A sandbox, with the version of its policy that is in force or, before any is, served.
///
/// # Errors
/// `NotFound`.
pub fn get(state: &State, name: &str) -> Result<v1::Sandbox, Refused> {
    by_name(state, name).map(|sandbox| shown(state, sandbox))
}

/// Sandboxes by creation time, then name, without the policies they were made with: those of a page would not fit into a
/// message. A limit of 0 is 100; more than 1,000 is 1,000.
pub fn list(state: &State, limit: u32, offset: u32) -> Vec<v1::Sandbox> {
    let mut sandboxes: Vec<_> = state.sandboxes.values().collect();
    sandboxes.sort_by_key(|sandbox| (sandbox.created_at_ms, &sandbox.name));
    let page = page(sandboxes, limit, offset).into_iter();
    let listed = page.map(|sandbox| {
        let mut listed = shown(state, sandbox);
        if let Some(spec) = &mut listed.spec {
            spec.policy = None;
        }
        listed
    });
    listed.collect()
}

/// Removes a sandbox and its policies; false when there is none.
///
/// # Errors
/// `Invalid` for a blank name.
pub fn delete(state: &State, name: &str) -> Result<(Vec<Change>, bool), Refused> {
    if name.trim().is_empty() {
        return Err(Refused::Invalid("name: must not be blank".to_owned()));
    }
    Ok(match state.sandboxes.get(name) {
        Some(sandbox) => (vec![Change::RemoveSandbox(Arc::clone(sandbox))], true),
        None => (Vec::new(), false),
    })
}

/// The sandbox of that name, as it is stored.
///
/// # Errors
/// `NotFound`.
pub fn by_name<'s>(state: &'s State, name: &str) -> Result<&'s Arc<v1::Sandbox>, Refused> {
    let sandbox = state.sandboxes.get(name);
    sandbox.ok_or_else(|| Refused::NotFound(format!("there is no sandbox `{name}`")))
}

/// The sandbox of that id, for the host it is bound to (RPC-2).
///
/// # Errors
/// `NotFound`; `Forbidden` for a sandbox that is bound to another host, or to none yet.
pub fn of_host<'s>(
    state: &'s State,
    host_id: &str,
    sandbox_id: &str,
) -> Result<&'s Arc<v1::Sandbox>, Refused> {
    let sandbox = state.sandbox_by_id(sandbox_id).ok_or_else(|| {
        Refused::NotFound(format!("there is no sandbox with the id `{sandbox_id}`"))
    })?;
    if host_of(sandbox) != Some(host_id) {
        return Err(Refused::Forbidden(format!(
            "sandbox `{}` is not bound to this host",
            sandbox.name
        )));
    }
    Ok(sandbox)
}

/// The host a sandbox is bound to.
pub fn host_of(sandbox: &v1::Sandbox) -> Option<&str> {
    let host_id = sandbox.status.as_ref().map(|status| &*status.host_id);
    host_id.filter(|host_id| !host_id.is_empty())
}

/// What became of a host's claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claimed {
    /// Ids of sandboxes that are bound to it now.
    pub bound: Vec<String>,
    /// Ids of others, and why not.
    pub refused: BTreeMap<String, ClaimError>,
}

/// Why a host is not given a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimError {
    /// There is no sandbox of that id.
    Unknown,
    /// Another host has it.
    Elsewhere,
}

impl ClaimError {
    /// Its code, as `SandboxSnapshot.error_code` carries it.
    pub fn code(self) -> &'static str {
        match self {
            ClaimError::Unknown => "sandbox_unknown",
            ClaimError::Elsewhere => "sandbox_elsewhere",
        }
    }
}

/// Binds sandboxes to a host that says it runs them. One that is bound already stays where it is.
pub fn claim(state: &State, host_id: &str, ids: &[String]) -> (Vec<Change>, Claimed) {
    // One walk over the sandboxes, however many ids there are.
    let known: BTreeMap<&str, &Arc<v1::Sandbox>> = state
        .sandboxes
        .values()
        .map(|sandbox| (&*sandbox.id, sandbox))
        .collect();
    let mut changes = Vec::new();
    let mut claimed = Claimed::default();
    let mut ids: Vec<&String> = ids.iter().collect();
    ids.sort();
    ids.dedup();
    for id in ids {
        let sandbox = known.get(&**id);
        let refused = match sandbox.map(|sandbox| (sandbox, host_of(sandbox))) {
            None => ClaimError::Unknown,
            Some((_, Some(host))) if host != host_id => ClaimError::Elsewhere,
            Some((sandbox, host)) => {
                if host.is_none() {
                    changes.push(Change::PutSandbox(Arc::new(bind(sandbox, host_id))));
                }
                claimed.bound.push(id.clone());
                continue;
            }
        };
        claimed.refused.insert(id.clone(), refused);
    }
    (changes, claimed)
}

fn bind(sandbox: &v1::Sandbox, host_id: &str) -> v1::Sandbox {
    let mut bound = sandbox.clone();
    bound.status.get_or_insert_default().host_id = host_id.to_owned();
    bound
}

/// How it is answered: as stored, with the version of its policy.
fn shown(state: &State, sandbox: &v1::Sandbox) -> v1::Sandbox {
    let version = match active_version(state, &sandbox.id) {
        0 => served(state, &sandbox.id).map_or(0, |revision| revision.version),
        active => active,
    };
    v1::Sandbox {
        current_policy_version: version,
        ..sandbox.clone()
    }
}

/// What is wrong with a name and a spec, its policy aside (LIM).
fn faults(name: &str, spec: &v1::SandboxSpec) -> Vec<String> {
    let v1::SandboxSpec {
        log_level,
        environment,
        policy: _,
        providers,
    } = spec;
    let mut faults = Vec::new();
    if SandboxId::new(name).is_none() {
        faults.push(format!(
            "name: must have at most {} bytes and no control characters",
            SandboxId::LEN_MAX
        ));
    }
    if log_level.len() > LOG_LEVEL_BYTES_MAX || log_level.chars().any(char::is_control) {
        faults.push(format!(
            "spec.log_level: must have at most {LOG_LEVEL_BYTES_MAX} bytes and no control characters"
        ));
    }
    if environment.len() > ENVIRONMENT_MAX {
        faults.push(format!(
            "spec.environment: more than {ENVIRONMENT_MAX} entries"
        ));
    }
    let unusable = |(name, value): (&String, &String)| !is_variable(name) || value.contains('\0');
    if environment.iter().any(unusable) {
        faults.push(
            "spec.environment: a name must be of A-Z, a-z, 0-9 and `_` and not begin with a digit, and a value have no NUL byte"
                .to_owned(),
        );
    }
    if providers.len() > PROVIDERS_MAX {
        faults.push(format!("spec.providers: more than {PROVIDERS_MAX} names"));
    }
    faults
}

/// A name that every shell takes.
fn is_variable(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn missing(state: &State, providers: &[String]) -> Result<(), Refused> {
    let unknown = providers
        .iter()
        .filter(|name| !state.providers.contains_key(*name));
    let names: Vec<String> = unknown.map(|name| format!("`{name}`")).collect();
    if names.is_empty() {
        return Ok(());
    }
    let names = names.join(", ");
    Err(Refused::Precondition(format!(
        "spec.providers: there is no provider {names}; create it first"
    )))
}

/// How much randomness an id holds.
pub const ID_BYTES: usize = 8;

/// LIM
const ENVIRONMENT_MAX: usize = 128;
const LOG_LEVEL_BYTES_MAX: usize = 32;

/// PRV-10
const PROVIDERS_MAX: usize = 32;
