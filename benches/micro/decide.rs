//! Who may go where: `policy`, and the snapshot it is read from.

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;

use dataplane::Snapshot;
use policy::rego::{Reference, Verdict};
use policy::{Caller, Decision, Executable, Policy, SandboxId};
use wire::Authority;

use crate::time::Case;

pub(crate) fn cases() -> Vec<Case> {
    let policy = Arc::new(policy());
    let decide = |name: &'static str, caller: Caller, target: &'static [u8], allowed: bool| {
        let policy = Arc::clone(&policy);
        let target: Authority = wire::target::connect(target).expect("an authority");
        Case::new(name, 0, move || {
            let decision = policy::connect(&policy, black_box(&caller), black_box(&target));
            let is_allowed = !matches!(black_box(decision), Decision::Deny(_));
            assert_eq!(is_allowed, allowed, "{target}");
        })
    };
    let admitted = {
        let target = wire::target::connect(b"10.99.0.1:7001").expect("an authority");
        match policy::connect(&policy, &caller("/usr/bin/python3.13", 3), &target) {
            Decision::Tunnel(admitted) => admitted,
            Decision::Deny(_) | Decision::Inspect(_) => unreachable!("the policy allows it"),
        }
    };
    let answer: Vec<IpAddr> = vec![[10, 99, 0, 1].into()];
    let mut cases = vec![
        decide(
            "decide: hit, exact host and path",
            caller("/usr/bin/git", 0),
            b"api7.example.com:443",
            true,
        ),
        decide(
            "decide: hit, wildcard host, ancestor's path",
            caller("/usr/bin/curl", 3),
            b"a.wild.example.org:443",
            true,
        ),
        decide(
            "decide: hit, path by glob, 4 programs",
            caller("/usr/bin/python3.13", 3),
            b"10.99.0.1:7001",
            true,
        ),
        decide(
            "decide: miss, host not listed",
            caller("/usr/bin/git", 3),
            b"www.example.net:443",
            false,
        ),
        decide(
            "decide: deny, binary not listed",
            caller("/usr/bin/nc", 0),
            b"api7.example.com:443",
            false,
        ),
        Case::new(
            "address: verify an answer against allowed_ips",
            0,
            move || {
                black_box(policy::verify(black_box(&admitted), black_box(&answer)))
                    .expect("an allowed address");
            },
        ),
        snapshot(Arc::clone(&policy)),
    ];
    cases.extend(by_rules());
    for (name, address) in [
        ("address: classify, public v4", "93.184.215.14"),
        ("address: classify, private v4", "10.99.0.1"),
        ("address: classify, metadata v4", "169.254.169.254"),
        ("address: classify, public v6", "2606:2800:21f:cb07::1"),
        ("address: classify, v4 in 6to4", "2002:a9fe:a9fe::1"),
    ] {
        let address: IpAddr = address.parse().expect("an address");
        cases.push(Case::new(name, 0, move || {
            black_box(policy::classify(black_box(address)));
        }));
    }
    cases
}

/// The same questions to the Rego rules, as `policy explain` asks them.
fn by_rules() -> Vec<Case> {
    let questions = [
        (
            "decide: hit, exact host and path, Rego",
            caller("/usr/bin/git", 0),
            &b"api7.example.com:443"[..],
            true,
        ),
        (
            "decide: miss, host not listed, Rego",
            caller("/usr/bin/git", 3),
            b"www.example.net:443",
            false,
        ),
        (
            "decide: deny, binary not listed, Rego",
            caller("/usr/bin/nc", 0),
            b"api7.example.com:443",
            false,
        ),
    ];
    let case = |(name, caller, target, allowed): (&'static str, Caller, &[u8], bool)| {
        let mut reference = Reference::new(policy().document()).expect("the rules take it");
        let target: Authority = wire::target::connect(target).expect("an authority");
        Case::new(name, 0, move || {
            let verdict = reference.connect(black_box(&caller), black_box(&target));
            assert_eq!(
                matches!(black_box(verdict), Verdict::Allow { .. }),
                allowed,
                "{target}"
            );
        })
    };
    questions.into_iter().map(case).collect()
}

/// What a request does first: load the newest snapshot, take the policy of its sandbox out of it.
fn snapshot(policy: Arc<Policy>) -> Case {
    let id = SandboxId::new("bench").expect("a name");
    let slot = link::Slot::new(Snapshot {
        policies: [(id.clone(), policy)].into(),
        routes: None,
    });
    let mut reader = slot.reader();
    Case::new("snapshot: load, and one sandbox's policy", 0, move || {
        let snapshot = Arc::clone(&reader.load().value);
        black_box(snapshot.policies.get(black_box(&id)).map(Arc::clone));
        black_box(&slot);
    })
}

fn policy() -> Policy {
    let mut text = String::from("version: 1\nnetwork_policies:\n");
    for index in 0..100 {
        text.push_str(&format!(
            "  api{index}: {{endpoints: [{{host: api{index}.example.com, port: 443}}], binaries: [{{path: /usr/bin/git}}, {{path: /usr/bin/curl}}]}}\n"
        ));
    }
    text.push_str("  wild: {endpoints: [{host: '*.wild.example.org', port: 443}], binaries: [{path: /usr/local/bin/agent}]}\n");
    text.push_str("  echo: {endpoints: [{host: 10.99.0.1, port: 7001, allowed_ips: [10.99.0.0/24]}], binaries: [{path: '/usr/**/python*'}]}\n");
    let loaded =
        policy::parse(&text, "bench").unwrap_or_else(|problems| unreachable!("{problems}"));
    Policy::compile(loaded.document)
}

/// A caller below the agent and `depth - 1` shells.
fn caller(path: &str, depth: usize) -> Caller {
    let executable = |path: &str| Executable {
        path: path.as_bytes().into(),
        sha256: [7; 32],
    };
    let ancestors = ["/usr/local/bin/agent", "/usr/bin/bash", "/usr/bin/dash"];
    Caller {
        pid: 7,
        exe: executable(path),
        ancestors: ancestors
            .iter()
            .take(depth)
            .map(|path| executable(path))
            .collect(),
        cmdline: b"git\0fetch\0".to_vec(),
    }
}
