use std::collections::BTreeMap;

use proto::v1;

use super::*;
use crate::model::{Revision, State};

const HUGE: usize = 1 << 30;

/// DPL-2.
#[test]
fn the_first_message_is_complete_and_later_ones_are_what_changed() {
    let mut state = State {
        generation: 5,
        ..State::default()
    };
    put(&mut state, "a", "h", 1);
    put(&mut state, "b", "h", 1);
    put(&mut state, "c", "other", 1);
    let first = View::of(&state, route("m1"), &View::default());
    let mut feed = Feed::new("h", Vec::new(), HUGE);
    let message = only(feed.changes(&first, 99));
    assert_eq!(
        (
            message.generation,
            message.base_generation,
            message.sent_at_ms
        ),
        (5, 0, 99)
    );
    assert_eq!(ids(&message), ["a", "b"]);
    assert_eq!(message.routes, route("m1"));

    state.generation = 6;
    put(&mut state, "b", "h", 2);
    let second = View::of(&state, route("m1"), &first);
    let message = only(feed.changes(&second, 99));
    assert_eq!((message.generation, message.base_generation), (6, 5));
    assert_eq!(ids(&message), ["b"]);
    assert_eq!(message.sandboxes[0].policy_version, 2);
    assert!(!message.routes_changed && message.routes.is_empty());
}

#[test]
fn what_concerns_another_host_sends_nothing() {
    let mut state = State {
        generation: 5,
        ..State::default()
    };
    put(&mut state, "a", "h", 1);
    put(&mut state, "c", "other", 1);
    let first = View::of(&state, route("m1"), &View::default());
    let mut feed = Feed::new("h", Vec::new(), HUGE);
    feed.changes(&first, 0);
    state.generation = 6;
    put(&mut state, "c", "other", 2);
    let second = View::of(&state, route("m1"), &first);
    assert!(feed.changes(&second, 0).is_empty());
    assert!(Arc::ptr_eq(
        first.share("h").unwrap(),
        second.share("h").unwrap()
    ));
    assert!(Arc::ptr_eq(&first.routes, &second.routes));
    assert!(!second.differs_for("h", &first) && second.differs_for("other", &first));
    // The next sign of life brings its number up to date, and the next change builds upon that.
    let beat = feed.beat(&second, 0);
    assert_eq!((beat.generation, beat.base_generation), (6, 5));
    let beat = feed.beat(&second, 0);
    assert_eq!((beat.generation, beat.base_generation), (6, 6));
}

/// RPC-2, TR-108: a key goes where it is used.
#[test]
fn a_host_without_sandboxes_gets_no_routes() {
    let mut state = State {
        generation: 5,
        ..State::default()
    };
    put(&mut state, "a", "other", 1);
    let view = View::of(&state, route("m1"), &View::default());
    let mut feed = Feed::new("h", Vec::new(), HUGE);
    let message = only(feed.changes(&view, 0));
    assert!(message.routes.is_empty() && message.sandboxes.is_empty());

    state.generation = 6;
    put(&mut state, "b", "h", 1);
    let view = View::of(&state, route("m1"), &view);
    let message = only(feed.changes(&view, 0));
    assert!(message.routes_changed && message.routes.len() == 1);

    state.generation = 7;
    state.sandboxes.remove("b");
    let view = View::of(&state, route("m1"), &view);
    let message = only(feed.changes(&view, 0));
    assert!(message.routes_changed && message.routes.is_empty());
    assert_eq!(message.removed_sandbox_ids, ["b"]);
}

/// A host that was slow skips generations, and what came and went meanwhile.
#[test]
fn skipped_generations_leave_no_trace() {
    let mut state = State {
        generation: 1,
        ..State::default()
    };
    put(&mut state, "a", "h", 1);
    let first = View::of(&state, route("m1"), &View::default());
    let mut feed = Feed::new("h", Vec::new(), HUGE);
    feed.changes(&first, 0);
    state.generation = 2;
    put(&mut state, "b", "h", 1);
    let skipped = View::of(&state, route("m2"), &first);
    state.generation = 3;
    state.sandboxes.remove("b");
    put(&mut state, "a", "h", 2);
    let third = View::of(&state, route("m1"), &skipped);
    let message = only(feed.changes(&third, 0));
    assert_eq!((message.generation, message.base_generation), (3, 1));
    assert_eq!(ids(&message), ["a"]);
    assert!(!message.routes_changed && message.removed_sandbox_ids.is_empty());
}

#[test]
fn an_older_view_changes_nothing() {
    let mut state = State {
        generation: 2,
        ..State::default()
    };
    put(&mut state, "a", "h", 1);
    let newer = View::of(&state, route("m1"), &View::default());
    let older = View::of(
        &State {
            generation: 1,
            ..State::default()
        },
        Vec::new(),
        &newer,
    );
    let mut feed = Feed::new("h", Vec::new(), HUGE);
    feed.changes(&newer, 0);
    assert!(feed.changes(&older, 0).is_empty());
    assert_eq!(feed.beat(&older, 0).generation, 2);
}

