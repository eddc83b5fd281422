//! Differences that are there, and none that are not.

use proptest::prelude::*;
use wire::{Authority, Host, Port};

use super::{Change, Comparison, Difference, Subject, diff};
use crate::answer::{Entry, Question, RequestLine, answer};
use crate::caller::Caller;
use crate::compile::Policy;
use crate::document::PolicyDocument;
use crate::drawn;
use crate::source::parse;

fn document(text: &str) -> PolicyDocument {
    parse(&format!("version: 1\n{text}"), "p.yaml")
        .unwrap_or_else(|problems| panic!("{problems}"))
        .document
}

fn lines(old: &str, new: &str) -> Vec<String> {
    let Comparison { differences, cut } = diff(&document(old), &document(new));
    assert!(!cut);
    differences.iter().map(ToString::to_string).collect()
}

fn policy(endpoint: &str, binary: &str) -> String {
    format!(
        "network_policies: {{p: {{endpoints: [{endpoint}], binaries: [{{path: '{binary}'}}]}}}}"
    )
}

/// The issue: which binary × host × method pairs a change opens and closes.
#[test]
fn connections_that_open_and_close_are_named_by_their_patterns() {
    let old = policy(
        "{host: a.test, port: 443}, {host: '*.b.test', port: 443}",
        "/usr/bin/git",
    );
    let new = policy(
        "{host: a.test, port: 443}, {host: '**.b.test', port: 443}, {host: c.test, port: 80}",
        "/usr/bin/git",
    );
    assert_eq!(
        lines(&old, &new),
        [
            "opens    connection  /usr/bin/git → c.test:80, **.b.test:443: endpoint_not_allowed → allow, uninspected",
        ]
    );
    assert_eq!(
        lines(&new, &old),
        [
            "closes   connection  /usr/bin/git → c.test:80, **.b.test:443: allow, uninspected → endpoint_not_allowed",
        ]
    );
    let wider = policy(
        "{host: a.test, port: 443}, {host: '*.b.test', port: 443}",
        "/usr/bin/*",
    );
    assert_eq!(
        lines(&old, &wider),
        [
            "opens    connection  /usr/bin/* → *.b.test:443, a.test:443: binary_not_allowed → allow, uninspected",
        ]
    );
    assert!(lines(&old, &old).is_empty());
    assert_eq!(lines("", &old).len(), 1);
}

#[test]
fn the_order_and_the_spelling_of_entries_are_no_difference() {
    let one = policy("{host: a.test, port: 1}, {host: b.test, port: 1}", "/x");
    let other = policy(
        "{host: b.test, port: 1}, {host: A.test., port: 1}, {host: a.test, port: 1}",
        "/x",
    );
    assert!(lines(&one, &other).is_empty());
}

const REST: &str = "host: a.test, port: 443, protocol: rest, tls: terminate";

#[test]
fn requests_that_open_and_close_are_named_with_method_and_path() {
    let rest = |rules: &str| policy(&format!("{{{REST}, enforcement: enforce, {rules}}}"), "/x");
    let old = rest("rules: [{allow: {method: GET, path: '/a/**'}}]");
    let new = rest(
        "rules: [{allow: {method: GET, path: '/a/**'}}, {allow: {method: POST, path: '/a/*'}}], deny_rules: [{path: '/a/secret'}]",
    );
    assert_eq!(
        lines(&old, &new),
        [
            "opens    request     /x → a.test:443 POST /a/*: request_not_allowed → allow, inspected",
            "closes   request     /x → a.test:443 GET, HEAD /a/secret: allow, inspected → deny_rule",
        ]
    );
    let query = rest(
        "rules: [{allow: {method: GET, path: '/a/**'}}, {allow: {method: GET, path: /b, query: {q: 'x*'}}}]",
    );
    assert_eq!(
        lines(&old, &query),
        [
            "opens    request     /x → a.test:443 GET, HEAD /b?q=x*: request_not_allowed → allow, inspected",
        ]
    );
}

