//! The Rego rules, row by row; `differential` holds them against the table.

use std::collections::BTreeMap;

use wire::{Authority, Host, Port};

use super::{Reference, Request, Verdict};
use crate::caller::{Caller, Executable};
use crate::document::PolicyDocument;
use crate::source::parse;

fn document(text: &str) -> PolicyDocument {
    parse(&format!("version: 1\n{text}"), "p.yaml")
        .unwrap_or_else(|problems| panic!("{problems}"))
        .document
}

fn executable(path: &str) -> Executable {
    Executable {
        path: path.as_bytes().into(),
        sha256: [7; 32],
    }
}

fn caller(exe: &str, ancestors: &[&str]) -> Caller {
    let ancestors = ancestors.iter().map(|path| executable(path)).collect();
    Caller {
        pid: 1,
        exe: executable(exe),
        ancestors,
        cmdline: Vec::new(),
    }
}

fn target(host: &str, port: u16) -> Authority {
    Authority {
        host: Host::parse(host.as_bytes()).unwrap(),
        port: Port::new(port).unwrap(),
    }
}

/// RGO-3
#[test]
fn without_policies_the_reason_says_so() {
    let mut reference = Reference::new(&document("")).unwrap();
    let verdict = reference.connect(&caller("/x", &[]), &target("h.test", 1));
    assert_eq!(reference.failure(), None);
    assert_eq!(
        verdict,
        Verdict::Deny {
            reason: "no_network_policies".into(),
            policy: None
        }
    );
}

fn request(
    method: &'static str,
    path: &'static str,
    query: &[(&str, &[&str])],
) -> Request<'static> {
    let texts = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    let query = query
        .iter()
        .map(|(name, values)| ((*name).to_owned(), texts(values)))
        .collect::<BTreeMap<_, _>>();
    Request {
        method,
        path,
        query,
    }
}

/// `allow NAME`, `audit` or `deny REASON [NAME]` for the caller /x.
fn judged(text: &str, request: &Request<'_>) -> String {
    let mut reference = Reference::new(&document(text)).unwrap();
    match reference.request(
        &caller("/x", &[]),
        &target("api.example.com", 8080),
        request,
    ) {
        Verdict::Allow { policy, .. } => format!("allow {policy}"),
        Verdict::Audit { policy } => format!("audit {policy}"),
        Verdict::RefuseTarget { policy } => format!("target {policy}"),
        Verdict::Deny { reason, policy } => format!("deny {reason} {}", policy.unwrap_or_default())
            .trim_end()
            .into(),
    }
}

fn endpoint(fields: &str) -> String {
    policies(&[("lr", fields, "/x")])
}

fn policies(entries: &[(&str, &str, &str)]) -> String {
    let entries: Vec<String> = entries
        .iter()
        .map(|(key, fields, binary)| {
            let endpoint = format!("{{host: api.example.com, port: 8080{fields}}}");
            format!("{key}: {{endpoints: [{endpoint}], binaries: [{{path: {binary}}}]}}")
        })
        .collect();
    format!("network_policies: {{{}}}", entries.join(", "))
}

const LR: &str = ", protocol: rest, enforcement: enforce, rules: [{allow: {method: GET, path: /repos/**}}, \
                  {allow: {method: POST, path: /repos/*/issues}}]";

/// LR-1, LR-2, LR-3
#[test]
fn a_request_is_allowed_by_method_and_path() {
    let verdict = |method, path| judged(&endpoint(LR), &request(method, path, &[]));
    for (method, path) in [
        ("GET", "/repos/myorg/foo"),
        ("HEAD", "/repos/myorg/foo"),
        ("POST", "/repos/myorg/issues"),
    ] {
        assert_eq!(verdict(method, path), "allow lr", "{method} {path}");
    }
    for (method, path) in [
        ("get", "/repos/myorg/foo"),
        ("DELETE", "/repos/myorg/foo"),
        ("GET", "/admin/settings"),
        ("GET", "/repos"),
        ("GET", "/admin"),
    ] {
        assert_eq!(
            verdict(method, path),
            "deny request_not_allowed lr",
            "{method} {path}"
        );
    }
}

