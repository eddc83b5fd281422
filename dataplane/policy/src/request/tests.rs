//! Request decisions by the rows of VECTORS 6 and 7, and what TRAPS adds.

use wire::{CanonicalPath, Code};

use super::{Asked, request};
use crate::address::verify;
use crate::compile::Policy;
use crate::decide::tests::{caller, policy, target};
use crate::decision::{Denial, RequestDecision};
use crate::document::Tls;

const HOST: &str = "api.example.com:8080";

fn decide(
    policy: &Policy,
    exe: &str,
    to: &str,
    method: &str,
    origin_form: &str,
) -> RequestDecision {
    let (path, query) = match origin_form.split_once('?') {
        Some((path, query)) => (path, Some(query.as_bytes())),
        None => (origin_form, None),
    };
    let path = CanonicalPath::parse(path.as_bytes()).unwrap();
    let asked = Asked {
        method: method.as_bytes(),
        path: &path,
        query,
    };
    request(policy, &caller(exe, &[]), &target(to), &asked)
}

/// `allow NAME`, `audit NAME`, or `deny REASON [NAME]`; a code other than `policy_denied` stands for its reason.
fn verdict(policy: &Policy, exe: &str, method: &str, origin_form: &str) -> String {
    match decide(policy, exe, HOST, method, origin_form) {
        RequestDecision::Allow(admitted) => format!("allow {}", admitted.policy_name()),
        RequestDecision::Audit(admitted) => format!("audit {}", admitted.policy_name()),
        RequestDecision::Deny(Denial {
            code,
            reason,
            policy,
        }) => {
            let what = if code == Code::PolicyDenied {
                &reason
            } else {
                code.as_str()
            };
            let named = policy.as_deref().unwrap_or_default();
            format!("deny {what} {named}").trim_end().to_owned()
        }
    }
}

/// Policies at the same address, as (key, fields of the endpoint, binary).
fn policies(entries: &[(&str, &str, &str)]) -> Policy {
    let entries: Vec<String> = entries
        .iter()
        .map(|(key, fields, binary)| {
            let endpoint = format!("{{host: api.example.com, port: 8080{fields}}}");
            format!("{key}: {{endpoints: [{endpoint}], binaries: [{{path: {binary}}}]}}")
        })
        .collect();
    policy(&format!("network_policies: {{{}}}", entries.join(", ")))
}

/// One policy `lr` for `/x`.
fn lr(fields: &str) -> Policy {
    policies(&[("lr", fields, "/x")])
}

fn rest(more: &str) -> String {
    format!(", protocol: rest, enforcement: enforce, {more}")
}

fn rows() -> Policy {
    lr(&rest(
        "rules: [{allow: {method: GET, path: /repos/**}}, {allow: {method: POST, path: /repos/*/issues}}]",
    ))
}

/// LR-1, LR-4, TR-020
#[test]
fn a_request_is_allowed_by_method_and_path() {
    let policy = rows();
    for (method, path) in [
        ("GET", "/repos/myorg/foo"),
        ("HEAD", "/repos/myorg/foo"),
        ("POST", "/repos/myorg/issues"),
        ("GET", "/repos/myorg/foo?x=1"),
        ("GET", "/repos//x"),
    ] {
        assert_eq!(
            verdict(&policy, "/x", method, path),
            "allow lr",
            "{method} {path}"
        );
    }
}

/// LR-2, LR-3, CP-1, TR-012, TR-020
#[test]
fn another_method_or_path_is_refused_in_every_spelling() {
    let policy = rows();
    for (method, path) in [
        ("get", "/repos/myorg/foo"),
        ("head", "/repos/myorg/foo"),
        ("HEAD", "/admin"),
        ("DELETE", "/repos/myorg/foo"),
        ("GET", "/admin/settings"),
        ("GET", "/repos"),
        ("GET", "/repos/%2e%2e/admin"),
        ("GET", "/repos/../admin"),
        ("POST", "/repos/a/b/issues"),
        ("HEAD", "/repos/../repos"),
    ] {
        assert_eq!(
            verdict(&policy, "/x", method, path),
            "deny request_not_allowed lr",
            "{method} {path}"
        );
    }
}

