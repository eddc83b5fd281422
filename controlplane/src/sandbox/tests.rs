//! What a sandbox's record takes and shows, and what a host may do to it.

use super::*;
use crate::model::Provider;
use crate::policy::report;

fn with_provider(name: &str) -> State {
    let provider = Provider {
        id: format!("prv-{name}"),
        name: name.to_owned(),
        kind: "openai".to_owned(),
        credentials: BTreeMap::new(),
        config: BTreeMap::new(),
        allow_private_endpoint: false,
        created_at_ms: 1,
    };
    State::default().after(&[Change::PutProvider(Arc::new(provider))], 1)
}

/// The state with one more sandbox, whose id ends in `number`.
fn with(state: &State, name: &str, number: u8, now_ms: i64) -> State {
    let (changes, _) = create(state, name, None, [number; ID_BYTES], now_ms).unwrap();
    state.after(&changes, state.generation + 1)
}

fn id(number: u8) -> String {
    format!("sb-{}", format!("{number:02x}").repeat(ID_BYTES))
}

fn refused(name: &str, spec: &v1::SandboxSpec) -> Refused {
    create(&with_provider("one"), name, Some(spec), [1; ID_BYTES], 1).unwrap_err()
}

fn spec() -> v1::SandboxSpec {
    v1::SandboxSpec::default()
}

/// LIM, RPC-3: everything that is wrong is told together.
#[test]
fn a_spec_beyond_its_limits_is_refused_by_its_fields() {
    let entries = |count: usize| (0..count).map(|number| (format!("N{number}"), String::new()));
    let full = v1::SandboxSpec {
        log_level: "x".repeat(32),
        environment: entries(128).collect(),
        providers: vec!["one".to_owned(); 32],
        ..spec()
    };
    let name = "n".repeat(253);
    assert!(create(&with_provider("one"), &name, Some(&full), [1; ID_BYTES], 1).is_ok());
    let over = v1::SandboxSpec {
        log_level: "x".repeat(33),
        environment: entries(129).collect(),
        providers: vec!["one".to_owned(); 33],
        ..spec()
    };
    let Refused::Invalid(why) = refused(&"n".repeat(254), &over) else {
        panic!("another refusal");
    };
    let fields: Vec<_> = why
        .lines()
        .map(|line| line.split(':').next().unwrap())
        .collect();
    assert_eq!(
        fields,
        [
            "name",
            "spec.log_level",
            "spec.environment",
            "spec.providers"
        ]
    );
    for (name, value) in [
        ("", "x"),
        ("A=B", "x"),
        ("A\0", "x"),
        ("A", "x\0"),
        ("1A", "x"),
        ("A-B", "x"),
        ("A B", "x"),
        ("\u{c4}", "x"),
    ] {
        let environment = [(name.to_owned(), value.to_owned())].into();
        let why = refused(
            "demo",
            &v1::SandboxSpec {
                environment,
                ..spec()
            },
        )
        .to_string();
        assert!(
            why.starts_with("spec.environment: "),
            "{name:?} {value:?}: {why}"
        );
    }
    for name in ["a\nb", "\u{7f}", "a\u{85}"] {
        assert!(
            matches!(refused(name, &spec()), Refused::Invalid(_)),
            "{name:?}"
        );
    }
}

/// PV-11, PRV-10
#[test]
fn a_provider_that_does_not_exist_is_named() {
    let providers = ["one", "two", "three"].map(str::to_owned).to_vec();
    let why = refused(
        "demo",
        &v1::SandboxSpec {
            providers,
            ..spec()
        },
    );
    assert_eq!(
        why,
        Refused::Precondition(
            "spec.providers: there is no provider `two`, `three`; create it first".to_owned()
        )
    );
}

/// RPC-3
#[test]
fn a_name_is_taken_once_and_made_up_when_none_is_given() {
    let state = with(&State::default(), "demo", 1, 1);
    let again = create(&state, "demo", None, [2; ID_BYTES], 1);
    assert!(matches!(again, Err(Refused::Exists(why)) if why.contains("`demo`")));
    for blank in ["", "  "] {
        let (_, made) = create(&state, blank, None, [2; ID_BYTES], 1).unwrap();
        assert_eq!((made.name, made.id), (id(2), id(2)));
    }
    let same_id = create(&state, "other", None, [1; ID_BYTES], 1);
    assert!(matches!(same_id, Err(Refused::Exists(_))));
}

