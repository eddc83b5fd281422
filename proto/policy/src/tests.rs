//! There and back (TR-072), the rows of VECTORS 11 by messages, and what a message may not do.

mod drawn;
mod walk;

use super::*;

fn read(yaml: &str) -> PolicyDocument {
    policy::parse(&format!("version: 1\n{yaml}"), "p.yaml")
        .unwrap_or_else(|problems| panic!("{problems}\n{yaml}"))
        .document
}

/// Everything POL-1 knows, each at a value that is not its default.
const FULL: &str = "
filesystem_policy: {include_workdir: true, read_only: [/opt], read_write: [/srv]}
landlock: {compatibility: hard_requirement}
process: {run_as_user: agent, run_as_group: 1000}
network_policies:
  git:
    name: Git hosting
    endpoints:
      - {host: '**.github.com', port: 443}
      - {host: db.test, port: 5432, allowed_ips: [10.0.0.0/16, 'fd00:1::/32']}
      - {port: 9443, allowed_ips: [10.1.2.3]}
      - host: api.github.com
        port: 8080
        path: /api/**
        protocol: rest
        tls: terminate
        enforcement: enforce
        rules:
          - allow: {method: get, path: '/repos/**', query: {service: 'git-*', page: '1'}}
          - allow: {}
        deny_rules: [{method: DELETE, path: '/**', query: {force: '1'}}]
        allow_encoded_slash: true
      - {host: '[fd00::1]', port: 8081, protocol: rest, access: read-write, allowed_ips: ['fd00::1']}
      - {host: api.github.com, port: 8081, protocol: rest, access: read-only}
      - {host: '*.github.com', port: 8081, protocol: rest, access: full, path: '**/x'}
    binaries: [{path: /usr/bin/git}, {path: '/opt/**'}]
inference:
  binaries: [{path: /usr/bin/node}]
  models: ['small-*']
  requests_per_minute: 10
  tokens_per_minute: 5000000000
  max_concurrent: 2
";

/// TR-072
#[test]
fn every_field_survives_from_text_to_message_and_back() {
    let before = read(FULL);
    let sent = message(&before);
    let after = document(&sent).unwrap().document;
    assert_eq!(after, before);
    let text = yaml(&sent);
    let again =
        policy::parse(&text, "again.yaml").unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    assert_eq!(again.document, before);
    assert_eq!(message(&again.document), sent);
    assert_eq!(hash(&again.document, ""), before.hash());
}

/// TR-072: what is new in a message and not carried is found here, by its number.
#[test]
fn the_message_of_the_test_above_sets_every_field_there_is() {
    let mut sent = message(&read(FULL));
    // Own rules travel beside the document.
    sent.rego = "package ringfence.sandbox".to_owned();
    assert_eq!(walk::unset(&sent), [""; 0]);
    sent.inference.as_mut().unwrap().models.clear();
    assert_eq!(walk::unset(&sent), ["ringfence.v1.InferencePolicy.models"]);
}

/// TR-072: a policy with any part left out is another one after the way, too.
#[test]
fn a_section_that_is_absent_and_one_that_is_empty_are_two_things() {
    for text in [
        "",
        "filesystem_policy: {}",
        "inference: {}",
        "landlock: {}",
        "process: {}",
        "network_policies: {}",
    ] {
        let before = read(text);
        assert_eq!(
            document(&message(&before)).unwrap().document,
            before,
            "{text}"
        );
    }
    assert!(message(&read("")).filesystem.is_none());
    assert!(message(&read("filesystem_policy: {}")).filesystem.is_some());
    let empty = PolicyDocument::restrictive_default();
    assert_eq!(document(&message(&empty)).unwrap().document, empty);
}

/// LIM: nobody makes as many requests in a minute as 32 bits can count.
#[test]
fn a_limit_beyond_the_message_is_the_greatest_it_can_say() {
    let before = read("inference: {requests_per_minute: 5000000000, max_concurrent: 5000000000}");
    let section = message(&before).inference.unwrap();
    assert_eq!(
        (section.requests_per_minute, section.max_concurrent),
        (u32::MAX, u32::MAX)
    );
}

fn faults(message: &v1::SandboxPolicy) -> Vec<String> {
    let faults = document(message).unwrap_err();
    faults.as_slice().iter().map(ToString::to_string).collect()
}

