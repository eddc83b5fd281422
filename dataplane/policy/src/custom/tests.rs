//! An operator's own rules: what is taken, what is refused where, and what an answer means.

use serde_json::{Value, json};
use wire::{Authority, Host, Port};

use super::{Evaluator, Rules, Ruling, connect, data_file, question};
use crate::caller::{Caller, Executable};
use crate::compile::Policy;
use crate::decision::{Decision, Denial};
use crate::document::{PolicyDocument, Tls};
use crate::rego;
use crate::source::{Problem, parse};

fn rules(body: &str) -> Result<Rules, Problem> {
    let text = format!("package ringfence.sandbox\n\nimport rego.v1\n\n{body}\n");
    checked(&text, &json!({"friends": ["api.test"]}))
}

fn checked(text: &str, data: &Value) -> Result<Rules, Problem> {
    let rules = Rules::new(text, "own.rego", data)?;
    rules.check()?;
    Ok(rules)
}

fn target(host: &str, port: u16) -> Authority {
    Authority {
        host: Host::parse(host.as_bytes()).unwrap(),
        port: Port::new(port).unwrap(),
    }
}

fn caller() -> Caller {
    let executable = |path: &str| Executable {
        path: path.as_bytes().into(),
        sha256: [0xab; 32],
    };
    Caller {
        ancestors: vec![executable("/bin/sh"), executable("/sbin/init")],
        exe: executable("/usr/bin/curl"),
        ..Caller::from_paths("/usr/bin/curl", &[])
    }
}

fn ruling(rules: &Rules, target: &Authority) -> Ruling {
    let mut asked = Vec::new();
    question::connect(&mut asked, &caller(), target);
    // As in life: through the bytes that cross to another process, both ways.
    let rules = Rules::from_bytes(&rules.to_bytes()).unwrap();
    Ruling::read(&Evaluator::new(&rules).unwrap().answer(&asked))
}

fn decided(body: &str, host: &str) -> Decision {
    let rules = rules(body).unwrap_or_else(|problem| panic!("{problem}"));
    let target = target(host, 443);
    let ruling = ruling(&rules, &target);
    let policy = Policy::compile(PolicyDocument::empty()).with_rules(rules);
    connect(&policy, &target, &ruling)
}

fn denial(body: &str, host: &str) -> Denial {
    match decided(body, host) {
        Decision::Deny(denial) => denial,
        other @ (Decision::Tunnel(_) | Decision::Inspect(_)) => panic!("{other:?}"),
    }
}

/// RGO-6
#[test]
fn rules_allow_what_they_name_and_nothing_else() {
    let body = "default network_action := \"deny\"\n\
                network_action := \"allow\" if input.network.host in data.friends\n\
                matched_network_policy := \"friends\" if network_action == \"allow\"";
    match decided(body, "api.test") {
        Decision::Tunnel(admitted) => {
            assert_eq!(&**admitted.policy_name(), "friends");
            assert!(!admitted.has_allowed_ips());
        }
        other @ (Decision::Deny(_) | Decision::Inspect(_)) => panic!("{other:?}"),
    }
    assert_eq!(denial(body, "other.test").reason, "endpoint_not_allowed");
}

/// RGO-1
#[test]
fn the_input_holds_caller_target_and_request_and_no_arguments() {
    let mut asked = Vec::new();
    question::request(
        &mut asked,
        &caller(),
        &target("api.test", 8443),
        b"GET",
        b"/a/b",
        Some(b"q=1&q=%41&empty"),
    );
    let input = question::input(&asked).unwrap();
    assert_eq!(
        input,
        json!({
            "exec": {"path": "/usr/bin/curl", "sha256": "ab".repeat(32), "ancestors": ["/bin/sh", "/sbin/init"]},
            "network": {"host": "api.test", "port": 8443},
            "request": {"method": "GET", "path": "/a/b", "query": {"q": ["1", "A"], "empty": [""]}},
        })
    );
    asked.pop();
    assert_eq!(question::input(&asked), None);
}

/// RGO-3
#[test]
fn rules_give_a_reason_of_their_own() {
    let body = "network_action := \"deny\"\n\
                deny_reason := sprintf(\"%s is not ours\", [input.network.host])\n\
                matched_network_policy := \"house\"";
    let denial = denial(body, "else.test");
    assert_eq!(denial.reason, "else.test is not ours");
    assert_eq!(denial.policy.as_deref(), Some("house"));
}

