//! How sandboxes are shown, and which one is meant.

use std::collections::BTreeMap;

use proto::v1::{LandlockState, SandboxPhase, SandboxSpec, SandboxStatus};

use super::*;
use crate::args::Global;
use crate::print::USAGE;

fn sandbox() -> v1::Sandbox {
    v1::Sandbox {
        id: "id-1".to_owned(),
        name: "demo".to_owned(),
        spec: Some(SandboxSpec {
            environment: BTreeMap::from([("TOKEN".to_owned(), "canary".to_owned())]),
            providers: vec!["github".to_owned()],
            ..SandboxSpec::default()
        }),
        status: Some(SandboxStatus {
            landlock: LandlockState::Partial.into(),
            skipped_paths: vec!["/app".to_owned()],
            message: String::new(),
            host_id: "h/demo".to_owned(),
        }),
        phase: SandboxPhase::Ready.into(),
        created_at_ms: 1_767_225_600_000,
        current_policy_version: 2,
    }
}

fn policy() -> v1::GetSandboxPolicyResponse {
    let loaded =
        policy::parse("version: 1\nfilesystem_policy: {read_only: [/usr]}\n", "p").unwrap();
    v1::GetSandboxPolicyResponse {
        policy: Some(policy_proto::message(&loaded.document)),
        version: 2,
        policy_hash: "abc".to_owned(),
    }
}

/// CLI-18, LIV-12, BAS-5
#[test]
fn a_sandbox_is_shown_with_its_policy_its_grants_and_what_was_skipped() {
    let value = view::one(&sandbox(), &policy());
    assert_eq!(value["phase"], "ready");
    assert_eq!(value["host_id"], "h/demo");
    assert_eq!(value["landlock"], "partial");
    assert_eq!(value["skipped_paths"], json!(["/app"]));
    assert_eq!(
        value["policy"]["filesystem_policy"]["read_only"],
        json!(["/usr"])
    );
    assert_eq!(
        value["grants"][4],
        json!({"path": "/dev/null", "access": "read_write"})
    );
    let people = view::people(&value, policy().policy.as_ref());
    assert!(
        people.starts_with("name: demo\nid: id-1\nphase: ready\n"),
        "{people}"
    );
    assert!(people.contains("\n---\nversion: 1\n"), "{people}");
    let keys: Vec<_> = value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let expected = "created environment grants host_id id landlock log_level message name phase policy policy_hash \
                    policy_version providers rules skipped_paths";
    assert_eq!(keys.join(" "), expected);
}

/// CLI-1
#[test]
fn of_a_sandboxs_environment_there_are_the_names_alone() {
    let value = view::one(&sandbox(), &policy());
    assert_eq!(value["environment"], json!(["TOKEN"]));
    assert!(!value.to_string().contains("canary"));
}

#[test]
fn a_record_is_one_line_and_cannot_move_the_cursor() {
    let record = json!({"ts": "t", "level": "info", "msg": "CONNECT", "fields": {"a": "x\n\u{1b}", "b": "1"}});
    assert_eq!(
        logs::line(&record),
        "t info CONNECT a=x\u{fffd}\u{fffd} b=1"
    );
}

/// CLI-3
#[test]
fn a_sandbox_that_is_not_named_is_the_last_one_used() {
    let dir = std::env::temp_dir().join(format!("ringfence-last-{}", std::process::id()));
    drop(std::fs::remove_dir_all(&dir));
    let mut settings = Settings::lift(&Global::default()).unwrap();
    settings.own_state_dir = Some(dir.join("ringfence"));
    assert_eq!(meant(None, &settings).unwrap_err().code, USAGE);
    assert_eq!(
        meant(Some(" ".to_owned()), &settings).unwrap_err().code,
        USAGE
    );
    remember("one", &settings);
    remember("two", &settings);
    assert_eq!(meant(None, &settings).unwrap(), "two");
    assert_eq!(meant(Some("one".to_owned()), &settings).unwrap(), "one");
    last::forget("one", &settings);
    assert_eq!(meant(None, &settings).unwrap(), "two");
    last::forget("two", &settings);
    assert_eq!(meant(None, &settings).unwrap_err().code, USAGE);
    std::fs::remove_dir_all(dir).unwrap();
}