fn inspected() -> v1::NetworkEndpoint {
    v1::NetworkEndpoint {
        host: "a.test".to_owned(),
        port: 80,
        protocol: "rest".to_owned(),
        access: "full".to_owned(),
        ..v1::NetworkEndpoint::default()
    }
}

fn with(endpoint: v1::NetworkEndpoint) -> v1::SandboxPolicy {
    let binaries = vec![v1::NetworkBinary {
        path: "/x".to_owned(),
    }];
    let policy = v1::NetworkPolicyRule {
        name: String::new(),
        endpoints: vec![endpoint],
        binaries,
    };
    v1::SandboxPolicy {
        version: 1,
        network_policies: [("p".to_owned(), policy)].into(),
        ..v1::SandboxPolicy::default()
    }
}

/// PD-1, PD-2, PD-3, PD-10: faults of a message are told by the paths of the file.
#[test]
fn a_fault_is_told_by_its_path_and_all_of_them_together() {
    let given = v1::SandboxPolicy {
        version: 2,
        filesystem: Some(v1::FilesystemPolicy {
            include_workdir: false,
            read_only: vec!["usr/lib".to_owned(), "/usr/../etc/shadow".to_owned()],
            read_write: vec!["///".to_owned()],
        }),
        landlock: Some(v1::LandlockPolicy {
            compatibility: "best-effort".to_owned(),
        }),
        process: Some(v1::ProcessPolicy {
            run_as_user: " root ".to_owned(),
            run_as_group: "0".to_owned(),
        }),
        network_policies: [(String::new(), v1::NetworkPolicyRule::default())].into(),
        inference: Some(v1::InferencePolicy {
            binaries: vec![
                v1::NetworkBinary {
                    path: "node".to_owned(),
                },
                v1::NetworkBinary::default(),
            ],
            models: vec![String::new()],
            tokens_per_minute: u64::MAX,
            ..v1::InferencePolicy::default()
        }),
        rego: String::new(),
    };
    let mut paths: Vec<String> = document(&given)
        .unwrap_err()
        .into_vec()
        .into_iter()
        .map(|fault| fault.path)
        .collect();
    paths.sort();
    assert_eq!(
        paths,
        [
            "filesystem_policy.read_only[0]",
            "filesystem_policy.read_only[1]",
            "filesystem_policy.read_write[0]",
            "inference.binaries[0].path",
            "inference.binaries[1].path",
            "inference.models[0]",
            "inference.tokens_per_minute",
            "landlock.compatibility",
            "network_policies[\"\"]",
            "network_policies[\"\"].binaries",
            "network_policies[\"\"].endpoints",
            "process.run_as_group",
            "process.run_as_user",
            "version",
        ]
    );
    assert_eq!(
        faults(&v1::SandboxPolicy::default()),
        ["version: expected the number 1, found the number 0"]
    );
}

/// PD-6, PD-7, PD-9
#[test]
fn an_endpoint_is_judged_as_in_a_file() {
    assert!(document(&with(inspected())).is_ok());
    let at = "network_policies.p.endpoints[0]";
    type Edit = fn(&mut v1::NetworkEndpoint);
    let cases: [(Edit, &str, &str); 12] = [
        (
            |e| e.port = 0,
            ".port",
            "expected a number 1–65535, found the number 0",
        ),
        (
            |e| e.port = 65_536,
            ".port",
            "expected a number 1–65535, found the number 65536",
        ),
        (
            |e| e.host = "*.com".to_owned(),
            ".host",
            "a wildcard must be followed by at least two labels",
        ),
        (
            |e| e.host = "inference.local".to_owned(),
            ".host",
            "inference.local needs no network policy; see the `inference` section",
        ),
        (
            |e| e.host.clear(),
            ".host",
            "required unless `allowed_ips` is set",
        ),
        (
            |e| e.path = "/a?b".to_owned(),
            ".path",
            "must not contain `?` or `#`; a query is matched by `query`",
        ),
        (
            |e| e.tls = "terminat".to_owned(),
            ".tls",
            "expected `terminate` or `passthrough`, found the text \"terminat\"",
        ),
        (
            |e| e.enforcement = "enforced".to_owned(),
            ".enforcement",
            "expected `enforce` or `audit`, found the text \"enforced\"",
        ),
        (
            |e| e.protocol = "sql".to_owned(),
            ".protocol",
            "expected `rest`, found the text \"sql\"",
        ),
        (
            |e| e.rules = vec![v1::L7Rule::default()],
            ".rules[0].allow",
            "required, but missing",
        ),
        (
            |e| e.deny_rules = vec![v1::L7Deny::default()],
            ".deny_rules",
            "deny rules need `enforcement: enforce`",
        ),
        (
            |e| {
                e.protocol.clear();
                e.access.clear();
                e.allow_encoded_slash = true
            },
            ".allow_encoded_slash",
            "needs `protocol`",
        ),
    ];
    for (edit, path, said) in cases {
        let mut endpoint = inspected();
        edit(&mut endpoint);
        let expected = format!("{at}{path}: {said}");
        let faults = faults(&with(endpoint));
        assert!(faults.contains(&expected), "{faults:?} lack {expected}");
    }
}

