//! What is owed to a gateway, and what a record becomes.

use std::time::{Duration, SystemTime};

use proto::v1::{PolicyStatus, SandboxPhase};

use super::*;
use crate::record::{Event, PolicyVersion, Record, Stage, Text};

fn policy(id: &str, version: u32, status: PolicyStatus) -> PolicyReport {
    PolicyReport {
        sandbox_id: id.to_owned(),
        version,
        status: status.into(),
        load_error: String::new(),
    }
}

/// DPL-8
#[test]
fn the_newest_state_of_an_object_is_owed_until_it_was_heard() {
    let mut reports = Reports::default();
    assert_eq!(reports.due("h"), None, "nothing is in force");
    reports.applied(3);
    reports.policy(policy("a", 1, PolicyStatus::Failed));
    reports.policy(policy("a", 2, PolicyStatus::Loaded));
    let first = reports.due("h").unwrap();
    assert_eq!(first.applied_generation, 3);
    assert_eq!(first.policies, [policy("a", 2, PolicyStatus::Loaded)]);
    // It changed while the report was under way.
    reports.policy(policy("a", 3, PolicyStatus::Loaded));
    reports.heard(&first);
    let second = reports.due("h").unwrap();
    assert_eq!(second.policies, [policy("a", 3, PolicyStatus::Loaded)]);
    reports.heard(&second);
    assert_eq!(reports.due("h"), None);
    reports.policy(policy("a", 3, PolicyStatus::Loaded));
    assert_eq!(reports.due("h"), None, "the same again is no news");
}

/// DPL-8
#[test]
fn everything_is_owed_again_after_reconnecting_but_what_is_gone() {
    let mut reports = Reports::default();
    reports.applied(1);
    reports.policy(policy("a", 1, PolicyStatus::Loaded));
    reports.policy(policy("b", 1, PolicyStatus::Loaded));
    reports.sandbox(SandboxReport {
        sandbox_id: "a".to_owned(),
        phase: SandboxPhase::Ready.into(),
        ..SandboxReport::default()
    });
    let all = reports.due("h").unwrap();
    reports.heard(&all);
    reports.forget("b");
    reports.owe_all();
    let again = reports.due("h").unwrap();
    assert_eq!(again.policies, [policy("a", 1, PolicyStatus::Loaded)]);
    assert_eq!(again.sandboxes, all.sandboxes);
}

/// DPL-8, B1: a message stays below what a gateway takes, and nothing is lost by that.
#[test]
fn many_objects_are_reported_in_several_messages() {
    use prost::Message as _;
    let mut reports = Reports::default();
    reports.applied(1);
    for number in 0..1_000 {
        reports.policy(PolicyReport {
            load_error: "é".repeat(100_000),
            ..policy(&format!("{number:04}"), 1, PolicyStatus::Failed)
        });
    }
    let mut heard = 0;
    while let Some(message) = reports.due("h") {
        assert!(message.encoded_len() < 1 << 20);
        heard += message.policies.len();
        reports.heard(&message);
    }
    assert_eq!(heard, 1_000);
}

fn record(sandbox: &str, hash: &str) -> Record {
    Record {
        at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_500),
        sandbox_id: Text::new(sandbox.as_bytes()),
        request_id: None,
        stage: Stage::Load,
        event: Event::PolicyLoaded(PolicyVersion {
            version: 2,
            hash: Text::new(hash.as_bytes()),
        }),
    }
}

fn line(record: &Record) -> Line {
    let mut text = String::new();
    record.write_line(&mut text);
    Line::new(record, &text)
}

/// LOG-1
#[test]
fn a_record_goes_out_under_the_gateways_name_of_its_sandbox() {
    let shelf = Shelf::default();
    shelf.put(line(&record("demo", "c0")));
    shelf.open();
    assert!(shelf.take(|_| None).is_empty(), "nobody wanted it then");
    shelf.put(line(&record("demo", "c0")));
    shelf.put(line(&record("other", "c0")));
    let sent = shelf.take(|name| (name == "demo").then(|| "sb-1".to_owned()));
    let [line] = &sent[..] else {
        panic!("{sent:?}");
    };
    assert_eq!(
        (line.sandbox_id.as_str(), line.timestamp_ms),
        ("sb-1", 1_500)
    );
    assert_eq!(
        (line.message.as_str(), line.level.as_str()),
        ("POLICY_LOADED", "info")
    );
    assert_eq!(line.fields["stage"], "load");
    assert!(!line.fields.contains_key("request_id"), "absent is absent");
    assert!(!line.fields.contains_key("sandbox_id"));
}

/// LOG-4, B1
#[test]
fn records_that_nobody_fetches_make_room_for_newer_ones() {
    let shelf = Shelf::default();
    shelf.open();
    for number in 0..RECORDS_KEPT_MAX + 5 {
        shelf.put(line(&record("demo", &number.to_string())));
    }
    let mut taken = Vec::new();
    loop {
        let next = shelf.take(|_| Some("sb-1".to_owned()));
        if next.is_empty() {
            break;
        }
        assert!(next.len() <= RECORDS_SENT_MAX);
        taken.extend(next);
    }
    assert_eq!(taken.len(), RECORDS_KEPT_MAX);
    let last = taken.last().unwrap();
    assert!(
        last.fields
            .values()
            .any(|value| *value == (RECORDS_KEPT_MAX + 4).to_string())
    );
}
