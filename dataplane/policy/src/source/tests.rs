//! Policy texts and what is said of them, by the rows of VECTORS 11.

use super::{Loaded, parse};
use crate::document::Access;

fn load(text: &str) -> Result<Loaded, String> {
    parse(&format!("version: 1\n{text}"), "p.yaml").map_err(|problems| problems.to_string())
}

/// One message a line, each with the key's path.
fn errors(text: &str) -> Vec<String> {
    let problems = parse(&format!("version: 1\n{text}"), "p.yaml").unwrap_err();
    problems
        .as_slice()
        .iter()
        .map(|problem| format!("{}: {}", problem.path, problem.message))
        .collect()
}

fn warnings(text: &str) -> Vec<String> {
    let loaded = load(text).unwrap_or_else(|problems| panic!("{problems}"));
    loaded
        .warnings
        .iter()
        .map(|problem| format!("{}: {}", problem.path, problem.message))
        .collect()
}

#[track_caller]
fn assert_error(text: &str, expected: &str) {
    let errors = errors(text);
    assert!(
        errors.iter().any(|error| error.starts_with(expected)),
        "{text}\n{errors:#?}\nlack {expected}"
    );
}

fn endpoint(fields: &str) -> String {
    format!("network_policies: {{p: {{endpoints: [{{{fields}}}], binaries: [{{path: /x}}]}}}}")
}

const EP: &str = "network_policies.p.endpoints[0]";

/// PD-1
#[test]
fn a_version_is_all_a_policy_needs() {
    let document = load("").unwrap().document;
    assert!(document.network_policies.is_empty() && document.filesystem.is_none());
    for text in [
        "version: 2",
        "version: '1'",
        "version: 1.0",
        "{}",
        "",
        "# nothing\n",
        "[]",
        "text",
        "version:",
    ] {
        assert!(parse(text, "p.yaml").is_err(), "{text}");
    }
    assert_eq!(
        parse("{}", "p.yaml").unwrap_err().to_string(),
        "p.yaml:1:1: version: required, but missing"
    );
}

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

/// PD-2
#[test]
fn nobody_runs_as_root() {
    for user in ["root", "' root '", "0", "'0'", "00", "'+0'", "0x0", "-1"] {
        assert_error(
            &format!("process: {{run_as_user: {user}}}"),
            "process.run_as_user: ",
        );
    }
    assert_error(
        "process: {run_as_group: 0}",
        "process.run_as_group: must not be root",
    );
    assert_eq!(
        errors("process: {run_as_user: root, run_as_group: 0}").len(),
        2
    );
    let process = load("process: {run_as_user: ' agent ', run_as_group: 1000}")
        .unwrap()
        .document
        .process;
    assert_eq!(
        (process.run_as_user.as_str(), process.run_as_group.as_str()),
        ("agent", "1000")
    );
}

/// PD-3
#[test]
fn filesystem_paths_must_be_absolute_and_fit_together() {
    let section = |read_only: &str, read_write: &str| {
        format!("filesystem_policy: {{read_only: [{read_only}], read_write: [{read_write}]}}")
    };
    assert_error(
        &section("/usr/../etc/shadow", ""),
        "filesystem_policy.read_only[0]: must not contain `..`",
    );
    assert_error(
        &section("usr/lib", ""),
        "filesystem_policy.read_only[0]: must be an absolute path",
    );
    assert_error(
        &section("", "/"),
        "filesystem_policy.read_write[0]: `/` must not be writable",
    );
    assert_error(
        &section("", "///"),
        "filesystem_policy.read_write[0]: `/` must not be writable",
    );
    let many: Vec<String> = (0..300).map(|number| format!("/p{number}")).collect();
    assert_error(
        &section(&many.join(", "), ""),
        "filesystem_policy: more than 256 paths",
    );
    assert_error(
        &section(&format!("/{}", "x".repeat(5_000)), ""),
        "filesystem_policy.read_only[0]: is longer",
    );
    assert_error(
        &section("/opt", "/opt/"),
        "filesystem_policy.read_only[0]: `/opt` is also in read_write",
    );
    assert_error(
        &section("/opt/x", "/opt"),
        "filesystem_policy.read_only[0]: `/opt/x` lies below `/opt`",
    );
    assert_error(
        &section("/tmp/x", ""),
        "filesystem_policy.read_only[0]: `/tmp/x` lies in `/tmp`",
    );
    assert!(load(&section("/, /dev/urandom", "/opt/x")).is_ok());
}

