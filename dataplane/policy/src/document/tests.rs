//! Completion, hashing and the way back to text.

use super::{PolicyDocument, PolicyPath};
use crate::source::parse;

fn document(text: &str) -> PolicyDocument {
    parse(&format!("version: 1\n{text}"), "p.yaml")
        .unwrap_or_else(|problems| panic!("{problems}"))
        .document
}

fn lists(document: &PolicyDocument) -> (Vec<&str>, Vec<&str>) {
    let filesystem = document.filesystem.as_ref().unwrap();
    (
        filesystem
            .read_only
            .iter()
            .map(PolicyPath::as_str)
            .collect(),
        filesystem
            .read_write
            .iter()
            .map(PolicyPath::as_str)
            .collect(),
    )
}

/// BA-1, BAS-2
#[test]
fn a_policy_without_filesystem_section_gets_one() {
    let mut document = document("network_policies: {}");
    let added = document.complete();
    assert_eq!(added.len(), 7);
    assert!(document.filesystem.as_ref().unwrap().include_workdir);
    assert_eq!(
        lists(&document),
        (
            vec!["/usr", "/lib", "/etc", "/app", "/var/log"],
            vec!["/sandbox", "/tmp"]
        )
    );
}

/// BA-1: the completed document has one hash, however often it is completed.
#[test]
fn completing_twice_changes_nothing() {
    let mut document = document("network_policies: {}");
    document.complete();
    let hash = document.hash();
    assert!(document.complete().is_empty());
    assert_eq!(document.hash(), hash);
}

/// BA-2
#[test]
fn baseline_paths_follow_the_authors() {
    let mut document = document("filesystem_policy: {read_write: [/sandbox], read_only: []}");
    assert_eq!(document.complete().len(), 6);
    assert!(!document.filesystem.as_ref().unwrap().include_workdir);
    let (read_only, read_write) = lists(&document);
    assert_eq!(read_only, ["/usr", "/lib", "/etc", "/app", "/var/log"]);
    assert_eq!(read_write, ["/sandbox", "/tmp"]);
}

/// BA-3
#[test]
fn what_is_complete_in_any_spelling_stays_as_it_is() {
    let mut document = document(
        "filesystem_policy: {read_only: [/opt, /usr/, //lib, /etc, /app, /var/log/.], read_write: [/tmp/, /sandbox]}",
    );
    assert!(document.complete().is_empty());
    assert_eq!(lists(&document).0[0], "/opt");
}

/// BA-3
#[test]
fn a_path_the_author_made_writable_is_not_added_as_read_only() {
    let mut document = document("filesystem_policy: {read_write: [/usr, /var]}");
    let added = document.complete();
    assert!(
        !added.contains(&"/usr".to_owned()) && !added.contains(&"/var/log".to_owned()),
        "{added:?}"
    );
    assert_eq!(lists(&document).1, ["/usr", "/var", "/sandbox", "/tmp"]);
}

