//! Warnings that are true, and silence where there is nothing to say.

use std::net::IpAddr;

use proptest::prelude::*;
use wire::{Authority, CanonicalPath, Host, Port};

use super::{Effect, Findings, endpoints, lint, own, wide};
use crate::address;
use crate::caller::Caller;
use crate::compile::Policy;
use crate::decision::{Admitted, Denial, RequestDecision};
use crate::document::{Grant, PolicyDocument};
use crate::drawn;
use crate::request::{Asked, request};
use crate::source::parse;

fn warnings(text: &str) -> Vec<String> {
    let loaded = parse(&format!("version: 1\n{text}"), "p.yaml")
        .unwrap_or_else(|problems| panic!("{problems}"));
    lint(&loaded)
        .iter()
        .map(|problem| format!("{}: {}", problem.path, problem.message))
        .collect()
}

fn policy(endpoints: &str, binaries: &str) -> String {
    format!("network_policies: {{p: {{endpoints: [{endpoints}], binaries: [{binaries}]}}}}")
}

fn endpoint_warnings(fields: &str) -> Vec<String> {
    let found = warnings(&policy(&format!("{{{fields}}}"), "{path: /usr/bin/git}"));
    let prefix = "network_policies.p.endpoints[0]";
    found
        .iter()
        .map(|warning| warning.strip_prefix(prefix).unwrap_or(warning).to_owned())
        .collect()
}

const REST: &str = "host: a.test, port: 8080, protocol: rest, enforcement: enforce";

#[track_caller]
fn assert_warns(found: &[String], expected: &[&str]) {
    assert!(
        found.len() == expected.len()
            && found
                .iter()
                .zip(expected)
                .all(|(found, expected)| found.starts_with(expected)),
        "{found:#?}\nis not {expected:#?}"
    );
}

/// CLI-16: nothing is said of a policy that means what it says.
#[test]
fn a_policy_without_oddities_has_no_warnings() {
    let rules = format!(
        "{REST}, rules: [{{allow: {{method: GET, path: '/repos/**'}}}}, {{allow: {{method: POST, path: '/repos/*/issues'}}}}], deny_rules: [{{method: GET, path: '/repos/*/secrets/**'}}]"
    );
    assert_warns(&endpoint_warnings(&rules), &[]);
    let two = policy(
        "{host: '*.github.com', port: 443}, {host: github.com, port: 443}",
        "{path: /usr/bin/git}, {path: /usr/lib/git-core/**}",
    );
    assert_warns(&warnings(&two), &[]);
}

/// TR-071: a rule that cannot match is said so.
#[test]
fn rules_that_never_match_are_named_with_the_reason() {
    let rules = format!(
        "{REST}, path: '/api/**', rules: [{{allow: {{path: /admin/x}}}}, {{allow: {{path: /api//v1}}}}, {{allow: {{path: /api/%7Eme}}}}, {{allow: {{path: /api/a%2Fb}}}}, {{allow: {{method: CONNECT, path: '/api/**'}}}}, {{allow: {{path: /api/v1}}}}]"
    );
    assert_warns(
        &endpoint_warnings(&rules),
        &[
            ".rules[0].allow: never matches: the endpoint covers `/api/**` only",
            ".rules[1].allow: never matches: no canonical path looks like `/api//v1`; repeated slashes",
            ".rules[2].allow: never matches: no canonical path looks like `/api/%7Eme`; escapes of plain",
            ".rules[3].allow: allows nothing: `%2F` is refused unless",
            ".rules[4].allow: never matches: a CONNECT",
        ],
    );
    let path = format!("{REST}, path: '/a/../b', access: full");
    assert_warns(
        &endpoint_warnings(&path),
        &[".path: no canonical path matches"],
    );
}

/// The issue: "what is shadowed".
#[test]
fn rules_that_wider_ones_hide_are_named_with_the_wider_one() {
    let rules = |list: &str| format!("{REST}, rules: [{list}]");
    let wider = rules(
        "{allow: {method: GET, path: '/a/**'}}, {allow: {method: GET, path: /a/b}}, {allow: {method: HEAD, path: '/a/*'}}, {allow: {method: GET, path: '/a/**', query: {x: '1'}}}, {allow: {method: POST, path: /a/b}}",
    );
    assert_warns(
        &endpoint_warnings(&wider),
        &[
            ".rules[1].allow: adds nothing: `rules[0]` is wider",
            ".rules[2].allow: adds nothing: `rules[0]` is wider",
            ".rules[3].allow: adds nothing: `rules[0]` is wider",
        ],
    );
    let same = rules("{allow: {method: GET}}, {allow: {method: get, path: '**'}}");
    assert_warns(
        &endpoint_warnings(&same),
        &[".rules[1].allow: says the same as `rules[0]`"],
    );
    let together = rules("{allow: {path: '/*'}}, {allow: {path: '/*/**'}}, {allow: {path: '/**'}}");
    assert_eq!(
        endpoint_warnings(&together).len(),
        2,
        "only the widest remains"
    );
    let union = rules("{allow: {path: '/**'}}, {allow: {path: '/*'}}, {allow: {path: '/*/**'}}");
    assert_eq!(endpoint_warnings(&union).len(), 2);
}