/// PD-4
#[test]
fn an_empty_section_is_its_defaults() {
    for text in [
        "process: {}",
        "process:",
        "landlock: {}",
        "landlock:",
        "network_policies:",
        "network_policies: {}",
    ] {
        assert_eq!(
            load(text).unwrap().document,
            load("").unwrap().document,
            "{text}"
        );
    }
    assert!(
        !load("filesystem_policy: {}")
            .unwrap()
            .document
            .filesystem
            .unwrap()
            .include_workdir
    );
    assert!(load("inference: {}").unwrap().document.inference.is_some());
}

/// PD-6
#[test]
fn unknown_words_name_the_path_and_what_is_known() {
    assert_error(
        "landlock: {compatibility: best-effort}",
        "landlock.compatibility: expected `best_effort` or `hard_requirement`, found the text \"best-effort\"",
    );
    let rest = "host: h.test, port: 1, protocol: rest, access: full";
    assert_error(
        &endpoint(&format!("{rest}, tls: terminat")),
        &format!("{EP}.tls: expected `terminate`"),
    );
    assert_error(
        &endpoint(&format!("{rest}, enforcement: enforced")),
        &format!("{EP}.enforcement: expected"),
    );
    let access = "host: h.test, port: 1, protocol: rest, access: readonly";
    assert_error(
        &endpoint(access),
        &format!("{EP}.access: expected `read-only`"),
    );
    for protocol in ["grpc", "sql", "REST", "true"] {
        let fields = format!("host: h.test, port: 1, protocol: {protocol}, access: full");
        assert_error(
            &endpoint(&fields),
            &format!("{EP}.protocol: expected `rest`"),
        );
    }
}

/// PD-7, POL-2
#[test]
fn fields_that_need_each_other_are_checked_together() {
    let rest = "host: h.test, port: 1, protocol: rest";
    let rows = [
        (
            format!("{rest}, access: full, rules: [{{allow: {{}}}}]"),
            "rules: `rules` and `access` exclude",
        ),
        (
            rest.to_owned(),
            "protocol: `protocol` needs `rules` or `access`",
        ),
        (
            "host: h.test, port: 1, tls: terminate".to_owned(),
            "tls: `terminate` needs `protocol`",
        ),
        (
            "host: h.test, port: 1, protocol: sql, enforcement: enforce".to_owned(),
            "protocol: expected `rest`",
        ),
        (format!("{rest}, rules: []"), "rules: must not be empty"),
        (
            format!("{rest}, access: full, enforcement: enforce, deny_rules: []"),
            "deny_rules: must not be empty",
        ),
        (
            format!("{rest}, access: full, deny_rules: [{{}}]"),
            "deny_rules: deny rules need",
        ),
        (
            format!("{rest}, access: full, enforcement: audit, deny_rules: [{{}}]"),
            "deny_rules: deny rules need",
        ),
    ];
    for (fields, message) in rows {
        assert_error(&endpoint(&fields), &format!("{EP}.{message}"));
    }
    let alone = [
        "path: /x",
        "enforcement: audit",
        "access: full",
        "rules: [{allow: {}}]",
        "deny_rules: [{}]",
        "allow_encoded_slash: true",
    ];
    for field in alone {
        let key = field.split(':').next().unwrap();
        assert_error(
            &endpoint(&format!("host: h.test, port: 1, {field}")),
            &format!("{EP}.{key}: needs `protocol`"),
        );
    }
    assert!(load(&endpoint("host: h.test, port: 1, tls: passthrough")).is_ok());
}

