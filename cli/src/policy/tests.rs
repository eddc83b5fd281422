//! How a wait ends, and how a version is shown.

use std::process::ExitCode;

use proto::v1::{PolicyStatus, SandboxPolicyRevision};
use serde_json::json;

use super::{revision, set};
use crate::print::{FAILED, Stop, TIMED_OUT};

fn version(status: PolicyStatus) -> SandboxPolicyRevision {
    SandboxPolicyRevision {
        version: 3,
        policy_hash: "abc".to_owned(),
        status: status.into(),
        load_error: "why\u{1b}".to_owned(),
        created_at_ms: 1_767_225_600_000,
        loaded_at_ms: 0,
        policy: None,
    }
}

/// CLI-14
#[test]
fn a_wait_ends_with_the_code_of_what_became_of_the_version() {
    let code = |status, late| {
        let outcome = set::outcome(&version(status), late);
        outcome.map(|ending| ending.map_err(|Stop { code, .. }| code))
    };
    let done = Some(Ok(ExitCode::SUCCESS));
    assert_eq!(code(PolicyStatus::Loaded, None), done);
    assert_eq!(code(PolicyStatus::Loaded, Some(60)), done);
    assert_eq!(code(PolicyStatus::Superseded, None), done);
    assert_eq!(code(PolicyStatus::Failed, None), Some(Err(FAILED)));
    assert_eq!(code(PolicyStatus::Pending, None), None);
    assert_eq!(code(PolicyStatus::Pending, Some(60)), Some(Err(TIMED_OUT)));
}

/// CLI-15
#[test]
fn a_version_is_shown_with_its_state_and_without_times_that_were_not() {
    let expected = json!({
        "version": 3,
        "hash": "abc",
        "status": "failed",
        "load_error": "why\u{1b}",
        "created": "2026-01-01T00:00:00.000Z",
        "loaded": null,
    });
    assert_eq!(revision::view(&version(PolicyStatus::Failed)), expected);
}

/// CLI-15
#[test]
fn the_text_behind_the_line_is_the_policy_and_its_rules() {
    let text = "version: 1\nnetwork_policies:\n  p: {endpoints: [{host: a.test, port: 443}], binaries: [{path: /x}]}\n";
    let loaded = policy::parse(text, "p").unwrap();
    let mut message = policy_proto::message(&loaded.document);
    let shown = revision::text(&message);
    let again = policy::parse(shown.strip_prefix("---\n").unwrap(), "p").unwrap();
    assert_eq!(again.document, loaded.document);
    message.rego = "package ringfence.sandbox\n".to_owned();
    assert!(revision::text(&message).ends_with("\n---\npackage ringfence.sandbox"));
}