/// L7-10: POST covers no HEAD, and HEAD covers no GET.
#[test]
fn head_is_covered_by_get_alone() {
    let only = |method| lr(&rest(&format!("rules: [{{allow: {{method: {method}}}}}]")));
    assert_eq!(
        verdict(&only("POST"), "/x", "HEAD", "/"),
        "deny request_not_allowed lr"
    );
    assert_eq!(
        verdict(&only("HEAD"), "/x", "GET", "/"),
        "deny request_not_allowed lr"
    );
    assert_eq!(verdict(&only("HEAD"), "/x", "HEAD", "/"), "allow lr");
    let deny = lr(&rest(
        "access: full, deny_rules: [{method: GET, path: /secret}]",
    ));
    assert_eq!(verdict(&deny, "/x", "HEAD", "/secret"), "deny deny_rule lr");
}

/// LR-5, LR-6, L7-12
#[test]
fn presets_are_their_methods() {
    let all = [
        "GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "PROPFIND",
    ];
    for (access, allowed) in [("read-only", 3), ("read-write", 6), ("full", all.len())] {
        let policy = lr(&rest(&format!("access: {access}")));
        for (at, method) in all.iter().enumerate() {
            let is_allowed = verdict(&policy, "/x", method, "/y") == "allow lr";
            assert_eq!(is_allowed, at < allowed, "{access} {method}");
        }
    }
}

/// LR-7
#[test]
fn the_binary_comes_before_any_request_rule() {
    assert_eq!(
        verdict(&rows(), "/other", "GET", "/repos/a"),
        "deny binary_not_allowed lr"
    );
}

/// LR-8, LR-9
#[test]
fn every_listed_query_name_is_needed_and_all_its_values_match() {
    let policy = lr(&rest(
        "rules: [{allow: {path: '/**/info/refs*', query: {service: git-upload-pack}}}]",
    ));
    let asked = |query: &str| verdict(&policy, "/x", "GET", &format!("/o/r.git/info/refs{query}"));
    for query in [
        "?service=git-upload-pack",
        "?other=x&service=git-upload-pack&",
        "?service=git%2Dupload-pack",
        "?s%65rvice=git-upload-pack",
        "?service=git-upload-pack&service=git-upload-pack",
    ] {
        assert_eq!(asked(query), "allow lr", "{query}");
    }
    for query in [
        "",
        "?",
        "?service",
        "?service=",
        "?service=git-receive-pack",
        "?service=git-upload-pack&service=git-receive-pack",
        "?service=git-receive-pack&service=git-upload-pack",
        "?service=git-upload-pack&s%65rvice=git-receive-pack",
        "?Service=git-upload-pack",
        "?service=git-upload-pack;service=git-receive-pack",
        "?a=1;service=git-receive-pack&service=git-upload-pack",
        "?service=git-upload-pack&x=%zz",
        "?service=git-upload-pack&service%00x=git-receive-pack",
        "?service=git-upload-pack&%ff=1",
    ] {
        assert_eq!(asked(query), "deny request_not_allowed lr", "{query}");
    }
    let any = lr(&rest("rules: [{allow: {path: '/**/info/refs*'}}]"));
    assert_eq!(
        verdict(
            &any,
            "/x",
            "GET",
            "/o/r.git/info/refs?service=git-upload-pack"
        ),
        "allow lr"
    );
}

/// LR-10: and a piece that servers read differently is taken for the worst it may mean.
#[test]
fn one_matching_query_value_is_enough_to_deny() {
    let policy = lr(&rest(
        "access: full, deny_rules: [{query: {service: git-receive-pack}}]",
    ));
    for query in [
        "?service=git-upload-pack&service=git-receive-pack",
        "?service=git-receive-pack",
        "?service=git%2dreceive%2Dpack",
        "?x=1;service=git-receive-pack",
        "?x=%",
    ] {
        assert_eq!(
            verdict(&policy, "/x", "GET", &format!("/o{query}")),
            "deny deny_rule lr",
            "{query}"
        );
    }
    for query in ["", "?service=git-upload-pack", "?xservice=git-receive-pack"] {
        assert_eq!(
            verdict(&policy, "/x", "GET", &format!("/o{query}")),
            "allow lr",
            "{query}"
        );
    }
}

/// LR-11, L7-7, TR-011
#[test]
fn an_endpoint_without_host_takes_part_like_any_other() {
    let hostless = |fields: &str| {
        policy(&format!(
            "network_policies: {{lr: {{endpoints: [{{port: 8080, allowed_ips: [10.0.0.0/8]{fields}}}], binaries: [{{path: /x}}]}}}}"
        ))
    };
    let judged = hostless(&rest("access: read-only"));
    assert_eq!(verdict(&judged, "/x", "GET", "/a"), "allow lr");
    assert_eq!(
        verdict(&judged, "/x", "PUT", "/a"),
        "deny request_not_allowed lr"
    );
    assert_eq!(verdict(&hostless(""), "/x", "PUT", "/a"), "allow lr");
}

