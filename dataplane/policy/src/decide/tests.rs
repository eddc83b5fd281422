//! Connection decisions by the rows of VECTORS 5 and 6, and who may use inference.local.

use wire::{Authority, Code, Host, Port};

use super::{connect, infer};
use crate::caller::{Caller, Executable, IdentityError};
use crate::compile::Policy;
use crate::decision::{Decision, Denial};
use crate::document::Tls;
use crate::route::Protocol;
use crate::source::parse;

pub(crate) fn policy(text: &str) -> Policy {
    let loaded = parse(&format!("version: 1\n{text}"), "p.yaml")
        .unwrap_or_else(|problems| panic!("{problems}"));
    Policy::compile(loaded.document)
}

pub(crate) fn caller(exe: &str, ancestors: &[&str]) -> Caller {
    let executable = |path: &&str| Executable {
        path: path.as_bytes().into(),
        sha256: [0; 32],
    };
    Caller {
        pid: 7,
        exe: executable(&exe),
        ancestors: ancestors.iter().map(executable).collect(),
        cmdline: b"/usr/bin/claude --dangerously".to_vec(),
    }
}

pub(crate) fn target(text: &str) -> Authority {
    wire::target::connect(text.as_bytes()).unwrap()
}

/// `allow NAME`, `inspect NAME`, or `deny REASON [NAME]`.
fn verdict(policy: &Policy, exe: &str, ancestors: &[&str], to: &str) -> String {
    match connect(policy, &caller(exe, ancestors), &target(to)) {
        Decision::Tunnel(admitted) => format!("allow {}", admitted.policy_name()),
        Decision::Inspect(admitted) => format!("inspect {}", admitted.policy_name()),
        Decision::Deny(Denial {
            code: Code::PolicyDenied,
            reason,
            policy,
        }) => match policy {
            Some(policy) => format!("deny {reason} {policy}"),
            None => format!("deny {reason}"),
        },
        Decision::Deny(denial) => format!("{} {}", denial.code.as_str(), denial.reason),
    }
}

const THREE: &str = "
network_policies:
  a: {endpoints: [{host: api.anthropic.com, port: 443}], binaries: [{path: /usr/local/bin/claude}, {path: /usr/bin/node}]}
  b: {endpoints: [{host: github.com, port: 443}], binaries: [{path: /usr/bin/git}]}
  c: {endpoints: [{host: gitlab.com, port: 443}], binaries: [{path: /usr/bin/glab}]}
";

/// L4-1, L4-2
#[test]
fn a_listed_binary_reaches_a_listed_endpoint_in_any_letter_case() {
    let policy = policy(THREE);
    assert_eq!(
        verdict(&policy, "/usr/bin/node", &[], "api.anthropic.com:443"),
        "allow a"
    );
    assert_eq!(
        verdict(&policy, "/usr/bin/node", &[], "API.ANTHROPIC.COM:443"),
        "allow a"
    );
    assert_eq!(
        verdict(&policy, "/usr/bin/node", &[], "api.anthropic.com.:443"),
        "allow a"
    );
    assert_eq!(
        verdict(
            &policy,
            "/usr/local/bin/claude",
            &[],
            "api.anthropic.com:443"
        ),
        "allow a"
    );
}

/// L4-3, L4-4, L4-8: the arguments of every caller here name claude, which is no evidence (IDN-1).
#[test]
fn an_unlisted_binary_is_refused_whatever_its_arguments_say() {
    let policy = policy(THREE);
    for exe in ["/usr/bin/python3", "/tmp/malicious"] {
        assert_eq!(
            verdict(&policy, exe, &[], "api.anthropic.com:443"),
            "deny binary_not_allowed a"
        );
    }
    assert_eq!(
        verdict(
            &policy,
            "/usr/bin/python3",
            &["/bin/bash"],
            "github.com:443"
        ),
        "deny binary_not_allowed b"
    );
}

/// L4-5, L4-6, TR-077
#[test]
fn an_unlisted_port_or_host_is_no_endpoint() {
    let policy = policy(THREE);
    assert_eq!(
        verdict(&policy, "/usr/bin/node", &[], "api.anthropic.com:80"),
        "deny endpoint_not_allowed"
    );
    assert_eq!(
        verdict(&policy, "/usr/bin/node", &[], "evil.example.com:443"),
        "deny endpoint_not_allowed"
    );
}

/// L4-7
#[test]
fn a_listed_ancestor_vouches_for_its_children() {
    let policy = policy(THREE);
    assert_eq!(
        verdict(
            &policy,
            "/usr/bin/python3",
            &["/usr/bin/git"],
            "github.com:443"
        ),
        "allow b"
    );
    assert_eq!(
        verdict(
            &policy,
            "/usr/bin/python3",
            &["/bin/sh", "/usr/bin/git"],
            "github.com:443"
        ),
        "allow b"
    );
}