/// POL-11, PD-4
#[test]
fn the_restrictive_default_has_files_and_no_network() {
    let document = PolicyDocument::restrictive_default();
    let (read_only, read_write) = lists(&document);
    assert_eq!(
        read_only,
        [
            "/usr",
            "/lib",
            "/proc",
            "/dev/urandom",
            "/app",
            "/etc",
            "/var/log"
        ]
    );
    assert_eq!(read_write, ["/sandbox", "/tmp", "/dev/null"]);
    assert!(document.network_policies.is_empty() && document.inference.is_none());
    assert_eq!(document.process.run_as_user, "");
    let text = serde_json::to_string(&document).unwrap();
    assert_eq!(parse(&text, "default").unwrap().document, document);
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
        deny_rules: [{method: DELETE, path: /**}]
        allow_encoded_slash: true
      - {host: api.github.com, port: 8081, protocol: rest, access: read-write}
    binaries: [{path: /usr/bin/git}, {path: '/opt/**'}]
inference:
  binaries: [{path: /usr/bin/node}]
  models: ['small-*']
  requests_per_minute: 10
  tokens_per_minute: 1000
  max_concurrent: 2
";

/// TR-072, POL-1
#[test]
fn every_field_survives_the_way_to_text_and_back() {
    let document = document(FULL);
    let text = serde_json::to_string(&document).unwrap();
    let again = parse(&text, "again")
        .unwrap_or_else(|problems| panic!("{problems}"))
        .document;
    assert_eq!(again, document);
    assert_eq!(again.hash(), document.hash());
    for word in [
        "terminate",
        "allow_encoded_slash\":true",
        "git-*",
        "\"GET\"",
        "fd00:1::/32",
        "read-write",
        "Git hosting",
    ] {
        assert!(text.contains(word), "{word} is lost in {text}");
    }
}

/// LIV-5, TR-075
#[test]
fn every_field_changes_the_hash() {
    let edits = [
        ("include_workdir: true", "include_workdir: false"),
        ("[/opt]", "[/opt, /mnt]"),
        ("[/srv]", "[/srv2]"),
        ("hard_requirement", "best_effort"),
        ("agent", "agent2"),
        ("1000}", "1001}"),
        ("Git hosting", "Git"),
        ("  git:", "  git2:"),
        ("'**.github.com'", "'*.github.com'"),
        ("5432", "5433"),
        ("10.0.0.0/16", "10.1.0.0/16"),
        ("10.1.2.3", "10.1.2.4"),
        ("/api/**", "/api/v1/**"),
        ("terminate", "passthrough"),
        (
            "        enforcement: enforce\n",
            "        enforcement: audit\n",
        ),
        ("get", "put"),
        ("/repos/**", "/repos/*"),
        ("'git-*'", "'git'"),
        ("page: '1'", "page: '2'"),
        ("DELETE", "POST"),
        ("allow_encoded_slash: true", "allow_encoded_slash: false"),
        ("read-write}", "full}"),
        ("/usr/bin/git", "/usr/bin/hg"),
        ("/usr/bin/node", "/usr/bin/bun"),
        ("'small-*'", "'big-*'"),
        ("requests_per_minute: 10", "requests_per_minute: 11"),
        ("tokens_per_minute: 1000", "tokens_per_minute: 1001"),
        ("max_concurrent: 2", "max_concurrent: 3"),
    ];
    let mut hashes = vec![document(FULL).hash()];
    for (from, to) in edits {
        let edited = FULL.replacen(from, to, 1);
        assert_ne!(edited, FULL, "{from}");
        let edited = match from {
            // Deny rules need `enforce`; without them `audit` is another policy as well.
            "        enforcement: enforce\n" => {
                edited.replace("        deny_rules: [{method: DELETE, path: /**}]\n", "")
            }
            _ => edited,
        };
        let hash = document(&edited).hash();
        assert!(
            !hashes.contains(&hash),
            "{from} → {to} left the hash as it was"
        );
        hashes.push(hash);
    }
    assert!(hashes.iter().all(
        |hash| hash.len() == 64 && hash.bytes().all(|byte| b"0123456789abcdef".contains(&byte))
    ));
}

/// PD-13
#[test]
fn map_order_does_not_change_the_hash() {
    let one = document(
        "network_policies:\n  a: {endpoints: [{host: h.test, port: 1}], binaries: [{path: /x}]}\n  b: {endpoints: [{host: i.test, port: 1}], binaries: [{path: /x}]}",
    );
    let other = document(
        "network_policies:\n  b: {binaries: [{path: /x}], endpoints: [{port: 1, host: i.test}]}\n  a: {endpoints: [{host: h.test, port: 1}], binaries: [{path: /x}]}",
    );
    assert_eq!(one.hash(), other.hash());
}

/// PD-5, POL-7
#[test]
fn paths_are_normalised_by_their_text() {
    for (text, normal) in [
        ("/usr//lib", "/usr/lib"),
        ("/usr/./lib", "/usr/lib"),
        ("/tmp/", "/tmp"),
        ("//", "/"),
    ] {
        assert_eq!(PolicyPath::parse(text).unwrap().as_str(), normal);
    }
    let within = |inner, outer| {
        PolicyPath::parse(inner)
            .unwrap()
            .is_within(&PolicyPath::parse(outer).unwrap())
    };
    assert!(within("/usr/lib", "/usr") && within("/usr", "/usr") && within("/x", "/"));
    assert!(!within("/usrlocal", "/usr"));
}
