//! Requests on one connection: their order, their framing, their waiting, and what ends them.

use std::io::Write;
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use harness::play;

use crate::heads::quick;
use crate::world::client::{Ending, answer, ask, drain, expect_silence, get, post, verdict};
use crate::world::upstream::{Upstream, reply, request};
use crate::world::{Setup, settle};

/// H-16, H1-8, TR-001, TR-021
#[test]
fn three_requests_in_one_write_are_answered_in_order_each_on_its_own() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let backend = Upstream::backend();
        let mut client = world.inside();
        let chunked = "POST /v1/chat/completions HTTP/1.1\r\nHost: inference.local\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\n{\"mo\r\n9\r\ndel\":\"a\"}\r\n0\r\nx: y\r\n\r\n";
        let mut bytes = chunked.as_bytes().to_vec();
        bytes.extend_from_slice(&get("/v1/models/b"));
        bytes.extend_from_slice(&get("/v1/files"));
        bytes.extend_from_slice(&get("/v1/models/never"));
        client.stream.write_all(&bytes).unwrap();
        let (mut call, first) = backend.call();
        assert_eq!(first.text(), r#"{"model":"pinned-1"}"#);
        assert_eq!(first.count("transfer-encoding"), 0);
        expect_silence(&call.stream, Duration::from_millis(100));
        reply(&mut call, "200 OK", "{\"n\":1}");
        assert_eq!(answer(&mut client).text(), "{\"n\":1}");
        let second = request(&mut call);
        assert_eq!(second.target(), "/v1/models/b", "on the kept connection");
        reply(&mut call, "200 OK", "{\"n\":2}");
        assert_eq!(answer(&mut client).text(), "{\"n\":2}");
        assert_eq!(
            verdict(&answer(&mut client)),
            "403 inference_request_not_recognised"
        );
        assert_eq!(drain(&mut client.stream), (Vec::new(), Ending::Clean));
        expect_silence(&call.stream, Duration::from_millis(100));
        assert!(backend.is_untouched());
        assert_eq!(
            world.end().outline(),
            [
                "CONNECT decide allow - -",
                "INFERENCE relay allow - -",
                "INFERENCE relay allow - -",
                "INFERENCE head deny inference_request_not_recognised -",
            ]
        );
    });
}

/// H1-9, TR-021
#[test]
fn connection_close_and_http_1_0_end_the_connection_after_the_answer() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let backend = Upstream::backend();
        let mut kept = None;
        for head in [
            "GET /v1/models HTTP/1.1\r\nHost: inference.local\r\nConnection: close\r\n\r\n",
            "GET /v1/models HTTP/1.0\r\nHost: inference.local\r\n\r\n",
        ] {
            let mut client = world.inside();
            client.stream.write_all(head.as_bytes()).unwrap();
            let mut call = match kept.take() {
                Some(call) => call,
                None => harness::http::Reader::new(backend.accept()),
            };
            request(&mut call);
            reply(&mut call, "200 OK", "{}");
            let found = answer(&mut client);
            assert_eq!(found.field("connection").as_deref(), Some("close"));
            assert_eq!(drain(&mut client.stream), (Vec::new(), Ending::Clean));
            kept = Some(call);
        }
    });
}

/// LIM keep-alive idle, H1-8
#[test]
fn a_kept_alive_connection_is_closed_without_an_answer_when_it_stays_idle() {
    play(|_| {
        let world = quick();
        let backend = Upstream::backend();
        let mut client = world.inside();
        let since = Instant::now();
        client.stream.write_all(&get("/v1/models")).unwrap();
        let (mut call, _) = backend.call();
        reply(&mut call, "200 OK", "{}");
        assert_eq!(answer(&mut client).status(), 200);
        assert_eq!(drain(&mut client.stream), (Vec::new(), Ending::Clean));
        assert!(since.elapsed() >= Duration::from_secs(2));
        let ended = world.end();
        assert_eq!(ended.of("REFUSED").len(), 0, "{:?}", ended.outline());
        assert_eq!(ended.of("INFERENCE").len(), 1);
    });
}

