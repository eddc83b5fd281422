//! What was denied, grouped, for the end of `run` (LOG-1).
//!
//! It exists apart from `ship.rs` because it outlives the file: without `--record` it is all that is kept of a run.
//! Bounded: beyond `GROUPS_MAX` different groups only a number is kept.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::record::{Action, Event, Record, RequestLine, Text};

/// What the link knows of a run when it has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Denials, grouped, the most frequent first, then by host and port.
    pub denials: Vec<Denials>,
    /// Denials beyond the bound on groups.
    pub denials_ungrouped: u64,
    /// Records that were neither written nor counted here.
    pub lost: u64,
}

/// Denials that are alike in everything but their time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denials {
    /// What they have in common.
    pub group: Group,
    /// How many there were.
    pub count: u64,
}

/// What denials of one group have in common. Fields that a refusal did not know are `None`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group {
    /// The sandbox.
    pub sandbox_id: Text,
    /// Host asked for.
    pub host: Option<Text>,
    /// Port asked for.
    pub port: Option<u16>,
    /// Path of the executable that asked.
    pub binary: Option<Text>,
    /// Code of the refusal.
    pub code: Option<&'static str>,
    /// Reason of the refusal.
    pub reason: Option<Cow<'static, str>>,
    /// The policy entry that decided.
    pub policy: Option<Text>,
    /// Method and path, where a request rule was what was missing.
    pub rule: Option<(Text, Text)>,
}

/// Denials being counted.
pub(crate) struct Tally {
    groups: HashMap<Group, u64>,
    ungrouped: u64,
}

impl Tally {
    pub(crate) fn new() -> Tally {
        Tally {
            groups: HashMap::new(),
            ungrouped: 0,
        }
    }

    pub(crate) fn add(&mut self, record: &Record) {
        let Some(group) = denied(record) else { return };
        if self.groups.len() < GROUPS_MAX {
            *self.groups.entry(group).or_default() += 1;
        } else if let Some(count) = self.groups.get_mut(&group) {
            *count += 1;
        } else {
            self.ungrouped += 1;
        }
    }

    pub(crate) fn finish(self, lost: u64) -> Summary {
        let mut denials: Vec<Denials> = self
            .groups
            .into_iter()
            .map(|(group, count)| Denials { group, count })
            .collect();
        denials.sort_by(|a, b| {
            let by_place = |denials: &Denials| (denials.group.host.clone(), denials.group.port);
            b.count
                .cmp(&a.count)
                .then_with(|| by_place(a).cmp(&by_place(b)))
                .then_with(|| a.group.cmp(&b.group))
        });
        Summary {
            denials,
            denials_ungrouped: self.ungrouped,
            lost,
        }
    }
}

fn denied(record: &Record) -> Option<Group> {
    let mut group = Group {
        sandbox_id: record.sandbox_id.clone(),
        host: None,
        port: None,
        binary: None,
        code: None,
        reason: None,
        policy: None,
        rule: None,
    };
    let program = match &record.event {
        Event::Connect(access) | Event::Forward(access) if access.action == Action::Deny => {
            group.host = access.host.clone();
            group.port = access.port;
            group.code = access.code;
            group.reason = access.reason.clone();
            group.policy = access.policy.clone();
            group.rule = missing_rule(group.reason.as_deref(), access.request.as_ref());
            access.program.as_ref()
        }
        Event::L7Request(request) if request.decision == Action::Deny => {
            group.host = Some(request.host.clone());
            group.port = Some(request.port);
            group.code = request.code;
            group.reason = request
                .deny_reason
                .clone()
                .filter(|reason| Some(&**reason) != request.code);
            group.policy = request.policy.clone();
            group.rule = missing_rule(group.reason.as_deref(), request.request.as_ref());
            request.program.as_ref()
        }
        Event::Inference(inference) if inference.action == Action::Deny => {
            group.host = Some(Text::new(b"inference.local"));
            group.code = inference.code;
            group.reason = inference.reason.clone();
            group.policy = inference.policy.clone();
            inference.program.as_ref()
        }
        Event::Refused(refused) => {
            group.code = Some(refused.code);
            group.reason = refused.reason.clone();
            refused.program.as_ref()
        }
        Event::Connect(_)
        | Event::Forward(_)
        | Event::L7Request(_)
        | Event::Inference(_)
        | Event::TunnelClosed(_)
        | Event::PolicyLoaded(_)
        | Event::PolicyFailed(..)
        | Event::SnapshotApplied(_)
        | Event::StreamLost(_)
        | Event::BaselineAdded(_)
        | Event::LandlockDegraded(_)
        | Event::ProviderRevoked(_) => return None,
    };
    group.binary = program.map(|program| program.binary.clone());
    Some(group)
}

/// Why by path: the lines that would allow a request name one.
fn missing_rule(reason: Option<&str>, request: Option<&RequestLine>) -> Option<(Text, Text)> {
    let request = request.filter(|_| reason == Some("request_not_allowed"))?;
    Some((request.method.clone(), request.path.clone()))
}

/// Different groups kept. At most about 3 KiB each, so 3 MiB.
const GROUPS_MAX: usize = 1_024;

#[cfg(test)]
mod tests;