/// PD-8, POL-8
#[test]
fn what_loads_but_surprises_is_a_warning() {
    let rest = "protocol: rest, enforcement: enforce";
    let found = warnings(&endpoint(&format!(
        "host: h.test, port: 443, {rest}, access: full"
    )));
    assert!(
        found[0].starts_with(&format!("{EP}.protocol: `rest` on port 443 without")),
        "{found:?}"
    );
    let found = warnings(&endpoint(&format!(
        "host: h.test, port: 1, {rest}, rules: [{{allow: {{method: foo}}}}]"
    )));
    assert!(
        found[0].starts_with(&format!("{EP}.rules[0].allow.method: `FOO` is not")),
        "{found:?}"
    );
    let found = warnings(&endpoint(
        "host: h.test, port: 1, protocol: rest, rules: [{allow: {}}]",
    ));
    assert!(
        found[0].starts_with(&format!("{EP}.rules: rules without `enforcement`")),
        "{found:?}"
    );
    let terminated = format!("host: h.test, port: 443, {rest}, tls: terminate, access: full");
    assert!(warnings(&endpoint(&terminated)).is_empty());
}

/// AL-6, AL-8, POL-8
#[test]
fn addresses_that_surprise_are_a_warning() {
    let found = warnings(&endpoint("host: 10.1.2.3, port: 1"));
    assert!(
        found[0].starts_with(&format!("{EP}.host: an internal address is denied")),
        "{found:?}"
    );
    assert!(
        warnings(&endpoint(
            "host: 10.1.2.3, port: 1, allowed_ips: [10.1.2.3]"
        ))
        .is_empty()
    );
    let found = warnings(&endpoint(
        "port: 1, allowed_ips: ['100.64.0.0/10', 'fd00::/8']",
    ));
    assert!(
        found
            .iter()
            .any(|it| it.contains("100.100.100.200, which stays blocked")),
        "{found:?}"
    );
    assert!(
        found
            .iter()
            .any(|it| it.contains("fd00:ec2::254, which stays blocked")),
        "{found:?}"
    );
    assert_eq!(
        found.iter().filter(|it| it.contains("wide range")).count(),
        2
    );
}

/// AL-3, AL-4, AL-5, PD-9
#[test]
fn a_bad_entry_of_allowed_ips_is_named() {
    let list = |list: &str| endpoint(&format!("host: h.test, port: 1, allowed_ips: {list}"));
    assert_error(&list("[]"), &format!("{EP}.allowed_ips: must not be empty"));
    let text = list("[10.0.0.0/16, garbage]");
    assert_error(
        &text,
        &format!("{EP}.allowed_ips[1]: `garbage` expected a CIDR block"),
    );
    assert_error(
        &list("[10.0.5.1/24]"),
        &format!("{EP}.allowed_ips[0]: `10.0.5.1/24` bits behind"),
    );
    assert_error(
        &list("[0.0.0.0/0]"),
        &format!("{EP}.allowed_ips[0]: `0.0.0.0/0` overlaps"),
    );
    assert_error(
        &list("[168.63.129.16]"),
        &format!("{EP}.allowed_ips[0]: `168.63.129.16` is the address of a meta"),
    );
}

