//! Everything a gateway said, decoded: one entry an object, each with what is in force of it.
//!
//! Apart from `merge`, which knows whole messages, and from the [`Site`], which puts a table in force. Invariants: an object
//! that did not change stays the same object; one that cannot be used keeps its last good one in force, if there is one
//! (DPL-6), and is not tried again until it changes (LIV-8).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use policy::custom::Rules;
use policy::route::{Broken, Fault};
use policy::{Policy, PolicyDocument, Route, Routes};
use proto::inference::{ResolvedRoute, RouteStatus};
use proto::v1::{PolicyReport, PolicyStatus, RouteReport, SandboxSnapshot};

use super::merge::{Change, Scope};
use crate::decode;

/// Where what a gateway says is put in force. Its methods run on a thread that may wait.
pub trait Site: Send + 'static {
    /// Looks into an operator's own rules, in a process that may be ended (RGO-6).
    ///
    /// # Errors
    /// What is wrong with them.
    fn check_rules(&self, rules: &Rules) -> Result<(), String>;

    /// Whether a running sandbox can take this policy, as it was written, in place of the one it has (LIV-3).
    ///
    /// # Errors
    /// Why not.
    fn takes(&self, sandbox_id: &str, written: &PolicyDocument) -> Result<(), String>;

    /// Puts everything in force at once.
    fn apply(&mut self, served: &Served);

    /// The stream came or went, or the routes went stale.
    fn link_changed(&mut self, standing: super::Standing);

    /// The stream was lost, or the first one could not be opened: why, and how long until the next attempt. Said once
    /// until there is one.
    fn stream_lost(&mut self, why: &str, retry: Duration);
}

/// What there is, as of one generation.
#[derive(Clone, Default)]
pub struct Served {
    /// The gateway's number of it.
    pub generation: u64,
    /// Its routes, as they answer now.
    pub routes: Arc<Routes>,
    /// Its sandboxes, by the gateway's id.
    pub sandboxes: BTreeMap<String, ServedSandbox>,
    /// Sandboxes that were there and are gone, by this change.
    pub removed: BTreeSet<String>,
    /// Providers that were deleted by force, by this change: the type of each that was used here, as a host is told no
    /// name.
    pub revoked: Vec<Option<String>>,
}

/// What a gateway says of one sandbox.
#[derive(Clone, Default)]
pub struct ServedSandbox {
    /// Its name.
    pub name: String,
    /// The policy in force; absent when none ever loaded.
    pub policy: Option<Arc<Policy>>,
    /// The version of that policy; 0 without one.
    pub version: u32,
    /// That policy as the gateway holds it.
    pub written: Option<Arc<PolicyDocument>>,
    /// The text of its own rules; empty without.
    pub rego: Arc<str>,
    /// Baseline paths that it lacked (BAS-3).
    pub added: Vec<String>,
    /// The version that could not be used, and why.
    pub failed: Option<(u32, String)>,
    /// The gateway's word on what keeps the sandbox from being started.
    pub error_code: String,
    /// The hash that came with the version in force.
    hash: String,
}

/// What there is to tell the gateway of a change.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) generation: u64,
    pub(crate) policies: Vec<PolicyReport>,
    /// Absent when the routes did not change.
    pub(crate) routes: Option<Vec<RouteReport>>,
    pub(crate) removed: BTreeSet<String>,
}

/// The table, and where it is put in force.
pub(crate) struct Table {
    site: Box<dyn Site>,
    served: Served,
    /// The routes as they were said, whatever became of them since.
    said: Arc<Routes>,
    /// Of which type the provider of a route was when it was usable last.
    provider_types: BTreeMap<String, String>,
}

impl Table {
    pub(crate) fn new(site: Box<dyn Site>) -> Table {
        Table {
            site,
            served: Served::default(),
            said: Arc::default(),
            provider_types: BTreeMap::new(),
        }
    }

    /// Takes a change over and puts it in force.
    pub(crate) fn apply(&mut self, change: Change) -> Outcome {
        let mut outcome = Outcome {
            generation: change.generation,
            ..Outcome::default()
        };
        self.served.generation = change.generation;
        self.served.removed = self.gone(&change);
        for id in &self.served.removed {
            self.served.sandboxes.remove(id);
        }
        if let Some(routes) = change.routes {
            outcome.routes = Some(self.take_routes(routes));
        }
        self.served.routes = Arc::clone(&self.said);
        for sandbox in change.sandboxes {
            outcome.policies.extend(self.take_sandbox(sandbox));
        }
        self.site.apply(&self.served);
        self.served.revoked.clear();
        outcome.removed = std::mem::take(&mut self.served.removed);
        outcome
    }

    /// The gateway was away for too long: its routes are not used any more, its policies are (DPL-9).
    pub(crate) fn go_stale(&mut self) {
        self.served.routes = Arc::new(self.said.gone_stale());
        self.site.apply(&self.served);
    }