fn one(endpoint: &str, binary: &str) -> Policy {
    policy(&format!(
        "network_policies: {{p: {{endpoints: [{{{endpoint}}}], binaries: [{{path: {binary}}}]}}}}"
    ))
}

/// L4-9, L4-10, L4-11
#[test]
fn binary_globs_are_tried_against_executables_only() {
    let usr_bin = one("host: h.test, port: 1", "/usr/bin/*");
    assert_eq!(
        verdict(&usr_bin, "/usr/bin/node", &[], "h.test:1"),
        "allow p"
    );
    assert_eq!(
        verdict(&usr_bin, "/usr/bin/sub/node", &[], "h.test:1"),
        "deny binary_not_allowed p"
    );
    let local = one("host: h.test, port: 1", "/usr/local/bin/*");
    assert_eq!(
        verdict(
            &local,
            "/usr/bin/node",
            &["/usr/local/bin/claude"],
            "h.test:1"
        ),
        "allow p"
    );
    assert_eq!(
        verdict(&local, "/usr/bin/node", &[], "h.test:1"),
        "deny binary_not_allowed p"
    );
}

/// L4-12
#[test]
fn everything_may_be_listed_and_nothing_is_by_default() {
    assert_eq!(
        verdict(
            &one("host: h.test, port: 1", "/**"),
            "/any/thing",
            &[],
            "h.test:1"
        ),
        "allow p"
    );
    assert_eq!(
        verdict(&policy(""), "/any/thing", &[], "h.test:1"),
        "deny no_network_policies"
    );
}

/// L4-13, L4-14
#[test]
fn host_wildcards_need_their_labels() {
    let one_label = one("host: '*.example.com', port: 443", "/**");
    let any_labels = one("host: '**.example.com', port: 443", "/**");
    let rows = [
        ("a.example.com", true, true),
        ("a.b.example.com", false, true),
        ("example.com", false, false),
    ];
    for (host, by_one, by_any) in rows {
        let verdict = |policy| verdict(policy, "/x", &[], &format!("{host}:443")) == "allow p";
        assert_eq!(
            (verdict(&one_label), verdict(&any_labels)),
            (by_one, by_any),
            "{host}"
        );
    }
}

/// AL-10
#[test]
fn an_endpoint_without_host_is_any_host_on_its_port() {
    let hostless = one("port: 9443, allowed_ips: [172.16.0.0/12]", "/**");
    assert_eq!(
        verdict(&hostless, "/x", &[], "whatever.test:9443"),
        "allow p"
    );
    assert_eq!(verdict(&hostless, "/x", &[], "10.0.0.1:9443"), "allow p");
    assert_eq!(
        verdict(&hostless, "/x", &[], "whatever.test:12345"),
        "deny endpoint_not_allowed"
    );
}