/// L7-8
#[test]
fn grants_that_deny_rules_take_back_are_named() {
    let all = format!("{REST}, rules: [{{allow: {{method: GET}}}}], deny_rules: [{{}}]");
    assert_warns(
        &endpoint_warnings(&all),
        &[".deny_rules[0]: refuses every request"],
    );
    let some = format!(
        "{REST}, rules: [{{allow: {{method: GET, path: /a}}}}, {{allow: {{method: POST, path: /a}}}}], deny_rules: [{{method: GET, path: '/*'}}, {{method: POST, path: /a, query: {{x: '1'}}}}]"
    );
    assert_warns(
        &endpoint_warnings(&some),
        &[".rules[0].allow: allows nothing: `deny_rules[0]` refuses all of it"],
    );
}

#[test]
fn endpoints_that_others_hide_are_named_with_the_other() {
    let one = policy(
        "{host: '**.a.test', port: 443}, {host: '*.a.test', port: 443}, {host: x.a.test, port: 443}, {host: a.test, port: 443}, {host: '**.a.test', port: 443}",
        "{path: /usr/bin/git}",
    );
    assert_warns(
        &warnings(&one),
        &[
            "network_policies.p.endpoints[1]: adds nothing: `network_policies.p.endpoints[0]`",
            "network_policies.p.endpoints[2]: adds nothing: `network_policies.p.endpoints[0]`",
            "network_policies.p.endpoints[4]: says the same as `network_policies.p.endpoints[0]`",
        ],
    );
    let policies = "network_policies:\n  narrow: {endpoints: [{host: a.test, port: 1}], binaries: [{path: '/usr/bin/*'}]}\n  wide: {endpoints: [{host: a.test, port: 1}], binaries: [{path: '/usr/**'}]}\n  exact: {endpoints: [{host: a.test, port: 1}], binaries: [{path: /usr/bin/x}]}";
    assert_warns(
        &warnings(policies),
        &[
            "network_policies.narrow.endpoints[0]: adds nothing: `network_policies.wide.endpoints[0]`",
        ],
    );
    let open = "network_policies:\n  open: {endpoints: [{host: a.test, port: 80}], binaries: [{path: /x}]}\n  rest: {endpoints: [{host: a.test, port: 80, protocol: rest, access: read-only}], binaries: [{path: /x}]}";
    assert_warns(
        &warnings(open),
        &[
            "network_policies.rest.endpoints[0]: restricts nothing but by `deny_rules`: `network_policies.open",
        ],
    );
}

/// DST-4, FWD-5
#[test]
fn addresses_that_are_never_dialled_are_named() {
    assert_warns(
        &endpoint_warnings("host: 10.0.0.5, port: 1, allowed_ips: [10.1.0.0/16]"),
        &[".allowed_ips: does not list 10.0.0.5"],
    );
    assert_warns(
        &endpoint_warnings("host: 10.0.0.5, port: 1, allowed_ips: [10.1.0.0/16, 10.0.0.5]"),
        &[".allowed_ips[0]: never matches: the `host`"],
    );
    assert_warns(
        &endpoint_warnings(
            "host: a.test, port: 1, allowed_ips: [10.1.0.0/17, 10.1.2.3, 10.2.0.0/24, 10.2.0.0/24]",
        ),
        &[
            ".allowed_ips[1]: adds nothing: `10.1.0.0/17` contains it",
            ".allowed_ips[3]: is listed twice",
        ],
    );
    assert_warns(
        &endpoint_warnings("host: a.localhost, port: 1"),
        &[".host: `a.localhost` is never looked up"],
    );
    let metadata = "host: a.test, port: 1, allowed_ips: [100.0.0.0/8, 100.64.1.0/24]";
    let text = policy(&format!("{{{metadata}}}"), "{path: /usr/bin/git}");
    assert!(
        parse(&format!("version: 1\n{text}"), "p").is_err(),
        "`cover::block` relies on it"
    );
}

