//! DL-2 and its neighbours, message by message.

use super::*;

fn message(generation: u64, base: u64) -> Snapshot {
    Snapshot {
        generation,
        base_generation: base,
        ..Snapshot::default()
    }
}

fn with_sandbox(generation: u64, base: u64, id: &str) -> Snapshot {
    Snapshot {
        sandboxes: vec![sandbox(id)],
        ..message(generation, base)
    }
}

fn sandbox(id: &str) -> SandboxSnapshot {
    SandboxSnapshot {
        sandbox_id: id.to_owned(),
        ..SandboxSnapshot::default()
    }
}

fn ids(change: &Change) -> Vec<&str> {
    let ids = change.sandboxes.iter();
    ids.map(|sandbox| sandbox.sandbox_id.as_str()).collect()
}

fn applied(next: Next) -> Change {
    match next {
        Next::Apply(change) => change,
        Next::Wait | Next::Resubscribe(_) => panic!("not a change: {next:?}"),
    }
}

fn begun(generation: u64) -> Merge {
    let mut merge = Merge::default();
    let change = applied(merge.take(message(generation, 0)));
    assert_eq!(
        (change.generation, change.scope),
        (generation, Scope::Complete)
    );
    merge
}

fn is_resubscribe(next: &Next) -> bool {
    matches!(next, Next::Resubscribe(_))
}

/// DPL-2
#[test]
fn a_complete_message_replaces_and_a_delta_follows() {
    let mut merge = begun(7);
    let delta = applied(merge.take(with_sandbox(9, 7, "a")));
    assert_eq!((delta.scope, ids(&delta)), (Scope::Delta, vec!["a"]));
    assert_eq!(delta.routes, None);
    assert_eq!(merge.applied(), Some(9));
    let again = applied(merge.take(message(12, 0)));
    assert_eq!(again.scope, Scope::Complete);
    assert_eq!(again.routes, Some(Vec::new()));
}

/// DL-2, DPL-3
#[test]
fn a_delta_on_a_generation_that_is_not_in_force_asks_for_a_complete_message() {
    assert!(is_resubscribe(&Merge::default().take(message(5, 4))));
    for (generation, base) in [(9, 6), (9, 8), (7, 7), (6, 7), (3, 2)] {
        let mut merge = begun(7);
        let next = merge.take(with_sandbox(generation, base, "a"));
        assert!(is_resubscribe(&next), "{generation} on {base}");
        assert_eq!(merge.applied(), Some(7), "nothing of it counts");
    }
}

/// DPL-3: order is by generation, over a restart of the gateway as well.
#[test]
fn a_complete_message_that_is_older_is_not_applied() {
    let mut merge = begun(7);
    assert!(is_resubscribe(&merge.take(message(6, 0))));
    assert_eq!(applied(merge.take(message(7, 0))).generation, 7);
}

/// DPL-4
#[test]
fn a_heartbeat_changes_nothing() {
    let mut merge = begun(7);
    assert_eq!(merge.take(message(7, 7)), Next::Wait);
    assert_eq!(merge.applied(), Some(7));
    // One of another generation means that a change was missed.
    assert!(is_resubscribe(&merge.take(message(8, 8))));
}

/// DPL-2: parts are applied together or not at all.
#[test]
fn parts_of_a_generation_are_one_change() {
    let more = |message: Snapshot| Snapshot {
        more: true,
        ..message
    };
    let mut merge = Merge::default();
    assert_eq!(merge.take(more(with_sandbox(3, 0, "a"))), Next::Wait);
    assert_eq!(merge.applied(), None);
    assert_eq!(merge.take(more(with_sandbox(3, 0, "b"))), Next::Wait);
    let whole = applied(merge.take(with_sandbox(3, 0, "c")));
    assert_eq!(ids(&whole), ["a", "b", "c"]);

    assert_eq!(merge.take(more(with_sandbox(4, 3, "d"))), Next::Wait);
    assert_eq!(merge.take(message(3, 3)), Next::Wait, "a heartbeat between");
    assert!(is_resubscribe(&merge.take(with_sandbox(5, 3, "e"))));
    assert_eq!(merge.applied(), Some(3));

    // A stream that ended in the middle leaves nothing behind.
    assert_eq!(merge.take(more(with_sandbox(4, 3, "d"))), Next::Wait);
    merge.begin();
    assert_eq!(ids(&applied(merge.take(with_sandbox(4, 0, "f")))), ["f"]);
}

/// B1: a gateway that never says the last part is not listened to for ever.
#[test]
fn a_generation_without_an_end_is_given_up() {
    let part = || Snapshot {
        more: true,
        ..message(3, 0)
    };
    let mut merge = Merge::default();
    for _ in 0..PARTS_MAX {
        assert_eq!(merge.take(part()), Next::Wait);
    }
    assert!(is_resubscribe(&merge.take(part())));
}

/// RPC-9
#[test]
fn routes_that_changed_to_none_are_told_from_routes_that_stay() {
    let mut merge = begun(1);
    let emptied = Snapshot {
        routes_changed: true,
        ..message(2, 1)
    };
    assert_eq!(applied(merge.take(emptied)).routes, Some(Vec::new()));
    let removed = Snapshot {
        removed_sandbox_ids: vec!["a".to_owned()],
        ..message(3, 2)
    };
    let change = applied(merge.take(removed));
    assert_eq!(
        (change.routes, change.removed),
        (None, vec!["a".to_owned()])
    );
}
