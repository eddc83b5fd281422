//! What `inference.local` recognises, and what the backend gets.

use std::io::Write;
use std::time::Duration;

use harness::http::Message;
use harness::play;
use policy::Routes;
use policy::route::{Broken, Fault};

use crate::world::client::{
    Ending, Inside, answer, ask, drain, expect_silence, get, post, post_with, verdict,
};
use crate::world::upstream::Kept;
use crate::world::upstream::{Upstream, reply};
use crate::world::{BACKEND, KEY, MODEL, Setup, route};

/// Sends a request that reaches the backend, which answers `{}`; what the backend saw.
pub(crate) fn carried(client: &mut Inside, backend: &mut Kept, bytes: &[u8]) -> (Message, Message) {
    client.stream.write_all(bytes).unwrap();
    let sent = backend.request();
    reply(backend.call.as_mut().unwrap(), "200 OK", "{}");
    (sent, answer(client))
}

/// IR-1, IR-4, IR-6, INF-4, INF-10
#[test]
fn a_recognised_request_is_sent_with_its_query_and_the_routes_credential() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let mut backend = Kept::start();
        let mut client = world.inside();
        for (asked, sent_as) in [
            (
                "/v1/chat/completions?stream=true",
                "/v1/chat/completions?stream=true",
            ),
            ("/v1/completions", "/v1/completions"),
            ("/v1/responses", "/v1/responses"),
            (
                "/v1/messages?key=k&beta=true&api_key=k",
                "/v1/messages?beta=true",
            ),
            (
                "/v1/chat/completions?key=k&api_key=k",
                "/v1/chat/completions",
            ),
        ] {
            let (sent, _) = carried(&mut client, &mut backend, &post(asked, "{}"));
            assert_eq!(
                (sent.method().as_str(), sent.target().as_str()),
                ("POST", sent_as)
            );
            assert_eq!(sent.text(), format!("{{\"model\":\"{MODEL}\"}}"));
            assert_eq!(sent.field("host").as_deref(), Some(BACKEND));
            assert_eq!(sent.field("authorization"), Some(format!("Bearer {KEY}")));
            assert_eq!(sent.count("content-length"), 1);
        }
        for asked in [
            "/v1/models",
            "/v1/models/gpt-4.1",
            "/v1/models/meta%2Fllama",
            "/v1/models?x=http://a/v1/files",
        ] {
            let (sent, _) = carried(&mut client, &mut backend, &get(asked));
            assert_eq!(
                (sent.method().as_str(), sent.target().as_str()),
                ("GET", asked)
            );
            assert_eq!(sent.field("authorization"), Some(format!("Bearer {KEY}")));
            assert_eq!(sent.count("content-length"), 0);
        }
        let ended = world.end();
        assert_eq!(ended.of("CONNECT").len(), 1);
        let calls = ended.of("INFERENCE");
        assert_eq!(calls.len(), 9);
        for call in &calls {
            assert_eq!(call["action"], "allow");
            assert_eq!(call["end"], "complete");
            assert_eq!(call["status"], 200);
            assert_eq!(call["bytes_out"], 2);
            assert!(call["binary"].as_str().unwrap().starts_with('/'), "{call}");
            assert!(!call["path"].as_str().unwrap().contains('?'), "{call}");
        }
        assert_eq!(calls[0]["kind"], "chat_completion");
        assert_eq!(calls[0]["protocol"], "openai_chat_completions");
        assert_eq!(calls[0]["model"], MODEL);
        let text = serde_json::to_string(&ended.records).unwrap();
        assert!(!text.contains(KEY));
    });
}

/// IR-2, IR-3, INF-5, INF-6, TR-053
#[test]
fn everything_else_is_refused_and_ends_the_connection() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let backend = Upstream::backend();
        let targets = [
            ("GET", "/v1/chat/completions"),
            ("POST", "/v1/embeddings"),
            ("GET", "/v1/not-inference"),
            ("POST", "/V1/chat/completions"),
            ("POST", "/v1/chat/completions/"),
            ("POST", "/v1/chat/completions;x=y"),
            ("GET", "/v1/models/../files"),
            ("GET", "/v1/models/%2e%2e/files"),
            ("GET", "/v1/models/a%2F..%2Fb"),
            ("GET", "//v1/models"),
            ("GET", "/v1/models/"),
            ("OPTIONS", "*"),
        ];
        for (method, target) in targets {
            let mut client = world.inside();
            let head = format!(
                "{method} {target} HTTP/1.1\r\nHost: inference.local\r\nContent-Length: 0\r\n\r\n"
            );
            client.stream.write_all(head.as_bytes()).unwrap();
            let refusal = answer(&mut client);
            assert_eq!(
                verdict(&refusal),
                "403 inference_request_not_recognised",
                "{target}"
            );
            assert_eq!(refusal.field("connection").as_deref(), Some("close"));
            assert!(target == "*" || refusal.json()["hint"].is_string());
            assert_eq!(
                drain(&mut client.stream),
                (Vec::new(), Ending::Clean),
                "{target}"
            );
        }
        assert!(backend.is_untouched());
        let ended = world.end();
        assert_eq!(ended.of("INFERENCE").len(), targets.len());
    });
}