/// LR-12, L7-9: a path nobody speaks of is refused, audit or not.
#[test]
fn audit_lets_through_what_nothing_allows_on_paths_it_speaks_of() {
    let policy = lr(", protocol: rest, path: /api/**, access: read-only");
    assert_eq!(verdict(&policy, "/x", "GET", "/api/x"), "allow lr");
    assert_eq!(verdict(&policy, "/x", "POST", "/api/x"), "audit lr");
    assert_eq!(
        verdict(&policy, "/x", "POST", "/other"),
        "deny request_not_allowed lr"
    );
}

/// OV-1
#[test]
fn the_host_names_a_request_before_its_path_does() {
    let text = "network_policies:
  z: {endpoints: [{host: api.example.com, port: 8080, protocol: rest, enforcement: enforce, access: full}], binaries: [{path: /x}]}
  a: {endpoints: [{host: '*.example.com', port: 8080, protocol: rest, enforcement: enforce, access: full, path: /long/path/**}], binaries: [{path: /x}]}
  b: {endpoints: [{port: 8080, allowed_ips: [10.0.0.0/8], protocol: rest, enforcement: enforce, access: full, path: /long/path/of/all/**}], binaries: [{path: /x}]}";
    assert_eq!(
        verdict(&policy(text), "/x", "GET", "/long/path/of/all/x"),
        "allow z"
    );
}

/// OV-2, POL-6
#[test]
fn the_longest_literal_path_names_a_request_and_then_the_key() {
    let scope = |path: &str| rest(&format!("access: full, path: {path}"));
    let policy = policies(&[
        ("p1", &scope("/api/**"), "/x"),
        ("p2", &scope("/api/v1/**"), "/x"),
        ("p3", &scope("/api/v1/**"), "/x"),
    ]);
    assert_eq!(verdict(&policy, "/x", "GET", "/api/v1/x"), "allow p2");
    assert_eq!(verdict(&policy, "/x", "GET", "/api/v2/x"), "allow p1");
}

/// OV-3, TR-068
#[test]
fn the_wider_of_two_policies_allows() {
    let policy = policies(&[
        ("p1", &rest("access: read-only"), "/x"),
        ("p2", &rest("access: full"), "/x"),
    ]);
    assert_eq!(verdict(&policy, "/x", "DELETE", "/x"), "allow p2");
    assert_eq!(verdict(&policy, "/x", "GET", "/x"), "allow p1");
}

/// OV-4, L7-8
#[test]
fn a_deny_rule_wins_unless_it_speaks_of_another_binary_or_path() {
    let full = rest("access: full");
    let deny = rest("access: full, deny_rules: [{method: DELETE, path: /**}]");
    let scoped = format!("{deny}, path: /api/**");
    let with = |fields: &str, binary| policies(&[("p1", &full, "/x"), ("p2", fields, binary)]);
    assert_eq!(
        verdict(&with(&deny, "/x"), "/x", "DELETE", "/x"),
        "deny deny_rule p2"
    );
    assert_eq!(
        verdict(&with(&deny, "/y"), "/x", "DELETE", "/x"),
        "allow p1"
    );
    assert_eq!(
        verdict(&with(&scoped, "/x"), "/x", "DELETE", "/x"),
        "allow p1"
    );
    assert_eq!(
        verdict(&with(&scoped, "/x"), "/x", "DELETE", "/api/x"),
        "deny deny_rule p2"
    );
    let raw = policies(&[("p1", "", "/x"), ("p2", &deny, "/x")]);
    assert_eq!(verdict(&raw, "/x", "DELETE", "/x"), "deny deny_rule p2");
}

/// OV-5, L7-7
#[test]
fn an_endpoint_without_protocol_allows_every_request() {
    let policy = policies(&[("p1", "", "/x"), ("p2", &rest("access: read-only"), "/x")]);
    assert_eq!(verdict(&policy, "/x", "POST", "/any"), "allow p1");
    assert_eq!(verdict(&policy, "/x", "GET", "/any"), "allow p1");
}

/// OV-6, L7-9: an endpoint that enforces does so on the paths it speaks of.
#[test]
fn one_endpoint_that_enforces_refuses_for_all_on_its_paths() {
    let audit = ", protocol: rest, access: read-only";
    let enforce = rest("access: read-only");
    let scoped = rest("access: read-only, path: /api/**");
    let both = policies(&[("p1", audit, "/x"), ("p2", &enforce, "/x")]);
    assert_eq!(
        verdict(&both, "/x", "POST", "/x"),
        "deny request_not_allowed p2"
    );
    let apart = policies(&[("p1", audit, "/x"), ("p2", &scoped, "/x")]);
    assert_eq!(verdict(&apart, "/x", "POST", "/x"), "audit p1");
    assert_eq!(
        verdict(&apart, "/x", "POST", "/api/x"),
        "deny request_not_allowed p2"
    );
}

/// OV-7
#[test]
fn tls_is_ended_where_any_endpoint_says_so() {
    let ends = rest("access: read-only, tls: terminate, path: /nowhere");
    let policy = policies(&[("p1", &ends, "/x"), ("p2", &rest("access: full"), "/x")]);
    match decide(&policy, "/x", HOST, "PUT", "/x") {
        RequestDecision::Allow(admitted) => assert_eq!(admitted.tls(), Tls::Terminate),
        RequestDecision::Audit(_) | RequestDecision::Deny(_) => panic!("`full` allows it"),
    }
}

/// CP-7, L7-5, TR-012: `%2F` passes by the endpoint that allows the request, and by no other.
#[test]
fn an_escaped_slash_needs_the_endpoint_that_allows_the_request() {
    let with = rest("access: full, allow_encoded_slash: true");
    let without = rest("access: full");
    assert_eq!(verdict(&lr(&with), "/x", "GET", "/a%2fb"), "allow lr");
    assert_eq!(
        verdict(&lr(&without), "/x", "GET", "/a%2fb"),
        "deny invalid_request_target lr"
    );
    // The one allows it without the slash, the other has the slash and no rule for it.
    let apart = rest("rules: [{allow: {path: /other}}], allow_encoded_slash: true");
    let policy = policies(&[("p1", &without, "/x"), ("p2", &apart, "/x")]);
    assert_eq!(
        verdict(&policy, "/x", "GET", "/a%2fb"),
        "deny invalid_request_target p1"
    );
    let policy = policies(&[("p1", &without, "/x"), ("p2", &with, "/x")]);
    assert_eq!(verdict(&policy, "/x", "GET", "/a%2fb"), "allow p2");
    assert_eq!(verdict(&policy, "/x", "GET", "/a/b"), "allow p1");
    let policy = policies(&[("p1", "", "/x"), ("p2", &rest("access: read-only"), "/x")]);
    assert_eq!(
        verdict(&policy, "/x", "PUT", "/a%2fb"),
        "deny invalid_request_target p1"
    );
    // Nothing allows it, whatever the slash.
    assert_eq!(
        verdict(&rows(), "/x", "GET", "/a%2fb"),
        "deny request_not_allowed lr"
    );
}

/// CP-7, L7-8
#[test]
fn a_deny_rule_sees_an_escaped_slash() {
    let policy = lr(&rest(
        "access: full, allow_encoded_slash: true, deny_rules: [{path: '/a%2Fb'}]",
    ));
    assert_eq!(verdict(&policy, "/x", "GET", "/a%2fb"), "deny deny_rule lr");
    let policy = lr(&rest("access: full, deny_rules: [{path: '/a%2F*'}]"));
    assert_eq!(verdict(&policy, "/x", "GET", "/a%2fb"), "deny deny_rule lr");
    // One segment: a star of a path glob spans the escape.
    let policy = lr(&rest(
        "rules: [{allow: {path: /a/*}}], allow_encoded_slash: true",
    ));
    assert_eq!(verdict(&policy, "/x", "GET", "/a/b%2Fc"), "allow lr");
}

/// L7-5, L7-9
#[test]
fn audit_lets_an_escaped_slash_through_where_the_endpoint_says_so() {
    let audit = ", protocol: rest, access: read-only";
    assert_eq!(
        verdict(&lr(audit), "/x", "PUT", "/a%2fb"),
        "deny invalid_request_target lr"
    );
    let with = format!("{audit}, allow_encoded_slash: true");
    assert_eq!(verdict(&lr(&with), "/x", "PUT", "/a%2fb"), "audit lr");
}

/// LR-14, L7-3: the same connection by a policy that inspects nothing, or denies it.
#[test]
fn the_connection_is_judged_again_before_its_request() {
    assert_eq!(verdict(&lr(""), "/x", "PUT", "/a%2fb"), "allow lr");
    assert_eq!(
        verdict(&lr(&rest("access: full")), "/y", "PUT", "/a"),
        "deny binary_not_allowed lr"
    );
    assert_eq!(
        verdict(&policy(""), "/x", "PUT", "/a"),
        "deny no_network_policies"
    );
    assert_eq!(
        verdict(&Policy::denies_everything(), "/x", "PUT", "/a"),
        "deny policy_evaluation_failed"
    );
}

/// DST-11, CON-10, AL-12
#[test]
fn special_names_are_refused_before_request_rules() {
    let policy = policy(
        "network_policies: {lr: {endpoints: [{port: 80, allowed_ips: [10.0.0.0/8], protocol: rest, access: full}], binaries: [{path: /x}]}}",
    );
    for (to, code, reason) in [
        ("localhost:80", Code::DestinationDenied, "special_name"),
        ("x.onion:80", Code::DestinationDenied, "special_name"),
        (
            "inference.local:80",
            Code::PolicyDenied,
            "endpoint_not_allowed",
        ),
    ] {
        match decide(&policy, "/x", to, "GET", "/") {
            RequestDecision::Deny(denial) => {
                assert_eq!((denial.code, &*denial.reason), (code, reason), "{to}");
            }
            RequestDecision::Allow(_) | RequestDecision::Audit(_) => panic!("{to} is let through"),
        }
    }
}

/// TR-078, DST-5: rules of one endpoint and addresses of another are no grant.
#[test]
fn a_request_reaches_the_addresses_of_the_endpoints_that_allow_it() {
    let read = rest("access: read-only, allowed_ips: [10.0.0.0/16]");
    let write = rest("rules: [{allow: {method: PUT}}], allowed_ips: [10.9.0.0/16]");
    let policy = policies(&[
        ("p1", &read, "/x"),
        ("p2", &write, "/x"),
        ("p3", &rest("rules: [{allow: {method: POST}}]"), "/x"),
    ]);
    let reaches = |method, address: &str| match decide(&policy, "/x", HOST, method, "/a") {
        RequestDecision::Allow(admitted) => verify(&admitted, &[address.parse().unwrap()]).is_ok(),
        RequestDecision::Audit(_) | RequestDecision::Deny(_) => panic!("{method} is allowed"),
    };
    for (method, reached) in [
        ("GET", "10.0.0.1"),
        ("PUT", "10.9.0.1"),
        ("POST", "8.8.8.8"),
    ] {
        for address in ["10.0.0.1", "10.9.0.1", "8.8.8.8"] {
            assert_eq!(
                reaches(method, address),
                address == reached,
                "{method} {address}"
            );
        }
    }
}

/// OV-8, TR-068: the order in a file does not matter, and overlaps are no error.
#[test]
fn two_hundred_overlapping_rules_give_one_answer_in_every_order() {
    let scopes = ["/**", "/a/**", "/a/b/**", "**"];
    let grants = [
        "access: read-only",
        "access: full",
        "rules: [{allow: {path: /a/*}}]",
        "access: full, deny_rules: [{path: /a/c}]",
        "access: full, allow_encoded_slash: true",
    ];
    let mut entries: Vec<(String, String, &str)> = (0..200_usize)
        .map(|number| {
            let fields = rest(&format!(
                "{}, path: '{}'",
                grants[number % 5],
                scopes[number * 7 % 4]
            ));
            let binary = ["/x", "/y", "/z"][number % 3];
            (format!("k{:03}", number * 91 % 200), fields, binary)
        })
        .collect();
    let answers = |entries: &[(String, String, &str)]| {
        let borrowed: Vec<_> = entries
            .iter()
            .map(|(key, fields, binary)| (key.as_str(), fields.as_str(), *binary))
            .collect();
        let policy = policies(&borrowed);
        let mut answers = Vec::new();
        for exe in ["/x", "/y", "/z", "/none"] {
            for (method, path) in [
                ("GET", "/a/b/c"),
                ("PUT", "/a/c"),
                ("PUT", "/q%2Fr"),
                ("GET", "/"),
            ] {
                answers.push(verdict(&policy, exe, method, path));
            }
        }
        answers
    };
    let first = answers(&entries);
    assert!(
        first
            .iter()
            .any(|answer| answer.starts_with("deny deny_rule"))
    );
    assert!(first.iter().any(|answer| answer.starts_with("allow")));
    for turn in [1, 50, 99] {
        entries.rotate_left(turn);
        entries.swap(0, 100);
        assert_eq!(answers(&entries), first);
    }
}