/// LIV-8.
#[test]
fn a_failed_version_is_not_served() {
    let mut state = State {
        generation: 2,
        ..State::default()
    };
    put(&mut state, "a", "h", 1);
    put(&mut state, "a", "h", 2);
    let failed = Arc::make_mut(state.revisions.get_mut("a").unwrap());
    Arc::make_mut(&mut failed[1]).status = v1::PolicyStatus::Failed;
    let view = View::of(&state, Vec::new(), &View::default());
    assert_eq!(view.share("h").unwrap()["a"].policy_version, 1);
    let failed = Arc::make_mut(state.revisions.get_mut("a").unwrap());
    Arc::make_mut(&mut failed[0]).status = v1::PolicyStatus::Failed;
    let view = View::of(&state, Vec::new(), &View::default());
    let none = &view.share("h").unwrap()["a"];
    assert_eq!(
        (none.policy_version, none.policy_hash.as_str(), &none.policy),
        (0, "", &None)
    );
}

#[test]
fn refused_claims_are_told_once() {
    let state = State {
        generation: 2,
        ..State::default()
    };
    let view = View::of(&state, Vec::new(), &View::default());
    let refused = SandboxSnapshot {
        sandbox_id: "x".to_owned(),
        error_code: "bound_elsewhere".to_owned(),
        ..SandboxSnapshot::default()
    };
    let mut feed = Feed::new("h", vec![refused.clone()], HUGE);
    assert_eq!(only(feed.changes(&view, 0)).sandboxes, [refused]);
    let view = View::of(
        &State {
            generation: 3,
            ..state
        },
        Vec::new(),
        &view,
    );
    assert!(feed.changes(&view, 0).is_empty());
}

/// DPL-2: together the parts are the message.
#[test]
fn a_large_message_comes_in_parts() {
    let mut state = State {
        generation: 9,
        ..State::default()
    };
    for number in 0..100 {
        put(&mut state, &format!("s{number:03}"), "h", 1);
    }
    let view = View::of(&state, route("m1"), &View::default());
    let whole = only(Feed::new("h", Vec::new(), HUGE).changes(&view, 7));
    let parts = Feed::new("h", Vec::new(), 300).changes(&view, 7);
    assert!(parts.len() >= 10, "{}", parts.len());
    for (at, part) in parts.iter().enumerate() {
        assert_eq!(
            (part.generation, part.base_generation, part.sent_at_ms),
            (9, 0, 7)
        );
        assert_eq!(part.more, at + 1 < parts.len());
        assert_eq!(part.routes.len(), usize::from(at == 0));
        assert!(!part.sandboxes.is_empty());
    }
    let together: Vec<_> = parts.into_iter().flat_map(|part| part.sandboxes).collect();
    assert_eq!(together, whole.sandboxes);
}

/// What is larger than a part by itself is a part by itself.
#[test]
fn no_bound_is_too_small() {
    let mut state = State {
        generation: 9,
        ..State::default()
    };
    put(&mut state, "a", "h", 1);
    put(&mut state, "b", "h", 1);
    let view = View::of(&state, Vec::new(), &View::default());
    let parts = Feed::new("h", Vec::new(), 0).changes(&view, 0);
    assert_eq!(parts.len(), 2);
}

fn only(parts: Vec<Snapshot>) -> Snapshot {
    assert_eq!(parts.len(), 1, "{parts:?}");
    parts.into_iter().next().unwrap()
}

fn ids(message: &Snapshot) -> Vec<&str> {
    message
        .sandboxes
        .iter()
        .map(|sandbox| sandbox.sandbox_id.as_str())
        .collect()
}

fn route(model: &str) -> Vec<ResolvedRoute> {
    vec![ResolvedRoute {
        name: "inference.local".to_owned(),
        model_id: model.to_owned(),
        ..ResolvedRoute::default()
    }]
}

/// A sandbox bound to a host, with a new version of its policy.
fn put(state: &mut State, id: &str, host_id: &str, version: u32) {
    let sandbox = v1::Sandbox {
        id: id.to_owned(),
        name: id.to_owned(),
        status: Some(v1::SandboxStatus {
            host_id: host_id.to_owned(),
            ..v1::SandboxStatus::default()
        }),
        ..v1::Sandbox::default()
    };
    state.sandboxes.insert(id.to_owned(), Arc::new(sandbox));
    let revisions: &mut BTreeMap<_, _> = &mut state.revisions;
    let revisions = Arc::make_mut(revisions.entry(id.to_owned()).or_default());
    revisions.push(Arc::new(Revision {
        sandbox_id: id.to_owned(),
        version,
        policy: Arc::default(),
        hash: format!("hash of {version}"),
        status: v1::PolicyStatus::Pending,
        load_error: String::new(),
        created_at_ms: 0,
        loaded_at_ms: 0,
    }));
}