/// IR-5, INF-3, INF-6
#[test]
fn a_request_for_another_authority_or_an_upgrade_is_refused() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let mut backend = Kept::start();
        for (target, host, more, wanted) in [
            (
                "https://inference.local/v1/models",
                "inference.local",
                "",
                "200",
            ),
            (
                "https://inference.local:443/v1/models",
                "inference.local:443",
                "",
                "200",
            ),
            (
                "https://other.test/v1/models",
                "inference.local",
                "",
                "403 authority_mismatch",
            ),
            (
                "http://inference.local/v1/models",
                "inference.local",
                "",
                "403 authority_mismatch",
            ),
            ("/v1/models", "other.test", "", "403 authority_mismatch"),
            (
                "/v1/models",
                "inference.local:80",
                "",
                "403 authority_mismatch",
            ),
            (
                "/v1/models",
                "inference.local",
                "Connection: upgrade\r\nUpgrade: websocket\r\n",
                "403 upgrade_not_allowed",
            ),
        ] {
            let mut client = world.inside();
            let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n");
            client.stream.write_all(head.as_bytes()).unwrap();
            if wanted == "200" {
                assert_eq!(backend.request().target(), "/v1/models");
                reply(backend.call.as_mut().unwrap(), "200 OK", "{}");
                assert_eq!(answer(&mut client).status(), 200);
            } else {
                assert_eq!(verdict(&answer(&mut client)), wanted, "{target} {host}");
                assert_eq!(drain(&mut client.stream).1, Ending::Clean);
            }
        }
    });
}

/// IR-6, IR-7, IR-9, INF-9, INF-10, TR-022, TR-065, TR-081
#[test]
fn only_allow_listed_fields_travel_and_the_credential_is_always_the_routes() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let mut backend = Kept::start();
        let mut client = world.inside();
        let dropped = [
            "Authorization: Bearer sandbox-guess",
            "x-api-key: sandbox-guess",
            "api-key: sandbox-guess",
            "x-goog-api-key: sandbox-guess",
            "X-Goog-User-Project: sandbox-guess",
            "Cookie: a=sandbox-guess",
            "X-Other: sandbox-guess",
            "Proxy-Authorization: sandbox-guess",
            "Connection: authorization, accept, content-type",
            "TE: trailers",
            "Via: sandbox-guess",
            "Forwarded: for=sandbox-guess",
        ];
        let kept = [
            ("openai-organization", "o"),
            ("x-stainless-lang", "rust"),
            ("idempotency-key", "i"),
            ("traceparent", "00-t"),
            ("tracestate", "s"),
            ("x-request-id", "r"),
            ("user-agent", "u/1"),
            ("accept-encoding", "gzip"),
            ("anthropic-version", "2024-01-01"),
            ("anthropic-beta", "b"),
        ];
        let mut fields = String::new();
        for line in dropped {
            fields += &format!("{line}\r\n");
        }
        for (name, value) in kept {
            fields += &format!("{name}: {value}\r\n");
        }
        fields += "Accept: text/plain\r\n";
        let (sent, _) = carried(
            &mut client,
            &mut backend,
            &post_with("/v1/messages", &fields, "{}"),
        );
        let head = String::from_utf8(sent.head.clone()).unwrap();
        assert!(!head.contains("sandbox-guess"), "{head}");
        for (name, value) in kept {
            assert_eq!(sent.field(name).as_deref(), Some(value), "{name}");
        }
        // Named in Connection: the client's own are hop-by-hop then, ours are added all the same.
        assert_eq!(sent.field("accept"), None);
        assert_eq!(
            sent.field("content-type").as_deref(),
            Some("application/json")
        );
        assert_eq!(sent.field("authorization"), Some(format!("Bearer {KEY}")));
        let last = head.trim_end().lines().last().unwrap();
        assert!(
            last.starts_with("Authorization: "),
            "the credential is the last field: {last}"
        );
        for name in ["connection", "te", "cookie", "x-other", "via", "forwarded"] {
            assert_eq!(sent.count(name), 0, "{name}");
        }
    });
}

