//! Random policies, and questions made to hit them: one answer from the table and from the rules.
//!
//! Apart from the other tests because it is the proof that the table is what the rules say. Policies
//! and questions come from the same small alphabets, so that overlaps are the rule. Environment:
//! `RINGFENCE_DIFFERENTIAL_CASES` (questions, 10^5 by default) and `PROPTEST_RNG_SEED` (replays the
//! run that printed it). A failure is shrunk and shown as a policy and one question.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestCaseError, TestRunner};
use wire::{Authority, CanonicalPath, Code};

use super::{Inspection, Reference, Request, Verdict, query_values};
use crate::caller::{Caller, Executable};
use crate::compile::Policy;
use crate::decide::connect;
use crate::decision::{Decision, Denial, RequestDecision};
use crate::document::PolicyDocument;
use crate::request::{Asked, request};
use crate::source::parse;

/// RGO, OV-8, POL-5, POL-6, L7-5 to L7-12, TR-068
#[test]
fn table_and_rules_agree_on_every_policy_and_question() {
    let questions = std::env::var("RINGFENCE_DIFFERENTIAL_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(100_000_u32);
    let seed = match ProptestConfig::default().rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => RandomState::new().hash_one(questions),
    };
    let cases = questions.div_ceil(QUESTIONS as u32 * THREADS);
    let halves: Vec<_> = (0..THREADS)
        .map(|thread| seed.wrapping_add(thread.into()))
        .map(|seed| std::thread::spawn(move || draw(seed, cases)))
        .collect();
    let mut tally: Tally = BTreeMap::new();
    for half in halves {
        let found = half
            .join()
            .expect("it does not panic")
            .unwrap_or_else(|failure| {
                panic!("PROPTEST_RNG_SEED={seed} draws this again: {failure}")
            });
        for (class, met) in found {
            *tally.entry(class).or_default() += met;
        }
    }
    let total: u64 = tally.values().sum();
    eprintln!("differential: {total} questions from seed {seed}, table and rules agree: {tally:?}");
    for class in CLASSES {
        let met = tally.get(*class).copied().unwrap_or_default();
        assert!(
            met * 1_000 >= total,
            "{class} is met {met} times: the questions miss the policies"
        );
    }
}

/// Draws policies and asks each its questions; how often each answer came.
fn draw(seed: u64, cases: u32) -> Result<Tally, String> {
    let config = ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let tally: RefCell<Tally> = RefCell::default();
    TestRunner::new(config)
        .run(&any_scenario(), |scenario| {
            for class in compare(&scenario)? {
                *tally.borrow_mut().entry(class).or_default() += 1;
            }
            Ok(())
        })
        .map_err(|error| error.to_string())?;
    Ok(tally.into_inner())
}

/// Asks both; what the answers were.
fn compare(scenario: &Scenario) -> Result<Vec<String>, TestCaseError> {
    let document = document(&scenario.policy);
    let written = serde_json::to_string(&document).expect("a document is data");
    let again = parse(&written, "again")
        .expect("what is written is read")
        .document;
    prop_assert_eq!(&again, &document, "POL-1: written and read again");
    let mut reference = Reference::new(&document).expect("the rules take every document");
    let policy = Policy::compile(document);
    let mut classes = Vec::new();
    for question in &scenario.questions {
        let Question {
            caller,
            target,
            asked,
        } = question;
        let (table, rules) = match asked {
            None => (
                connection(connect(&policy, caller, target)),
                reference.connect(caller, target),
            ),
            Some((method, path, query)) => {
                let of_table = Asked {
                    method: method.as_bytes(),
                    path,
                    query: query.as_deref().map(str::as_bytes),
                };
                let of_rules = Request {
                    method,
                    path: std::str::from_utf8(path.as_bytes()).expect("a path is ASCII"),
                    query: query_values(query.as_deref().unwrap_or_default().as_bytes()),
                };
                let inspection = match connect(&policy, caller, target) {
                    Decision::Inspect(_) => Inspection::Requests,
                    Decision::Tunnel(_) | Decision::Deny(_) => Inspection::Raw,
                };
                (
                    judged(request(&policy, caller, target, &of_table), inspection),
                    reference.request(caller, target, &of_rules),
                )
            }
        };
        prop_assert_eq!(
            &table,
            &rules,
            "table (left) and rules (right) on {:?}; {:?}",
            question,
            reference.failure()
        );
        classes.push(class(&table, asked.is_some()));
    }
    Ok(classes)
}