/// LR-5, LR-6
#[test]
fn presets_are_their_methods() {
    let verdict = |access: &str, method| {
        let text = endpoint(&format!(
            ", protocol: rest, enforcement: enforce, access: {access}"
        ));
        judged(&text, &request(method, "/x", &[])) == "allow lr"
    };
    for (access, allowed, denied) in [
        (
            "read-only",
            &["GET", "HEAD", "OPTIONS"][..],
            &["POST", "DELETE"][..],
        ),
        ("read-write", &["GET", "PUT", "PATCH", "POST"], &["DELETE"]),
        (
            "full",
            &["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"],
            &[],
        ),
    ] {
        assert!(
            allowed.iter().all(|method| verdict(access, method)),
            "{access}"
        );
        assert!(
            !denied.iter().any(|method| verdict(access, method)),
            "{access}"
        );
    }
}

/// LR-7
#[test]
fn the_binary_comes_before_any_request_rule() {
    let text = policies(&[("lr", LR, "/other")]);
    assert_eq!(
        judged(&text, &request("DELETE", "/x", &[])),
        "deny binary_not_allowed lr"
    );
}

/// LR-8, LR-9
#[test]
fn every_listed_query_name_is_needed_and_all_its_values_match() {
    let rule = ", protocol: rest, enforcement: enforce, rules: [{allow: {path: '/**/info/refs*', query: {service: git-upload-pack}}}]";
    let verdict = |query| {
        judged(
            &endpoint(rule),
            &request("GET", "/o/r.git/info/refs", query),
        ) == "allow lr"
    };
    assert!(verdict(&[("service", &["git-upload-pack"])]));
    assert!(verdict(&[
        ("service", &["git-upload-pack"]),
        ("other", &["x"])
    ]));
    assert!(!verdict(&[("service", &["git-receive-pack"])]));
    assert!(!verdict(&[]));
    assert!(!verdict(&[(
        "service",
        &["git-upload-pack", "git-receive-pack"]
    )]));
}

/// LR-10
#[test]
fn one_matching_query_value_is_enough_to_deny() {
    let rule = ", protocol: rest, enforcement: enforce, access: full, deny_rules: [{query: {service: git-receive-pack}}]";
    let verdict = |query| judged(&endpoint(rule), &request("GET", "/o", query));
    assert_eq!(
        verdict(&[("service", &["git-upload-pack", "git-receive-pack"])]),
        "deny deny_rule lr"
    );
    assert_eq!(verdict(&[]), "allow lr");
}

/// LR-11, OV-5
#[test]
fn an_endpoint_without_protocol_allows_every_request() {
    let rest = ", protocol: rest, enforcement: enforce, access: read-only";
    let text = policies(&[("p1", "", "/x"), ("p2", rest, "/x")]);
    assert_eq!(judged(&text, &request("POST", "/any", &[])), "allow p1");
}

/// LR-12, L7-9
#[test]
fn audit_forwards_what_nothing_allows_on_covered_paths() {
    let audit = ", protocol: rest, path: /api/**, access: read-only";
    assert_eq!(
        judged(&endpoint(audit), &request("POST", "/api/x", &[])),
        "audit lr"
    );
    assert_eq!(
        judged(&endpoint(audit), &request("POST", "/other", &[])),
        "deny request_not_allowed lr"
    );
}

/// OV-2
#[test]
fn the_longest_literal_path_names_a_request() {
    let rest =
        |path: &str| format!(", protocol: rest, enforcement: enforce, access: full, path: {path}");
    let text = policies(&[
        ("p1", &rest("/api/**"), "/x"),
        ("p2", &rest("/api/v1/**"), "/x"),
    ]);
    assert_eq!(judged(&text, &request("GET", "/api/v1/x", &[])), "allow p2");
    assert_eq!(judged(&text, &request("GET", "/api/v2/x", &[])), "allow p1");
}

/// OV-3
#[test]
fn the_wider_of_two_policies_allows() {
    let rest = |access: &str| format!(", protocol: rest, enforcement: enforce, access: {access}");
    let text = policies(&[
        ("p1", &rest("read-only"), "/x"),
        ("p2", &rest("full"), "/x"),
    ]);
    assert_eq!(judged(&text, &request("DELETE", "/x", &[])), "allow p2");
}

/// OV-4
#[test]
fn a_deny_rule_wins_unless_it_speaks_of_another_binary() {
    let full = ", protocol: rest, enforcement: enforce, access: full";
    let deny = format!("{full}, deny_rules: [{{method: DELETE, path: /**}}]");
    let verdict = |binary| {
        judged(
            &policies(&[("p1", full, "/x"), ("p2", &deny, binary)]),
            &request("DELETE", "/x", &[]),
        )
    };
    assert_eq!(verdict("/x"), "deny deny_rule p2");
    assert_eq!(verdict("/other"), "allow p1");
}