/// IR-8, RTE-3, RTE-4, TR-065
#[test]
fn an_anthropic_route_has_its_own_credential_field_and_default_version() {
    play(|_| {
        let world = Setup::new().backend("provider_type: anthropic").open();
        let mut backend = Kept::start();
        let mut client = world.inside();
        for (fields, version) in [
            ("", "2023-06-01"),
            ("anthropic-version: 2024-01-01\r\n", "2024-01-01"),
        ] {
            let (sent, _) = carried(
                &mut client,
                &mut backend,
                &post_with("/v1/messages", fields, "{}"),
            );
            assert_eq!(sent.field("x-api-key").as_deref(), Some(KEY));
            assert_eq!(sent.count("authorization"), 0);
            assert_eq!(sent.count("anthropic-version"), 1);
            assert_eq!(sent.field("anthropic-version").as_deref(), Some(version));
        }
    });
}

/// IR-10, IR-11, RB-4, RTE-2
#[test]
fn a_request_without_a_route_says_what_is_missing() {
    play(|_| {
        let openai = format!(
            "routes:\n- {{endpoint: \"http://{BACKEND}\", model: m, api_key: k1234567, protocols: [openai_chat_completions]}}\n"
        );
        let world = Setup::new().routes(&openai).open();
        let mut client = world.inside();
        let refusal = ask(&mut client, &post("/v1/messages", "{}"));
        assert_eq!(verdict(&refusal), "400 no_compatible_route");
        assert!(
            refusal.json()["detail"]
                .as_str()
                .unwrap()
                .contains("anthropic_messages")
        );

        world.put_routes("routes: []\n");
        let mut client = world.inside();
        let refusal = ask(&mut client, &post("/v1/messages", "{}"));
        assert_eq!(verdict(&refusal), "503 inference_not_configured");
        let hint = refusal.json()["hint"].as_str().unwrap().to_owned();
        assert!(
            hint.contains("ringfence cluster inference set --provider NAME --model ID"),
            "{hint}"
        );
        let ended = world.end();
        let codes: Vec<_> = ended
            .of("INFERENCE")
            .iter()
            .map(|record| record["code"].clone())
            .collect();
        assert_eq!(codes, ["no_compatible_route", "inference_not_configured"]);
    });
}

/// IR-11, PRV-8, DPL-9, DL-3: a route that is broken or stale says so, to its protocols alone.
#[test]
fn a_route_that_cannot_be_used_answers_503_with_its_code() {
    play(|_| {
        let world = Setup::new().backend("").open();
        // A body that was announced and not read ends its connection, so each request has its own.
        let asked = |target: &str| verdict(&ask(&mut world.inside(), &post(target, "{}")));
        for (fault, expected) in [
            (Fault::ProviderMissing, "503 provider_missing"),
            (Fault::Unusable, "503 route_broken"),
        ] {
            let broken = Broken {
                name: "inference.local".to_owned(),
                protocols: vec![policy::Protocol::AnthropicMessages],
                fault,
                version: 2,
            };
            world.change_routes(|before| Routes::of_gateway(vec![Err(broken)], before));
            assert_eq!(asked("/v1/messages"), expected);
        }
        assert_eq!(asked("/v1/completions"), "400 no_compatible_route");
        world.change_routes(Routes::gone_stale);
        assert_eq!(asked("/v1/messages"), "503 route_stale");
    });
}

/// IR-11: the first snapshot is pending.
#[test]
fn a_request_before_the_first_routes_is_503() {
    play(|_| {
        let world = Setup::new().no_routes_yet().open();
        let mut client = world.inside();
        assert_eq!(
            verdict(&ask(&mut client, &post("/v1/messages", "{}"))),
            "503 inference_not_ready"
        );
    });
}

/// IR-14, RTE-7
#[test]
fn the_base_urls_path_goes_before_the_requests() {
    play(|_| {
        let world = Setup::new().open();
        let mut backend = Kept::start();
        for (base, target) in [
            ("/v1", "/v1/chat/completions"),
            ("/v1/", "/v1/chat/completions"),
            ("", "/v1/chat/completions"),
            ("/x", "/x/v1/chat/completions"),
            ("/apiv1", "/apiv1/v1/chat/completions"),
            ("/openai/v1", "/openai/v1/chat/completions"),
        ] {
            world.put_routes(&route(&format!("http://{BACKEND}{base}"), ""));
            let mut client = world.inside();
            // Another route is another pool: connections never cross.
            backend.call = None;
            let (sent, _) = carried(
                &mut client,
                &mut backend,
                &post("/v1/chat/completions", "{}"),
            );
            assert_eq!(sent.target(), target, "{base}");
        }
    });
}

