//! A probe against real servers on loopback: what arrives there, and what is made of the answers.

mod server;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use super::*;
use crate::model::Provider;
use crate::provider::vault::Vault;
use crate::provider::vault::glass::GlassVault;
use crate::refused::Refused;
use server::{Authority, Server};

/// A key that no outcome may repeat.
const CANARY: &str = "sk-canary-0123456789";

/// Generous: a busy machine is slow, and a test that fails by time says nothing.
const PATIENCE: Duration = Duration::from_secs(30);

fn backend(kind: &str, url: &str, key: &str) -> Backend {
    let vault = GlassVault::default();
    let base_url_key = format!("{}_BASE_URL", kind.to_ascii_uppercase());
    let provider = Provider {
        id: "prv-1".to_owned(),
        name: "p".to_owned(),
        kind: kind.to_owned(),
        credentials: BTreeMap::from([("KEY".to_owned(), vault.seal("prv-1", "KEY", key).unwrap())]),
        config: BTreeMap::from([(base_url_key, url.to_owned())]),
        allow_private_endpoint: true,
        created_at_ms: 1,
    };
    Backend::of(&provider, &vault).unwrap()
}

fn prober(authority: &Authority, time_max: Duration) -> Prober {
    let mut roots = Roots(RootCertStore::empty());
    roots.trust(authority.der()).unwrap();
    Prober::new(roots, Site::default(), time_max).unwrap()
}

/// One probe of a server that gives this answer; what arrived, and the outcome.
async fn asked(
    kind: &str,
    model: Option<&str>,
    key: &str,
    answer: (u16, &str),
) -> (Vec<String>, Outcome) {
    let authority = Authority::new("ours");
    let server = Server::tls(&authority, &["127.0.0.1"], vec![server::json(answer)]).await;
    let url = format!("https://{}/v1", server.addr());
    let outcome = prober(&authority, PATIENCE)
        .ask(&backend(kind, &url, key), model)
        .await;
    (server.requests().await, outcome)
}

fn lines(request: &str) -> Vec<&str> {
    let head = request.split("\r\n\r\n").next().unwrap();
    head.split("\r\n").collect()
}