/// LIV-2, RPC-8: its policy is version 1, and the spec keeps it as it was given.
#[test]
fn a_policy_in_the_spec_is_the_first_version() {
    let given = policy_proto::message(&policy::PolicyDocument::empty());
    let spec = v1::SandboxSpec {
        policy: Some(given.clone()),
        ..spec()
    };
    let (changes, made) = create(&State::default(), "demo", Some(&spec), [1; ID_BYTES], 5).unwrap();
    assert_eq!((made.current_policy_version, made.created_at_ms), (1, 5));
    assert_eq!(made.phase(), v1::SandboxPhase::Provisioning);
    let state = State::default().after(&changes, 1);
    let shown = get(&state, "demo").unwrap();
    assert_eq!(shown, made);
    assert_eq!(shown.spec.unwrap().policy, Some(given));
    assert_eq!(state.revisions_of(&made.id).len(), 1);
    // An invalid one is told under its field.
    let spec = v1::SandboxSpec {
        policy: Some(v1::SandboxPolicy::default()),
        ..spec
    };
    let why = refused("demo", &spec).to_string();
    assert_eq!(
        why,
        "spec.policy: version: expected the number 1, found the number 0"
    );
}

/// RPC-8: the version in force counts, and before any is, the one that is served.
#[test]
fn the_version_shown_is_the_one_in_force() {
    let empty = policy_proto::message(&policy::PolicyDocument::empty());
    let mut state = with(&State::default(), "demo", 1, 1);
    let submitted = |state: &State, policy: &v1::SandboxPolicy| {
        let (changes, _) = submit(state, &get(state, "demo").unwrap(), policy, 1).unwrap();
        state.after(&changes, state.generation + 1)
    };
    let version = |state: &State| get(state, "demo").unwrap().current_policy_version;
    assert_eq!(version(&state), 0);
    state = submitted(&state, &empty);
    assert_eq!(version(&state), 1);
    let loaded = report(&state, &id(1), 1, v1::PolicyStatus::Loaded, "", 1).unwrap();
    state = state.after(&loaded, 9);
    let inference = Some(v1::InferencePolicy::default());
    state = submitted(&state, &v1::SandboxPolicy { inference, ..empty });
    assert_eq!(
        (version(&state), served(&state, &id(1)).unwrap().version),
        (1, 2)
    );
}

/// PV-11
#[test]
fn a_list_is_ordered_by_time_then_name() {
    let mut state = State::default();
    for (name, number, at) in [("b", 1, 7), ("c", 2, 3), ("a", 3, 7)] {
        state = with(&state, name, number, at);
    }
    let names = |limit, offset| -> Vec<String> {
        let page = list(&state, limit, offset).into_iter();
        page.map(|sandbox| sandbox.name).collect()
    };
    assert_eq!(names(0, 0), ["c", "a", "b"]);
    assert_eq!(names(1, 1), ["a"]);
    assert!(matches!(get(&state, "d"), Err(Refused::NotFound(why)) if why.contains("`d`")));
}

/// RPC-1: a page of policies would not fit into a message.
#[test]
fn a_list_leaves_the_policies_out() {
    let policy = Some(v1::SandboxPolicy {
        version: 1,
        ..v1::SandboxPolicy::default()
    });
    let log_level = "debug".to_owned();
    let given = v1::SandboxSpec {
        log_level,
        policy,
        ..spec()
    };
    let made = create(&State::default(), "d", Some(&given), [1; ID_BYTES], 1).unwrap();
    let state = State::default().after(&made.0, 1);
    let listed = list(&state, 0, 0).remove(0).spec.unwrap();
    assert_eq!(
        (listed.policy, listed.log_level),
        (None, "debug".to_owned())
    );
    assert_eq!(get(&state, "d").unwrap().spec.unwrap(), given);
}

/// STO-3
#[test]
fn a_deleted_sandbox_takes_its_policies_along() {
    let spec = v1::SandboxSpec {
        policy: Some(policy_proto::message(&policy::PolicyDocument::empty())),
        ..spec()
    };
    let (changes, _) = create(&State::default(), "demo", Some(&spec), [1; ID_BYTES], 1).unwrap();
    let state = State::default().after(&changes, 1);
    let (changes, deleted) = delete(&state, "demo").unwrap();
    assert!(deleted);
    let state = state.after(&changes, 2);
    assert!(state.sandboxes.is_empty() && state.revisions.is_empty());
    let (changes, deleted) = delete(&state, "demo").unwrap();
    assert!(changes.is_empty() && !deleted);
    assert!(matches!(delete(&state, " "), Err(Refused::Invalid(_))));
}