/// AL-12, DST-11, TR-036: policy first, and no admission for a special name ever exists.
#[test]
fn a_special_name_is_never_admitted() {
    let policy = policy(
        "
network_policies:
  l: {endpoints: [{host: localhost, port: 80}, {host: a.localhost, port: 80}, {host: x.onion, port: 80}], binaries: [{path: /**}]}
  w: {endpoints: [{port: 8443, allowed_ips: [10.0.0.0/16]}], binaries: [{path: /**}]}
",
    );
    for host in [
        "localhost:80",
        "a.localhost:80",
        "x.onion:80",
        "b.localhost:8443",
        "x.inference.local:8443",
    ] {
        assert_eq!(
            verdict(&policy, "/x", &[], host),
            "destination_denied special_name",
            "{host}"
        );
    }
    assert_eq!(
        verdict(&policy, "/x", &[], "b.localhost:80"),
        "deny endpoint_not_allowed"
    );
}

/// CON-10
#[test]
fn inference_local_on_another_port_is_denied_by_policy() {
    let hostless = one("port: 8443, allowed_ips: [10.0.0.0/16]", "/**");
    assert_eq!(
        verdict(&hostless, "/x", &[], "inference.local:8443"),
        "deny endpoint_not_allowed"
    );
    assert_eq!(
        verdict(&policy(""), "/x", &[], "inference.local:8443"),
        "deny no_network_policies"
    );
}

fn overlap(entries: &[(&str, &str)]) -> Policy {
    let entries: Vec<String> = entries
        .iter()
        .map(|(key, endpoint)| {
            format!("  {key}: {{endpoints: [{{{endpoint}}}], binaries: [{{path: /**}}]}}")
        })
        .collect();
    policy(&format!("network_policies:\n{}", entries.join("\n")))
}

/// OV-1, POL-6, TR-068
#[test]
fn exact_names_before_wildcards_before_no_host_then_key_order() {
    let exact = overlap(&[
        ("z", "host: a.example.com, port: 1"),
        ("a", "host: '*.example.com', port: 1"),
    ]);
    assert_eq!(verdict(&exact, "/x", &[], "a.example.com:1"), "allow z");
    let wildcard = overlap(&[
        ("z", "host: '*.example.com', port: 1"),
        ("a", "port: 1, allowed_ips: [10.0.0.0/16]"),
    ]);
    assert_eq!(verdict(&wildcard, "/x", &[], "a.example.com:1"), "allow z");
    let keys = overlap(&[
        ("k2", "host: a.example.com, port: 1"),
        ("k1", "host: a.example.com, port: 1"),
    ]);
    assert_eq!(verdict(&keys, "/x", &[], "a.example.com:1"), "allow k1");
    // Byte order: upper case and `-` come before lower case.
    let bytes = overlap(&[
        ("b", "host: a.test, port: 1"),
        ("Z", "host: a.test, port: 1"),
        ("-", "host: a.test, port: 1"),
    ]);
    assert_eq!(verdict(&bytes, "/x", &[], "a.test:1"), "allow -");
}

/// OV-5, OV-7, L7-1
#[test]
fn one_inspected_endpoint_makes_the_connection_inspected() {
    let rest = "host: h.test, port: 1, protocol: rest, access: read-only, enforcement: enforce";
    let mixed = overlap(&[("p1", "host: h.test, port: 1"), ("p2", rest)]);
    assert_eq!(verdict(&mixed, "/x", &[], "h.test:1"), "inspect p1");
    let ended = overlap(&[("p1", &format!("{rest}, tls: terminate")), ("p2", rest)]);
    match connect(&ended, &caller("/x", &[]), &target("h.test:1")) {
        Decision::Inspect(admitted) => assert_eq!(admitted.tls(), Tls::Terminate),
        other @ (Decision::Deny(_) | Decision::Tunnel(_)) => panic!("{other:?}"),
    }
}

/// TR-078: one policy's binaries with another's endpoints is no match.
#[test]
fn overlapping_policies_lend_each_other_nothing() {
    let policy = policy(
        "
network_policies:
  a: {endpoints: [{host: h.test, port: 1}], binaries: [{path: /bin/a}]}
  b: {endpoints: [{host: '*.h.test', port: 1}], binaries: [{path: /bin/b}]}
",
    );
    assert_eq!(
        verdict(&policy, "/bin/b", &[], "h.test:1"),
        "deny binary_not_allowed a"
    );
    assert_eq!(verdict(&policy, "/bin/b", &[], "x.h.test:1"), "allow b");
    assert_eq!(
        verdict(&policy, "/bin/a", &[], "x.h.test:1"),
        "deny binary_not_allowed b"
    );
}

/// IDN-8
#[test]
fn a_link_and_its_target_both_match() {
    let loaded = parse(
        "version: 1\nnetwork_policies: {p: {endpoints: [{host: h.test, port: 1}], binaries: [{path: /usr/bin/python3}]}}",
        "p.yaml",
    );
    let link =
        |path: &str| (path == "/usr/bin/python3").then(|| b"/usr/bin/python3.13".to_vec().into());
    let policy = Policy::compile_with_links(loaded.unwrap().document, &link);
    assert_eq!(
        verdict(&policy, "/usr/bin/python3", &[], "h.test:1"),
        "allow p"
    );
    assert_eq!(
        verdict(&policy, "/usr/bin/python3.13", &[], "h.test:1"),
        "allow p"
    );
    assert_eq!(
        verdict(&policy, "/usr/bin/python3.12", &[], "h.test:1"),
        "deny binary_not_allowed p"
    );
}

/// TR-073
#[test]
fn a_policy_that_never_loaded_denies_everything() {
    let policy = Policy::denies_everything();
    assert_eq!(policy.hash(), "");
    assert_eq!(
        verdict(&policy, "/x", &[], "h.test:1"),
        "deny policy_evaluation_failed"
    );
    assert_eq!(
        infer(&policy, Ok(&caller("/x", &[]))).unwrap_err().reason,
        "policy_evaluation_failed"
    );
}

/// INF-8
#[test]
fn without_an_inference_section_everybody_may_ask() {
    let open = policy("");
    assert!(infer(&open, Err(IdentityError::Unavailable)).is_ok());
    assert!(
        infer(
            &policy("inference: {requests_per_minute: 2}"),
            Err(IdentityError::Unavailable)
        )
        .is_ok()
    );
}

/// IR-17, INF-2
#[test]
fn listed_inference_binaries_make_the_caller_a_condition() {
    let policy = policy("inference: {binaries: [{path: /usr/bin/node}]}");
    assert!(infer(&policy, Ok(&caller("/usr/bin/node", &[]))).is_ok());
    assert!(infer(&policy, Ok(&caller("/usr/bin/curl", &["/usr/bin/node"]))).is_ok());
    let curl = caller("/usr/bin/curl", &[]);
    let code = |caller| infer(&policy, caller).unwrap_err().code;
    assert_eq!(code(Ok(&curl)), Code::InferenceBinaryDenied);
    assert_eq!(
        code(Err(IdentityError::Unavailable)),
        Code::IdentityUnavailable
    );
    assert_eq!(code(Err(IdentityError::Changed)), Code::IntegrityViolation);
}

/// IR-18, INF-26
#[test]
fn the_model_that_would_be_sent_is_the_one_judged() {
    let grant = infer(
        &policy("inference: {models: ['small-*']}"),
        Err(IdentityError::Unavailable),
    )
    .unwrap();
    let chat = Protocol::OpenAiChatCompletions;
    assert_eq!(
        grant.check_model(chat, "big-1").unwrap_err().code,
        Code::ModelNotAllowed
    );
    assert!(grant.check_model(chat, "small-1").is_ok());
    assert!(grant.check_model(Protocol::ModelDiscovery, "big-1").is_ok());
}

/// INF-25
#[test]
fn the_grant_carries_the_limits_of_the_section() {
    let section = "inference: {requests_per_minute: 2, tokens_per_minute: 30, max_concurrent: 1}";
    let grant = infer(&policy(section), Err(IdentityError::Unavailable)).unwrap();
    let limits = (
        grant.requests_per_minute(),
        grant.tokens_per_minute(),
        grant.max_concurrent(),
    );
    assert_eq!(limits, (Some(2), Some(30), Some(1)));
}

/// ERR-1: a denial answers with its code, reason and policy.
#[test]
fn a_denial_becomes_a_refusal_that_names_reason_and_policy() {
    let policy = policy(THREE);
    let Decision::Deny(denial) = connect(&policy, &caller("/x", &[]), &target("github.com:443"))
    else {
        panic!("admitted");
    };
    let answer = String::from_utf8(denial.refusal().to_bytes(
        wire::RequestId(1),
        b"CONNECT",
        wire::AfterRefusal::Close,
    ))
    .unwrap();
    assert!(answer.contains("x-ringfence-policy: b\r\n"), "{answer}");
    assert!(
        answer.contains("\"reason\":\"binary_not_allowed\""),
        "{answer}"
    );
}

/// A decision looks at hosts as values: no text of a host can be read as a pattern.
#[test]
fn a_host_is_compared_and_never_matched_as_text() {
    assert!(Host::parse(b"*.example.com").is_err());
    assert!(Port::new(0).is_none());
}

/// OV-8, TR-068: the order in a file does not matter, and overlaps are no error.
#[test]
fn two_hundred_overlapping_policies_give_one_name_in_every_order() {
    let hosts = ["a.example.com", "'*.example.com'", "'**.example.com'"];
    let mut entries: Vec<String> = (0..200)
        .map(|number: usize| {
            let endpoint = match hosts.get(number * 7 % 4) {
                Some(host) => format!("{{host: {host}, port: 1}}"),
                None => "{port: 1, allowed_ips: [10.0.0.0/16]}".to_owned(),
            };
            let key = format!("k{:03}", number * 91 % 200);
            format!(
                "  {key}: {{endpoints: [{endpoint}], binaries: [{{path: /b{}}}]}}",
                number % 3
            )
        })
        .collect();
    let question = |entries: &[String], exe: &str| {
        verdict(
            &policy(&format!("network_policies:\n{}", entries.join("\n"))),
            exe,
            &[],
            "a.example.com:1",
        )
    };
    let first = ["/b0", "/b1", "/b2", "/none"].map(|exe| question(&entries, exe));
    assert!(
        first[..3]
            .iter()
            .all(|verdict| verdict.starts_with("allow k")),
        "{first:?}"
    );
    assert!(
        first[3].starts_with("deny binary_not_allowed k"),
        "{first:?}"
    );
    for turn in [1, 50, 99] {
        entries.rotate_left(turn);
        entries.swap(0, 100);
        assert_eq!(
            ["/b0", "/b1", "/b2", "/none"].map(|exe| question(&entries, exe)),
            first
        );
    }
}
