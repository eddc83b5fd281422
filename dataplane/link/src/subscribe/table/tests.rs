//! DPL-6 and LIV-8: every object on its own.

use std::sync::Mutex;

use policy::Protocol;
use policy::route::{Fault, NoRoute};
use proto::v1::{FilesystemPolicy, SandboxPolicy};

use super::*;
use crate::subscribe::Standing;

/// Takes everything but policies whose working directory is included, and keeps what it was given.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<Served>>>);

impl Site for Memory {
    fn check_rules(&self, _rules: &Rules) -> Result<(), String> {
        Ok(())
    }

    fn takes(&self, sandbox_id: &str, written: &PolicyDocument) -> Result<(), String> {
        match &written.filesystem {
            Some(section) if section.include_workdir => Err(format!("{sandbox_id}: no")),
            Some(_) | None => Ok(()),
        }
    }

    fn apply(&mut self, served: &Served) {
        self.0.lock().unwrap().push(served.clone());
    }

    fn link_changed(&mut self, _standing: Standing) {}

    fn stream_lost(&mut self, _why: &str, _retry: Duration) {}
}

fn table() -> (Table, Memory) {
    let memory = Memory::default();
    (Table::new(Box::new(memory.clone())), memory)
}

impl Memory {
    fn newest(&self) -> Served {
        self.0.lock().unwrap().last().unwrap().clone()
    }
}

fn good() -> SandboxPolicy {
    SandboxPolicy {
        version: 1,
        ..SandboxPolicy::default()
    }
}

fn refused() -> SandboxPolicy {
    SandboxPolicy {
        filesystem: Some(FilesystemPolicy {
            include_workdir: true,
            ..FilesystemPolicy::default()
        }),
        ..good()
    }
}

fn sandbox(id: &str, version: u32, policy: SandboxPolicy) -> SandboxSnapshot {
    SandboxSnapshot {
        sandbox_id: id.to_owned(),
        name: format!("name of {id}"),
        policy: Some(policy),
        policy_version: version,
        policy_hash: format!("hash {version}"),
        error_code: String::new(),
    }
}

fn change(scope: Scope, generation: u64, sandboxes: Vec<SandboxSnapshot>) -> Change {
    Change {
        generation,
        scope,
        routes: None,
        sandboxes,
        removed: Vec::new(),
    }
}

fn statuses(outcome: &Outcome) -> Vec<(String, u32, PolicyStatus)> {
    let reports = outcome.policies.iter();
    reports
        .map(|report| (report.sandbox_id.clone(), report.version, report.status()))
        .collect()
}

/// DPL-6, DL-2
#[test]
fn a_broken_policy_among_many_leaves_the_others_alone() {
    let (mut table, memory) = table();
    let all = vec![
        sandbox("a", 1, good()),
        sandbox("b", 1, refused()),
        sandbox(
            "c",
            1,
            SandboxPolicy {
                version: 9,
                ..good()
            },
        ),
        sandbox("d", 1, good()),
    ];
    let outcome = table.apply(change(Scope::Complete, 5, all));
    assert_eq!(
        statuses(&outcome),
        [
            ("a".to_owned(), 1, PolicyStatus::Loaded),
            ("b".to_owned(), 1, PolicyStatus::Failed),
            ("c".to_owned(), 1, PolicyStatus::Failed),
            ("d".to_owned(), 1, PolicyStatus::Loaded),
        ]
    );
    let served = memory.newest();
    assert_eq!(served.generation, 5);
    assert!(served.sandboxes["a"].policy.is_some());
    assert!(served.sandboxes["b"].policy.is_none(), "it never loaded");
    assert_eq!(served.sandboxes["b"].failed, Some((1, "b: no".to_owned())));
}

/// DPL-6, LIV-8, PD-14
#[test]
fn a_policy_that_fails_keeps_the_last_good_one_in_force() {
    let (mut table, memory) = table();
    table.apply(change(Scope::Complete, 1, vec![sandbox("a", 1, good())]));
    let first = memory.newest().sandboxes["a"].policy.clone().unwrap();
    let failed = table.apply(change(Scope::Delta, 2, vec![sandbox("a", 2, refused())]));
    assert_eq!(
        statuses(&failed),
        [("a".to_owned(), 2, PolicyStatus::Failed)]
    );
    assert_eq!(failed.policies[0].load_error, "a: no");
    let entry = memory.newest().sandboxes["a"].clone();
    assert!(Arc::ptr_eq(&first, entry.policy.as_ref().unwrap()));
    assert_eq!(entry.version, 1);
    // The gateway serves the older version again: the object is still the same.
    table.apply(change(Scope::Delta, 3, vec![sandbox("a", 1, good())]));
    let entry = memory.newest().sandboxes["a"].clone();
    assert!(Arc::ptr_eq(&first, entry.policy.as_ref().unwrap()));
    assert_eq!(entry.failed, None);
}