#[test]
fn a_change_of_inspection_enforcement_or_preset_is_named() {
    let raw = policy("{host: a.test, port: 443}", "/x");
    let rest = |fields: &str| policy(&format!("{{{REST}, {fields}}}"), "/x");
    let audit = rest("access: read-only");
    let enforce = rest("access: read-only, enforcement: enforce");
    let found = lines(&raw, &enforce);
    assert_eq!(
        found[0],
        "changes  inspection  /x → a.test:443: allow, uninspected → allow, inspected"
    );
    assert_eq!(
        found[1..],
        [
            "closes   request     /x → a.test:443 POST, PUT, PATCH, DELETE, any other method **: allow, uninspected → request_not_allowed"
        ]
    );
    assert_eq!(
        lines(&audit, &enforce),
        [
            "closes   request     /x → a.test:443 POST, PUT, PATCH, DELETE, any other method **: audit → request_not_allowed",
        ]
    );
    let written = rest("access: read-write, enforcement: enforce");
    assert_eq!(
        lines(&enforce, &written),
        [
            "opens    request     /x → a.test:443 POST, PUT, PATCH **: request_not_allowed → allow, inspected",
        ]
    );
}

#[test]
fn address_lists_that_widen_or_narrow_are_named() {
    let at = |list: &str| policy(&format!("{{host: a.test, port: 1{list}}}"), "/x");
    let found = lines(
        &at(", allowed_ips: [10.0.0.0/16]"),
        &at(", allowed_ips: [10.0.1.0/24, 10.2.0.0/16]"),
    );
    assert_eq!(
        found,
        [
            "opens    addresses   /x → a.test:1 10.2.0.0/16: not_in_allowed_ips → allow, uninspected",
            "closes   addresses   /x → a.test:1 10.0.0.0/16: allow, uninspected → not_in_allowed_ips",
        ]
    );
    let public = lines(&at(""), &at(", allowed_ips: [10.0.0.0/16]"));
    assert!(
        public
            .iter()
            .any(|line| line.starts_with("closes   addresses   /x → a.test:1 public addresses")),
        "{public:#?}"
    );
}

/// BAS-2: files are compared as they are enforced.
#[test]
fn files_process_and_inference_are_compared_by_field() {
    let old = "filesystem_policy: {read_only: [/opt], read_write: [/srv]}\nprocess: {run_as_user: a}\ninference: {models: [m], requests_per_minute: 10}";
    let new = "filesystem_policy: {include_workdir: true, read_only: [/usr], read_write: [/srv, /opt]}\nlandlock: {compatibility: hard_requirement}\ninference: {models: [m, n], requests_per_minute: 5, binaries: [{path: /x}]}";
    assert_eq!(
        lines(old, new),
        [
            "opens    inference   models: m → m, n",
            "opens    files       /opt: readable → writable",
            "opens    files       the working directory: as listed → writable",
            "changes  process     user: a → the caller's",
            "closes   inference   binaries: any → /x",
            "closes   inference   requests_per_minute: 10 → 5",
            "closes   process     landlock: best_effort → hard_requirement",
        ]
    );
}

const ENDPOINTS: [&str; 10] = [
    "{host: a.test, port: 80}",
    "{host: '*.a.test', port: 80}",
    "{host: '**.a.test', port: 80, allowed_ips: [10.0.0.0/16]}",
    "{port: 80, allowed_ips: [10.0.0.0/24]}",
    "{host: b.a.test, port: 80, protocol: rest, access: read-only}",
    "{host: '*.a.test', port: 80, protocol: rest, enforcement: enforce, access: read-write}",
    "{host: a.test, port: 80, protocol: rest, enforcement: enforce, rules: [{allow: {method: GET, path: '/a/*'}}, {allow: {method: POST, path: '/*/b'}}]}",
    "{host: a.test, port: 80, path: '/a/**', protocol: rest, enforcement: enforce, access: full, deny_rules: [{method: DELETE}]}",
    "{host: a.test, port: 80, path: '/a/**', protocol: rest, allow_encoded_slash: true, access: full}",
    "{host: c.test, port: 81}",
];
const BINARIES: [&str; 5] = ["/u/a", "/u/b", "/u/*", "/*/a", "/**"];

