//! inference.local through a real fence: recognition, authorities, fields, limits (VECTORS.md 9, IR).

use std::io::Write;
use std::sync::Arc;

use harness::http::{Answer, End, Reader};
use harness::model::{MODEL, key};
use harness::origin::{After, Origin};
use harness::policy::text;
use harness::raw::{Fence, TlsRaw, tls};
use harness::scene::{PRIVATE, Scene};
use harness::{model, play};
use rustls::ClientConfig;

/// A fence with a model behind it, and what a client in it trusts.
struct World {
    origin: Origin,
    fence: Fence,
    trust: Arc<ClientConfig>,
}

impl World {
    /// With the scene's model server; `more` is further top-level YAML of the policy.
    fn new(scene: &Scene, more: &str) -> World {
        World::with(scene, model::start(&format!("{PRIVATE}:8000"), None), more)
    }

    fn with(scene: &Scene, origin: Origin, more: &str) -> World {
        let routes = model::routes(&model::endpoint("http", origin.address()));
        World::routed(scene, origin, &routes, more)
    }

    fn routed(scene: &Scene, origin: Origin, routes: &str, more: &str) -> World {
        let fence = scene.run().policy(&text("", more)).routes(routes).fence();
        let trust = fence.trust();
        World {
            origin,
            fence,
            trust,
        }
    }

    /// One request on a connection of its own.
    fn ask(&self, line: &str, fields: &str, body: &str) -> (Answer, Reader<TlsRaw>) {
        let mut reader = self.fence.inference(&self.trust, 65_536);
        let answer = ask(&mut reader, line, fields, body);
        (answer, reader)
    }

    fn post(&self, path: &str, body: &str) -> Answer {
        self.ask(&format!("POST {path}"), "Host: inference.local\r\n", body)
            .0
    }

    /// A request that is refused with this status and code, closes the connection and reaches no model.
    fn refused(&self, line: &str, fields: &str, body: &str, status: u16, error: &str) {
        let before = self.origin.requests().len();
        let (answer, mut reader) = self.ask(line, fields, body);
        let seen = (
            answer.message.status(),
            answer.message.json()["error"].as_str().map(str::to_owned),
        );
        assert_eq!(
            seen,
            (status, Some(error.to_owned())),
            "{line}: {}",
            answer.message.text()
        );
        if status == 403 {
            assert_eq!(
                reader.drain(),
                (Vec::new(), End::Complete),
                "{line}: closed after the refusal"
            );
        }
        assert_eq!(
            self.origin.requests().len(),
            before,
            "{line}: nothing reaches the model"
        );
    }
}