/// RB-13, RTE-13: all shapes, whole and as a stream, without a socket.
#[test]
fn the_mock_backend_speaks_every_dialect_both_ways() {
    const TEXT: &str = "Hello from ringfence mock backend";
    play(|_| {
        let world = Setup::new().routes(&route("mock://anything", "")).open();
        let mut client = world.inside();
        for (path, pointer) in [
            ("/v1/chat/completions", "/choices/0/message/content"),
            ("/v1/completions", "/choices/0/text"),
            ("/v1/responses", "/output/0/content/0/text"),
            ("/v1/messages", "/content/0/text"),
        ] {
            let whole = ask(&mut client, &post(path, "{}"));
            assert_eq!(whole.status(), 200);
            assert_eq!(whole.field("x-ringfence-mock").as_deref(), Some("true"));
            assert_eq!(
                whole.field("content-type").as_deref(),
                Some("application/json")
            );
            assert_eq!(whole.field("x-ringfence-model").as_deref(), Some(MODEL));
            let body = whole.json();
            assert_eq!(
                body.pointer(pointer).and_then(|text| text.as_str()),
                Some(TEXT),
                "{body}"
            );
            assert_eq!(body["model"], MODEL);

            let stream = ask(&mut client, &post(path, r#"{"stream":true}"#));
            assert_eq!(
                stream.field("content-type").as_deref(),
                Some("text/event-stream")
            );
            assert_eq!(stream.field("x-ringfence-mock").as_deref(), Some("true"));
            let text = stream.text();
            let mut said = String::new();
            for data in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
                if data == "[DONE]" {
                    continue;
                }
                let event: serde_json::Value =
                    serde_json::from_str(data).expect("each event is JSON");
                let delta = [
                    "/choices/0/delta/content",
                    "/choices/0/text",
                    "/delta/text",
                    "/delta",
                ]
                .iter()
                .find_map(|pointer| event.pointer(pointer)?.as_str());
                said += delta.unwrap_or_default();
            }
            assert_eq!(said, TEXT, "{path}: {text}");
            assert_eq!(
                text.contains("[DONE]"),
                path.ends_with("completions"),
                "{path}"
            );
            assert_eq!(text.contains("event: message_stop"), path == "/v1/messages");
            assert_eq!(
                text.contains("event: response.completed"),
                path == "/v1/responses"
            );
        }
        let list = ask(&mut client, &get("/v1/models")).json();
        assert_eq!(list["data"][0]["id"], MODEL);
        assert_eq!(ask(&mut client, &get("/v1/models/x")).json()["id"], MODEL);
        // Close-delimited for a client of HTTP/1.0.
        let old = format!(
            "POST /v1/messages HTTP/1.0\r\nContent-Length: 15\r\n\r\n{}",
            r#"{"stream":true}"#
        );
        client.stream.write_all(old.as_bytes()).unwrap();
        let found = answer(&mut client);
        assert!(
            found.text().ends_with("\"message_stop\"}\n\n"),
            "{}",
            found.text()
        );
        let ended = world.end();
        assert_eq!(ended.of("INFERENCE").len(), 4 * 2 + 2 + 1);
        assert!(
            ended
                .of("INFERENCE")
                .iter()
                .all(|record| record["end"] == "complete")
        );
    });
}

/// IR-18, INF-26
#[test]
fn the_models_list_judges_the_model_that_would_be_sent() {
    play(|_| {
        let world = Setup::new()
            .backend("")
            .top("inference: {models: [\"small-*\"]}\n")
            .open();
        let mut backend = Kept::start();
        let mut client = world.inside();
        let refusal = ask(&mut client, &post("/v1/messages", r#"{"model":"small-1"}"#));
        assert_eq!(verdict(&refusal), "403 model_not_allowed");
        assert_eq!(refusal.json()["model"], MODEL);
        assert!(backend.listener.is_untouched());
        // It does not apply to discovery.
        let mut client = world.inside();
        carried(&mut client, &mut backend, &get("/v1/models"));
        expect_silence(
            &backend.call.as_ref().unwrap().stream,
            Duration::from_millis(50),
        );
    });
}