fn connection(decision: Decision) -> Verdict {
    let allow = |policy: &str, inspection| Verdict::Allow {
        policy: policy.to_owned(),
        inspection,
    };
    match decision {
        Decision::Tunnel(admitted) => allow(admitted.policy_name(), Inspection::Raw),
        Decision::Inspect(admitted) => allow(admitted.policy_name(), Inspection::Requests),
        Decision::Deny(denial) => denied(denial),
    }
}

fn judged(decision: RequestDecision, inspection: Inspection) -> Verdict {
    match decision {
        RequestDecision::Allow(admitted) => Verdict::Allow {
            policy: admitted.policy_name().to_string(),
            inspection,
        },
        RequestDecision::Audit(admitted) => Verdict::Audit {
            policy: admitted.policy_name().to_string(),
        },
        RequestDecision::Deny(denial) => denied(denial),
    }
}

fn denied(denial: Denial) -> Verdict {
    let policy = denial.policy.as_deref().map(str::to_owned);
    if denial.code == Code::InvalidRequestTarget {
        return Verdict::RefuseTarget {
            policy: policy.unwrap_or_default(),
        };
    }
    assert_eq!(denial.code, Code::PolicyDenied);
    Verdict::Deny {
        reason: denial.reason.into_owned(),
        policy,
    }
}

fn class(verdict: &Verdict, is_request: bool) -> String {
    match verdict {
        Verdict::Allow {
            inspection: Inspection::Raw,
            ..
        } => "allow, not inspected".to_owned(),
        Verdict::Allow { .. } if is_request => "allow a request".to_owned(),
        Verdict::Allow { .. } => "inspect".to_owned(),
        Verdict::Audit { .. } => "audit".to_owned(),
        Verdict::RefuseTarget { .. } => "invalid_request_target".to_owned(),
        Verdict::Deny { reason, .. } => reason.clone(),
    }
}

/// Each is at least a thousandth of all answers.
const CLASSES: &[&str] = &[
    "allow, not inspected",
    "allow a request",
    "inspect",
    "audit",
    "invalid_request_target",
    "deny_rule",
    "request_not_allowed",
    "binary_not_allowed",
    "endpoint_not_allowed",
];

/// A policy, and what is asked of it.
#[derive(Clone)]
struct Scenario {
    policy: String,
    questions: Vec<Question>,
}

#[derive(Clone)]
struct Question {
    caller: Caller,
    target: Authority,
    asked: Option<(String, CanonicalPath, Option<String>)>,
}

impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}", self.policy)?;
        self.questions
            .iter()
            .try_for_each(|question| writeln!(f, "{question:?}"))
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<_> = self.caller.paths().map(String::from_utf8_lossy).collect();
        write!(f, "{} to {}", paths.join(" < "), self.target)?;
        let Some((method, path, query)) = &self.asked else {
            return Ok(());
        };
        let path = String::from_utf8_lossy(path.as_bytes());
        write!(f, ": {method} {path}")?;
        query.iter().try_for_each(|query| write!(f, "?{query}"))
    }
}

fn document(text: &str) -> PolicyDocument {
    parse(text, "drawn.yaml")
        .unwrap_or_else(|problems| panic!("{problems}\n{text}"))
        .document
}

