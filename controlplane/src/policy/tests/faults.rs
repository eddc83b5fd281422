//! LIV-2, TR-111: which faults refuse a policy and which are only spoken of.

use super::*;

fn endpoint(port: u32) -> v1::NetworkPolicyRule {
    v1::NetworkPolicyRule {
        name: String::new(),
        endpoints: vec![v1::NetworkEndpoint {
            host: "a.test".to_owned(),
            port,
            ..v1::NetworkEndpoint::default()
        }],
        binaries: vec![v1::NetworkBinary {
            path: "/x".to_owned(),
        }],
    }
}

/// A sandbox whose policy in force is `policy`, stored by a gateway that looked less closely.
fn with_stored(policy: v1::SandboxPolicy) -> World {
    let mut world = World::new(Some(""));
    let stored = Revision {
        policy: Arc::new(policy),
        hash: "of another age".to_owned(),
        status: PolicyStatus::Loaded,
        ..world.stored(1).clone()
    };
    world.apply(&[Change::PutRevision(Arc::new(stored))]);
    world
}

fn old() -> v1::SandboxPolicy {
    let mut old = message("");
    old.filesystem = check::baseline();
    old.network_policies
        .insert("old".to_owned(), endpoint(70_000));
    old
}

const OLD_FAULT: &str =
    "network_policies.old.endpoints[0].port: expected a number 1–65535, found the number 70000";

/// PD-1 to PD-10, LIV-2: the first policy, the one in CreateSandbox and every later one pass the same checks.
#[test]
fn every_submission_is_checked_and_a_refused_one_leaves_nothing() {
    let mut faulty = message("");
    faulty.version = 2;
    faulty.process = Some(v1::ProcessPolicy {
        run_as_user: "root".to_owned(),
        run_as_group: "0".to_owned(),
    });
    faulty.network_policies.insert("p".to_owned(), endpoint(0));
    let told = "process.run_as_user: must not be root";
    for mut world in [World::new(None), World::new(Some(""))] {
        let before = world.statuses();
        let Err(Refused::Invalid(why)) = world.submit(&faulty) else {
            panic!("it was taken");
        };
        for part in [
            "version: expected the number 1",
            told,
            "process.run_as_group: must not be root",
            "network_policies.p.endpoints[0].port: ",
        ] {
            assert!(why.contains(part), "{why} lacks {part}");
        }
        assert_eq!(world.statuses(), before);
    }
    let spec = v1::SandboxSpec {
        policy: Some(faulty),
        ..v1::SandboxSpec::default()
    };
    let created = crate::sandbox::create(&State::default(), "demo", Some(&spec), [7; 8], 1);
    assert!(matches!(created, Err(Refused::Invalid(why)) if why.contains(told)));
}

/// LIV-2, TR-111
#[test]
fn an_old_fault_that_is_left_alone_is_a_warning() {
    let mut world = with_stored(old());
    let mut next = old();
    next.network_policies
        .insert("new".to_owned(), endpoint(443));
    let submitted = world.submit(&next).unwrap();
    assert_eq!(
        (submitted.version, submitted.warnings),
        (2, vec![OLD_FAULT.to_owned()])
    );
    assert_eq!(*world.stored(2).policy, next);
    // It has a hash of its own, and the same again is no news.
    assert_eq!(world.submit(&next).unwrap().version, 2);
    next.network_policies
        .insert("new".to_owned(), endpoint(444));
    assert_eq!(world.submit(&next).unwrap().version, 3);
}

/// LIV-2
#[test]
fn an_old_fault_in_what_is_changed_refuses_the_change() {
    let mut world = with_stored(old());
    let mut next = old();
    let touched = next.network_policies.get_mut("old").unwrap();
    touched.binaries[0].path = "/y".to_owned();
    assert_eq!(
        world.submit(&next),
        Err(Refused::Invalid(OLD_FAULT.to_owned()))
    );
    // A new fault beside an old one is told alone.
    let mut next = old();
    next.network_policies.insert("new".to_owned(), endpoint(0));
    let refused = world.submit(&next).unwrap_err().to_string();
    assert!(
        refused.starts_with("network_policies.new.") && !refused.contains('\n'),
        "{refused}"
    );
}

/// TR-111
#[test]
fn an_owner_can_repair_an_old_fault() {
    let mut world = with_stored(old());
    let mut next = old();
    next.network_policies
        .insert("old".to_owned(), endpoint(443));
    assert_eq!(world.submit(&next).unwrap().warnings, [""; 0]);
}

/// LIV-3 holds for the sections that can be understood, whatever else is old and wrong.
#[test]
fn an_old_fault_opens_no_way_around_the_static_sections() {
    let mut faulty = old();
    faulty.filesystem = Some(v1::FilesystemPolicy {
        read_only: vec!["usr".to_owned()],
        ..v1::FilesystemPolicy::default()
    });
    let mut world = with_stored(faulty.clone());
    let mut next = faulty.clone();
    next.landlock = Some(v1::LandlockPolicy {
        compatibility: "hard_requirement".to_owned(),
    });
    let refused = world.submit(&next).unwrap_err().to_string();
    assert_eq!(
        refused,
        "landlock.compatibility: cannot change from best_effort to hard_requirement on a live sandbox"
    );
    let mut next = faulty;
    next.network_policies
        .insert("new".to_owned(), endpoint(443));
    let submitted = world.submit(&next).unwrap();
    assert_eq!(submitted.warnings.len(), 2, "{submitted:?}");
    assert_eq!(world.stored(2).policy.filesystem, next.filesystem);
}

/// LIM: a policy that is too long is so as a whole, and every change touches that.
#[test]
fn a_policy_that_is_too_long_is_no_old_fault() {
    let mut long = old();
    let name = "x".repeat(256 * 1024);
    long.network_policies.get_mut("old").unwrap().name = name;
    let mut world = with_stored(long.clone());
    long.network_policies
        .insert("new".to_owned(), endpoint(443));
    let refused = world.submit(&long).unwrap_err().to_string();
    assert_eq!(refused, "the policy is longer than 262144 bytes");
}
