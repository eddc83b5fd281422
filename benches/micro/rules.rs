//! An operator's own rules: asked, and known already.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hint::black_box;

use dataplane::{Evaluators, Limits, RulesError};
use policy::custom::{self, Rules, Ruling, question};
use policy::{Caller, Decision, Policy, PolicyDocument};
use wire::Authority;

use crate::time::Case;

pub(crate) fn cases() -> Result<Vec<Case>, RulesError> {
    let short = rules(SHORT, &PolicyDocument::empty());
    let policy = Policy::compile(PolicyDocument::empty()).with_rules(short.clone());
    let mut cases = vec![known(policy, &short)?];
    cases.push(asked("rules: asked, ten lines", &short)?);
    let denied = |bomb: &str| rules(&format!("{SHORT}{bomb}"), &PolicyDocument::empty());
    cases.push(asked("rules: killed for time, next asked", &denied(SLOW))?);
    cases.push(asked("rules: refused memory, next asked", &denied(LARGE))?);
    let name = "rules: asked, the built-in module over 10 policies";
    cases.push(asked(name, &rules(policy::rego::RULES, &document(10)))?);
    Ok(cases)
}

/// Writing the question, finding its answer among a thousand, and making the decision of it: what a second identical
/// question costs a worker.
fn known(policy: Policy, rules: &Rules) -> Result<Case, RulesError> {
    let (caller, target) = (caller(), target());
    let mut asked = Vec::new();
    question::connect(&mut asked, &caller, &target);
    let ruling = evaluators().open(rules)?.ask(&asked);
    let mut answers: HashMap<Box<[u8]>, Ruling> = (0..1000_u32)
        .map(|other| (other.to_le_bytes().into(), Ruling::failed()))
        .collect();
    answers.insert(asked.as_slice().into(), ruling);
    let asked = RefCell::new(asked);
    Ok(Case::new(
        "rules: known, question to decision",
        0,
        move || {
            let mut asked = asked.borrow_mut();
            question::connect(&mut asked, black_box(&caller), black_box(&target));
            let ruling = answers.get(asked.as_slice()).expect("it was put in");
            let decision = custom::connect(&policy, &target, ruling);
            assert!(matches!(black_box(decision), Decision::Tunnel(_)));
        },
    ))
}

/// A question to the process and its answer back.
fn asked(name: &'static str, rules: &Rules) -> Result<Case, RulesError> {
    let mut prepared = evaluators().open(rules)?;
    let mut asked = Vec::new();
    question::connect(&mut asked, &caller(), &target());
    Ok(Case::new(name, 0, move || {
        black_box(prepared.ask(&asked));
    }))
}

fn evaluators() -> Evaluators {
    Evaluators::new("/proc/self/exe".into(), &Limits::default())
}

fn rules(text: &str, document: &PolicyDocument) -> Rules {
    Rules::new(text, "own.rego", &policy::rego::data(document))
        .unwrap_or_else(|problem| unreachable!("{problem}"))
}

fn document(policies: u32) -> PolicyDocument {
    let mut text = "version: 1\nnetwork_policies:\n".to_owned();
    for index in 0..policies {
        text += &format!(
            "  p{index}: {{ endpoints: [{{ host: api{index}.example.com, port: 443 }}], binaries: [{{ path: /usr/bin/git }}, {{ path: \"/usr/lib/**\" }}] }}\n"
        );
    }
    policy::parse(&text, "bench")
        .unwrap_or_else(|problems| unreachable!("{problems}"))
        .document
}

fn caller() -> Caller {
    Caller::from_paths("/usr/bin/git", &["/usr/bin/bash", "/usr/bin/python3.13"])
}

fn target() -> Authority {
    wire::target::connect(b"api7.example.com:443").expect("an authority")
}

const SHORT: &str = r#"package ringfence.sandbox

import rego.v1

default network_action := "deny"

network_action := "allow" if {
	endswith(input.network.host, ".example.com")
	input.network.port == 443
	input.exec.path in {"/usr/bin/git", "/usr/bin/curl"}
}

matched_network_policy := "example" if network_action == "allow"

deny_reason := sprintf("%s is not on our list", [input.network.host])
"#;

const SLOW: &str = r#"
network_action := "deny" if {
	count([1 | some i in numbers.range(1, 3000); some j in numbers.range(1, 3000); i == j]) > 0
}
"#;

const LARGE: &str = r#"
network_action := "deny" if count(numbers.range(1, 2000000000)) > 0
"#;