fn any_scenario() -> impl Strategy<Value = Scenario> {
    let some = prop::collection::btree_map("[a-cA-C_]{1,2}", any_policy(), 1..7);
    let policies = prop_oneof![1 => Just(BTreeMap::new()), 30 => some];
    let questions = prop::collection::vec(any_question(), QUESTIONS);
    (policies, questions).prop_map(|(policies, questions)| {
        let entries: String = policies
            .iter()
            .map(|(key, policy)| format!("  '{key}':\n{policy}"))
            .collect();
        let entries = if entries.is_empty() {
            " {}".to_owned()
        } else {
            format!("\n{entries}")
        };
        Scenario {
            policy: format!("version: 1\nnetwork_policies:{entries}"),
            questions,
        }
    })
}

fn any_policy() -> impl Strategy<Value = String> {
    let endpoints = prop::collection::vec(any_endpoint(), 1..4);
    let binaries = prop::collection::vec(prop::sample::select(BINARIES), 1..3);
    (endpoints, binaries).prop_map(|(endpoints, binaries)| {
        let endpoints: String = endpoints
            .iter()
            .map(|endpoint| format!("      - {{{endpoint}}}\n"))
            .collect();
        let binaries: String = binaries
            .iter()
            .map(|path| format!("      - {{path: '{path}'}}\n"))
            .collect();
        format!("    endpoints:\n{endpoints}    binaries:\n{binaries}")
    })
}

fn any_endpoint() -> impl Strategy<Value = String> {
    let lists = &["10.0.0.0/16", "10.1.0.0/16, 8.8.8.8"][..];
    let with_host = (
        prop::sample::select(PATTERNS),
        prop::option::weighted(0.3, prop::sample::select(lists)),
    )
        .prop_map(|(host, list)| match list {
            Some(list) => format!("host: '{host}', allowed_ips: [{list}]"),
            None => format!("host: '{host}'"),
        });
    let hostless = prop::sample::select(lists).prop_map(|list| format!("allowed_ips: [{list}]"));
    let destination = prop_oneof![5 => with_host, 1 => hostless];
    let rules = prop_oneof![1 => Just(String::new()), 5 => any_inspection()];
    (destination, 1..=2_u16, rules)
        .prop_map(|(destination, port, rules)| format!("{destination}, port: {port}{rules}"))
}

fn any_inspection() -> impl Strategy<Value = String> {
    let grant = prop_oneof![
        1 => prop::sample::select(&["read-only", "read-write", "full"][..])
            .prop_map(|access| format!("access: {access}")),
        2 => prop::collection::vec(any_rule(), 1..5).prop_map(|rules| {
            let rules: Vec<_> = rules.iter().map(|rule| format!("{{allow: {rule}}}")).collect();
            format!("rules: [{}]", rules.join(", "))
        }),
    ];
    (
        prop::option::of(any_glob()),
        grant,
        prop::option::weighted(0.5, prop::collection::vec(any_rule(), 0..3)),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(path, grant, deny, slash, terminate)| {
            let mut text = format!(", protocol: rest, {grant}");
            if let Some(path) = path {
                text += &format!(", path: '{path}'");
            }
            if let Some(deny) = deny {
                text += ", enforcement: enforce";
                if !deny.is_empty() {
                    text += &format!(", deny_rules: [{}]", deny.join(", "));
                }
            }
            if slash {
                text += ", allow_encoded_slash: true";
            }
            if terminate {
                text += ", tls: terminate";
            }
            text
        })
}

fn any_rule() -> impl Strategy<Value = String> {
    let method = prop::option::of(prop::sample::select(
        &["GET", "HEAD", "put", "POST", "*"][..],
    ));
    let matcher = (
        prop::sample::select(&["q", "r", "a b"][..]),
        prop::sample::select(&["a", "a*", "**", "*b", "", "a b", "\u{e9}"][..]),
    );
    let query = prop::collection::btree_map(matcher.0, matcher.1, 0..3);
    let query = prop_oneof![2 => Just(BTreeMap::new()), 1 => query];
    (method, prop::option::of(any_glob()), query).prop_map(|(method, path, query)| {
        let mut fields = Vec::new();
        fields.extend(method.map(|method| format!("method: '{method}'")));
        fields.extend(path.map(|path| format!("path: '{path}'")));
        if !query.is_empty() {
            let query: Vec<_> = query
                .iter()
                .map(|(name, value)| format!("'{name}': '{value}'"))
                .collect();
            fields.push(format!("query: {{{}}}", query.join(", ")));
        }
        format!("{{{}}}", fields.join(", "))
    })
}

