//! May this request go through: `policy::request` at 10, 100 and 1,000 rules, what comes before it, and
//! the Rego rules on the same questions.

use std::hint::black_box;
use std::sync::Arc;

use policy::rego::{Reference, Request, Verdict, query_values};
use policy::{Asked, Caller, Policy, PolicyDocument, RequestDecision};
use wire::{Authority, CanonicalPath};

use crate::time::Case;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (rules, names) in [(10, TEN), (100, HUNDRED), (1_000, THOUSAND)] {
        let document = document(rules);
        let policy = Arc::new(Policy::compile(document.clone()));
        let last = format!("/api/v1/kind{}/name/parts/7", rules - 1);
        let questions = [
            (last.as_str(), None, true),
            ("/api/v1/other/name/parts/7", None, false),
            ("/o/r.git/info/refs", Some("service=git-upload-pack"), true),
            (
                "/o/r.git/info/refs",
                Some("service=git%2Dupload%2Dpack"),
                true,
            ),
        ];
        for (name, (path, query, allowed)) in names.iter().zip(questions) {
            cases.push(by_table(name[0], &policy, path, query, allowed));
            cases.push(by_rules(name[1], &document, path, query, allowed));
        }
    }
    for (name, path) in [
        (
            "path: canonicalise, clean",
            "/repos/myorg/myrepo/issues/17/comments",
        ),
        (
            "path: canonicalise, escapes and dots",
            "/repos/%6dyorg/./x/../myrepo//issues/%3a17",
        ),
    ] {
        cases.push(Case::new(name, path.len(), move || {
            black_box(CanonicalPath::parse(black_box(path.as_bytes()))).expect("a path");
        }));
    }
    cases
}

fn by_table(
    name: &'static str,
    policy: &Arc<Policy>,
    path: &str,
    query: Option<&'static str>,
    allowed: bool,
) -> Case {
    let policy = Arc::clone(policy);
    let (caller, target, path) = (caller(), target(), canonical(path));
    Case::new(name, 0, move || {
        let asked = Asked {
            method: b"GET",
            path: &path,
            query: query.map(str::as_bytes),
        };
        let decision = policy::request(&policy, black_box(&caller), &target, black_box(&asked));
        let is_allowed = !matches!(black_box(decision), RequestDecision::Deny(_));
        assert_eq!(is_allowed, allowed, "{query:?}");
    })
}

fn by_rules(
    name: &'static str,
    document: &PolicyDocument,
    path: &str,
    query: Option<&'static str>,
    allowed: bool,
) -> Case {
    let mut reference = Reference::new(document).expect("the rules take it");
    let (caller, target, path) = (caller(), target(), path.to_owned());
    Case::new(name, 0, move || {
        let asked = Request {
            method: "GET",
            path: &path,
            query: query_values(query.unwrap_or_default().as_bytes()),
        };
        let verdict = reference.request(black_box(&caller), &target, &asked);
        assert_eq!(matches!(black_box(verdict), Verdict::Allow { .. }), allowed);
    })
}

fn document(rules: usize) -> PolicyDocument {
    let mut text = String::from(
        "version: 1\nnetwork_policies:\n  api:\n    binaries: [{path: /usr/bin/agent}]\n    endpoints:\n      \
         - host: api.example.com\n        port: 443\n        protocol: rest\n        tls: terminate\n        enforcement: enforce\n        rules:\n          \
         - allow: {method: GET, path: '/**/info/refs', query: {service: git-upload-pack}}\n",
    );
    for rule in 1..rules {
        text.push_str(&format!(
            "          - allow: {{method: GET, path: '/api/v1/kind{rule}/*/parts/**'}}\n"
        ));
    }
    policy::parse(&text, "bench")
        .unwrap_or_else(|problems| unreachable!("{problems}"))
        .document
}

fn canonical(path: &str) -> CanonicalPath {
    CanonicalPath::parse(path.as_bytes()).expect("a path")
}

fn caller() -> Caller {
    Caller::from_paths("/usr/bin/agent", &["/usr/bin/bash"])
}

fn target() -> Authority {
    wire::target::connect(b"api.example.com:443").expect("an authority")
}

type Names = [[&'static str; 2]; 4];

const TEN: Names = [
    [
        "request: 10 rules, hit the last",
        "request: 10 rules, hit the last, Rego",
    ],
    ["request: 10 rules, miss", "request: 10 rules, miss, Rego"],
    ["request: 10 rules, query", "request: 10 rules, query, Rego"],
    [
        "request: 10 rules, query escaped",
        "request: 10 rules, query escaped, Rego",
    ],
];
const HUNDRED: Names = [
    [
        "request: 100 rules, hit the last",
        "request: 100 rules, hit the last, Rego",
    ],
    ["request: 100 rules, miss", "request: 100 rules, miss, Rego"],
    [
        "request: 100 rules, query",
        "request: 100 rules, query, Rego",
    ],
    [
        "request: 100 rules, query escaped",
        "request: 100 rules, query escaped, Rego",
    ],
];
const THOUSAND: Names = [
    [
        "request: 1,000 rules, hit the last",
        "request: 1,000 rules, hit the last, Rego",
    ],
    [
        "request: 1,000 rules, miss",
        "request: 1,000 rules, miss, Rego",
    ],
    [
        "request: 1,000 rules, query",
        "request: 1,000 rules, query, Rego",
    ],
    [
        "request: 1,000 rules, query escaped",
        "request: 1,000 rules, query escaped, Rego",
    ],
];