/// PD-9
#[test]
fn ports_hosts_and_paths_out_of_range_are_refused() {
    for port in [
        "0",
        "65536",
        "-1",
        "'443'",
        "443.0",
        "99999999999999999999",
        "[443]",
        "~",
    ] {
        let text = endpoint(&format!("host: h.test, port: {port}"));
        assert_error(&text, &format!("{EP}.port: expected a number 1–65535"));
    }
    for host in [
        "'*.com'",
        "a.*.com",
        "inference.local",
        "'*'",
        "127.1",
        "''",
    ] {
        assert_error(
            &endpoint(&format!("host: {host}, port: 1")),
            &format!("{EP}.host: "),
        );
    }
    assert_error(
        &endpoint("port: 1"),
        &format!("{EP}.host: required unless `allowed_ips`"),
    );
    for path in ["/a?b", "'/a#b'", "a/b", "'*/b'", "''"] {
        let fields = format!("host: h.test, port: 1, protocol: rest, access: full, path: {path}");
        assert_error(&endpoint(&fields), &format!("{EP}.path: must"));
        let rule =
            format!("host: h.test, port: 1, protocol: rest, rules: [{{allow: {{path: {path}}}}}]");
        assert_error(&endpoint(&rule), &format!("{EP}.rules[0].allow.path: must"));
    }
}

/// POL-1
#[test]
fn rules_are_read_whole() {
    let rule = "host: h.test, port: 1, protocol: rest, rules: ";
    for (rules, path) in [
        (
            "[{allow: {method: 'G T'}}]",
            "rules[0].allow.method: expected a method name",
        ),
        (
            "[{allow: {method: ''}}]",
            "rules[0].allow.method: expected a method name",
        ),
        (
            "[{allow: {query: {'': x}}}]",
            "rules[0].allow.query[\"\"]: a query name",
        ),
        (
            "[{allow: {query: {a: 1}}}]",
            "rules[0].allow.query.a: expected text",
        ),
        ("[{}]", "rules[0].allow: required"),
        ("[{allow: }]", "rules[0].allow: expected a map"),
    ] {
        assert_error(
            &endpoint(&format!("{rule}{rules}")),
            &format!("{EP}.{path}"),
        );
    }
    assert_eq!(Access::ReadOnly.methods(), ["GET", "HEAD", "OPTIONS"]);
}

/// POL-1
#[test]
fn network_policies_need_endpoints_binaries_and_a_decent_key() {
    assert_error(
        "network_policies: {p: {binaries: [{path: /x}]}}",
        "network_policies.p.endpoints: required",
    );
    assert_error(
        "network_policies: {p: {endpoints: []}}",
        "network_policies.p.endpoints: must not be empty",
    );
    assert_error(
        "network_policies: {p: {endpoints: []}}",
        "network_policies.p.binaries: required",
    );
    assert_error(
        "network_policies: {p: {binaries: [{path: x}]}}",
        "network_policies.p.binaries[0].path: must be",
    );
    assert_error(
        "network_policies: {p: {binaries: ['/x']}}",
        "network_policies.p.binaries[0]: expected a map",
    );
    assert_error(
        "network_policies: {'': {}}",
        "network_policies[\"\"]: a key has 1 to 253 bytes",
    );
    assert_error(
        "network_policies: {\"a\\tb\": {}}",
        "network_policies[\"a\\tb\"]: a key has",
    );
    assert_error(
        &format!("network_policies: {{{}: {{}}}}", "k".repeat(254)),
        "network_policies.kkk",
    );
    let named = load(&endpoint("host: h.test, port: 1")).unwrap().document;
    assert_eq!(named.network_policies["p"].name, "p");
}

/// PD-10
#[test]
fn empty_lists_and_zero_limits_of_inference_are_refused() {
    for (section, path) in [
        (
            "requests_per_minute: 0",
            "requests_per_minute: expected a number of at least 1",
        ),
        ("tokens_per_minute: -5", "tokens_per_minute: expected"),
        ("max_concurrent: '3'", "max_concurrent: expected"),
        ("models: []", "models: must not be empty"),
        ("models: ['']", "models[0]: must not be empty"),
        ("binaries: []", "binaries: must not be empty"),
        (
            "binaries: [{path: node}]",
            "binaries[0].path: must be an absolute path",
        ),
    ] {
        assert_error(
            &format!("inference: {{{section}}}"),
            &format!("inference.{path}"),
        );
    }
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
