//! Explanations name the check that failed, and agree with the decision.

use proptest::prelude::*;
use serde_json::Value as Json;

use super::{Entry, Explanation, Outcome, Question, RequestLine, Trace, explain};
use crate::caller::Caller;
use crate::source::node::{self, Node, Scalar, Value};
use crate::source::{Loaded, parse};

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

fn loaded() -> Loaded {
    parse(POLICY, "p.yaml").unwrap()
}

fn question(binary: &str, to: &str, request: Option<(&str, &str)>, addresses: &[&str]) -> Question {
    let addresses: Vec<_> = addresses.iter().map(|text| text.parse().unwrap()).collect();
    Question {
        caller: Caller::from_paths(binary, &["/usr/bin/bash"]),
        target: wire::target::connect(to.as_bytes()).unwrap(),
        entry: Entry::Tunnel,
        request: request.map(|(method, target)| RequestLine::new(method, target)),
        addresses: (!addresses.is_empty()).then_some(addresses),
    }
}

fn ask(binary: &str, to: &str, request: Option<(&str, &str)>, addresses: &[&str]) -> Explanation {
    let question = question(binary, to, request, addresses);
    explain(&loaded(), &question, Trace::Hidden).unwrap()
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
    assert_eq!(end(&get), ("request", None, Outcome::Allow));
    assert!(get.inspected);
    let names: Vec<&str> = get.checks.iter().map(|check| check.check).collect();
    assert_eq!(
        names,
        [
            "network_policies",
            "endpoint",
            "binary",
            "inspection",
            "address",
            "request"
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
    let empty = parse("version: 1", "p").unwrap();
    let question = question("/x", "h.test:1", None, &[]);
    let explanation = explain(&empty, &question, Trace::Hidden).unwrap();
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

fn nearly(explanation: &Explanation) -> Vec<(u32, &str)> {
    let near = explanation.near.iter();
    near.map(|near| (near.line.unwrap(), &*near.missing))
        .collect()
}

/// The issue: which rule nearly matched and what was missing, with its line.
#[test]
fn a_denial_names_the_entry_that_nearly_matched_and_what_was_missing() {
    let curl = ask("/usr/local/bin/git", "api.example.com:8080", None, &[]);
    assert_eq!(
        nearly(&curl),
        [(
            8,
            "policy `api` reaches api.example.com:8080, but its binaries do not list /usr/local/bin/git nor an ancestor; it lists /usr/bin/git"
        )]
    );
    let delete = ask(
        "/usr/bin/git",
        "api.example.com:8080",
        Some(("DELETE", "/repos/x")),
        &[],
    );
    assert_eq!(
        nearly(&delete),
        [(
            7,
            "endpoint api.example.com:8080 allows GET /repos/**, the method is DELETE"
        )]
    );
    let both = ask(
        "/usr/bin/git",
        "api.example.com:8080",
        Some(("DELETE", "/x?y")),
        &[],
    );
    assert_eq!(
        nearly(&both),
        [(
            7,
            "endpoint api.example.com:8080 allows GET /repos/**, the method is DELETE and the path is /x"
        )]
    );
    let port = ask("/usr/bin/git", "api.example.com:443", None, &[]);
    assert_eq!(
        nearly(&port),
        [(
            6,
            "policy `api` reaches api.example.com:8080, the port is 443"
        )]
    );
    let outside = ask("/opt/x", "db.test:5432", None, &["10.1.0.1"]);
    assert_eq!(
        nearly(&outside),
        [(9, "endpoint db.test:5432 reaches 10.0.0.0/16 only")]
    );
    assert!(nearly(&ask("/usr/bin/git", "elsewhere.org:1", None, &[])).is_empty());
}

#[test]
fn an_admission_names_the_entry_that_allowed_it() {
    let get = ask(
        "/usr/bin/git",
        "api.example.com:8080",
        Some(("HEAD", "/repos/x")),
        &[],
    );
    let matched = get.matched.unwrap();
    assert_eq!((matched.line, &*matched.detail), (Some(7), "GET /repos/**"));
    assert_eq!(
        matched.path,
        "network_policies.api.endpoints[0].rules[0].allow"
    );
    let db = ask("/opt/x", "db.test:5432", None, &[]).matched.unwrap();
    assert_eq!(
        (db.line, &*db.detail),
        (Some(9), "db.test:5432, every request on it")
    );
}

#[test]
fn a_denial_shows_the_lines_that_would_allow_it() {
    let curl = ask("/usr/bin/curl", "api.example.com:8080", None, &[]);
    assert_eq!(
        curl.remedy.unwrap().lines(),
        [
            "network_policies:",
            "  api:",
            "    binaries:  # line 8: add to the list",
            "      - { path: /usr/bin/curl }"
        ]
    );
    let delete = ask(
        "/usr/bin/git",
        "api.example.com:8080",
        Some(("DELETE", "/repos/x")),
        &[],
    );
    assert_eq!(
        delete.remedy.unwrap().lines(),
        [
            "network_policies:",
            "  api:",
            "    endpoints:  # line 6: in the entry of this line",
            "      - host: api.example.com",
            "        port: 8080",
            "        rules:  # line 7: add to the list",
            "          - allow: { method: DELETE, path: /repos/x }",
        ]
    );
    assert!(ask("/opt/x", "localhost:80", None, &[]).remedy.is_none());
}

/// RGO-3: the trace shows the rules that had a value, and nothing of the policy itself.
#[test]
fn a_trace_names_rules_and_values() {
    let question = question(
        "/usr/bin/git",
        "api.example.com:8080",
        Some(("GET", "/repos/x")),
        &[],
    );
    let explanation = explain(&loaded(), &question, Trace::Shown).unwrap();
    let trace = explanation.trace.unwrap();
    let value = |name: &str| {
        trace
            .iter()
            .find(|rule| rule.rule == name)
            .map(|rule| rule.value.clone())
    };
    assert_eq!(value("network_action"), Some("allow".into()));
    assert_eq!(value("matched_request_policy"), Some("api".into()));
    assert_eq!(value("filesystem_policy"), None);
}

/// FWD-4, FWD-5
#[test]
fn plain_http_is_explained_with_its_own_conditions() {
    let forward = |binary: &str, to: &str, addresses: &[&str]| {
        let question = Question {
            entry: Entry::Forward,
            ..question(binary, to, None, addresses)
        };
        explain(&loaded(), &question, Trace::Hidden).unwrap()
    };
    let plain = forward("/usr/bin/git", "api.example.com:8080", &[]);
    assert_eq!(plain.code, Some("forward_requires_allowed_ips"));
    let inside = forward("/opt/x", "db.test:5432", &["10.0.0.1"]);
    assert_eq!(end(&inside), ("private", None, Outcome::Allow));
    let local = forward("/usr/bin/node", "inference.local:80", &[]);
    assert_eq!(local.code, Some("inference_requires_https"));
}

/// YAML as JSON, for texts without quirks.
fn json(node: &Node) -> Json {
    match &node.value {
        Value::Scalar(Scalar::Integer(_, Some(number))) => Json::from(*number),
        Value::Scalar(Scalar::Bool(value)) => Json::from(*value),
        Value::Scalar(Scalar::Text(text)) => Json::from(text.clone()),
        Value::Scalar(_) => Json::Null,
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => Json::Object(
            entries
                .iter()
                .map(|entry| (entry.key.clone(), json(&entry.value)))
                .collect(),
        ),
    }
}

/// Does what a reader of a remedy does.
fn merge(into: &mut Json, from: Json) {
    match (into, from) {
        (Json::Object(into), Json::Object(from)) => {
            for (key, value) in from {
                match into.get_mut(&key) {
                    Some(known) if key != "allowed_ips" => merge(known, value),
                    _ => drop(into.insert(key, value)),
                }
            }
        }
        (Json::Array(into), Json::Array(from)) => {
            for value in from {
                let same = |known: &&mut Json| {
                    value.get("port").is_some()
                        && known["host"] == value["host"]
                        && known["port"] == value["port"]
                };
                match into.iter_mut().find(same) {
                    Some(known) => merge(known, value),
                    None => into.push(value),
                }
            }
        }
        (into, from) => *into = from,
    }
}

const ANSWERS: &[&[&str]] = &[&[], &["10.1.0.1"], &["8.8.8.8", "10.0.0.1"]];

const ENDPOINTS: [&str; 7] = [
    "{host: a.test, port: 80}",
    "{host: a.test, port: 80, protocol: rest, enforcement: enforce, rules: [{allow: {method: GET, path: /a}}]}",
    "{host: a.test, port: 80, protocol: rest, enforcement: enforce, access: read-only}",
    "{host: a.test, port: 80, protocol: rest, access: read-only}",
    "{host: b.test, port: 80, allowed_ips: [10.0.0.0/16]}",
    "{host: '*.c.test', port: 443}",
    "{host: a.test, port: 80, path: '/b/**', protocol: rest, enforcement: enforce, access: read-only, deny_rules: [{method: GET, path: /b/c}]}",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// A remedy is legal, and lifts the denial it answers: the same check does not fail again.
    #[test]
    fn the_lines_that_would_allow_it_do(
        policies in prop::collection::vec((prop::sample::select(&ENDPOINTS[..]), prop::sample::select(&["/x", "/y", "/opt/*"][..])), 1..4),
        exe in prop::sample::select(&["/x", "/y", "/z"][..]),
        to in prop::sample::select(&["a.test:80", "b.test:80", "c.test:443", "10.0.0.1:80"][..]),
        request in prop::option::of((prop::sample::select(&["GET", "POST", "DELETE"][..]), prop::sample::select(&["/a", "/b/c", "/b/d", "/a%2Fb"][..]))),
        addresses in prop::sample::select(ANSWERS),
        forward in any::<bool>(),
    ) {
        let entries: Vec<String> = policies.iter().enumerate().map(|(at, (endpoint, binary))| {
            // Two entries for one host and port in one policy would be told apart by line alone.
            format!("  p{at}: {{endpoints: [{endpoint}], binaries: [{{path: '{binary}'}}]}}\n")
        }).collect();
        let loaded = parse(&format!("version: 1\nnetwork_policies:\n{}", entries.concat()), "p").unwrap();
        let entry = if forward { Entry::Forward } else { Entry::Tunnel };
        let question = Question { entry, ..question(exe, to, request, addresses) };
        let before = explain(&loaded, &question, Trace::Hidden).unwrap();
        if let Some(remedy) = &before.remedy {
            let text = remedy.lines().join("\n").replace("ADDRESS", "10.2.0.0");
            let (node, faults) = node::read(&text);
            prop_assert!(faults.is_empty(), "{}", text);
            let mut document = serde_json::to_value(&loaded.document).unwrap();
            merge(&mut document, json(&node.unwrap()));
            let changed = parse(&document.to_string(), "p2");
            prop_assert!(changed.is_ok(), "{}\n{}", text, changed.unwrap_err());
            let after = explain(&changed.unwrap(), &question, Trace::Hidden).unwrap();
            prop_assert!(after.verdict != Outcome::Deny || after.checks.len() > before.checks.len(), "{}\n{}\n{}", text, before, after);
        }
    }
}
