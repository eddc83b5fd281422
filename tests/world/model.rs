//! The body of a request: one model, pinned, and every other byte as it was.

use std::io::Write;

use harness::play;

use crate::inference::carried;
use crate::world::client::{answer, ask, post, post_with, verdict};
use crate::world::upstream::Kept;
use crate::world::upstream::{Upstream, reply};
use crate::world::{BACKEND, MODEL, Setup, route};

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
