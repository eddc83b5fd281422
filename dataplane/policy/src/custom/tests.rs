//! An operator's own rules: what is taken, what is refused where, and what an answer means.

use serde_json::{Value, json};
use wire::{Authority, CanonicalPath, Host, Port};

use super::{Evaluator, Rules, Ruling, connect, data_file, question, request};
use crate::caller::{Caller, Executable};
use crate::compile::Policy;
use crate::decision::{Decision, Denial, RequestDecision};
use crate::document::{PolicyDocument, Tls};
use crate::rego;
use crate::request::Asked;
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

fn asked_of(path: &str, answer: &Value) -> RequestDecision {
    let path = CanonicalPath::parse(path.as_bytes()).unwrap();
    let asked = Asked {
        method: b"GET",
        path: &path,
        query: None,
    };
    let policy = Policy::compile(PolicyDocument::empty())
        .with_rules(Rules::new("package ringfence.sandbox", "own.rego", &Value::Null).unwrap());
    let ruling = Ruling::read(answer.to_string().as_bytes());
    request(&policy, &target("api.test", 443), &asked, &ruling)
}

/// L7-7, L7-8, L7-9, L7-5, RGO-3
#[test]
fn a_request_passes_when_the_rules_allow_it_and_do_not_deny_it() {
    let inspected = json!({"protocol": "rest", "tls": "terminate"});
    let audited = json!({"protocol": "rest", "enforcement": "audit"});
    let slashed = json!({"protocol": "rest", "allow_encoded_slash": true});
    let with = |config: &Value, more: &Value| {
        let mut answer = json!({"network_action": "allow", "matched_network_policy": "api", "matched_endpoint_config": config});
        for (key, value) in more.as_object().unwrap() {
            answer[key] = value.clone();
        }
        answer
    };
    let said = |path: &str, answer: Value| match asked_of(path, &answer) {
        RequestDecision::Allow(admitted) => format!("allow {}", admitted.policy_name()),
        RequestDecision::Audit(admitted) => format!("audit {}", admitted.policy_name()),
        RequestDecision::Deny(denial) => format!("{} {}", denial.code.as_str(), denial.reason),
    };
    let allowed = json!({"allow_request": true});
    for (path, config, more, expected) in [
        (
            "/a",
            &inspected,
            json!({"allow_request": true, "deny_request": false}),
            "allow api",
        ),
        (
            "/a",
            &inspected,
            json!({"allow_request": false}),
            "policy_denied request_not_allowed",
        ),
        (
            "/a",
            &inspected,
            json!({}),
            "policy_denied request_not_allowed",
        ),
        (
            "/a",
            &inspected,
            json!({"allow_request": true, "deny_request": true}),
            "policy_denied deny_rule",
        ),
        (
            "/a",
            &inspected,
            json!({"allow_request": "yes"}),
            "policy_denied policy_evaluation_failed",
        ),
        ("/a", &audited, json!({}), "audit api"),
        (
            "/a",
            &audited,
            json!({"deny_request": true}),
            "policy_denied deny_rule",
        ),
        (
            "/a",
            &inspected,
            json!({"request_deny_reason": "GET /a not permitted by policy"}),
            "policy_denied GET /a not permitted by policy",
        ),
        (
            "/a",
            &inspected,
            json!({"request_deny_reason": "no", "deny_reason": "request_not_allowed"}),
            "policy_denied request_not_allowed",
        ),
        (
            "/a%2Fb",
            &inspected,
            allowed.clone(),
            "invalid_request_target ",
        ),
        ("/a%2Fb", &audited, json!({}), "invalid_request_target "),
        ("/a%2Fb", &slashed, allowed.clone(), "allow api"),
        // Not inspected: everything at that address is allowed.
        (
            "/a",
            &json!({}),
            json!({"allow_request": false}),
            "allow api",
        ),
    ] {
        assert_eq!(said(path, with(config, &more)), expected, "{config} {more}");
    }
    assert_eq!(
        said(
            "/a",
            json!({"network_action": "deny", "allow_request": true})
        ),
        "policy_denied endpoint_not_allowed"
    );
    assert_eq!(
        said("/a", json!({"network_action": "allow", "inspected": true})),
        "policy_denied request_not_allowed"
    );
}

/// RGO-4, decision 0010: what servers read in more than one way is not asked about.
#[test]
fn a_query_that_is_read_in_more_than_one_way_is_no_question() {
    let mut asked = Vec::new();
    let mut input = |query: &[u8]| {
        question::request(
            &mut asked,
            &caller(),
            &target("api.test", 443),
            b"GET",
            b"/",
            Some(query),
        );
        question::input(&asked)
    };
    assert!(input(b"a=1").is_some());
    assert!(input(b"a=%zz").is_none());
}

/// RGO-1: what differs in what the rules see differs in what the cache sees.
#[test]
fn no_two_questions_have_the_same_bytes() {
    let mut seen = std::collections::HashSet::new();
    let mut callers = vec![caller(), Caller::from_paths("/usr/bin/curl", &[])];
    callers.push(Caller::from_paths("/usr/bin/curl", &["/bin/sh/sbin/init"]));
    callers.push(Caller::from_paths(
        "/usr/bin/curl",
        &["/bin/sh", "/sbin/init"],
    ));
    callers.push(Caller::from_paths("/usr/bin/cur", &["l", "/bin/sh"]));
    for caller in &callers {
        for target in [
            target("a.test", 443),
            target("a.test", 444),
            target("b.test", 443),
        ] {
            let mut asked = Vec::new();
            question::connect(&mut asked, caller, &target);
            assert!(seen.insert(asked.clone()));
            for (method, path, query) in [
                (&b"GET"[..], &b"/a"[..], None),
                (b"GET", b"/a", Some(&b"b=1"[..])),
                (b"GET", b"/ab=1", None),
                (b"GE", b"T/a", None),
            ] {
                question::request(&mut asked, caller, &target, method, path, query);
                assert!(seen.insert(asked.clone()));
            }
        }
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
