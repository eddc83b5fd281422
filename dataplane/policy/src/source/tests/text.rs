//! The text itself: keys, bounds, places, and what of YAML is not taken.

use super::{EP, assert_error, endpoint, errors, load, parse};

/// PD-1, TR-071
#[test]
fn unknown_keys_are_named_at_any_depth() {
    assert_error("surprise: 1", "surprise: unknown key");
    assert_error(
        "landlock: {mode: x}",
        "landlock.mode: unknown key; known here: compatibility",
    );
    assert_error("process: {user: x}", "process.user: unknown key");
    assert_error(
        "filesystem_policy: {readonly: []}",
        "filesystem_policy.readonly: unknown key",
    );
    assert_error("inference: {model: x}", "inference.model: unknown key");
    assert_error(
        "inference: {binaries: [{path: /x, sha: y}]}",
        "inference.binaries[0].sha: unknown key",
    );
    assert_error(
        &endpoint("host: h.test, port: 1, prot: x"),
        &format!("{EP}.prot: unknown key"),
    );
    let rule = "host: h.test, port: 1, protocol: rest, rules: [{allow: {verb: GET}, deny: {}}]";
    assert_error(
        &endpoint(rule),
        &format!("{EP}.rules[0].allow.verb: unknown key"),
    );
    assert_error(&endpoint(rule), &format!("{EP}.rules[0].deny: unknown key"));
    assert_error(
        "network_policies: {p: {endpoint: []}}",
        "network_policies.p.endpoint: unknown key",
    );
    assert_error(
        "network_policies: {'a.b': {x: 1}}",
        "network_policies[\"a.b\"].x: unknown key",
    );
}

/// PD-1
#[test]
fn duplicate_keys_are_named_with_both_lines() {
    let error = load("landlock: {}\nlandlock: {}").unwrap_err();
    assert_eq!(
        error,
        "p.yaml:3:1: landlock: duplicate key; it is already set in line 2"
    );
    let text = "network_policies:\n  p:\n    endpoints: [{host: h.test, port: 1, port: 2}]\n    binaries: [{path: /x}]";
    assert_eq!(
        load(text).unwrap_err(),
        format!("p.yaml:4:41: {EP}.port: duplicate key; it is already set in line 4")
    );
    assert_error("landlock: {}\n\"landlock\": {}", "landlock: duplicate key");
}

/// POL-1
#[test]
fn aliases_anchors_tags_and_merge_keys_are_refused() {
    assert_error("landlock: &a {}", "landlock: anchors are not accepted");
    assert_error(
        "process: {run_as_user: &u agent, run_as_group: *u}",
        "process.run_as_user: anchors",
    );
    assert_error(
        "process: {run_as_user: &u agent, run_as_group: *u}",
        "process.run_as_group: aliases",
    );
    assert_error("process: *nowhere", "process: aliases");
    assert_error(
        "process: {run_as_user: !!str 5}",
        "process.run_as_user: tags",
    );
    assert_error(
        "process: {<<: {run_as_user: x}}",
        "process[\"<<\"]: merge keys",
    );
    assert_error("? [a, b]\n: 1", ": a key must be text");
    assert!(
        parse("version: 1\n---\nversion: 1", "p")
            .unwrap_err()
            .to_string()
            .contains("more than one YAML document")
    );
    assert!(parse("%YAML 1.2\n---\nversion: 1", "p").is_err());
}

/// POL-1: a policy is at most 256 KiB, and nesting cannot exhaust anything.
#[test]
fn size_and_depth_are_bounded() {
    let long = format!("version: 1\n# {}", "x".repeat(256 * 1_024));
    assert!(
        parse(&long, "p")
            .unwrap_err()
            .to_string()
            .contains("longer than 262144 bytes")
    );
    assert!(parse(&"[".repeat(200_000), "p").is_err());
    assert!(parse(&"- ".repeat(100_000), "p").is_err());
    assert!(parse(&format!("version: 1\nx: {}", "{a: ".repeat(40)), "p").is_err());
}

/// POL-8
#[test]
fn an_error_has_file_line_column_and_path() {
    let text = "network_policies:\n  git:\n    endpoints:\n      - host: github.com\n        port: \"443\"\n    binaries: [{path: /x}]";
    assert_eq!(
        load(text).unwrap_err(),
        "p.yaml:6:9: network_policies.git.endpoints[0].port: expected a number 1–65535, found the text \"443\""
    );
    assert!(
        load("process: {run_as_user: [")
            .unwrap_err()
            .starts_with("p.yaml:")
    );
}

/// POL-8
#[test]
fn all_errors_come_together_in_the_order_of_the_text() {
    let text = "landlock: {compatibility: x}\nprocess: {run_as_user: root, run_as_group: 0}\nnetwork_policies:\n  a: {endpoints: [{port: 0}], binaries: []}\n  b: 7\nunknown: 1";
    let paths: Vec<String> = errors(text)
        .iter()
        .map(|error| error.split(": ").next().unwrap().to_owned())
        .collect();
    assert_eq!(
        paths,
        [
            "landlock.compatibility",
            "process.run_as_user",
            "process.run_as_group",
            "network_policies.a.endpoints[0].host",
            "network_policies.a.endpoints[0].port",
            "network_policies.a.binaries",
            "network_policies.b",
            "unknown",
        ]
    );
}

/// YAML 1.2, not 1.1: `yes`, `no` and `on` are text, and text is no boolean.
#[test]
fn words_of_yaml_1_1_are_text() {
    assert_error(
        "filesystem_policy: {include_workdir: yes}",
        "filesystem_policy.include_workdir: expected true or false",
    );
    assert!(load("filesystem_policy: {include_workdir: true}").is_ok());
    assert_eq!(
        load("process: {run_as_user: no}")
            .unwrap()
            .document
            .process
            .run_as_user,
        "no"
    );
}