/// POL-8
#[test]
fn grants_that_are_wide_are_named() {
    assert_warns(
        &endpoint_warnings("host: '**.github.io', port: 443"),
        &[".host: anybody can have a name below `github.io`"],
    );
    assert_warns(
        &endpoint_warnings("host: a.test, port: 1, allowed_ips: [10.1.0.0/16, 10.2.0.0/16]"),
        &[".allowed_ips: grants 131072 IPv4 addresses together"],
    );
    assert_warns(
        &endpoint_warnings("host: a.test, port: 1, allowed_ips: [10.0.0.0/8]"),
        &[".allowed_ips[0]: `10.0.0.0/8` covers a wide range"],
    );
    let binaries = |list: &str| warnings(&policy("{host: a.test, port: 443}", list));
    assert_warns(
        &binaries("{path: '/**'}"),
        &["network_policies.p.binaries[0].path: every program"],
    );
    assert_warns(
        &binaries("{path: /tmp/tool}"),
        &["network_policies.p.binaries[0].path: the sandbox may write to /tmp"],
    );
    assert_warns(
        &binaries(
            "{path: /}, {path: /usr/bin/git}, {path: /usr/bin/git}, {path: '/usr/*'}, {path: '/usr/**'}",
        ),
        &[
            "network_policies.p.binaries[0].path: never matches",
            "network_policies.p.binaries[2].path: is listed twice",
            "network_policies.p.binaries[3].path: adds nothing: `/usr/**` is wider",
        ],
    );
    assert_warns(
        &warnings("inference: {models: ['small-*', 'small-1']}"),
        &["inference.models[1]: adds nothing: `small-*`"],
    );
}

/// POL-8: findings of the loading and of the search stand together, by line.
#[test]
fn findings_come_in_the_order_of_the_text_with_their_places() {
    let text = "version: 1\nnetwork_policies:\n  p:\n    endpoints:\n      - host: a.test\n        port: 443\n        protocol: rest\n        rules:\n          - allow: {method: GET}\n          - allow: {method: GET, path: /x}\n    binaries:\n      - path: /**\n";
    let found = lint(&parse(text, "p.yaml").unwrap());
    let places: Vec<_> = found
        .iter()
        .map(|problem| (problem.line.unwrap(), problem.column.unwrap()))
        .collect();
    assert_eq!(places, [(7, 9), (8, 9), (10, 13), (12, 9)], "{found:#?}");
}

const HOSTS: [&str; 6] = [
    "a.test.x",
    "b.a.test.x",
    "test.x",
    "*.test.x",
    "**.test.x",
    "*.a.test.x",
];
const BINARIES: [&str; 6] = ["/a/b", "/a/c", "/a/*", "/a/**", "/**", "/*/b"];
const PATHS: [&str; 8] = ["/a", "/a/b", "/a/*", "/a/**", "/**", "**", "/*/b", "/a//b"];
const METHODS: [&str; 4] = ["GET", "HEAD", "POST", "*"];
const QUERIES: [&str; 4] = [
    "",
    ", query: {q: '1'}",
    ", query: {q: '*'}",
    ", query: {q: '1', r: '**'}",
];
const LISTS: [&str; 6] = [
    "",
    "",
    ", allowed_ips: [10.0.0.0/16, 10.0.1.0/24]",
    ", allowed_ips: [10.0.1.0/24]",
    ", allowed_ips: [100.64.0.0/16, 100.64.1.0/24]",
    ", allowed_ips: [10.0.1.1, 10.0.0.0/16]",
];

fn pick(from: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(from)
}

fn rule() -> impl Strategy<Value = String> {
    (pick(&METHODS), pick(&PATHS), pick(&QUERIES))
        .prop_map(|(method, path, query)| format!("{{method: '{method}', path: '{path}'{query}}}"))
}

fn inspection() -> impl Strategy<Value = String> {
    let rules = prop::collection::vec(rule(), 1..5).prop_map(|rules| {
        let rules: Vec<String> = rules
            .iter()
            .map(|rule| format!("{{allow: {rule}}}"))
            .collect();
        format!("rules: [{}]", rules.join(", "))
    });
    let denied = prop_oneof![
        2 => Just(", enforcement: enforce".to_owned()),
        1 => Just(String::new()),
        3 => prop::collection::vec(rule(), 1..4).prop_map(|rules| format!(", enforcement: enforce, deny_rules: [{}]", rules.join(", "))),
    ];
    (rules, denied, pick(&["", "", ", path: '/a/**'"]))
        .prop_map(|(rules, denied, path)| format!(", protocol: rest, {rules}{denied}{path}"))
}

fn any_document() -> impl Strategy<Value = String> {
    let inspection = prop_oneof![1 => Just(String::new()), 3 => inspection()];
    let endpoint = (pick(&HOSTS), pick(&LISTS), inspection).prop_map(|(host, list, inspection)| {
        format!("{{host: '{host}', port: 80{list}{inspection}}}")
    });
    drawn::document(endpoint, &BINARIES, 1..4, 1..4)
}