/// RGO-4, TR-079
#[test]
fn what_is_undefined_or_fails_is_denied() {
    for body in [
        "network_action := \"allow\" if input.network.port == 1",
        "network_action := \"perhaps\"",
        "network_action := 7",
        "network_action := to_number(\"x\")",
        "network_action := \"allow\"\nnetwork_action := \"deny\" if input.network.port == 443",
        "network_action := \"allow\"\nmatched_network_policy := \"a\\nb\"",
        "network_action := \"allow\"\nmatched_network_policy := 7",
        "network_action := \"allow\"\nmatched_endpoint_config := \"all\"",
        "network_action := \"allow\"\nmatched_endpoint_config := {\"allowed_ips\": []}",
        "network_action := \"allow\"\nmatched_endpoint_config := {\"allowed_ips\": [\"10.0.0.1/8\"]}",
        "network_action := \"allow\"\nmatched_endpoint_config := {\"allowed_ips\": [\"127.0.0.0/8\"]}",
        "network_action := \"allow\"\nmatched_endpoint_config := {\"protocol\": \"grpc\"}",
        "network_action := \"allow\"\nmatched_endpoint_config := {\"protocol\": \"rest\", \"tls\": \"maybe\"}",
        "network_action := \"deny\"\ndeny_reason := numbers.range(1, 100000)",
    ] {
        assert_eq!(
            denial(body, "api.test").reason,
            "policy_evaluation_failed",
            "{body}"
        );
    }
    assert!(Ruling::read(b"").is_failed());
    assert!(Ruling::read(b"{\"network_action\":\"allow\"").is_failed());
}

/// RGO-5
#[test]
fn the_configuration_of_the_endpoint_comes_with_the_verdict() {
    let body = "network_action := \"allow\"\n\
                matched_endpoint_config := {\"protocol\": \"rest\", \"tls\": \"terminate\", \"allowed_ips\": [\"10.0.0.0/8\"]}";
    match decided(body, "api.test") {
        Decision::Inspect(admitted) => {
            assert_eq!(admitted.tls(), Tls::Terminate);
            assert!(admitted.has_allowed_ips());
            assert!(!admitted.permits_public());
        }
        other @ (Decision::Deny(_) | Decision::Tunnel(_)) => panic!("{other:?}"),
    }
}

/// CON-10, DST-11
#[test]
fn no_rule_opens_what_no_policy_can_open() {
    let body = "network_action := \"allow\"";
    assert_eq!(
        denial(body, "inference.local").reason,
        "endpoint_not_allowed"
    );
    for host in ["localhost", "a.localhost"] {
        assert_eq!(denial(body, host).reason, "special_name", "{host}");
    }
    let never = Policy::denies_everything().with_rules(rules(body).unwrap());
    let target = target("api.test", 443);
    let ruling = ruling(never.rules().unwrap(), &target);
    assert!(matches!(
        connect(&never, &target, &ruling),
        Decision::Deny(_)
    ));
}

/// RGO-6
#[test]
fn the_table_does_not_answer_for_rules() {
    let document = "version: 1\nnetwork_policies: { a: { endpoints: [{ host: api.test, port: 443 }], binaries: [{ path: \"/**\" }] } }";
    let document = parse(document, "p.yaml").unwrap().document;
    let target = target("api.test", 443);
    let open = Policy::compile(document.clone());
    assert!(matches!(
        crate::connect(&open, &caller(), &target),
        Decision::Tunnel(_)
    ));
    let ruled = Policy::compile(document).with_rules(rules("network_action := \"deny\"").unwrap());
    match crate::connect(&ruled, &caller(), &target) {
        Decision::Deny(denial) => assert_eq!(denial.reason, "policy_evaluation_failed"),
        other @ (Decision::Tunnel(_) | Decision::Inspect(_)) => panic!("{other:?}"),
    }
    assert_ne!(open.hash(), ruled.hash());
}