/// DPL-3, LIV-9: a complete message repeats what did not change, and is acknowledged.
#[test]
fn what_a_complete_message_repeats_stays_the_same_object() {
    let (mut table, memory) = table();
    let all = || vec![sandbox("a", 1, good()), sandbox("b", 1, good())];
    table.apply(change(Scope::Complete, 1, all()));
    let before = memory.newest();
    let outcome = table.apply(change(Scope::Complete, 4, all()));
    assert_eq!(outcome.policies.len(), 2);
    let after = memory.newest();
    for id in ["a", "b"] {
        let policy = |served: &Served| served.sandboxes[id].policy.clone().unwrap();
        assert!(Arc::ptr_eq(&policy(&before), &policy(&after)));
    }
}

/// GEN-7, SBX-8
#[test]
fn a_sandbox_is_gone_when_it_is_said_to_be_or_when_a_complete_message_lacks_it() {
    let (mut table, memory) = table();
    let all = vec![
        sandbox("a", 1, good()),
        sandbox("b", 1, good()),
        sandbox("c", 1, good()),
    ];
    table.apply(change(Scope::Complete, 1, all));
    let removed = table.apply(Change {
        removed: vec!["b".to_owned(), "never".to_owned()],
        ..change(Scope::Delta, 2, Vec::new())
    });
    assert_eq!(removed.removed, BTreeSet::from(["b".to_owned()]));
    assert_eq!(memory.newest().removed, removed.removed);
    let lacking = table.apply(change(Scope::Complete, 3, vec![sandbox("a", 1, good())]));
    assert_eq!(lacking.removed, BTreeSet::from(["c".to_owned()]));
    assert!(memory.newest().sandboxes.contains_key("a"));
    table.apply(change(Scope::Delta, 4, Vec::new()));
    assert!(memory.newest().removed.is_empty(), "said once");
}

/// DPL-6, DPL-9, RPC-12
#[test]
fn a_broken_route_among_good_ones_breaks_nothing_but_itself() {
    let (mut table, memory) = table();
    let ready = |name: &str| ResolvedRoute {
        name: name.to_owned(),
        base_url: "https://h.test/v1".to_owned(),
        protocols: vec!["openai_chat_completions".to_owned()],
        api_key: "k".to_owned(),
        model_id: "m".to_owned(),
        auth_header: "authorization".to_owned(),
        status: RouteStatus::Ready.into(),
        version: 1,
        ..ResolvedRoute::default()
    };
    let broken = ResolvedRoute {
        protocols: vec!["anthropic_messages".to_owned()],
        base_url: "ftp://h.test".to_owned(),
        ..ready("broken")
    };
    let outcome = table.apply(Change {
        routes: Some(vec![broken, ready("good")]),
        ..change(Scope::Complete, 1, Vec::new())
    });
    let reports = outcome.routes.unwrap();
    assert_eq!(reports[0].status(), RouteStatus::Broken);
    assert!(reports[0].error_code.starts_with("route_broken: "));
    assert_eq!(reports[1].status(), RouteStatus::Ready);
    let routes = memory.newest().routes;
    let used = Arc::clone(routes.select(Protocol::OpenAiChatCompletions).unwrap());
    assert_eq!(
        routes.select(Protocol::AnthropicMessages).unwrap_err(),
        NoRoute::Broken(Fault::Unusable)
    );
    // Away for too long, and back: the same object, so its idle connections are still its.
    table.go_stale();
    let stale = memory.newest().routes;
    assert_eq!(
        stale.select(Protocol::OpenAiChatCompletions).unwrap_err(),
        NoRoute::Broken(Fault::Stale)
    );
    table.apply(change(Scope::Delta, 2, Vec::new()));
    let back = memory.newest().routes;
    assert!(Arc::ptr_eq(
        &used,
        back.select(Protocol::OpenAiChatCompletions).unwrap()
    ));
}