/// CP-7, L7-5, L7-9: decision 0010.
#[test]
fn an_escaped_slash_needs_the_endpoint_that_lets_the_request_through() {
    let full = ", protocol: rest, enforcement: enforce, access: full";
    let audit = ", protocol: rest, access: read-only";
    let slash = ", allow_encoded_slash: true";
    let verdict = |fields: &str| judged(&endpoint(fields), &request("PUT", "/a%2Fb", &[]));
    assert_eq!(verdict(full), "target lr");
    assert_eq!(verdict(&format!("{full}{slash}")), "allow lr");
    assert_eq!(verdict(audit), "target lr");
    assert_eq!(verdict(&format!("{audit}{slash}")), "audit lr");
    assert_eq!(verdict(""), "allow lr");
    assert_eq!(
        verdict(LR),
        "deny request_not_allowed lr",
        "nothing allows it, whatever its slashes"
    );
}

/// L7-10, decision 0010
#[test]
fn pieces_of_a_query_that_servers_read_differently_stand_under_the_empty_name() {
    let read = |query: &str| format!("{:?}", super::query_values(query.as_bytes()));
    assert_eq!(
        read("a=1&a=%32&b+c=x%3by&=z&&d"),
        r#"{"a": ["1", "2"], "b c": ["x;y"], "d": [""]}"#
    );
    assert_eq!(
        read("a=1;a=2&b=%&c=%4x&d=%00&e=%ff&=%zz&f=1"),
        r#"{"": ["a=1;a=2", "b=%", "c=%4x", "d=%00", "e=%ff", "=%zz"], "f": ["1"]}"#
    );
    let deny = ", protocol: rest, enforcement: enforce, access: full, deny_rules: [{path: /a, query: {q: x}}]";
    let allow = ", protocol: rest, enforcement: enforce, rules: [{allow: {query: {q: x}}}]";
    let odd = [("", &["a;b"][..]), ("q", &["x"])];
    assert_eq!(
        judged(&endpoint(deny), &request("GET", "/a", &odd[..1])),
        "deny deny_rule lr"
    );
    assert_eq!(
        judged(&endpoint(deny), &request("GET", "/b", &odd[..1])),
        "allow lr"
    );
    assert_eq!(
        judged(&endpoint(allow), &request("GET", "/a", &odd)),
        "deny request_not_allowed lr"
    );
}

/// OV-6
#[test]
fn one_enforcing_endpoint_refuses_for_all() {
    let rest = |enforcement: &str| {
        format!(", protocol: rest, enforcement: {enforcement}, access: read-only")
    };
    let text = policies(&[("p1", &rest("audit"), "/x"), ("p2", &rest("enforce"), "/x")]);
    assert_eq!(
        judged(&text, &request("POST", "/x", &[])),
        "deny request_not_allowed p2"
    );
}

/// RGO-2
#[test]
fn the_sections_are_handed_through() {
    let text = "landlock: {compatibility: hard_requirement}\nprocess: {run_as_user: agent}\ninference: {max_concurrent: 1}\nfilesystem_policy: {read_only: [/opt]}";
    let mut reference = Reference::new(&document(text)).unwrap();
    let mut rule = |name: &str| {
        reference
            .engine
            .eval_rule(format!("data.ringfence.sandbox.{name}"))
            .unwrap()
            .to_string()
    };
    assert!(rule("landlock_policy").contains("hard_requirement"));
    assert!(rule("process_policy").contains("agent"));
    assert!(rule("inference_policy").contains("max_concurrent"));
    assert!(rule("filesystem_policy").contains("/opt"));
}

/// RGO-3
#[test]
fn the_first_configured_endpoint_and_the_reason_of_a_request_are_values() {
    let text = policies(&[("a", "", "/x"), ("b", LR, "/x")]);
    let mut reference = Reference::new(&document(&text)).unwrap();
    reference.connect(&caller("/x", &[]), &target("api.example.com", 8080));
    let config = reference
        .engine
        .eval_rule("data.ringfence.sandbox.matched_endpoint_config".into())
        .unwrap();
    assert!(config.to_string().contains("\"rest\""), "{config}");
    let mut reference = Reference::new(&document(&endpoint(LR))).unwrap();
    reference.request(
        &caller("/x", &[]),
        &target("api.example.com", 8080),
        &request("DELETE", "/x", &[]),
    );
    assert_eq!(
        reference.text("request_deny_reason").unwrap(),
        "DELETE /x not permitted by policy"
    );
}