    /// Passes on how the host stands with its gateway.
    pub(crate) fn link_changed(&mut self, standing: super::Standing) {
        self.site.link_changed(standing);
    }

    /// Passes on that the stream was lost.
    pub(crate) fn stream_lost(&mut self, why: &str, retry: Duration) {
        self.site.stream_lost(why, retry);
    }

    fn gone(&self, change: &Change) -> BTreeSet<String> {
        let mut gone: BTreeSet<String> = change
            .removed
            .iter()
            .filter(|id| self.served.sandboxes.contains_key(*id))
            .cloned()
            .collect();
        if change.scope == Scope::Complete {
            let said: BTreeSet<&str> = change
                .sandboxes
                .iter()
                .map(|sandbox| sandbox.sandbox_id.as_str())
                .collect();
            let known = self.served.sandboxes.keys();
            gone.extend(known.filter(|id| !said.contains(id.as_str())).cloned());
        }
        gone
    }

    fn take_routes(&mut self, messages: Vec<ResolvedRoute>) -> Vec<RouteReport> {
        let mut listed = Vec::with_capacity(messages.len());
        let mut reports = Vec::with_capacity(messages.len());
        let mut provider_types = BTreeMap::new();
        for message in messages {
            let (name, version) = (message.name.clone(), message.version);
            let provider_type = match message.provider_type.as_str() {
                "" => self.provider_types.remove(&name),
                said => Some(said.to_owned()),
            };
            let (route, why) = decode::route(message);
            if self.is_revoked(&route) {
                self.served.revoked.push(provider_type.clone());
            }
            provider_types.extend(provider_type.map(|said| (name.clone(), said)));
            let status = match route {
                Ok(_) => RouteStatus::Ready,
                Err(_) => RouteStatus::Broken,
            };
            let code = match (&route, why) {
                (Ok(_), _) => String::new(),
                (Err(broken), None) => broken.fault.to_string(),
                (Err(broken), Some(why)) => format!("{}: {why}", broken.fault),
            };
            reports.push(RouteReport {
                name,
                version,
                status: status.into(),
                error_code: code,
            });
            listed.push(route);
        }
        self.said = Arc::new(Routes::of_gateway(listed, &self.said));
        self.provider_types = provider_types;
        reports
    }

    /// Whether a route has lost its provider just now.
    fn is_revoked(&self, route: &Result<Route, Broken>) -> bool {
        let missing = |broken: &Broken| broken.fault == Fault::ProviderMissing;
        match route {
            Err(now) if missing(now) => {
                let mut before = self.said.broken();
                !before.any(|before| before.name == now.name && missing(before))
            }
            Ok(_) | Err(_) => false,
        }
    }

    fn take_sandbox(&mut self, message: SandboxSnapshot) -> Option<PolicyReport> {
        let SandboxSnapshot {
            sandbox_id,
            name,
            policy,
            policy_version: version,
            policy_hash: hash,
            error_code,
        } = message;
        let mut entry = self
            .served
            .sandboxes
            .remove(&sandbox_id)
            .unwrap_or_default();
        entry.name = name;
        entry.error_code = error_code;
        let said = policy.map(|policy| match &entry.failed {
            Some((failed, why)) if *failed == version => Err(why.clone()),
            _ if entry.policy.is_some() && entry.hash == hash => Ok(None),
            Some(_) | None => {
                let accept = |written: &PolicyDocument, rules: Option<&Rules>| {
                    self.site.takes(&sandbox_id, written)?;
                    rules.map_or(Ok(()), |rules| self.site.check_rules(rules))
                };
                decode::policy(&policy, accept).map(Some)
            }
        });
        let report = said.map(|said| {
            let (status, load_error) = match said {
                Ok(decoded) => {
                    entry.load(decoded, version, hash);
                    (PolicyStatus::Loaded, String::new())
                }
                Err(why) => {
                    entry.failed = Some((version, why.clone()));
                    (PolicyStatus::Failed, why)
                }
            };
            PolicyReport {
                sandbox_id: sandbox_id.clone(),
                version,
                status: status.into(),
                load_error,
            }
        });
        self.served.sandboxes.insert(sandbox_id, entry);
        report
    }
}

impl ServedSandbox {
    /// A version is in force; without a new policy it is the one that is, by another number.
    fn load(&mut self, decoded: Option<decode::Decoded>, version: u32, hash: String) {
        self.version = version;
        self.failed = None;
        if let Some(decoded) = decoded {
            self.hash = hash;
            self.policy = Some(Arc::new(decoded.policy));
            self.written = Some(Arc::new(decoded.written));
            self.rego = decoded.rego.into();
            self.added = decoded.added;
        }
    }
}

#[cfg(test)]
mod tests;