/// H-10: the head's time runs from its first byte, also for the second request.
#[test]
fn a_second_head_that_stops_in_the_middle_is_408() {
    play(|_| {
        let world = Setup::new()
            .limit(|limits| {
                limits.head_time = Duration::from_millis(2_200);
                limits.keep_alive_time = Duration::from_secs(3);
            })
            .backend("")
            .open();
        let backend = Upstream::backend();
        let mut client = world.inside();
        client.stream.write_all(&get("/v1/models")).unwrap();
        let (mut call, _) = backend.call();
        reply(&mut call, "200 OK", "{}");
        assert_eq!(answer(&mut client).status(), 200);
        // Were it not its own time, that of the idle connection would end first.
        thread::sleep(Duration::from_secs(1));
        client.stream.write_all(b"GET /v1/mod").unwrap();
        let refusal = answer(&mut client);
        assert_eq!(verdict(&refusal), "408 request_timeout");
        assert_eq!(drain(&mut client.stream).1, Ending::Clean);
        assert_eq!(world.end().of("REFUSED").len(), 1);
    });
}

/// LIM request body idle, TR-091
#[test]
fn a_body_that_stops_in_the_middle_is_408_and_never_reaches_the_backend() {
    play(|_| {
        let world = quick();
        let backend = Upstream::backend();
        let mut client = world.inside();
        let request = post("/v1/chat/completions", r#"{"model":"x","messages":[]}"#);
        client
            .stream
            .write_all(&request[..request.len() - 5])
            .unwrap();
        assert_eq!(verdict(&answer(&mut client)), "408 request_timeout");
        assert_eq!(drain(&mut client.stream).1, Ending::Clean);
        assert!(backend.is_untouched());
        let ended = world.end();
        assert_eq!(ended.one("INFERENCE")["code"], "request_timeout");
    });
}

/// H-14, H1-10, TR-017
#[test]
fn a_client_that_waits_for_100_gets_it_only_when_its_head_is_acceptable() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let backend = Upstream::backend();
        let body = r#"{"model":"x"}"#;
        let head = |path: &str, expect: &str| {
            format!(
                "POST {path} HTTP/1.1\r\nHost: inference.local\r\nExpect: {expect}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            )
        };
        let mut client = world.inside();
        client
            .stream
            .write_all(head("/v1/messages", "100-continue").as_bytes())
            .unwrap();
        let interim = client.head().unwrap();
        assert_eq!(interim, b"HTTP/1.1 100 Continue\r\n\r\n");
        assert!(
            backend.is_untouched(),
            "nothing leaves before the body is judged"
        );
        client.stream.write_all(body.as_bytes()).unwrap();
        let (mut call, sent) = backend.call();
        assert_eq!(sent.count("expect"), 0);
        reply(&mut call, "200 OK", "{}");
        assert_eq!(answer(&mut client).status(), 200);

        for (path, expect, wanted) in [
            (
                "/v1/embeddings",
                "100-continue",
                "403 inference_request_not_recognised",
            ),
            ("/v1/messages", "x", "417 expectation_failed"),
        ] {
            let mut client = world.inside();
            client
                .stream
                .write_all(head(path, expect).as_bytes())
                .unwrap();
            let first = client.answer("POST").unwrap().message;
            assert_eq!(verdict(&first), wanted);
            assert_eq!(drain(&mut client.stream).1, Ending::Clean);
        }
    });
}

/// H1-4, H-1, H-3, H-4, H-6, MS-6, TR-002 to TR-008
#[test]
fn ambiguous_framing_is_400_and_nothing_leaves() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let backend = Upstream::backend();
        let heads = [
            "Content-Length: 2\r\nContent-Length: 2\r\n",
            "Content-Length: 2, 2\r\n",
            "Content-Length: +2\r\n",
            "Content-Length: 0x2\r\n",
            "Content-Length:\r\n",
            "Content-Length: 18446744073709551616\r\n",
            "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Connection: content-length\r\nContent-Length: 2\r\n",
        ];
        for fields in heads {
            let mut client = world.inside();
            let head =
                format!("POST /v1/messages HTTP/1.1\r\nHost: inference.local\r\n{fields}\r\n{{}}");
            client.stream.write_all(head.as_bytes()).unwrap();
            assert_eq!(
                verdict(&answer(&mut client)),
                "400 bad_request",
                "{fields:?}"
            );
            assert_eq!(drain(&mut client.stream).1, Ending::Clean);
        }
        let bodies = [
            "+2\r\n{}\r\n0\r\n\r\n",
            "2 x\r\n{}\r\n0\r\n\r\n",
            "0x2\r\n{}\r\n0\r\n\r\n",
            "00000000000000002\r\n{}\r\n0\r\n\r\n",
            "2\n{}\r\n0\r\n\r\n",
            "2\r\n{}!!0\r\n\r\n",
            "FFFFFFFFFFFFFFFF\r\n{}",
        ];
        for body in bodies {
            let mut client = world.inside();
            let head = format!(
                "POST /v1/messages HTTP/1.1\r\nHost: inference.local\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
            );
            client.stream.write_all(head.as_bytes()).unwrap();
            assert_eq!(verdict(&answer(&mut client)), "400 bad_request", "{body:?}");
            assert_eq!(drain(&mut client.stream).1, Ending::Clean);
        }
        assert!(backend.is_untouched());
        let ended = world.end();
        assert_eq!(ended.of("REFUSED").len(), heads.len());
        assert_eq!(ended.of("INFERENCE").len(), bodies.len());
    });
}

