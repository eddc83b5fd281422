//! Document → table. Overlaps are ordered, never refused (POL-5, POL-6).
//!
//! Apart from `table` because it runs once a version and may allocate. Invariant: compiling cannot
//! fail: a document is valid by construction.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use wire::{Authority, Port};

use crate::address::AllowedIps;
use crate::custom::Rules;
use crate::decision::InferenceGrant;
use crate::document::{
    Binary, Destination, Endpoint, Grant, Inference, Inspection, NetworkPolicy, PolicyDocument,
    Rule,
};
use crate::pattern::{Glob, HostPattern};
use crate::request::Matcher;
use crate::table::{
    Binaries, CompiledEndpoint, CompiledPolicy, HostRank, InspectionMode, PathRule, PolicyMap,
    PortTable, RequestRules, RuleSet, Table,
};

/// A compiled policy: immutable, shared, and all a decision needs.
pub struct Policy {
    document: PolicyDocument,
    hash: Box<str>,
    pub(crate) table: Table,
    pub(crate) inference: CompiledInference,
    pub(crate) standing: Standing,
    /// An operator's own rules, which judge in place of the table.
    pub(crate) rules: Option<Arc<Rules>>,
}

/// Whether there is a policy at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Somebody's policy, or the restrictive default.
    InForce,
    /// None ever loaded: everything is denied, inference included (TR-073).
    NeverLoaded,
}

/// The `inference` section, ready to be asked.
#[derive(Debug)]
pub(crate) struct CompiledInference {
    pub(crate) binaries: Option<Binaries>,
    pub(crate) grant: InferenceGrant,
}

impl Policy {
    /// Compiles a document whose binary patterns are taken as written.
    pub fn compile(document: PolicyDocument) -> Policy {
        Policy::compile_with_links(document, &|_| None)
    }

    /// Compiles a document. `link_target` names the file behind an exact binary pattern that is a
    /// symbolic link inside the sandbox's root; link and target both match then (IDN-8).
    pub fn compile_with_links(
        document: PolicyDocument,
        link_target: &dyn Fn(&str) -> Option<Box<[u8]>>,
    ) -> Policy {
        Policy {
            hash: document.hash().into(),
            table: table(&document.network_policies, link_target),
            inference: inference(document.inference.as_ref(), link_target),
            standing: Standing::InForce,
            rules: None,
            document,
        }
    }

    /// The policy of a sandbox whose own never loaded (TR-073): `policy_evaluation_failed` for all.
    pub fn denies_everything() -> Policy {
        Policy {
            standing: Standing::NeverLoaded,
            hash: Box::default(),
            ..Policy::compile(PolicyDocument::empty())
        }
    }

    /// The same policy, whose connections and requests are judged by `rules` (RGO-6). Who may use inference.local is
    /// still judged by the document.
    pub fn with_rules(self, rules: Rules) -> Policy {
        Policy {
            hash: rules.hash_with(&self.hash).into(),
            rules: Some(Arc::new(rules)),
            ..self
        }
    }

    /// The operator's own rules, if any.
    pub fn rules(&self) -> Option<&Arc<Rules>> {
        self.rules.as_ref()
    }

    /// What it was compiled from.
    pub fn document(&self) -> &PolicyDocument {
        &self.document
    }

    /// LIV-5: hash of the document, lower-case hex; empty where none ever loaded (LIV-8).
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Policy {
            document: _,
            hash,
            table,
            inference: _,
            standing,
            rules,
        } = self;
        let policies = &table.policies.len();
        f.debug_struct("Policy")
            .field("hash", hash)
            .field("network_policies", policies)
            .field("standing", standing)
            .field("rules", rules)
            .finish_non_exhaustive()
    }
}

fn table(
    policies: &BTreeMap<String, NetworkPolicy>,
    link_target: &dyn Fn(&str) -> Option<Box<[u8]>>,
) -> Table {
    let mut exact: PolicyMap<Authority, Vec<CompiledEndpoint>> = PolicyMap::default();
    let mut by_port: PolicyMap<Port, PortTable> = PolicyMap::default();
    let mut lists = Lists::default();
    // A `BTreeMap` iterates in byte order of its keys, which is the order of POL-6.
    for (index, policy) in policies.values().enumerate() {
        for endpoint in &policy.endpoints {
            let compiled = compile_endpoint(index, endpoint, &mut lists);
            match &endpoint.destination {
                Destination::Host(HostPattern::Exact(host))
                | Destination::HostAt(HostPattern::Exact(host), _) => {
                    let authority = Authority {
                        host: host.clone(),
                        port: endpoint.port,
                    };
                    exact.entry(authority).or_default().push(compiled);
                }
                Destination::Host(pattern) | Destination::HostAt(pattern, _) => {
                    by_port
                        .entry(endpoint.port)
                        .or_default()
                        .wildcard
                        .push((pattern.clone(), compiled));
                }
                Destination::AnyHostAt(_) => by_port
                    .entry(endpoint.port)
                    .or_default()
                    .hostless
                    .push(compiled),
            }
        }
    }
    let policies = policies.iter().map(|(key, policy)| CompiledPolicy {
        key: key.as_str().into(),
        binaries: compile_binaries(&policy.binaries, link_target),
    });
    Table {
        policies: policies.collect(),
        exact,
        by_port,
    }
}

