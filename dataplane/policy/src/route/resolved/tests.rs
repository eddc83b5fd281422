//! Routes of a gateway: what is accepted, what is broken, and what stays the same object.

use std::sync::Arc;

use super::*;
use crate::route::{Broken, Fault, NoRoute, Routes};

const CHAT: Protocol = Protocol::OpenAiChatCompletions;
const MESSAGES: Protocol = Protocol::AnthropicMessages;

fn resolve(change: impl FnOnce(&mut Resolved<'_>)) -> Result<Route, RouteError> {
    let protocols = [CHAT.to_string()];
    let mut resolved = Resolved {
        name: "inference.local",
        base_url: "https://h.test/v1",
        protocols: &protocols,
        api_key: "sk-1",
        model: "m",
        auth_header: "authorization",
        default_headers: &[],
        deadlines: Deadlines::default(),
        allow_private_endpoint: false,
        version: 3,
    };
    change(&mut resolved);
    Route::resolve(&resolved)
}

fn broken(protocols: &[Protocol], fault: Fault) -> Broken {
    Broken {
        name: "inference.local".to_owned(),
        protocols: protocols.to_vec(),
        fault,
        version: 3,
    }
}

/// RPC-5, RTE-3
#[test]
fn authorization_means_bearer_and_any_other_name_is_a_field() {
    assert_eq!(
        resolve(|route| route.auth_header = "Authorization")
            .unwrap()
            .auth,
        AuthStyle::Bearer
    );
    let other = resolve(|route| route.auth_header = "X-Api-Key").unwrap();
    assert!(matches!(other.auth, AuthStyle::Header(name) if name.as_str() == "x-api-key"));
}

/// RTE-6, RTE-8, PRV-4, TR-085: the data plane checks again what the gateway checked.
#[test]
fn what_cannot_make_a_request_is_no_route() {
    type Change = fn(&mut Resolved<'_>);
    let changes: [(&str, Change); 14] = [
        ("ftp", |route| route.base_url = "ftp://h.test"),
        ("userinfo", |route| route.base_url = "https://u@h.test"),
        ("query", |route| route.base_url = "https://h.test?x"),
        ("plain http", |route| route.base_url = "http://10.0.0.1"),
        ("no protocol", |route| route.protocols = &[]),
        ("blank model", |route| route.model = " "),
        ("blank key", |route| route.api_key = " "),
        ("key with CR", |route| route.api_key = "a\rb"),
        ("no header", |route| route.auth_header = ""),
        ("header with space", |route| route.auth_header = "x y"),
        ("framing", |route| route.auth_header = "Content-Length"),
        ("hop", |route| {
            route.default_headers = &[("Connection", "close")];
        }),
        ("LF", |route| route.default_headers = &[("x", "a\nb")]),
        ("host", |route| route.default_headers = &[("HOST", "h")]),
    ];
    for (what, change) in changes {
        assert!(resolve(change).is_err(), "{what}");
    }
    let private = resolve(|route| {
        route.base_url = "http://10.0.0.1:8000/v1";
        route.allow_private_endpoint = true;
    });
    assert!(private.is_ok());
}

/// RTE-2, RPC-12, DPL-6
#[test]
fn a_broken_route_answers_for_its_protocols_and_leaves_the_others_alone() {
    let usable = || Ok(resolve(|_| ()).unwrap());
    let missing = |protocols: &[Protocol]| Err(broken(protocols, Fault::ProviderMissing));
    let routes = |listed| Routes::of_gateway(listed, &Routes::default());
    let both = routes(vec![missing(&[MESSAGES]), usable()]);
    assert!(both.select(CHAT).is_ok());
    assert_eq!(
        both.select(MESSAGES).unwrap_err(),
        NoRoute::Broken(Fault::ProviderMissing)
    );
    assert_eq!(
        both.select(Protocol::OpenAiResponses).unwrap_err(),
        NoRoute::Incompatible
    );
    // Listed order decides, also between a broken one and one that can be used.
    assert!(
        routes(vec![usable(), missing(&[CHAT])])
            .select(CHAT)
            .is_ok()
    );
    assert!(
        routes(vec![missing(&[CHAT]), usable()])
            .select(CHAT)
            .is_err()
    );
    // Where the protocols are not known, it stands for all of them.
    assert!(!routes(vec![missing(&[])]).is_empty());
    for protocol in Protocol::ALL {
        assert!(routes(vec![missing(&[])]).select(protocol).is_err());
    }
}

/// TR-082: an idle connection belongs to a route object.
#[test]
fn a_route_that_a_gateway_repeats_stays_the_same_object() {
    let listed = |key: &'static str, version| {
        vec![Ok(resolve(|route| {
            route.api_key = key;
            route.version = version;
        })
        .unwrap())]
    };
    let first = Routes::of_gateway(listed("a", 1), &Routes::default());
    let same = Routes::of_gateway(listed("a", 1), &first);
    assert!(Arc::ptr_eq(&first.as_slice()[0], &same.as_slice()[0]));
    for (key, version) in [("b", 1), ("a", 2)] {
        let next = Routes::of_gateway(listed(key, version), &first);
        assert!(!Arc::ptr_eq(&first.as_slice()[0], &next.as_slice()[0]));
        assert_eq!(next.as_slice()[0].version, version);
    }
}

/// DPL-9
#[test]
fn routes_that_went_stale_answer_so_and_hold_no_credential() {
    let listed = vec![
        Ok(resolve(|_| ()).unwrap()),
        Err(broken(&[MESSAGES], Fault::Unusable)),
    ];
    let stale = Routes::of_gateway(listed, &Routes::default()).gone_stale();
    assert!(stale.as_slice().is_empty());
    for protocol in [CHAT, MESSAGES] {
        assert_eq!(
            stale.select(protocol).unwrap_err(),
            NoRoute::Broken(Fault::Stale)
        );
    }
    assert!(Routes::default().gone_stale().is_empty());
}