fn body(request: &str) -> serde_json::Value {
    serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// RPC-10, RTE-3, RTE-7
#[tokio::test]
async fn an_openai_backend_is_asked_for_one_token_with_a_bearer_credential() {
    for kind in ["openai", "nvidia"] {
        let (requests, outcome) = asked(kind, Some("m\"1"), CANARY, (200, "{}")).await;
        assert_eq!(outcome.class, Class::Ok, "{outcome:?}");
        assert!(outcome.refusal().is_none());
        let [request] = &*requests else {
            panic!("{requests:?}")
        };
        let head = lines(request);
        assert_eq!(head[0], "POST /v1/chat/completions HTTP/1.1");
        let credential = format!("authorization: Bearer {CANARY}");
        assert_eq!(head.iter().filter(|line| **line == credential).count(), 1);
        assert!(head.iter().any(|line| line.starts_with("host: 127.0.0.1:")));
        assert!(head.contains(&"content-type: application/json"));
        let body = body(request);
        assert_eq!(body["model"], "m\"1");
        assert_eq!(body["max_tokens"], 1);
    }
}

/// RPC-10, RTE-3
#[tokio::test]
async fn an_anthropic_backend_is_asked_for_a_message_in_its_own_way() {
    let (requests, outcome) = asked("anthropic", Some("c"), CANARY, (200, "{}")).await;
    assert_eq!(outcome.class, Class::Ok, "{outcome:?}");
    let head = lines(&requests[0]);
    assert_eq!(head[0], "POST /v1/messages HTTP/1.1");
    assert!(head.contains(&&*format!("x-api-key: {CANARY}")));
    assert!(head.contains(&"anthropic-version: 2023-06-01"));
    assert!(!requests[0].contains("authorization"));
    assert_eq!(body(&requests[0])["max_tokens"], 1);
}

/// Without a model the list of models is asked for; one that is longer than what is read is one all the same.
#[tokio::test]
async fn without_a_model_the_list_is_asked_for() {
    let long = format!("{{\"data\":[\"{}\"]}}", "m".repeat(3 * ANSWER_BYTES_MAX));
    let (requests, outcome) = asked("openai", None, CANARY, (200, &long)).await;
    assert_eq!(outcome.class, Class::Ok, "{outcome:?}");
    assert_eq!(lines(&requests[0])[0], "GET /v1/models HTTP/1.1");
    assert!(!requests[0].contains("content-type"));
}

/// RPC-10: every class, and the five of a verification.
#[tokio::test]
async fn every_answer_has_its_class() {
    let coded = r#"{"error":{"code":"model_not_found","message":"no"}}"#;
    let other = r#"{"error":{"code":"other","message":"no"}}"#;
    let rows = [
        (401, other, Class::Credentials, "credentials"),
        (403, other, Class::Credentials, "credentials"),
        (404, other, Class::Model, "request shape"),
        (400, coded, Class::Model, "request shape"),
        (429, other, Class::RateLimit, "rate limit"),
        (402, other, Class::RateLimit, "rate limit"),
        (400, other, Class::RequestShape, "request shape"),
        (422, "", Class::RequestShape, "request shape"),
        (302, "", Class::RequestShape, "request shape"),
        (200, "<html>", Class::RequestShape, "request shape"),
        (500, other, Class::Health, "health"),
        (529, other, Class::Health, "health"),
    ];
    for (status, text, class, verification) in rows {
        let (requests, outcome) = asked("openai", Some("m"), CANARY, (status, text)).await;
        assert_eq!(requests.len(), 1, "asked once, no redirect followed");
        assert_eq!(outcome.class, class, "{status} {text}: {outcome:?}");
        let Some(Refused::Precondition(why)) = outcome.refusal() else {
            panic!("{outcome:?}");
        };
        let expected = format!("the verification failed ({verification}):");
        assert!(why.starts_with(&expected), "{why}");
    }
    // Where no model was named, none is missing.
    let (_, outcome) = asked("openai", None, CANARY, (404, other)).await;
    assert_eq!(outcome.class, Class::RequestShape);
}

/// Models that take another name for the limit are asked again with it.
#[tokio::test]
async fn a_model_that_wants_another_limit_is_asked_again() {
    let authority = Authority::new("ours");
    let wants = r#"{"error":{"code":"unsupported_parameter","param":"max_tokens"}}"#;
    let answers = vec![server::json((400, wants)), server::json((200, "{}"))];
    let server = Server::tls(&authority, &["127.0.0.1"], answers).await;
    let url = format!("https://{}", server.addr());
    let outcome = prober(&authority, PATIENCE)
        .ask(&backend("openai", &url, CANARY), Some("o"))
        .await;
    assert_eq!(outcome.class, Class::Ok, "{outcome:?}");
    let requests = server.requests().await;
    assert_eq!(requests.len(), 2);
    let second = body(&requests[1]);
    assert!(second.get("max_tokens").is_none());
    assert_eq!(second["max_completion_tokens"], 16);
}

/// INF-28, TR-087: a provider that echoes the key, whole, in part, or escaped in its JSON.
#[tokio::test]
async fn what_the_provider_says_is_shown_without_the_key() {
    let says = |text: &str| serde_json::json!({"error": {"message": text}}).to_string();
    let rows = [
        says(&format!("wrong key {CANARY}\nsorry")),
        says(&format!("wrong key {}", &CANARY[2..14])),
        says(&format!("{}{CANARY}", "x".repeat(295))),
        says(&format!("wrong key {CANARY}")).replace("sk-c", "\\u0073k-c"),
        serde_json::json!({ "detail": CANARY }).to_string(),
        serde_json::json!({ "error": CANARY }).to_string(),
    ];
    for text in rows {
        let (_, outcome) = asked("openai", Some("m"), CANARY, (401, &text)).await;
        let message = outcome.message;
        assert!(!message.contains("canary"), "{message}");
        assert!(!message.contains('\n') && message.contains("it says: "));
    }
    let (_, outcome) = asked("openai", Some("m"), CANARY, (401, &says("bad\u{1b}[2J"))).await;
    assert!(outcome.message.ends_with("it says: bad [2J"), "{outcome:?}");
    // Too short to be masked, so nothing is shown.
    let (_, outcome) = asked("openai", Some("m"), "k-77", (401, &says("not k-77!"))).await;
    assert!(!outcome.message.contains("k-77"), "{outcome:?}");
}

/// TR-038: no certificate, no request.
#[tokio::test]
async fn a_server_that_cannot_prove_its_name_hears_no_key() {
    let authority = Authority::new("ours");
    let (stranger, impostor) = (Authority::new("theirs"), Authority::new("ours"));
    let answers = || vec![server::json((200, "{}"))];
    let rows = [
        (
            Server::tls(&stranger, &["127.0.0.1"], answers()).await,
            "vouches",
        ),
        (
            Server::tls(&impostor, &["127.0.0.1"], answers()).await,
            "vouches",
        ),
        (
            Server::tls(&authority, &["other.test"], answers()).await,
            "another name",
        ),
        (Server::expired(&authority, answers()).await, "clock"),
    ];
    for (server, words) in rows {
        let url = format!("https://{}", server.addr());
        let outcome = prober(&authority, PATIENCE)
            .ask(&backend("openai", &url, CANARY), Some("m"))
            .await;
        assert_eq!(outcome.class, Class::Tls, "{outcome:?}");
        assert!(outcome.message.contains(words), "{outcome:?}");
        assert!(server.requests().await.is_empty());
    }
}

/// A server that speaks plain text where TLS is expected.
#[tokio::test]
async fn a_server_without_tls_is_named_as_such() {
    let server = Server::plain(vec![server::json((400, "{}"))]).await;
    let url = format!("https://{}", server.addr());
    let outcome = prober(&Authority::new("ours"), PATIENCE)
        .ask(&backend("openai", &url, CANARY), None)
        .await;
    assert_eq!(outcome.class, Class::Tls, "{outcome:?}");
    assert!(
        server
            .requests()
            .await
            .iter()
            .all(|seen| !seen.contains(CANARY))
    );
}

/// RB-11, RTE-8: plain `http` to loopback, by the operator's word.
#[tokio::test]
async fn a_local_backend_without_tls_is_asked_by_the_operators_word() {
    let server = Server::plain(vec![server::json((200, "{}"))]).await;
    let url = format!("http://localhost:{}/x", server.addr().port());
    let outcome = prober(&Authority::new("ours"), PATIENCE)
        .ask(&backend("openai", &url, CANARY), Some("m"))
        .await;
    assert_eq!(outcome.class, Class::Ok, "{outcome:?}");
    let requests = server.requests().await;
    let head = lines(&requests[0]);
    assert_eq!(head[0], "POST /x/v1/chat/completions HTTP/1.1");
}

/// RB-12 in kind: a name that leads inside without the word, and one of ringfence's own doors with it (TR-038).
#[tokio::test]
async fn an_address_that_may_not_be_dialled_is_not_dialled() {
    let authority = Authority::new("ours");
    let server = Server::tls(&authority, &["localhost"], vec![server::json((200, "{}"))]).await;
    let url = format!("https://{}", server.addr());
    let asking = prober(&authority, PATIENCE);
    // By hand, because such an endpoint does not come through the door; a name that leads inside does.
    let mut route = backend("openai", &url, CANARY).route("m").unwrap();
    route.allow_private_endpoint = false;
    let refused = asking.verified(&route, Instant::now() + PATIENCE).await;
    let outcome = Outcome::of_failure(&refused.unwrap_err());
    assert_eq!(outcome.class, Class::Connectivity);
    assert!(
        outcome.message.contains("--allow-private-endpoint"),
        "{outcome:?}"
    );
    let own = Prober {
        site: Site {
            own: vec![server.addr()],
            ..Site::default()
        },
        ..asking
    };
    let outcome = own.ask(&backend("openai", &url, CANARY), Some("m")).await;
    assert_eq!(outcome.class, Class::Connectivity);
    assert!(outcome.message.contains("never dialled"), "{outcome:?}");
    assert_eq!(server.connections(), 0);
}

/// RFC 6761 §6.4: `.invalid` has no address anywhere.
#[tokio::test]
async fn a_name_without_an_address_is_a_class_of_its_own() {
    let name = "nowhere.invalid";
    let outcome = prober(&Authority::new("ours"), PATIENCE)
        .ask(&backend("openai", &format!("https://{name}"), CANARY), None)
        .await;
    assert_eq!(outcome.class, Class::Name, "{outcome:?}");
    assert!(outcome.message.contains(name));
    let refused = outcome.refusal().unwrap().to_string();
    assert!(refused.contains("(connectivity)"), "{refused}");
}

/// RPC-10: connectivity.
#[tokio::test]
async fn a_closed_port_a_cut_and_a_silent_server_are_connectivity() {
    let authority = Authority::new("ours");
    let closed = {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.local_addr().unwrap()
    };
    let ask = async |addr: SocketAddr, time_max| {
        let url = format!("https://{addr}");
        let outcome = prober(&authority, time_max)
            .ask(&backend("openai", &url, CANARY), None)
            .await;
        assert_eq!(outcome.class, Class::Connectivity, "{outcome:?}");
        outcome.message
    };
    assert!(ask(closed, PATIENCE).await.starts_with("no connection"));
    let cut = Server::tls(&authority, &["127.0.0.1"], vec![Vec::new()]).await;
    assert!(
        ask(cut.addr(), PATIENCE)
            .await
            .contains("before the answer")
    );
    // Nothing ever answers, so any deadline will do.
    let silent = Server::silent().await;
    let message = ask(silent.addr(), Duration::from_millis(300)).await;
    assert!(message.contains("in time"), "{message}");
}

/// A head without end is not read to its end.
#[tokio::test]
async fn an_answer_that_is_no_http_is_named_as_such() {
    let authority = Authority::new("ours");
    let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(4 * ANSWER_BYTES_MAX));
    for answer in ["SSH-2.0-x\r\n\r\n".to_owned(), endless] {
        let answers = vec![answer.into_bytes()];
        let server = Server::tls(&authority, &["127.0.0.1"], answers).await;
        let url = format!("https://{}", server.addr());
        let outcome = prober(&authority, PATIENCE)
            .ask(&backend("openai", &url, CANARY), None)
            .await;
        assert_eq!(outcome.class, Class::RequestShape, "{outcome:?}");
    }
}

/// RTE-13
#[tokio::test]
async fn a_mock_is_well_without_a_socket() {
    let outcome = prober(&Authority::new("ours"), PATIENCE)
        .ask(&backend("openai", "mock://x", CANARY), Some("m"))
        .await;
    assert_eq!(outcome.class, Class::Ok);
}

/// The roots of this machine load, and one that is none is refused.
#[test]
fn only_an_authority_is_trusted() {
    let mut roots = Roots::of_host();
    assert!(roots.0.len() >= webpki_roots::TLS_SERVER_ROOTS.len());
    roots.trust(Authority::new("ours").der()).unwrap();
    let nonsense = CertificateDer::from(vec![0x30, 0x00]);
    assert!(roots.trust(nonsense).is_err());
}