/// Over the same segments as the paths that are asked for.
fn any_glob() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("/**".to_owned()),
        "(/(a|b|ab|\\*|\\*\\*|a\\*|a%2Fb|\\*%2F\\*)){1,3}/?",
        "\\*\\*(/a|b|/\\*)?",
    ]
}

fn any_question() -> impl Strategy<Value = Question> {
    let binary = || prop::sample::select(PROGRAMS);
    let ancestors = prop::collection::vec(binary(), 0..3);
    let port = prop_oneof![20 => 1..=2_u16, 1 => Just(3)];
    let asked = prop::option::weighted(0.9, any_request());
    (
        binary(),
        ancestors,
        prop::sample::select(NAMES),
        port,
        asked,
    )
        .prop_map(|(exe, ancestors, host, port, asked)| Question {
            caller: caller(exe, &ancestors),
            target: wire::target::connect(format!("{host}:{port}").as_bytes())
                .expect("an authority"),
            asked,
        })
}

fn any_request() -> impl Strategy<Value = (String, CanonicalPath, Option<String>)> {
    let method = prop::sample::select(&["GET", "HEAD", "PUT", "POST", "DELETE", "get"][..]);
    let plain = "(/(a|b|ab|%61|\\.|c/\\.\\.|)){0,3}/?";
    let path = prop_oneof![3 => plain, 1 => "(/(a|b|a%2fb|ab|a%2Fb)){1,3}/?"];
    let path = path.prop_map(|path| {
        // A path that climbs or is empty has no canonical form and is never judged.
        CanonicalPath::parse(path.as_bytes())
            .unwrap_or_else(|_| CanonicalPath::parse(b"/").expect("the root"))
    });
    let query = prop::collection::vec(prop::sample::select(PIECES), 0..4)
        .prop_map(|pieces| pieces.join("&"));
    (method, path, prop::option::of(query))
        .prop_map(|(method, path, query)| (method.to_owned(), path, query))
}

fn caller(exe: &[u8], ancestors: &[&[u8]]) -> Caller {
    let executable = |path: &[u8]| Executable {
        path: path.into(),
        sha256: [7; 32],
    };
    Caller {
        exe: executable(exe),
        ancestors: ancestors.iter().map(|path| executable(path)).collect(),
        ..Caller::from_paths("/x", &[])
    }
}

/// How often each answer came.
type Tally = BTreeMap<String, u64>;

/// A constant, so that a seed draws the same on every machine.
const THREADS: u32 = 2;

/// Questions a policy: its rules are read once for all of them.
const QUESTIONS: usize = 200;

const PATTERNS: &[&str] = &[
    "a.example.com",
    "example.com",
    "*.example.com",
    "**.example.com",
    "*.a.example.com",
    "10.0.0.1",
    "fd00::1",
];

const NAMES: &[&str] = &[
    "example.com",
    "a.example.com",
    "A.Example.COM.",
    "b.a.example.com",
    "aexample.com",
    "10.0.0.1",
    "[fd00::1]",
];

const BINARIES: &[&str] = &[
    "/usr/bin/a",
    "/usr/bin/b",
    "/usr/bin/*",
    "/usr/**",
    "/**/a",
    "/**",
];

const PROGRAMS: &[&[u8]] = &[
    b"/usr/bin/a",
    b"/usr/bin/b",
    b"/usr/bin/x/a",
    b"/opt/a",
    b"/usr/bin/\xff",
];

const PIECES: &[&str] = &[
    "q=a", "q=b", "q=ab", "r=a", "r=ab", "%71=a", "q=a+b", "q=a%20b", "a+b=a", "q", "q=", "=a", "",
    "x=1", "q=%C3%A9", "q=a;r=a", "x=%", "q=%00", "q=%ff",
];