/// Takes every entry out that is said to do nothing.
fn without(document: &PolicyDocument) -> (PolicyDocument, Vec<String>) {
    let mut findings = Findings::default();
    for (key, policy) in &document.network_policies {
        own(&mut findings, document, key, policy);
    }
    endpoints::shadowed(&mut findings, document);
    wide::inference(&mut findings, document);
    let dead: Vec<String> = findings
        .0
        .iter()
        .filter(|finding| finding.effect == Effect::None)
        .map(|finding| finding.path.clone())
        .collect();
    let gone = |path: String| dead.contains(&path);
    let mut left = document.clone();
    for (key, policy) in &mut left.network_policies {
        let at = format!("network_policies.{key}");
        let mut index = 0..;
        policy
            .binaries
            .retain(|_| !gone(format!("{at}.binaries[{}].path", index.next().unwrap())));
        for (number, endpoint) in policy.endpoints.iter_mut().enumerate() {
            let at = format!("{at}.endpoints[{number}]");
            if let Some(inspection) = &mut endpoint.inspection {
                let mut index = 0..;
                if let Grant::Rules(rules) = &mut inspection.grant {
                    rules.retain(|_| !gone(format!("{at}.rules[{}].allow", index.next().unwrap())));
                }
                let mut index = 0..;
                inspection
                    .deny_rules
                    .retain(|_| !gone(format!("{at}.deny_rules[{}]", index.next().unwrap())));
            }
            if let crate::document::Destination::HostAt(_, list) = &mut endpoint.destination {
                let mut index = 0..;
                let blocks = list
                    .blocks()
                    .iter()
                    .filter(|_| !gone(format!("{at}.allowed_ips[{}]", index.next().unwrap())))
                    .cloned()
                    .collect();
                *list = address::AllowedIps::new(blocks).unwrap();
            }
        }
        let mut index = 0..;
        policy
            .endpoints
            .retain(|_| !gone(format!("{at}.endpoints[{}]", index.next().unwrap())));
    }
    (left, dead)
}

/// Verdict and reason of a request, and what becomes of four answers of a name server.
fn judged(
    document: &PolicyDocument,
    caller: &Caller,
    target: &Authority,
    asked: &Asked<'_>,
) -> String {
    let policy = Policy::compile(document.clone());
    let inspected = matches!(
        crate::connect(&policy, caller, target),
        crate::Decision::Inspect(_)
    );
    match request(&policy, caller, target, asked) {
        RequestDecision::Allow(admitted) => format!("allow {inspected} {}", dialled(&admitted)),
        RequestDecision::Audit(admitted) => format!("audit {inspected} {}", dialled(&admitted)),
        RequestDecision::Deny(Denial { code, reason, .. }) => {
            format!("{inspected} {code:?} {reason}")
        }
    }
}

fn dialled(admitted: &Admitted) -> String {
    let judged = ADDRESSES.iter().map(|text| {
        let addr: IpAddr = text.parse().unwrap();
        match address::verify(admitted, &[addr]) {
            Ok(verified) => format!(
                "{:?} {:?} ",
                admitted.tls(),
                address::require_private(admitted, &verified).is_ok()
            ),
            Err(denial) => denial.reason.into_owned() + " ",
        }
    });
    judged.collect()
}

const ADDRESSES: [&str; 4] = ["8.8.8.8", "10.0.1.1", "10.0.2.1", "100.64.1.1"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    /// The issue: what is called shadowed or dead can be left out, and no verdict changes.
    #[test]
    fn leaving_out_what_does_nothing_changes_no_verdict(
        text in any_document(),
        host in pick(&["a.test.x", "b.a.test.x", "c.b.a.test.x", "test.x", "z.test.x"]),
        exe in pick(&["/a/b", "/a/c", "/a/d", "/a/b/c", "/z/b", "/z/z"]),
        method in pick(&["GET", "HEAD", "POST", "PUT"]),
        path in pick(&["/", "/a", "/a/", "/a/b", "/a/b/c", "/b", "/b/b", "/a%2Fb", "/a/%2F"]),
        query in prop::option::of(pick(&["q=1", "q=2", "q=1&q=2", "q=1&r=/", "r=1", "q=/"])),
    ) {
        let document = parse(&text, "p").unwrap().document;
        let (left, dead) = without(&document);
        let caller = Caller::from_paths(exe, &[]);
        let target = Authority { host: Host::parse(host.as_bytes()).unwrap(), port: Port::new(80).unwrap() };
        let path = CanonicalPath::parse(path.as_bytes()).unwrap();
        let asked = Asked { method: method.as_bytes(), path: &path, query: query.map(str::as_bytes) };
        prop_assert_eq!(judged(&document, &caller, &target, &asked), judged(&left, &caller, &target, &asked), "left out {:?}", dead);
    }
}