/// RGO-6
#[test]
fn a_fault_is_told_with_file_line_and_column() {
    let cases = [
        (
            "network_action := \"allow\" if {\n\tx := \n}",
            "own.rego:6:7",
        ),
        ("network_action := \"allow\" if y == 1", "own.rego:5:30"),
        (
            "network_action := \"allow\" if time.now_ns() > 0",
            "own.rego:5:30",
        ),
        (
            "network_action := \"allow\" if http.send({}).status == 200",
            "own.rego:5:30",
        ),
        (
            "network_action := \"allow\" if rand.intn(\"x\", 2) == 1",
            "own.rego:5:30",
        ),
        ("network_action := \"allow\" if missing(1)", "own.rego:5:30"),
        ("allow := true", "own.rego:1:1"),
    ];
    for (body, place) in cases {
        let problem = rules(body).unwrap_err().to_string();
        assert!(problem.starts_with(place), "{body}: {problem}");
    }
    let problem = checked("\npackage other\n", &Value::Null);
    assert_eq!(
        problem.unwrap_err().to_string(),
        "own.rego:2:1: expected package ringfence.sandbox, found data.other"
    );
    let long = format!("package ringfence.sandbox\n# {}", "x".repeat(300_000));
    let problem = checked(&long, &Value::Null).unwrap_err();
    assert_eq!(problem.to_string(), "own.rego: is longer than 262144 bytes");
}

/// RGO-2, RGO-3
#[test]
fn the_built_in_module_given_as_own_rules_decides_like_the_table() {
    let document = "version: 1\nnetwork_policies:\n  git: { endpoints: [{ host: git.test, port: 443 }], binaries: [{ path: /usr/bin/curl }] }\n  py: { endpoints: [{ host: py.test, port: 443 }], binaries: [{ path: /usr/bin/python }] }\n  db: { endpoints: [{ host: \"*.db.test\", port: 443, allowed_ips: [10.0.0.0/8] }], binaries: [{ path: \"/usr/**\" }] }\n  api: { endpoints: [{ host: api.test, port: 443, protocol: rest, tls: terminate, enforcement: enforce, access: read-only }], binaries: [{ path: \"/usr/bin/*\" }] }\n";
    let document = parse(document, "p.yaml").unwrap().document;
    let data = rego::data(&document);
    let rules = checked(rego::RULES, &data).unwrap();
    let table = Policy::compile(document.clone());
    let ruled = Policy::compile(document).with_rules(rules.clone());
    for host in [
        "git.test",
        "py.test",
        "a.db.test",
        "api.test",
        "no.test",
        "localhost",
    ] {
        let target = target(host, 443);
        let expected = crate::connect(&table, &caller(), &target);
        let found = connect(&ruled, &target, &ruling(&rules, &target));
        match (&expected, &found) {
            (Decision::Deny(a), Decision::Deny(b)) => {
                assert_eq!((a.code, &a.reason), (b.code, &b.reason), "{host}");
            }
            (Decision::Tunnel(a), Decision::Tunnel(b))
            | (Decision::Inspect(a), Decision::Inspect(b)) => {
                assert_eq!(a.policy_name(), b.policy_name(), "{host}");
                assert_eq!(a.tls(), b.tls(), "{host}");
                assert_eq!(a.has_allowed_ips(), b.has_allowed_ips(), "{host}");
                assert_eq!(a.permits_public(), b.permits_public(), "{host}");
            }
            (Decision::Deny(_) | Decision::Tunnel(_) | Decision::Inspect(_), _) => {
                panic!("{host}: {expected:?} and {found:?}")
            }
        }
    }
}

/// RGO-6
#[test]
fn data_is_json_or_yaml() {
    let expected =
        json!({"hosts": ["a", "b"], "port": 443, "ratio": 0.5, "on": true, "none": null});
    let yaml = "hosts: [a, b]\nport: 443\nratio: 0.5\non: true\nnone:\n";
    assert_eq!(data_file(yaml, "d.yaml").unwrap(), expected);
    assert_eq!(
        data_file(&expected.to_string(), "d.json").unwrap(),
        expected
    );
    let problem = |text: &str| data_file(text, "d").unwrap_err().to_string();
    assert!(problem("{\n  \"a\": }").starts_with("d:2:8: not JSON"));
    assert!(problem("a: 1\na: 2\n").starts_with("d:2:1"));
    assert!(problem("- a\n").starts_with("d: expected a mapping"));
}
