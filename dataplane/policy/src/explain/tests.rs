//! Explanations name the check that failed, and agree with the decision.

use super::{Explanation, Outcome, Question, explain};
use crate::caller::Caller;
use crate::document::PolicyDocument;
use crate::source::parse;

const POLICY: &str = "
version: 1
network_policies:
  api:
    endpoints:
      - {host: api.example.com, port: 8080, protocol: rest, enforcement: enforce,
         rules: [{allow: {method: GET, path: /repos/**}}]}
    binaries: [{path: /usr/bin/git}]
  db: {endpoints: [{host: db.test, port: 5432, allowed_ips: [10.0.0.0/16]}], binaries: [{path: '/opt/**'}]}
  local: {endpoints: [{host: localhost, port: 80}], binaries: [{path: '/**'}]}
inference: {binaries: [{path: /usr/bin/node}]}
";

fn document() -> PolicyDocument {
    parse(POLICY, "p.yaml").unwrap().document
}

fn ask(binary: &str, to: &str, request: Option<(&str, &str)>, addresses: &[&str]) -> Explanation {
    let addresses: Vec<_> = addresses.iter().map(|text| text.parse().unwrap()).collect();
    let question = Question {
        caller: Caller::from_paths(binary, &["/usr/bin/bash"]),
        target: wire::target::connect(to.as_bytes()).unwrap(),
        request,
        addresses: (!addresses.is_empty()).then_some(&addresses),
    };
    explain(&document(), &question).unwrap()
}

/// The last check, and the reason.
fn end(explanation: &Explanation) -> (&str, Option<&str>, Outcome) {
    let last = explanation.checks.last().unwrap();
    assert_eq!(
        explanation.verdict == Outcome::Deny,
        last.outcome == Outcome::Deny
    );
    (
        last.check,
        explanation.reason.as_deref(),
        explanation.verdict,
    )
}

/// CLI-17
#[test]
fn the_check_that_fails_is_the_last_and_gives_the_reason() {
    let deny = Outcome::Deny;
    let other = ask("/usr/bin/git", "other.test:443", None, &[]);
    assert_eq!(
        end(&other),
        ("endpoint", Some("endpoint_not_allowed"), deny)
    );
    let curl = ask("/usr/bin/curl", "api.example.com:8080", None, &[]);
    assert_eq!(end(&curl), ("binary", Some("binary_not_allowed"), deny));
    assert_eq!(curl.policy.as_deref(), Some("api"));
    let special = ask("/usr/bin/curl", "localhost:80", None, &[]);
    assert_eq!(end(&special), ("special_name", Some("special_name"), deny));
    let delete = ask(
        "/usr/bin/git",
        "api.example.com:8080",
        Some(("DELETE", "/repos/x")),
        &[],
    );
    assert_eq!(end(&delete), ("request", Some("request_not_allowed"), deny));
    let outside = ask("/opt/x", "db.test:5432", None, &["10.1.0.1"]);
    assert_eq!(end(&outside), ("address", Some("not_in_allowed_ips"), deny));
    assert_eq!(outside.code, Some("destination_denied"));
}

/// CLI-17
#[test]
fn an_allowed_question_passes_every_check() {
    let get = ask(
        "/usr/bin/git",
        "api.example.com:8080",
        Some(("GET", "/repos/x?y=1")),
        &["8.8.8.8"],
    );
    assert_eq!(end(&get), ("address", None, Outcome::Allow));
    assert!(get.inspected);
    let names: Vec<&str> = get.checks.iter().map(|check| check.check).collect();
    assert_eq!(
        names,
        [
            "network_policies",
            "endpoint",
            "binary",
            "inspection",
            "request",
            "address"
        ]
    );
    let db = ask("/opt/x", "db.test:5432", None, &["10.0.0.1"]);
    assert_eq!(end(&db), ("address", None, Outcome::Allow));
    assert!(!db.inspected);
}

/// CLI-17: nothing is looked up.
#[test]
fn without_addresses_the_address_check_says_so() {
    let db = ask("/opt/x", "db.test:5432", None, &[]);
    assert!(db.checks.last().unwrap().detail.starts_with("not checked"));
}

/// RGO-3
#[test]
fn an_empty_policy_fails_the_first_check() {
    let question = Question {
        caller: Caller::from_paths("/x", &[]),
        target: wire::target::connect(b"h.test:1").unwrap(),
        request: None,
        addresses: None,
    };
    let explanation = explain(&PolicyDocument::empty(), &question).unwrap();
    assert_eq!(
        end(&explanation),
        (
            "network_policies",
            Some("no_network_policies"),
            Outcome::Deny
        )
    );
    assert_eq!(explanation.checks.len(), 1);
}

/// INF-1, INF-2, CON-10
#[test]
fn inference_local_is_explained_by_its_own_section() {
    assert_eq!(
        ask("/usr/bin/node", "inference.local:443", None, &[]).verdict,
        Outcome::Allow
    );
    let curl = ask("/usr/bin/curl", "inference.local:443", None, &[]);
    assert_eq!(
        (curl.code, curl.verdict),
        (Some("inference_binary_denied"), Outcome::Deny)
    );
    let plain = ask("/usr/bin/node", "inference.local:80", None, &[]);
    assert_eq!(
        end(&plain),
        ("inference", Some("endpoint_not_allowed"), Outcome::Deny)
    );
}

/// CLI-1: text and JSON say the same.
#[test]
fn an_explanation_reads_as_text_and_as_json() {
    let curl = ask("/usr/bin/curl", "api.example.com:8080", None, &["10.0.0.1"]);
    let text = curl.to_string();
    assert!(
        text.starts_with(
            "verdict: deny\npolicy:  api\nreason:  binary_not_allowed (policy_denied)\n"
        ),
        "{text}"
    );
    assert!(
        text.contains("  deny   binary: `api` lists neither the caller nor an ancestor\n"),
        "{text}"
    );
    assert!(text.contains("10.0.0.1 is internal"), "{text}");
    let json = serde_json::to_value(&curl).unwrap();
    assert_eq!(
        (json["verdict"].as_str(), json["reason"].as_str()),
        (Some("deny"), Some("binary_not_allowed"))
    );
    assert_eq!(json["addresses"][0]["class"], "internal");
}
