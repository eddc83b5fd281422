//! What is used, what is broken, and that neither says a secret.

use super::*;

pub(crate) fn ready(name: &str) -> ResolvedRoute {
    ResolvedRoute {
        name: name.to_owned(),
        base_url: "https://h.test/v1".to_owned(),
        protocols: vec!["openai_chat_completions".to_owned()],
        api_key: "sk-canary-1".to_owned(),
        model_id: "m".to_owned(),
        auth_header: "authorization".to_owned(),
        status: RouteStatus::Ready.into(),
        version: 4,
        ..ResolvedRoute::default()
    }
}

/// RPC-5, INF-19
#[test]
fn a_deadline_of_zero_is_the_default() {
    let (route, why) = route(ResolvedRoute {
        deadlines: Some(inference::Deadlines {
            header_ms: 1_500,
            ..inference::Deadlines::default()
        }),
        ..ready("r")
    });
    let route = route.unwrap();
    assert_eq!(why, None);
    assert_eq!(route.deadlines.header, Duration::from_millis(1_500));
    assert_eq!(route.deadlines.connect, Deadlines::default().connect);
    assert_eq!(route.deadlines.total, None);
    assert_eq!(route.version, 4);
}

/// RPC-12, PRV-8
#[test]
fn the_code_of_a_broken_route_decides_what_it_answers() {
    for (code, fault) in [
        ("provider_missing", Fault::ProviderMissing),
        ("route_broken", Fault::Unusable),
        ("", Fault::Unusable),
        ("something_newer", Fault::Unusable),
    ] {
        let (broken, why) = route(ResolvedRoute {
            status: RouteStatus::Broken.into(),
            error_code: code.to_owned(),
            api_key: String::new(),
            ..ready("r")
        });
        let broken = broken.unwrap_err();
        assert_eq!((broken.fault, why), (fault, None));
        assert_eq!(broken.protocols, [Protocol::OpenAiChatCompletions]);
    }
}

/// PRV-6, RTE-6, RTE-8: what the gateway should have refused is broken here, and nobody is told the key.
#[test]
fn a_route_that_cannot_be_used_says_why_and_not_its_key() {
    type Change = fn(&mut ResolvedRoute);
    let changes: [Change; 5] = [
        |route| route.base_url = "http://10.0.0.1/".to_owned(),
        |route| route.base_url = "https://sk-canary-1@h.test".to_owned(),
        |route| route.api_key = "sk-canary-1\r\nX: y".to_owned(),
        |route| route.status = 77,
        |route| {
            let value = "sk-canary-1\n".to_owned();
            route.default_headers.insert("x".to_owned(), value);
        },
    ];
    for change in changes {
        let mut message = ready("r");
        change(&mut message);
        let (broken, why) = route(message);
        let (broken, why) = (broken.unwrap_err(), why.unwrap());
        assert_eq!(broken.fault, Fault::Unusable);
        assert!(!format!("{broken:?}{why}").contains("sk-canary"), "{why}");
    }
}

/// BAS-3
#[test]
fn a_policy_that_lacks_the_baseline_says_what_was_added() {
    let bare = SandboxPolicy {
        version: 1,
        ..SandboxPolicy::default()
    };
    let decoded = policy(&bare, |_, _| Ok(())).unwrap();
    assert!(decoded.added.contains(&"/usr".to_owned()));
    assert_eq!(decoded.written.filesystem, None);
    assert!(decoded.policy.document().filesystem.is_some());
}

/// RGO-6: own rules are looked into where that can be ended, before they judge.
#[test]
fn rules_that_are_not_accepted_make_no_policy() {
    let with_rules = SandboxPolicy {
        version: 1,
        rego: "package ringfence.sandbox\n".to_owned(),
        ..SandboxPolicy::default()
    };
    let refused = policy(&with_rules, |_, rules| {
        assert!(rules.is_some());
        Err("policy.rego:1:1: no".to_owned())
    });
    assert_eq!(refused.err().unwrap(), "policy.rego:1:1: no");
    let taken = policy(&with_rules, |_, _| Ok(())).unwrap();
    assert!(taken.policy.rules().is_some());
}