fn ask(reader: &mut Reader<TlsRaw>, line: &str, fields: &str, body: &str) -> Answer {
    let method = line.split(' ').next().unwrap_or_default();
    let length = if method == "GET" {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    write!(
        reader.stream,
        "{line} HTTP/1.1\r\n{fields}{length}\r\n{body}"
    )
    .expect("the request is sent");
    reader
        .final_answer(method)
        .unwrap_or_else(|| unreachable!("no answer to {line}"))
}

const HOST: &str = "Host: inference.local\r\n";
const CHAT: &str = "/v1/chat/completions";
const BODY: &str = r#"{"model":"any","messages":[]}"#;

/// IR-1, IR-4, INF-4, INF-5
#[test]
fn recognised_requests_are_sent_as_they_matched() {
    play(|scene| {
        let world = World::new(scene, "");
        for (line, sent) in [
            (
                "POST /v1/chat/completions?stream=true",
                "/v1/chat/completions?stream=true",
            ),
            ("POST /v1/completions", "/v1/completions"),
            ("POST /v1/responses", "/v1/responses"),
            ("POST /v1/messages?beta=true", "/v1/messages?beta=true"),
            ("GET /v1/models", "/v1/models"),
            ("GET /v1/models/gpt-4.1", "/v1/models/gpt-4.1"),
            ("GET /v1/models/meta%2Fllama", "/v1/models/meta%2Fllama"),
            ("GET /v1/models/a/b/c", "/v1/models/a/b/c"),
            (
                "GET /v1/models?x=http://a/v1/files",
                "/v1/models?x=http://a/v1/files",
            ),
            (
                "GET /v1/models?key=k&a=b&api_key=k&token=t",
                "/v1/models?a=b",
            ),
        ] {
            let (answer, _) = world.ask(line, HOST, BODY);
            assert_eq!(
                answer.message.status(),
                200,
                "{line}: {}",
                answer.message.text()
            );
            assert_eq!(
                world
                    .origin
                    .take()
                    .pop()
                    .expect("a request at the model")
                    .target(),
                sent,
                "{line}"
            );
        }
    });
}

/// IR-2, IR-3, INF-6
#[test]
fn everything_else_is_refused_and_the_connection_closed() {
    play(|scene| {
        let world = World::new(scene, "");
        for line in [
            "GET /v1/chat/completions",
            "POST /v1/embeddings",
            "GET /v1/not-inference",
            "POST /V1/chat/completions",
            "POST /v1/chat/completions/",
            "POST /v1/chat/completions;x=y",
            "POST //v1/chat/completions",
            "GET /v1/models/../files",
            "GET /v1/models/%2e%2e/files",
            "GET /v1/models/a%2F..%2Fb",
            "GET //v1/models",
            "GET /v1/models/",
            "GET /v1/models/a%25b",
            "DELETE /v1/models/a",
            "HEAD /v1/models",
        ] {
            if line.starts_with("HEAD") {
                assert_eq!(world.ask(line, HOST, "").0.message.status(), 403);
            } else {
                world.refused(line, HOST, BODY, 403, "inference_request_not_recognised");
            }
        }
        // Also in the middle of a kept-alive connection.
        let mut reader = world.fence.inference(&world.trust, 65_536);
        assert_eq!(
            ask(&mut reader, &format!("POST {CHAT}"), HOST, BODY)
                .message
                .status(),
            200
        );
        assert_eq!(
            ask(&mut reader, "POST /v1/files", HOST, BODY)
                .message
                .status(),
            403
        );
        assert_eq!(reader.drain(), (Vec::new(), End::Complete));
    });
}

/// IR-5, INF-3
#[test]
fn the_authority_must_be_inference_local_in_every_form() {
    play(|scene| {
        let world = World::new(scene, "");
        for (line, fields) in [
            (format!("POST https://inference.local{CHAT}"), HOST),
            (format!("POST https://INFERENCE.local:443{CHAT}"), HOST),
            (format!("POST {CHAT}"), "Host: inference.local:443\r\n"),
        ] {
            let (answer, _) = world.ask(&line, fields, BODY);
            assert_eq!(
                answer.message.status(),
                200,
                "{line}: {}",
                answer.message.text()
            );
            assert_eq!(world.origin.take()[0].target(), CHAT);
        }
        for (line, fields) in [
            (format!("POST https://other.test{CHAT}"), HOST),
            (format!("POST http://inference.local{CHAT}"), HOST),
            (format!("POST https://inference.local:8443{CHAT}"), HOST),
            (format!("POST {CHAT}"), "Host: other.test\r\n"),
            (format!("POST {CHAT}"), "Host: inference.local:80\r\n"),
        ] {
            world.refused(&line, fields, BODY, 403, "authority_mismatch");
        }
        world.refused(
            "POST /v1/chat/completions",
            "Host: inference.local\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
            BODY,
            403,
            "upgrade_not_allowed",
        );
    });
}

/// IR-6, IR-7, IR-9, INF-9, INF-10
#[test]
fn only_listed_fields_reach_the_model_and_the_credential_always_does() {
    play(|scene| {
        let world = World::new(scene, "");
        let dropped = [
            "x-api-key",
            "api-key",
            "x-goog-api-key",
            "x-goog-user-project",
            "cookie",
            "x-other",
            "te",
            "proxy-authorization",
            "x-forwarded-for",
        ];
        let passed = [
            "openai-organization",
            "x-stainless-lang",
            "idempotency-key",
            "traceparent",
            "tracestate",
            "x-request-id",
            "user-agent",
            "accept",
            "anthropic-beta",
        ];
        let mut fields = String::from(
            "Host: inference.local\r\nAuthorization: Bearer own\r\nConnection: keep-alive, authorization, content-type\r\n",
        );
        for name in dropped.iter().chain(&passed) {
            fields.push_str(&format!("{name}: value-of-{name}\r\n"));
        }
        world.ask(&format!("POST {CHAT}?key=k&api_key=k"), &fields, BODY);
        let sent = world.origin.take().pop().expect("a request at the model");
        for name in passed {
            assert_eq!(sent.field(name), Some(format!("value-of-{name}")), "{name}");
        }
        for name in dropped {
            assert_eq!(sent.field(name), None, "{name}");
        }
        assert_eq!(
            (sent.field("authorization"), sent.count("authorization")),
            (Some(format!("Bearer {}", key())), 1)
        );
        assert_eq!(
            sent.field("content-type").as_deref(),
            Some("application/json")
        );
        assert_eq!(sent.field("host").as_deref(), Some("10.99.0.1:8000"));
        assert_eq!(sent.target(), CHAT);
        assert_eq!(sent.text(), BODY.replace("any", MODEL));
    });
}

/// IR-8
#[test]
fn an_anthropic_route_uses_its_own_field_and_keeps_the_clients_version() {
    play(|scene| {
        let world = World::new(scene, "");
        for (fields, version) in [
            ("", "2023-06-01"),
            ("anthropic-version: 2024-01-01\r\n", "2024-01-01"),
        ] {
            world.ask("POST /v1/messages", &format!("{HOST}{fields}"), BODY);
            let sent = world.origin.take().pop().expect("a request at the model");
            assert_eq!(
                (
                    sent.field("x-api-key").as_deref(),
                    sent.field("authorization")
                ),
                (Some(key()), None)
            );
            assert_eq!(
                (
                    sent.field("anthropic-version").as_deref(),
                    sent.count("anthropic-version")
                ),
                (Some(version), 1)
            );
        }
    });
}

/// IR-10, IR-11
#[test]
fn a_protocol_without_a_route_is_named() {
    play(|scene| {
        let origin = model::start(&format!("{PRIVATE}:8000"), None);
        let routes = model::routes(&model::endpoint("http", origin.address()));
        let only_openai = routes
            .split("  - endpoint")
            .take(2)
            .collect::<Vec<_>>()
            .join("  - endpoint");
        let world = World::routed(scene, origin, &only_openai, "");
        let answer = world.post("/v1/messages", BODY).message;
        assert_eq!(
            (answer.status(), answer.json()["error"].as_str()),
            (400, Some("no_compatible_route"))
        );
        assert!(
            answer.text().contains("anthropic_messages"),
            "{}",
            answer.text()
        );
        assert_eq!(world.post(CHAT, BODY).message.status(), 200);
    });
}

/// IR-12, INF-16
#[test]
fn the_answer_says_when_another_model_was_used() {
    play(|scene| {
        let world = World::new(scene, "");
        let told = |body: &str| world.post(CHAT, body).message.field("x-ringfence-model");
        assert_eq!(told(r#"{"model":"anything"}"#).as_deref(), Some(MODEL));
        assert_eq!(told(r#"{"messages":[]}"#).as_deref(), Some(MODEL));
        assert_eq!(told(&format!(r#"{{"model":"{MODEL}"}}"#)), None);
    });
}

/// IR-13, INF-17
#[test]
fn answers_of_any_status_pass_and_redirects_are_not_followed() {
    play(|scene| {
        let elsewhere = Origin::greeting(&format!("{PRIVATE}:8001"), None, "stolen");
        let origin = Origin::start(&format!("{PRIVATE}:8000"), None, |request, wire| {
            let status = request.json()["status"].as_u64().unwrap_or(200);
            write!(
                wire,
                "HTTP/1.1 {status} Own Words\r\nLocation: http://10.99.0.1:8001/\r\nAlt-Svc: h3=\":443\"\r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-End: 2\r\nContent-Length: 4\r\n\r\nbody"
            )?;
            Ok(After::KeepOpen)
        });
        let world = World::with(scene, origin, "");
        for status in [200, 301, 307, 404, 429, 500, 529] {
            let answer = world.post(CHAT, &format!(r#"{{"status":{status}}}"#));
            assert_eq!(
                (answer.message.status(), answer.end, answer.message.text()),
                (status, End::Complete, "body".into())
            );
            assert_eq!(answer.message.field("x-end").as_deref(), Some("2"));
            assert_eq!(
                (
                    answer.message.field("x-hop"),
                    answer.message.field("alt-svc")
                ),
                (None, None)
            );
        }
        assert_eq!(elsewhere.connections(), 0);
        // All went over one upstream connection: answers with a length leave it usable (RTE-9).
        assert_eq!(world.origin.connections(), 1);
    });
}

/// IR-16, INF-15, H-2, H-7
#[test]
fn bodies_over_32_mib_are_refused_at_once_and_one_of_32_mib_is_taken() {
    play(|scene| {
        let world = World::new(scene, "");
        let limit = 32 << 20;
        let body = |length: usize| {
            let frame = r#"{"model":"any","x":""}"#.len();
            format!(r#"{{"model":"any","x":"{}"}}"#, "a".repeat(length - frame))
        };
        assert_eq!(world.post(CHAT, &body(limit)).message.status(), 200);
        assert_eq!(
            world.origin.take()[0].body.len(),
            limit + MODEL.len() - "any".len()
        );
        for fields in [
            "Content-Length: 67108864",
            "Content-Length: 9223372036854775807",
            "Content-Length: 33554433",
            "Transfer-Encoding: chunked",
        ] {
            let mut reader = world.fence.inference(&world.trust, 65_536);
            // No byte of the body is sent: the head, or the size of the first chunk, is enough.
            write!(
                reader.stream,
                "POST {CHAT} HTTP/1.1\r\n{HOST}{fields}\r\n\r\n7FFFFFFFFFFFFFFF\r\n"
            )
            .unwrap();
            let answer = reader.final_answer("POST").unwrap().message;
            assert_eq!(
                (answer.status(), answer.json()["error"].as_str()),
                (413, Some("request_too_large")),
                "{fields}"
            );
        }
        assert_eq!(world.origin.requests().len(), 0);
    });
}

/// IR-17, INF-2, INF-8
#[test]
fn listed_binaries_alone_may_use_inference() {
    play(|scene| {
        let world = World::new(scene, "inference: {binaries: [{path: /mnt/bin/inside}]}\n");
        assert_eq!(world.post(CHAT, BODY).message.status(), 200);
        let fence = scene
            .run()
            .policy(&text(
                "",
                "inference: {binaries: [{path: /usr/bin/other}]}\n",
            ))
            .routes(&model::routes("http://10.99.0.1:8000/v1"))
            .fence();
        let mut reader = Reader::new(fence.proxy());
        write!(
            reader.stream,
            "CONNECT inference.local:443 HTTP/1.1\r\nHost: inference.local:443\r\n\r\n"
        )
        .unwrap();
        let answer = reader.answer("CONNECT").unwrap().message;
        assert_eq!(
            (answer.status(), answer.json()["error"].as_str()),
            (403, Some("inference_binary_denied"))
        );
    });
}

/// IR-18, INF-26
#[test]
fn the_model_that_would_be_sent_must_be_listed() {
    play(|scene| {
        let world = World::new(scene, "inference: {models: [\"small-*\"]}\n");
        let answer = world.post(CHAT, r#"{"model":"small-1"}"#).message;
        assert_eq!(
            (answer.status(), answer.json()["error"].as_str()),
            (403, Some("model_not_allowed"))
        );
        assert_eq!(
            world.ask("GET /v1/models", HOST, "").0.message.status(),
            200
        );
        assert_eq!(world.origin.requests().len(), 1);
    });
}

/// IR-19, INF-25
#[test]
fn request_and_concurrency_limits_answer_429_with_retry_after() {
    play(|scene| {
        let world = World::new(scene, "inference: {requests_per_minute: 2}\n");
        assert_eq!(world.post(CHAT, BODY).message.status(), 200);
        assert_eq!(world.post(CHAT, BODY).message.status(), 200);
        let third = world.post(CHAT, BODY).message;
        assert_eq!(
            (third.status(), third.json()["error"].as_str()),
            (429, Some("rate_limited"))
        );
        assert!(
            third
                .field("retry-after")
                .is_some_and(|seconds| seconds.parse::<u32>().is_ok_and(|seconds| seconds >= 1))
        );
        let routes = model::routes("http://10.99.0.1:8000/v1");
        let world = World::routed(
            scene,
            world.origin,
            &routes,
            "inference: {max_concurrent: 1}\n",
        );
        let mut first = world.fence.inference(&world.trust, 65_536);
        let body = r#"{"model":"any","stream":true,"messages":"do:gate=one"}"#;
        write!(
            first.stream,
            "POST {CHAT} HTTP/1.1\r\n{HOST}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        first.head().expect("the first stream begins");
        let second = world.post(CHAT, BODY).message;
        assert_eq!(
            (second.status(), second.json()["error"].as_str()),
            (429, Some("too_many_concurrent"))
        );
        assert!(second.field("retry-after").is_some());
        std::fs::write(scene.work().join("one"), "").unwrap();
        first.drain();
        assert_eq!(world.post(CHAT, BODY).message.status(), 200);
    });
}

/// MS-9, INF-14, INF-15, H-14
#[test]
fn coded_bodies_contents_of_get_and_other_expectations_are_refused() {
    play(|scene| {
        let world = World::new(scene, "");
        let line = format!("POST {CHAT}");
        world.refused(
            &line,
            &format!("{HOST}Content-Encoding: gzip\r\n"),
            BODY,
            415,
            "unsupported_content_encoding",
        );
        assert_eq!(
            world
                .ask(
                    &line,
                    &format!("{HOST}Content-Encoding: identity\r\n"),
                    BODY
                )
                .0
                .message
                .status(),
            200
        );
        world.refused(
            &line,
            &format!("{HOST}Expect: x\r\n"),
            BODY,
            417,
            "expectation_failed",
        );
        world.refused(
            "GET /v1/models",
            &format!("{HOST}Content-Length: 2\r\n"),
            "",
            400,
            "bad_request",
        );
        // A refusal that needs only the head comes without a 100.
        let mut reader = world.fence.inference(&world.trust, 65_536);
        write!(reader.stream, "POST /v1/embeddings HTTP/1.1\r\n{HOST}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n").unwrap();
        assert_eq!(reader.answer("POST").unwrap().message.status(), 403);
    });
}

/// TLS-4, TLS-5, INF-3, INF-29: names and protocols in the handshake, at both doors.
#[test]
fn a_handshake_for_another_name_or_protocol_fails_at_both_doors() {
    play(|scene| {
        let world = World::new(scene, "");
        let mut direct = Reader::new(tls(
            world.fence.connect(harness::raw::DIRECT, 65_536),
            &world.trust,
            "inference.local",
        ));
        assert_eq!(
            ask(&mut direct, &format!("POST {CHAT}"), HOST, BODY)
                .message
                .status(),
            200
        );
        let mut other = tls(
            world.fence.connect(harness::raw::DIRECT, 65_536),
            &world.trust,
            "other.test",
        );
        let error = other
            .write_all(b"GET / HTTP/1.1\r\n\r\n")
            .and_then(|()| std::io::Read::read(&mut other, &mut [0]).map(drop))
            .unwrap_err();
        assert!(
            error.to_string().contains("UnrecognisedName")
                || error.to_string().contains("UnrecognizedName"),
            "{error}"
        );
        let mut h2 = ClientConfig::clone(&world.trust);
        h2.alpn_protocols = vec![b"h2".to_vec()];
        let mut other = tls(
            world.fence.connect(harness::raw::DIRECT, 65_536),
            &Arc::new(h2),
            "inference.local",
        );
        let error = other
            .write_all(b"PRI")
            .and_then(|()| std::io::Read::read(&mut other, &mut [0]).map(drop))
            .unwrap_err();
        assert!(
            error.to_string().contains("NoApplicationProtocol"),
            "{error}"
        );
    });
}

/// RTE-13: every dialect, whole and streamed, without a socket.
#[test]
fn a_mock_route_answers_in_every_dialect() {
    play(|scene| {
        let nobody = Origin::greeting(&format!("{PRIVATE}:8000"), None, "never");
        let routes = model::routes("mock://anywhere");
        let world = World::routed(scene, nobody, &routes, "");
        for path in [CHAT, "/v1/completions", "/v1/responses", "/v1/messages"] {
            let whole = world.post(path, r#"{"model":"any"}"#);
            assert_eq!((whole.message.status(), whole.end), (200, End::Complete));
            assert_eq!(
                whole.message.field("x-ringfence-mock").as_deref(),
                Some("true")
            );
            assert!(
                whole
                    .message
                    .text()
                    .contains("Hello from ringfence mock backend"),
                "{}",
                whole.message.text()
            );
            assert_eq!(whole.message.json()["model"], MODEL, "{path}");
            let streamed = world.post(path, r#"{"model":"any","stream":true}"#);
            assert_eq!(
                (streamed.message.status(), streamed.end),
                (200, End::Complete)
            );
            assert!(
                streamed
                    .message
                    .field("content-type")
                    .is_some_and(|kind| kind.starts_with("text/event-stream"))
            );
            assert!(
                streamed.message.text().matches("data: ").count() > 2,
                "{}",
                streamed.message.text()
            );
        }
        let list = world.ask("GET /v1/models", HOST, "").0.message;
        assert_eq!(list.json()["data"][0]["id"], MODEL, "{}", list.text());
        assert_eq!(world.origin.connections(), 0);
    });
}

/// LOG-2, LOG-3
#[test]
fn every_request_leaves_one_record_without_its_query() {
    play(|scene| {
        let world = World::new(scene, "");
        let mut reader = world.fence.inference(&world.trust, 65_536);
        ask(
            &mut reader,
            &format!("POST {CHAT}?secret-query=1"),
            HOST,
            BODY,
        );
        ask(&mut reader, "GET /v1/models", HOST, "");
        ask(&mut reader, "POST /v1/messages", HOST, "not json");
        ask(&mut reader, "POST /v1/files", HOST, BODY);
        drop(reader);
        let ended = world.fence.end();
        let records = ended.records_of("INFERENCE");
        assert_eq!(records.len(), 4, "{}", ended.record_text);
        let seen: Vec<_> = records
            .iter()
            .map(|record| {
                (
                    record["protocol"].as_str(),
                    record["action"].as_str(),
                    record["code"].as_str(),
                )
            })
            .collect();
        assert_eq!(seen[0].0, Some("openai_chat_completions"));
        assert_eq!(seen[1].0, Some("model_discovery"));
        assert_eq!(
            (seen[2].1, seen[2].2),
            (Some("deny"), Some("invalid_json_body"))
        );
        assert_eq!(
            (seen[3].1, seen[3].2),
            (Some("deny"), Some("inference_request_not_recognised"))
        );
        assert!(
            records[0]["bytes_in"].is_u64()
                && records[0]["bytes_out"].is_u64()
                && records[0]["total_ms"].is_number(),
            "{}",
            records[0]
        );
        assert!(
            !ended.record_text.contains("secret-query"),
            "{}",
            ended.record_text
        );
    });
}
