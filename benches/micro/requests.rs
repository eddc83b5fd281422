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
    for (rules, many) in [(10, "10"), (100, "100"), (1_000, "1,000")] {
        let document = document(rules);
        let policy = Arc::new(Policy::compile(document.clone()));
        let last = format!("/api/v1/kind{}/name/parts/7", rules - 1);
        let questions = [
            ("hit the last", last.as_str(), None, true),
            ("miss", "/api/v1/other/name/parts/7", None, false),
            ("query", REFS, Some("service=git-upload-pack"), true),
            (
                "query escaped",
                REFS,
                Some("service=git%2Dupload%2Dpack"),
                true,
            ),
        ];
        for (what, path, query, allowed) in questions {
            let name = format!("request: {many} rules, {what}");
            let rego = format!("{name}, Rego");
            cases.push(by_table(name, &policy, path, query, allowed));
            cases.push(by_rules(rego, &document, path, query, allowed));
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
    name: String,
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
    name: String,
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

const REFS: &str = "/o/r.git/info/refs";