/// RPC-2, TR-108: a sandbox belongs to the host that claimed it first.
#[test]
fn a_claim_binds_once_and_for_good() {
    let mut state = with(&with(&State::default(), "a", 1, 1), "b", 2, 1);
    let unclaimed = of_host(&state, "h1", &id(1));
    assert!(matches!(unclaimed, Err(Refused::Forbidden(_))));
    let (changes, claimed) = claim(&state, "h1", &[id(1), id(1), "sb-none".to_owned()]);
    assert_eq!((changes.len(), claimed.bound), (1, vec![id(1)]));
    assert_eq!(
        claimed.refused,
        [("sb-none".to_owned(), ClaimError::Unknown)].into()
    );
    state = state.after(&changes, 3);
    assert_eq!(of_host(&state, "h1", &id(1)).unwrap().name, "a");

    let (changes, claimed) = claim(&state, "h1", &[id(1)]);
    assert!(changes.is_empty());
    assert_eq!(claimed.bound, [id(1)]);

    let (changes, claimed) = claim(&state, "h2", &[id(1), id(2)]);
    assert_eq!(claimed.refused, [(id(1), ClaimError::Elsewhere)].into());
    state = state.after(&changes, 4);
    assert_eq!(host_of(&state.sandboxes["a"]), Some("h1"));
    assert_eq!(host_of(&state.sandboxes["b"]), Some("h2"));
    assert!(matches!(
        of_host(&state, "h2", &id(1)),
        Err(Refused::Forbidden(_))
    ));
    assert!(matches!(
        of_host(&state, "h2", "sb-none"),
        Err(Refused::NotFound(_))
    ));
}

fn told() -> v1::SandboxReport {
    v1::SandboxReport {
        sandbox_id: id(1),
        phase: v1::SandboxPhase::Ready.into(),
        landlock: v1::LandlockState::Partial.into(),
        skipped_paths: vec!["/app".to_owned()],
        open_connections: 3,
        message: "a path is missing".to_owned(),
    }
}

fn bound() -> State {
    let state = with(&State::default(), "a", 1, 1);
    let (changes, _) = claim(&state, "h1", &[id(1)]);
    state.after(&changes, 2)
}

/// TR-110
#[test]
fn a_report_counts_for_the_hosts_own_sandbox_alone() {
    let state = bound();
    for (host, report) in [
        ("h2", told()),
        ("", told()),
        (
            "h1",
            v1::SandboxReport {
                sandbox_id: id(2),
                ..told()
            },
        ),
    ] {
        assert!(reported(&state, host, &report).is_none(), "{host}");
    }
    let unbound = with(&State::default(), "a", 1, 1);
    assert!(reported(&unbound, "", &told()).is_none());
}

/// DPL-8
#[test]
fn a_report_is_kept_and_its_repetition_changes_nothing() {
    let state = bound();
    let change = reported(&state, "h1", &told()).unwrap();
    let state = state.after(&[change], 3);
    let sandbox = &state.sandboxes["a"];
    let status = sandbox.status.as_ref().unwrap();
    assert_eq!(sandbox.phase(), v1::SandboxPhase::Ready);
    assert_eq!(
        (status.landlock(), status.host_id.as_str()),
        (v1::LandlockState::Partial, "h1")
    );
    assert_eq!(
        (status.skipped_paths[0].as_str(), status.message.as_str()),
        ("/app", "a path is missing")
    );
    let more_connections = v1::SandboxReport {
        open_connections: 99,
        ..told()
    };
    assert!(reported(&state, "h1", &more_connections).is_none());
    // What it leaves out stays; what only a gateway says is not taken from it.
    let silent = v1::SandboxReport {
        phase: v1::SandboxPhase::Deleting.into(),
        landlock: 77,
        ..told()
    };
    assert!(reported(&state, "h1", &silent).is_none());
    let odd = v1::SandboxReport {
        phase: 77,
        ..told()
    };
    let state = state.after(&[reported(&state, "h1", &odd).unwrap()], 4);
    assert_eq!(state.sandboxes["a"].phase(), v1::SandboxPhase::Unknown);
}

/// TR-110, TR-096
#[test]
fn a_report_is_cut_to_size() {
    let big = v1::SandboxReport {
        skipped_paths: vec!["ä".repeat(3_000); 300],
        message: "ä".repeat(1_000),
        ..told()
    };
    let state = bound();
    let state = state.after(&[reported(&state, "h1", &big).unwrap()], 3);
    let status = state.sandboxes["a"].status.clone().unwrap();
    assert_eq!(
        (status.skipped_paths.len(), status.skipped_paths[0].len()),
        (16, 4_096)
    );
    assert_eq!(status.message.len(), 1_024);
    let many = v1::SandboxReport {
        skipped_paths: vec!["/x".to_owned(); 300],
        ..told()
    };
    let state = state.after(&[reported(&state, "h1", &many).unwrap()], 4);
    assert_eq!(
        state.sandboxes["a"]
            .status
            .as_ref()
            .unwrap()
            .skipped_paths
            .len(),
        256
    );
}
