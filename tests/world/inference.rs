//! What is asked of `inference.local`, what the backend gets, and what comes back.

use std::io::Write;
use std::time::Duration;

use harness::http::{End, Message, Reader};
use harness::play;

use crate::world::client::{
    Ending, Inside, answer, ask, drain, expect_silence, get, post, post_with, verdict,
};
use crate::world::upstream::{Upstream, begin_events, reply, request, send_chunk};
use crate::world::{BACKEND, KEY, MODEL, Setup, route};

/// Sends a request that reaches the backend, which answers `{}`; what the backend saw.
fn carried(client: &mut Inside, backend: &mut Kept, bytes: &[u8]) -> (Message, Message) {
    client.stream.write_all(bytes).unwrap();
    let sent = backend.request();
    reply(backend.call.as_mut().unwrap(), "200 OK", "{}");
    (sent, answer(client))
}

/// A backend whose one connection is kept alive.
struct Kept {
    listener: Upstream,
    call: Option<crate::world::upstream::Call>,
}

impl Kept {
    fn start() -> Kept {
        Kept {
            listener: Upstream::backend(),
            call: None,
        }
    }

    fn request(&mut self) -> Message {
        let listener = &self.listener;
        let call = self
            .call
            .get_or_insert_with(|| Reader::new(listener.accept()));
        request(call)
    }
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

/// IR-12, INF-16, TR-066
#[test]
fn an_overridden_model_is_told_in_the_answer() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let mut backend = Kept::start();
        let mut client = world.inside();
        for (body, told) in [
            (r#"{"model":"anything"}"#.to_owned(), Some(MODEL)),
            ("{}".to_owned(), Some(MODEL)),
            (r#"{"model":7}"#.to_owned(), Some(MODEL)),
            (format!(r#"{{"model":"{MODEL}"}}"#), None),
        ] {
            client
                .stream
                .write_all(&post("/v1/chat/completions", &body))
                .unwrap();
            backend.request();
            // An upstream cannot speak in our name.
            backend.call.as_mut().unwrap().stream
                .write_all(b"HTTP/1.1 200 OK\r\nx-ringfence-model: forged\r\nAlt-Svc: h3\r\nConnection: x-hop\r\nX-Hop: 1\r\nX-End: 2\r\nContent-Length: 2\r\n\r\n{}")
                .unwrap();
            let found = answer(&mut client);
            assert_eq!(found.field("x-ringfence-model").as_deref(), told, "{body}");
            assert_eq!(
                found.count("x-ringfence-model"),
                usize::from(told.is_some())
            );
            for name in ["alt-svc", "x-hop", "connection"] {
                assert_eq!(found.count(name), 0, "{name}");
            }
            assert_eq!(found.field("x-end").as_deref(), Some("2"));
        }
    });
}

/// IR-13, INF-17, INF-28
#[test]
fn answers_of_any_status_pass_through_and_a_quoted_key_is_masked() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let mut backend = Kept::start();
        let mut client = world.inside();
        for status in [
            "301 Moved",
            "400 Bad",
            "429 Too Many Requests",
            "500 Oops",
            "529 Overloaded",
        ] {
            client
                .stream
                .write_all(&post("/v1/messages", "{}"))
                .unwrap();
            backend.request();
            let text = format!("{{\"quoted\":\"{KEY}\"}}");
            let head = format!(
                "HTTP/1.1 {status}\r\nLocation: http://10.99.0.9/\r\nRetry-After: 7\r\nContent-Length: {}\r\n\r\n{text}",
                text.len()
            );
            backend
                .call
                .as_mut()
                .unwrap()
                .stream
                .write_all(head.as_bytes())
                .unwrap();
            let found = answer(&mut client);
            assert_eq!(found.status().to_string(), status[..3]);
            assert_eq!(
                found.field("location").as_deref(),
                Some("http://10.99.0.9/")
            );
            assert_eq!(found.field("retry-after").as_deref(), Some("7"));
            assert_eq!(found.text(), text, "only 401 and 403 are searched");
        }
        let masked = |text: &str| text.replace(KEY, &"*".repeat(KEY.len()));
        for status in ["401 Unauthorized", "403 Forbidden"] {
            let text = format!(
                "{{\"error\":\"the key {KEY} and {KEY} is wrong: {}\"}}",
                &KEY[..7]
            );
            // Cut at every byte of the first quotation, in two writes.
            let at = text.find(KEY).unwrap();
            for cut in [
                0,
                1,
                at - 1,
                at,
                at + 1,
                at + 8,
                at + KEY.len() - 1,
                at + KEY.len(),
            ] {
                client
                    .stream
                    .write_all(&post("/v1/messages", "{}"))
                    .unwrap();
                backend.request();
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n",
                    text.len()
                );
                let stream = &mut backend.call.as_mut().unwrap().stream;
                stream.write_all(head.as_bytes()).unwrap();
                stream.write_all(&text.as_bytes()[..cut]).unwrap();
                std::thread::sleep(Duration::from_millis(15));
                stream.write_all(&text.as_bytes()[cut..]).unwrap();
                let found = answer(&mut client);
                assert_eq!(found.text(), masked(&text), "cut at {cut}");
                assert_eq!(found.body.len(), text.len(), "the length is kept");
            }
        }
        // In chunks, byte by byte.
        client
            .stream
            .write_all(&post("/v1/messages", "{}"))
            .unwrap();
        backend.request();
        let stream = &mut backend.call.as_mut().unwrap().stream;
        stream
            .write_all(b"HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n")
            .unwrap();
        let text = format!("key={KEY}.");
        for byte in text.bytes() {
            stream.write_all(&harness::http::chunk(&[byte])).unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
        assert_eq!(answer(&mut client).text(), masked(&text));
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

/// MS-1 to MS-4, MS-8, MS-11, INF-11, INF-13, TR-062
#[test]
fn only_the_top_level_models_value_changes() {
    play(|_| {
        let quoted = route(&format!("http://{BACKEND}/v1"), "").replace(MODEL, "'a\"b\\'");
        let world = Setup::new().backend("").open();
        let mut backend = Kept::start();
        let mut client = world.inside();
        let long = format!("{{\"pad\":\"{}\",\"model\":\"x\"}}", "y".repeat(100_000));
        for (body, wanted) in [
            (
                r#"{"z":1,"model":"x","a":1E+2}"#,
                r#"{"z":1,"model":"pinned-1","a":1E+2}"#.to_owned(),
            ),
            (
                r#"{ "model" : null }"#,
                r#"{ "model" : "pinned-1" }"#.to_owned(),
            ),
            (
                r#"{"model":{"model":"y"}}"#,
                r#"{"model":"pinned-1"}"#.to_owned(),
            ),
            (
                r#"{"stream":true}"#,
                r#"{"model":"pinned-1","stream":true}"#.to_owned(),
            ),
            ("{}", r#"{"model":"pinned-1"}"#.to_owned()),
            ("{ }", r#"{"model":"pinned-1" }"#.to_owned()),
            (
                r#"{"mod\u0065l":"x"}"#,
                r#"{"mod\u0065l":"pinned-1"}"#.to_owned(),
            ),
            (
                r#"{"a":{"model":"k"},"b":"\"model\":\"k\"","model":"x"}"#,
                r#"{"a":{"model":"k"},"b":"\"model\":\"k\"","model":"pinned-1"}"#.to_owned(),
            ),
            (
                r#"{"a":1,"a":123456789012345678901234567890,"model":""}"#,
                r#"{"a":1,"a":123456789012345678901234567890,"model":"pinned-1"}"#.to_owned(),
            ),
            (long.as_str(), long.replace("\"x\"", "\"pinned-1\"")),
        ] {
            let (sent, _) = carried(&mut client, &mut backend, &post("/v1/responses", body));
            assert_eq!(sent.text(), wanted);
            assert_eq!(sent.field("content-length"), Some(wanted.len().to_string()));
        }
        world.put_routes(&quoted);
        backend.call = None;
        let mut client = world.inside();
        let (sent, told) = carried(&mut client, &mut backend, &post("/v1/responses", "{}"));
        assert_eq!(sent.text(), r#"{"model":"a\"b\\"}"#);
        assert_eq!(told.field("x-ringfence-model").as_deref(), Some(r#"a"b\"#));
    });
}

/// MS-5, MS-6, MS-7, MS-9, INF-12, INF-14, TR-063, INF-15
#[test]
fn a_body_that_cannot_be_pinned_never_reaches_the_backend() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let backend = Upstream::backend();
        let mut client = world.inside();
        let bomb = "[".repeat(100_000);
        let bomb = format!("{{\"a\":{bomb}");
        let bodies: [(&[u8], &str); 20] = [
            (br#"{"model":"a","model":"b"}"#, "400 ambiguous_model"),
            (br#"{"model":"a","\u006dodel":"b"}"#, "400 ambiguous_model"),
            (br#"{"Model":"x"}"#, "400 ambiguous_model"),
            (br#"{"MODEL":"x","model":"a"}"#, "400 ambiguous_model"),
            (b"", "400 invalid_json_body"),
            (b"null", "400 invalid_json_body"),
            (b"\"x\"", "400 invalid_json_body"),
            (b"[{}]", "400 invalid_json_body"),
            (br#"{"model":"x""#, "400 invalid_json_body"),
            (br#"{"model":"x"}}"#, "400 invalid_json_body"),
            (b"{}{}", "400 invalid_json_body"),
            (b"{a:1}", "400 invalid_json_body"),
            (br#"{"a":1,}"#, "400 invalid_json_body"),
            (br#"{"a":01}"#, "400 invalid_json_body"),
            (br#"{"a":NaN}"#, "400 invalid_json_body"),
            (b"{\"a\":\"\xff\"}", "400 invalid_json_body"),
            (b"\xff\xfe{\0}\0", "400 invalid_json_body"),
            (b"\xef\xbb\xbf{}", "400 invalid_json_body"),
            (bomb.as_bytes(), "400 invalid_json_body"),
            (b"{\"a\":\"\n\"}", "400 invalid_json_body"),
        ];
        for (body, wanted) in bodies {
            let mut bytes = format!(
                "POST /v1/messages HTTP/1.1\r\nHost: inference.local\r\nContent-Length: {}\r\n\r\n",
                body.len()
            )
            .into_bytes();
            bytes.extend_from_slice(body);
            let refusal = ask(&mut client, &bytes);
            assert_eq!(
                verdict(&refusal),
                wanted,
                "{:?}",
                String::from_utf8_lossy(&body[..body.len().min(40)])
            );
        }
        let gzip = post_with("/v1/messages", "Content-Encoding: gzip\r\n", "{}");
        assert_eq!(
            verdict(&ask(&mut client, &gzip)),
            "415 unsupported_content_encoding"
        );
        let mut client = world.inside();
        let get_with_content =
            "GET /v1/models HTTP/1.1\r\nHost: inference.local\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(
            verdict(&ask(&mut client, get_with_content.as_bytes())),
            "400 bad_request"
        );
        assert!(backend.is_untouched());
        let ended = world.end();
        assert_eq!(ended.of("INFERENCE").len(), bodies.len() + 2);
        assert!(
            ended
                .of("INFERENCE")
                .iter()
                .all(|record| record["action"] == "deny")
        );
    });
}

/// MS-7, MS-9, MS-10, IR-16, TR-064
#[test]
fn large_deep_and_byte_wise_bodies_are_pinned_like_others() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let mut backend = Kept::start();
        let mut client = world.inside();
        let deep = format!(
            "{{\"a\":{}{},\"model\":\"x\"}}",
            "[".repeat(200),
            "]".repeat(200)
        );
        let (sent, _) = carried(
            &mut client,
            &mut backend,
            &post_with("/v1/messages", "Content-Encoding: identity\r\n", &deep),
        );
        assert_eq!(sent.text(), deep.replace("\"x\"", "\"pinned-1\""));

        let small = post("/v1/messages", r#"{"model":"x","a":"b"}"#);
        for byte in &small {
            client.stream.write_all(&[*byte]).unwrap();
        }
        assert_eq!(backend.request().text(), r#"{"model":"pinned-1","a":"b"}"#);
        reply(backend.call.as_mut().unwrap(), "200 OK", "{}");
        answer(&mut client);

        // 32 MiB and no byte more.
        let shell = r#"{"a":"","model":"x"}"#.len();
        let full = format!(
            "{{\"a\":\"{}\",\"model\":\"x\"}}",
            "y".repeat((32 << 20) - shell)
        );
        let sending = post("/v1/messages", &full);
        let answered = std::thread::scope(|scope| {
            let client = &mut client;
            let sender = scope.spawn(move || ask(client, &sending));
            let sent = backend.request();
            assert!(sent.body == full.replace("\"x\"", "\"pinned-1\"").as_bytes());
            reply(backend.call.as_mut().unwrap(), "200 OK", "{}");
            sender.join().unwrap()
        });
        assert_eq!(answered.status(), 200);
        let head = format!(
            "POST /v1/messages HTTP/1.1\r\nHost: inference.local\r\nContent-Length: {}\r\n\r\n",
            full.len() + 1
        );
        assert_eq!(
            verdict(&ask(&mut client, head.as_bytes())),
            "413 request_too_large"
        );
    });
}

/// RF-1 to RF-6, SF-8, INF-17, H1-13, H1-14
#[test]
fn every_framing_of_an_answer_reaches_the_client_whole() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let backend = Upstream::backend();
        let cases: [(&str, &str, Option<&str>); 8] = [
            ("Connection: close\r\n\r\nhello world", "hello world", None),
            ("\r\nhello world", "hello world", None),
            (
                "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
                "hello world",
                None,
            ),
            (
                "Transfer-Encoding: chunked\r\n\r\nb;x=y\r\nhello world\r\n0\r\nx-checksum: 1\r\nContent-Length: 3\r\n\r\n",
                "hello world",
                None,
            ),
            (
                "Content-Length: 11\r\nConnection: close\r\n\r\nhello world",
                "hello world",
                Some("11"),
            ),
            ("Content-Length: 5\r\n\r\nhello world", "hello", Some("5")),
            ("Content-Length: 0\r\n\r\n", "", Some("0")),
            (
                "Content-Type: text/event-stream\r\nContent-Length: 9\r\n\r\ndata: x\n\n",
                "data: x\n\n",
                None,
            ),
        ];
        for version in ["1.1", "1.0"] {
            for (rest, body, length) in cases {
                let mut client = world.inside();
                let head =
                    format!("GET /v1/models HTTP/{version}\r\nHost: inference.local\r\n\r\n");
                client.stream.write_all(head.as_bytes()).unwrap();
                let (mut call, _) = backend.call();
                call.stream
                    .write_all(format!("HTTP/1.1 200 OK\r\n{rest}").as_bytes())
                    .unwrap();
                call.stream.shutdown(std::net::Shutdown::Write).unwrap();
                let found = client.answer("GET").unwrap();
                assert_eq!(found.end, End::Complete, "{rest}");
                let message = found.message;
                assert_eq!(message.text(), body, "{rest}");
                assert_eq!(message.field("content-length").as_deref(), length, "{rest}");
                let chunked = version == "1.1" && length.is_none();
                assert_eq!(
                    message.count("transfer-encoding"),
                    usize::from(chunked),
                    "{rest}"
                );
                if rest.contains("x-checksum") && version == "1.1" {
                    let wire = String::from_utf8_lossy(&message.body_wire).into_owned();
                    assert!(wire.ends_with("0\r\nx-checksum: 1\r\n\r\n"), "{wire}");
                }
                if version == "1.0" {
                    assert_eq!(drain(&mut client.stream).1, Ending::Clean, "{rest}");
                }
            }
        }
        let ended = world.end();
        assert!(
            ended
                .of("INFERENCE")
                .iter()
                .all(|record| record["end"] == "complete"),
            "{:#?}",
            ended.records
        );
    });
}

/// RF-3, RF-4, H1-11, TR-017, TR-020
#[test]
fn interim_and_bodiless_answers_end_where_they_end() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let mut backend = Kept::start();
        let mut client = world.inside();
        client.stream.write_all(&get("/v1/models")).unwrap();
        backend.request();
        let stream = &mut backend.call.as_mut().unwrap().stream;
        stream
            .write_all(
                b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
            )
            .unwrap();
        let interim = client.answer("GET").unwrap().message;
        assert_eq!(
            (interim.status(), interim.field("link").as_deref()),
            (103, Some("</a>"))
        );
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            .unwrap();
        assert_eq!(answer(&mut client).text(), "{}");
        for bodiless in ["204 No Content", "304 Not Modified"] {
            client.stream.write_all(&get("/v1/models")).unwrap();
            backend.request();
            let head = format!("HTTP/1.1 {bodiless}\r\nETag: x\r\n\r\n");
            backend
                .call
                .as_mut()
                .unwrap()
                .stream
                .write_all(head.as_bytes())
                .unwrap();
            let found = answer(&mut client);
            assert_eq!(found.status().to_string(), bodiless[..3]);
            assert_eq!(found.count("transfer-encoding"), 0);
        }
        // Both connections are good for another request.
        let (_, last) = carried(&mut client, &mut backend, &get("/v1/models"));
        assert_eq!(last.status(), 200);
    });
}

/// SF-1, INF-18, TR-055: the second event is written only when the first was read by the client.
#[test]
fn the_first_event_arrives_before_the_second_is_written() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let mut backend = Kept::start();
        let mut client = world.inside();
        for coding in ["", "Content-Encoding: gzip\r\n"] {
            client
                .stream
                .write_all(&post("/v1/chat/completions", r#"{"stream":true}"#))
                .unwrap();
            backend.request();
            let call = backend.call.as_mut().unwrap();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{coding}Transfer-Encoding: chunked\r\n\r\n"
            );
            call.stream.write_all(head.as_bytes()).unwrap();
            let head = client.head().unwrap();
            assert!(head.starts_with(b"HTTP/1.1 200 OK\r\n"));
            for n in 0..100 {
                let event = format!("data: {n}\n\n");
                send_chunk(call, &event);
                assert_eq!(client.chunk().unwrap(), event.as_bytes());
            }
            // A part of an event is passed on as it is.
            send_chunk(call, "data: ha");
            assert_eq!(client.chunk().unwrap(), b"data: ha");
            send_chunk(call, "lf\n\n");
            assert_eq!(client.chunk().unwrap(), b"lf\n\n");
            call.stream.write_all(b"0\r\n\r\n").unwrap();
            assert_eq!(client.chunk().unwrap(), b"");
        }
        // JSON in pieces, with a length.
        client
            .stream
            .write_all(&post("/v1/chat/completions", "{}"))
            .unwrap();
        backend.request();
        let call = backend.call.as_mut().unwrap();
        call.stream
            .write_all(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 6\r\n\r\n",
            )
            .unwrap();
        assert!(client.head().is_some());
        for piece in [b"{ ", b"  ", b" }"] {
            call.stream.write_all(piece).unwrap();
            crate::world::client::expect(&mut client.stream, piece);
        }
        let ended = world.end();
        let streams: Vec<_> = ended
            .of("INFERENCE")
            .iter()
            .map(|record| record["stream"].clone())
            .collect();
        // A coded stream cannot be read as one.
        assert_eq!(streams, [true, false, false]);
        assert!(ended.of("INFERENCE")[0]["first_byte_ms"].is_number());
    });
}

/// SF-10, INF-24, TR-061
#[test]
fn a_changed_route_serves_the_next_request_and_cuts_no_stream() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let backend = Upstream::backend();
        let newer = Upstream::bind("10.99.0.81:8080");
        let mut running: Vec<_> = (0..10)
            .map(|_| {
                let mut client = world.inside();
                client
                    .stream
                    .write_all(&post("/v1/messages", "{}"))
                    .unwrap();
                let (mut call, _) = backend.call();
                begin_events(&mut call);
                assert!(client.head().is_some());
                (client, call)
            })
            .collect();
        world.put_routes(&route("http://10.99.0.81:8080", ""));
        let mut client = world.inside();
        client
            .stream
            .write_all(&post("/v1/messages", "{}"))
            .unwrap();
        let (mut call, _) = newer.call();
        reply(&mut call, "200 OK", "{}");
        assert_eq!(answer(&mut client).status(), 200);
        for (client, call) in &mut running {
            send_chunk(call, "data: x\n\n");
            assert_eq!(client.chunk().unwrap(), b"data: x\n\n");
            call.stream.write_all(b"0\r\n\r\n").unwrap();
            assert_eq!(client.chunk().unwrap(), b"");
        }
        assert!(backend.is_untouched());
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