fn any_document() -> impl Strategy<Value = PolicyDocument> {
    let endpoint = prop::sample::select(&ENDPOINTS[..]).prop_map(str::to_owned);
    drawn::document(endpoint, &BINARIES, 1..3, 0..3)
        .prop_map(|text| parse(&text, "p.yaml").unwrap().document)
}

fn asked_again(difference: &Difference) -> Option<Question> {
    let witness = difference.witness.as_ref()?;
    let host = Host::parse(witness.host.as_bytes()).unwrap();
    Some(Question {
        caller: Caller::from_paths(&witness.binary, &[]),
        target: Authority {
            host,
            port: Port::new(witness.port).unwrap(),
        },
        entry: Entry::Tunnel,
        request: witness
            .method
            .as_ref()
            .map(|method| RequestLine::new(method, witness.path.as_ref().unwrap())),
        addresses: witness.ip.map(|ip| vec![ip]),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// No false line: what a witness asks is answered differently, in the direction that is claimed.
    #[test]
    fn every_difference_is_proven_by_its_witness(old in any_document(), new in any_document()) {
        let (before, after) = (Policy::compile(old.clone()), Policy::compile(new.clone()));
        for difference in diff(&old, &new).differences {
            let question = asked_again(&difference).unwrap();
            let (before, after) = (answer(&before, &question), answer(&after, &question));
            let open = |answer: &crate::answer::Answer| answer.outcome != crate::answer::Outcome::Deny;
            match (difference.change, difference.subject) {
                (Change::Opens, _) => prop_assert!(!open(&before) && open(&after), "{}", difference),
                (Change::Closes, _) => prop_assert!(open(&before) && !open(&after), "{}", difference),
                (Change::Changes, Subject::Inspection) => prop_assert_ne!(before.connection, after.connection),
                (Change::Changes, _) => prop_assert_ne!(before.outcome, after.outcome),
            }
        }
    }

    /// No missing line: a question that the two answer differently is one of the differences'.
    #[test]
    fn what_two_policies_answer_differently_is_a_difference(
        old in any_document(),
        new in any_document(),
        exe in prop::sample::select(&["/u/a", "/u/b", "/u/c", "/v/a", "/v/v/w"][..]),
        to in prop::sample::select(&["a.test:80", "b.a.test:80", "q.a.test:80", "q.r.a.test:80", "other.test:80", "c.test:81"][..]),
        request in prop::option::of((prop::sample::select(&["GET", "HEAD", "POST", "DELETE", "BREW"][..]), prop::sample::select(&["/", "/a/", "/a/q", "/a/b", "/q/b", "/a/b/c", "/a%2Fb", "/a/q%2F"][..]))),
        ip in prop::option::of(prop::sample::select(&["8.8.8.8", "10.0.0.1", "10.0.1.1", "10.1.0.1"][..])),
    ) {
        // One thing at a time: which address a single request may go to is neither a request nor an address.
        let request = request.filter(|_| ip.is_none());
        let question = Question {
            caller: Caller::from_paths(exe, &[]),
            target: wire::target::connect(to.as_bytes()).unwrap(),
            entry: Entry::Tunnel,
            request: request.map(|(method, target)| RequestLine::new(method, target)),
            addresses: ip.map(|ip| vec![ip.parse().unwrap()]),
        };
        let outcome = |document: &PolicyDocument| answer(&Policy::compile(document.clone()), &question).outcome;
        if outcome(&old) != outcome(&new) {
            let differences = diff(&old, &new).differences;
            let host = to.split(':').next().unwrap();
            prop_assert!(differences.iter().any(|difference| {
                let of_caller = difference.programs.iter().any(|program| program.split(" and ").all(|glob| crate::pattern::Glob::new(glob).matches(exe.as_bytes())));
                of_caller && difference.targets.iter().any(|target| target.starts_with("any other") || crate::pattern::HostPattern::parse(target.rsplit_once(':').unwrap().0).unwrap().matches(&Host::parse(host.as_bytes()).unwrap()))
            }), "{:?} is in none of {:#?}", question, differences);
        }
    }
}
