//! The `inference` section of a policy, and the size of a body.

use std::io::Write;

use harness::http::Reader;
use harness::model::MODEL;
use harness::policy::text;
use harness::{model, play};

use crate::{BODY, CHAT, HOST, World};

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
