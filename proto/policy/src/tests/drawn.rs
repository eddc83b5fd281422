//! Messages drawn at random, from pieces that are often right and sometimes wrong.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;

fn one_of(texts: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(texts).prop_map(str::to_owned)
}

/// Mostly words that other words resemble, sometimes any text at all.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => one_of(&["", "a", "null", "True", "no", "1", "0x1", "1.5", "~", "-", "- a", "a: b", "#", "a #b", "<<", "*x", "&y", "!z", "%", "@", "`", "'", "\"", "\\", "{}", "[]", ",", " a ", "a\nb", "\t", "\u{7f}", "\u{85}", "\u{feff}", "ä", "日本", "😀", "\u{e000}", "\u{200b}"]),
        1 => any::<String>(),
    ]
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => one_of(&["/opt", "/srv/a", "/usr//lib/", "/usr/bin/git", "/a b", "/tmp", "/*", "/x/**"]),
        1 => one_of(&["", "/", "usr", "/a/../b"]),
        1 => text().prop_map(|text| format!("/{text}")),
    ]
}

fn query() -> impl Strategy<Value = std::collections::BTreeMap<String, String>> {
    let long = prop_oneof![9 => Just(1), 1 => Just(1_500)];
    let name = (text(), long).prop_map(|(text, times)| text.repeat(times));
    btree_map(name, text(), 0..3)
}

prop_compose! {
    fn rule()(method in one_of(&["", "*", "get", "DELETE", "FOO", "a b"]), path in one_of(&["", "/**", "**", "/a/*", "/a?b", "x"]), query in query()) -> v1::L7Allow {
        v1::L7Allow { method, path, query }
    }
}

prop_compose! {
    fn request_rules()(
        tls in one_of(&["", "terminate", "passthrough"]),
        enforcement in one_of(&["", "enforce", "audit", "enforce"]),
        access in one_of(&["", "", "read-only", "read-write", "full", "none"]),
        rules in vec(prop_oneof![9 => rule().prop_map(Some), 1 => Just(None)], 0..3),
        deny in vec(rule(), 0..2),
        path in one_of(&["", "**", "/v1/**", "v1"]),
        allow_encoded_slash: bool,
    ) -> v1::NetworkEndpoint {
        let rules = if access.is_empty() { rules } else { Vec::new() };
        let deny = if enforcement == "enforce" { deny } else { Vec::new() };
        let deny = deny.into_iter().map(|v1::L7Allow { method, path, query }| v1::L7Deny { method, path, query });
        v1::NetworkEndpoint {
            protocol: "rest".to_owned(), tls, enforcement, access, path, allow_encoded_slash,
            rules: rules.into_iter().map(|allow| v1::L7Rule { allow }).collect(),
            deny_rules: deny.collect(),
            ..v1::NetworkEndpoint::default()
        }
    }
}

prop_compose! {
    fn endpoint()(
        host in one_of(&["a.test", "*.a.test", "**.a.test", "A.Test.", "10.1.2.3", "[::1]", "::1", "", "*.com"]),
        port in prop_oneof![9 => 1u32..=65_535, 1 => Just(70_000)],
        allowed_ips in prop_oneof![3 => Just(Vec::new()), 1 => vec(one_of(&["10.0.0.0/8", "10.1.2.3/32", "fd00::/32", "10.0.0.1/8"]), 1..3)],
        rules in prop_oneof![1 => Just(v1::NetworkEndpoint::default()), 1 => request_rules()],
    ) -> v1::NetworkEndpoint {
        v1::NetworkEndpoint { host, port, allowed_ips, ..rules }
    }
}

fn binaries(len: std::ops::Range<usize>) -> impl Strategy<Value = Vec<v1::NetworkBinary>> {
    vec(path().prop_map(|path| v1::NetworkBinary { path }), len)
}

prop_compose! {
    fn network_policy()(name in text(), endpoints in vec(endpoint(), 1..3), binaries in binaries(1..3)) -> v1::NetworkPolicyRule {
        v1::NetworkPolicyRule { name, endpoints, binaries }
    }
}

prop_compose! {
    fn filesystem()(include_workdir: bool, read_only in vec(path(), 0..3), read_write in vec(path(), 0..2)) -> v1::FilesystemPolicy {
        v1::FilesystemPolicy { include_workdir, read_only, read_write }
    }
}

prop_compose! {
    fn inference()(
        binaries in binaries(0..2), models in vec(text(), 0..2),
        requests_per_minute in prop_oneof![Just(0), any::<u32>()],
        tokens_per_minute in prop_oneof![Just(0), any::<u64>()],
        max_concurrent in 0u32..3,
    ) -> v1::InferencePolicy {
        v1::InferencePolicy { binaries, models, requests_per_minute, tokens_per_minute, max_concurrent }
    }
}

prop_compose! {
    fn policy()(
        version in prop_oneof![19 => Just(1), 1 => 0u32..3],
        filesystem in prop::option::of(filesystem()),
        landlock in prop::option::of(one_of(&["", "best_effort", "hard_requirement", "none"])),
        process in prop::option::of((one_of(&["", "agent", "1000", "root"]), one_of(&["", "agent", "true"]))),
        network_policies in btree_map(text(), network_policy(), 0..3),
        inference in prop::option::of(inference()),
    ) -> v1::SandboxPolicy {
        v1::SandboxPolicy {
            version, filesystem, network_policies, inference,
            landlock: landlock.map(|compatibility| v1::LandlockPolicy { compatibility }),
            process: process.map(|(run_as_user, run_as_group)| v1::ProcessPolicy { run_as_user, run_as_group }),
            rego: String::new(),
        }
    }
}

fn sorted(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort();
    findings
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// TR-071, TR-072: message, document and text say the same, right or wrong.
    #[test]
    fn a_drawn_message_its_document_and_its_text_agree(given in policy()) {
        let text = yaml(&given);
        let of_text = policy::parse(&text, "drawn.yaml");
        match (document(&given), of_text) {
            (Ok(read), Ok(loaded)) => {
                let sent = message(&read.document);
                prop_assert_eq!(&document(&sent).unwrap().document, &read.document);
                prop_assert_eq!(&policy::parse(&yaml(&sent), "again.yaml").unwrap().document, &read.document);
                prop_assert_eq!(loaded.document, read.document);
                let warned = loaded.warnings.into_iter().map(Finding::from).collect();
                prop_assert_eq!(sorted(read.warnings), sorted(warned));
            }
            (Err(faults), Err(problems)) => {
                let told = problems.as_slice().iter().cloned().map(Finding::from).collect();
                prop_assert_eq!(sorted(faults.into_vec()), sorted(told));
            }
            (of_message, of_text) => prop_assert!(false, "{:?}\n{:?}\n{}", of_message, of_text, text),
        }
    }

    /// LIV-5: two documents have one hash when they are one.
    #[test]
    fn drawn_policies_have_one_hash_when_they_are_equal(one in policy(), other in policy()) {
        if let (Ok(one), Ok(other)) = (document(&one), document(&other)) {
            let equal = one.document == other.document;
            prop_assert_eq!(hash(&one.document, "") == hash(&other.document, ""), equal);
        }
    }
}
