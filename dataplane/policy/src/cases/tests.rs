//! Tables that hold, that do not, and that cannot be read.

use super::{Ran, parse, run};
use crate::source;

const POLICY: &str = "version: 1
network_policies:
  git:
    endpoints:
      - {host: git.test, port: 443, protocol: rest, tls: terminate, enforcement: enforce, access: read-only}
    binaries: [{path: /usr/bin/git}]
  raw: {endpoints: [{host: raw.test, port: 80, allowed_ips: [10.0.0.0/16]}], binaries: [{path: /usr/bin/curl}]}
";

fn ran(cases: &str) -> Vec<Ran> {
    let loaded = source::parse(POLICY, "policy.yaml").unwrap();
    let text = format!("policy: policy.yaml\ncases:\n{cases}");
    let cases = parse(&text, "cases.yaml").unwrap_or_else(|problems| panic!("{problems}"));
    run(&loaded, &cases.cases).unwrap()
}

fn errors(text: &str) -> Vec<String> {
    let problems = parse(text, "t.yaml").unwrap_err();
    problems
        .as_slice()
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// The issue: a table of expected verdicts.
#[test]
fn a_case_holds_when_every_expectation_is_met() {
    let ran = ran("
  - {name: clone, binary: /usr/lib/git-core/git-remote-http, ancestors: [/usr/bin/git], host: git.test, port: 443, method: GET, path: '/a?b=c', expect: allow, policy: git, inspected: true}
  - {name: push, binary: /usr/bin/git, host: git.test, port: 443, method: POST, path: /a, expect: deny, reason: request_not_allowed}
  - {name: other, binary: /usr/bin/curl, host: git.test, port: 443, expect: deny, reason: binary_not_allowed}
  - {name: inside, binary: /usr/bin/curl, host: raw.test, port: 80, via: forward, ips: [10.0.0.1], expect: allow}
  - {name: outside, binary: /usr/bin/curl, host: raw.test, port: 80, via: forward, ips: [8.8.8.8], expect: deny, reason: not_in_allowed_ips}
  - {name: upper, binary: /usr/bin/curl, host: Raw.Test, port: 80, expect: allow}
");
    assert!(ran.iter().all(|ran| ran.ok), "{ran:#?}");
    assert_eq!(
        ran.iter().map(|ran| ran.line).collect::<Vec<_>>(),
        [4, 5, 6, 7, 8, 9]
    );
}

#[test]
fn a_case_fails_when_one_expectation_is_not_met() {
    for expectation in [
        "expect: allow",
        "expect: deny, policy: raw",
        "expect: deny, reason: deny_rule",
        "expect: deny, inspected: false",
        "expect: audit",
    ] {
        let ran = ran(&format!(
            "  - {{name: x, binary: /usr/bin/git, host: git.test, port: 443, method: POST, path: /a, {expectation}}}"
        ));
        assert!(!ran[0].ok, "{expectation}");
        assert!(
            ran[0]
                .outcome()
                .to_string()
                .starts_with("deny request_not_allowed by `git`")
        );
    }
}

/// A refusal without a reason is named by its code.
#[test]
fn a_code_stands_where_there_is_no_reason() {
    let ran = ran(
        "  - {name: x, binary: /usr/bin/git, host: git.test, port: 443, via: forward, method: GET, path: /, expect: deny, reason: forward_requires_allowed_ips}",
    );
    assert!(ran[0].ok, "{ran:#?}");
}

/// CLI-2: every error has its place.
#[test]
fn a_table_that_cannot_be_read_names_line_column_and_key() {
    assert_eq!(
        errors("cases: []"),
        [
            "t.yaml:1:1: policy: required, but missing",
            "t.yaml:1:1: cases: must not be empty; leave the key out instead"
        ]
    );
    let text = "policy: p.yaml\ncases:\n  - {name: x, binary: git, host: 'a b', port: 0, expect: maybe, method: GET, surprise: 1}\n";
    let found = errors(text);
    for expected in [
        "t.yaml:3:15: cases[0].binary: must be an absolute path",
        "t.yaml:3:28: cases[0].host: not a host name or IP address",
        "t.yaml:3:41: cases[0].port: expected a number 1–65535, found the number 0",
        "t.yaml:3:50: cases[0].expect: expected `allow` or `audit` or `deny`, found the text \"maybe\"",
        "t.yaml:3:65: cases[0].method: `method` needs `path`",
        "t.yaml:3:78: cases[0].surprise: unknown key",
    ] {
        assert!(
            found.iter().any(|error| error.starts_with(expected)),
            "{found:#?} lacks {expected}"
        );
    }
    assert_eq!(errors("").len(), 1);
}
