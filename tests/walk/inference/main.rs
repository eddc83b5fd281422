//! inference.local through a real fence: recognition, authorities, fields, limits (VECTORS.md 9, IR).

mod heads;
mod limits;
mod routes;

use harness::http::{Answer, End, Reader};
use harness::origin::Origin;
use harness::policy::text;
use harness::raw::{Fence, TlsRaw, tls};
use harness::scene::{PRIVATE, Scene};
use harness::{model, play};
use rustls::ClientConfig;
use std::io::Write;
use std::sync::Arc;

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