/// PD-8
#[test]
fn a_warning_comes_with_its_path() {
    let endpoint = v1::NetworkEndpoint {
        port: 443,
        ..inspected()
    };
    let warnings = document(&with(endpoint)).unwrap().warnings;
    assert_eq!(
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "network_policies.p.endpoints[0].protocol: `rest` on port 443 without `tls: terminate` refuses every TLS connection"
        ]
    );
}

/// POL-1, RGO-6: the document and its rules each have their own limit.
#[test]
fn a_message_is_no_longer_than_a_document() {
    let mut given = with(inspected());
    given.rego = "#".repeat(Rules::TEXT_BYTES_MAX);
    assert!(document(&given).is_ok());
    given.rego.push('#');
    assert_eq!(faults(&given), ["rego: is longer than 262144 bytes"]);
    given.rego.clear();
    let query = [("a".to_owned(), "x".repeat(BYTES_MAX))].into();
    let allow = Some(v1::L7Allow {
        query,
        ..v1::L7Allow::default()
    });
    let mut endpoint = inspected();
    endpoint.access.clear();
    endpoint.rules = vec![v1::L7Rule { allow }];
    assert_eq!(
        faults(&with(endpoint)),
        ["the policy is longer than 262144 bytes"]
    );
}

/// TR-096: whatever is wrong, the text of it fits into a status.
#[test]
fn a_thousand_faults_are_told_in_a_few_kilobytes() {
    let policy = v1::NetworkPolicyRule::default();
    let key = |number: usize| format!("ä{number}\u{7}").repeat(20);
    let given = v1::SandboxPolicy {
        version: 1,
        network_policies: (0..1_000)
            .map(|number| (key(number), policy.clone()))
            .collect(),
        ..v1::SandboxPolicy::default()
    };
    let faults = document(&given).unwrap_err();
    let text = faults.to_string();
    assert_eq!(faults.as_slice().len(), 3_000);
    assert!(text.len() < 4 * 1024, "{}", text.len());
    assert!(text.contains("\nand 2"), "{text}");
}

/// LIV-5, TR-075
#[test]
fn rules_change_the_hash() {
    let document = read(FULL);
    let rego = "package ringfence.sandbox\nnetwork_action := \"allow\"\n";
    let hashes = [
        hash(&document, ""),
        hash(&document, rego),
        hash(&document, &format!("{rego}\n")),
    ];
    assert_eq!(hashes[0], document.hash());
    assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2] && hashes[0] != hashes[2]);
    let compiled =
        policy::Policy::compile(document.clone()).with_rules(rules(&document, rego).unwrap());
    assert_eq!(compiled.hash(), hashes[1]);
}

/// LIV-12: what is shown can be read.
#[test]
fn a_policy_is_written_as_a_person_would() {
    let policy = "
filesystem_policy: {read_only: [/opt/my dir], read_write: [/srv]}
network_policies:
  git hub:
    endpoints: [{host: '*.github.com', port: 443, protocol: rest, tls: terminate, enforcement: enforce, rules: [{allow: {method: GET, query: {q: 'on'}}}, {allow: {}}]}]
    binaries: [{path: /usr/bin/git}]
";
    assert_eq!(
        yaml(&message(&read(policy))),
        r#"version: 1
filesystem_policy:
  read_only:
    - "/opt/my dir"
  read_write:
    - /srv
landlock:
  compatibility: best_effort
network_policies:
  "git hub":
    endpoints:
      - host: "*.github.com"
        port: 443
        protocol: rest
        tls: terminate
        enforcement: enforce
        rules:
          - allow:
              method: GET
              query:
                q: "on"
          - allow: {}
    binaries:
      - path: /usr/bin/git
"#
    );
}