/// Every `allowed_ips` once, so that equal lists are one list.
#[derive(Default)]
struct Lists(Vec<Arc<AllowedIps>>);

impl Lists {
    fn take(&mut self, list: &AllowedIps) -> Arc<AllowedIps> {
        let known = self.0.iter().find(|known| ***known == *list);
        known.map(Arc::clone).unwrap_or_else(|| {
            let list = Arc::new(list.clone());
            self.0.push(Arc::clone(&list));
            list
        })
    }
}

fn compile_endpoint(policy: usize, endpoint: &Endpoint, lists: &mut Lists) -> CompiledEndpoint {
    CompiledEndpoint {
        policy,
        rank: match endpoint.destination.host() {
            Some(HostPattern::Exact(_)) => HostRank::Exact,
            Some(HostPattern::OneLabel(_) | HostPattern::AnyLabels(_)) => HostRank::Wildcard,
            None => HostRank::AnyHost,
        },
        allowed_ips: endpoint
            .destination
            .allowed_ips()
            .map(|list| lists.take(list)),
        inspection: match &endpoint.inspection {
            Some(inspection) => InspectionMode::Rest(Box::new(request_rules(inspection))),
            None => InspectionMode::Raw,
        },
    }
}

fn request_rules(inspection: &Inspection) -> RequestRules {
    let Inspection {
        path,
        tls,
        enforcement,
        grant,
        deny_rules,
        encoded_slash,
    } = inspection;
    let allow = match grant {
        Grant::Access(access) => access
            .methods()
            .iter()
            .map(|method| preset(method))
            .collect(),
        Grant::Rules(rules) => rules.iter().map(path_rule).collect(),
    };
    RequestRules {
        tls: *tls,
        enforcement: *enforcement,
        encoded_slash: *encoded_slash,
        path: path.clone(),
        allow: RuleSet::new(allow),
        deny: RuleSet::new(deny_rules.iter().map(path_rule).collect()),
    }
}

/// L7-12: one method of a preset, on every path.
fn preset(method: &'static str) -> (&'static str, PathRule) {
    let rule = PathRule {
        path: Glob::new("**"),
        query: Box::default(),
    };
    (method, rule)
}

fn path_rule(rule: &Rule) -> (&str, PathRule) {
    let Rule {
        method,
        path,
        query,
    } = rule;
    let matchers = query.iter().map(|(name, value)| Matcher {
        name: name.as_bytes().into(),
        value: value.clone(),
    });
    let rule = PathRule {
        path: path.clone(),
        query: matchers.collect(),
    };
    (method, rule)
}

fn compile_binaries(
    binaries: &[Binary],
    link_target: &dyn Fn(&str) -> Option<Box<[u8]>>,
) -> Binaries {
    let mut exact: Vec<Box<[u8]>> = Vec::new();
    let mut globs: Vec<Glob> = Vec::new();
    for Binary { path } in binaries {
        if path.is_literal() {
            exact.push(path.as_str().as_bytes().into());
            exact.extend(link_target(path.as_str()));
        } else {
            globs.push(path.clone());
        }
    }
    Binaries::new(exact, globs)
}

fn inference(
    section: Option<&Inference>,
    link_target: &dyn Fn(&str) -> Option<Box<[u8]>>,
) -> CompiledInference {
    let Inference {
        binaries,
        models,
        requests_per_minute,
        tokens_per_minute,
        max_concurrent,
    } = section.cloned().unwrap_or_default();
    CompiledInference {
        binaries: binaries.map(|binaries| compile_binaries(&binaries, link_target)),
        grant: InferenceGrant {
            models: models.map(Into::into),
            requests_per_minute,
            tokens_per_minute,
            max_concurrent,
        },
    }
}