/// H-2, H-7, IR-16
#[test]
fn a_size_beyond_the_limit_is_413_before_the_body_comes() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let backend = Upstream::backend();
        for fields in [
            "Content-Length: 67108864\r\n\r\n",
            "Content-Length: 9223372036854775807\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n7FFFFFFFFFFFFFFF\r\n",
        ] {
            let mut client = world.inside();
            let head = format!("POST /v1/messages HTTP/1.1\r\nHost: inference.local\r\n{fields}");
            client.stream.write_all(head.as_bytes()).unwrap();
            assert_eq!(
                verdict(&answer(&mut client)),
                "413 request_too_large",
                "{fields:?}"
            );
            assert_eq!(drain(&mut client.stream).1, Ending::Clean);
        }
        assert!(backend.is_untouched());
    });
}

/// A peer that ends in the middle of TLS records is no request.
#[test]
fn a_client_that_leaves_in_the_middle_of_a_body_leaves_nothing_upstream() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let backend = Upstream::backend();
        let mut client = world.inside();
        let request = post("/v1/messages", r#"{"model":"x"}"#);
        client
            .stream
            .write_all(&request[..request.len() - 1])
            .unwrap();
        client.stream.sock.shutdown(Shutdown::Both).unwrap();
        drop(client);
        settle();
        assert!(backend.is_untouched());
        let ended = world.end();
        assert_eq!(ended.one("INFERENCE")["end"], "client_gone");
    });
}

/// ERR-3: what was read to its end and refused leaves the connection open.
#[test]
fn a_refusal_of_a_whole_body_leaves_the_connection_open() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let backend = Upstream::backend();
        let mut client = world.inside();
        for body in ["[]", "{\"model\":1,\"model\":2}"] {
            let refusal = ask(&mut client, &post("/v1/messages", body));
            assert_eq!(refusal.status(), 400);
            assert_eq!(refusal.count("connection"), 0, "{}", refusal.text());
        }
        client
            .stream
            .write_all(&post("/v1/messages", "{}"))
            .unwrap();
        let (mut call, sent) = backend.call();
        assert_eq!(sent.text(), r#"{"model":"pinned-1"}"#);
        reply(&mut call, "200 OK", "{}");
        assert_eq!(answer(&mut client).status(), 200);
    });
}

/// RFC 9110 §10.1.1: a client of HTTP/1.0 knows no interim answers.
#[test]
fn a_client_of_http_1_0_gets_no_100() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let backend = Upstream::backend();
        let mut client = world.inside();
        let head = "POST /v1/messages HTTP/1.0\r\nHost: inference.local\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
        client.stream.write_all(head.as_bytes()).unwrap();
        thread::sleep(Duration::from_millis(100));
        client.stream.write_all(b"{}").unwrap();
        let (mut call, _) = backend.call();
        // Nor any other.
        call.stream
            .write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            .unwrap();
        reply(&mut call, "200 OK", "{}");
        assert_eq!(client.answer("POST").unwrap().message.status(), 200);
    });
}

/// ERR-1: in answer to HEAD the body is left out.
#[test]
fn a_refused_head_request_gets_a_head_alone() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let mut client = world.inside();
        client
            .stream
            .write_all(b"HEAD /v1/models HTTP/1.1\r\nHost: inference.local\r\n\r\n")
            .unwrap();
        let found = client.answer("HEAD").unwrap().message;
        assert_eq!(found.status(), 403);
        assert!(
            found
                .field("content-length")
                .unwrap()
                .parse::<u32>()
                .unwrap()
                > 0
        );
        assert_eq!(drain(&mut client.stream), (Vec::new(), Ending::Clean));
        assert_eq!(client.rest(), b"");
    });
}
