//! Network policies: endpoints, rules, addresses.

use super::{EP, assert_error, endpoint, load, warnings};
use crate::document::Access;

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
