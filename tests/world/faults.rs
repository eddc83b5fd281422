//! Backends that fail before they answer, and clients that leave.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use harness::play;

use crate::dial::full_listener;
use crate::world::client::{
    Ending, Inside, answer, ask, drain, expect_silence, get, post, verdict,
};
use crate::world::upstream::{Call, Upstream, begin_events, reply, reset, send_chunk};
use crate::world::{AT_ONCE, KEY, Setup, route, settle};

const CHAT: &str = "/v1/chat/completions";

/// A client whose request has reached the backend.
pub(crate) fn under_way(client: &mut Inside, backend: &Upstream, path: &str) -> Call {
    client.stream.write_all(&post(path, "{}")).unwrap();
    backend.call().0
}

/// SF-3, INF-20, TR-059: each cause has its own code, before the head.
#[test]
fn a_backend_that_cannot_be_reached_is_told_apart_by_its_cause() {
    play(|_| {
        let world = Setup::new()
            .host("10.99.0.80 private.test")
            .host("169.254.169.254 metadata.test")
            .open();
        let _full = full_listener("10.99.0.10:8080");
        let quick = "deadlines: {connect: 300ms, header: 300ms}";
        for (endpoint, more, wanted) in [
            ("http://10.99.0.80:9", "", "503 upstream_unavailable"),
            ("http://10.99.0.10:8080", quick, "504 connect_timeout"),
            ("https://private.test:8443", "", "503 route_broken"),
            (
                "https://metadata.test",
                "allow_private_endpoint: true",
                "503 route_broken",
            ),
            ("https://nowhere.invalid", quick, "504 dns_timeout"),
        ] {
            world.put_routes(&route(endpoint, more));
            let mut client = world.inside();
            let refusal = ask(&mut client, &post(CHAT, "{}"));
            assert_eq!(verdict(&refusal), wanted, "{endpoint}");
            let text = refusal.text() + &String::from_utf8_lossy(&refusal.head);
            for secret in [KEY, "10.99", "private.test", "metadata.test", "nowhere"] {
                assert!(!text.contains(secret), "{secret} in {text}");
            }
            // ERR-3: the connection stays open.
            let again = ask(&mut client, &get("/v1/models"));
            assert_eq!(verdict(&again), wanted, "{endpoint}");
        }
        let ended = world.end();
        assert_eq!(ended.of("INFERENCE").len(), 10);
        for record in ended.of("INFERENCE") {
            assert_eq!(
                (&record["action"], &record["stage"]),
                (&"deny".into(), &"send".into())
            );
            assert!(record["code"].is_string());
        }
    });
}

/// SF-3, INF-19, TR-058
#[test]
fn a_backend_that_accepts_and_never_answers_is_504_after_the_header_deadline() {
    play(|_| {
        let world = Setup::new().backend("deadlines: {header: 1500ms}").open();
        let backend = Upstream::backend();
        let mut client = world.inside();
        let since = Instant::now();
        let mut call = under_way(&mut client, &backend, CHAT);
        assert_eq!(verdict(&answer(&mut client)), "504 response_timeout");
        assert!(since.elapsed() >= Duration::from_millis(1_500));
        assert_eq!(
            drain(&mut call.stream).1,
            Ending::Clean,
            "the backend is left"
        );
        // Half a head is no head.
        let mut call = under_way(&mut client, &backend, CHAT);
        call.stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-")
            .unwrap();
        assert_eq!(verdict(&answer(&mut client)), "504 response_timeout");
        let ended = world.end();
        let codes: Vec<_> = ended
            .of("INFERENCE")
            .iter()
            .map(|record| record["code"].clone())
            .collect();
        assert_eq!(codes, ["response_timeout", "response_timeout"]);
    });
}

/// SF-4, RF-7, H1-13, H1-11, TR-019
#[test]
fn a_reset_or_a_malformed_head_is_502_and_the_connection_is_not_reused() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let backend = Upstream::backend();
        let mut client = world.inside();
        let call = under_way(&mut client, &backend, CHAT);
        reset(&call.stream);
        drop(call);
        assert_eq!(verdict(&answer(&mut client)), "502 upstream_protocol_error");
        drop(under_way(&mut client, &backend, CHAT));
        assert_eq!(verdict(&answer(&mut client)), "502 upstream_protocol_error");
        let large = format!("HTTP/1.1 200 OK\r\nx: {}\r\n", "y".repeat(256 << 10));
        for head in [
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx: a\0b\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
            "hello\r\n\r\n",
            "\x15\x03\x03\x00\x02\x02\x28",
            large.as_str(),
        ] {
            let mut call = under_way(&mut client, &backend, CHAT);
            // The gate may have closed before the last byte is written.
            _ = call.stream.write_all(head.as_bytes());
            let refusal = answer(&mut client);
            assert_eq!(
                verdict(&refusal),
                "502 upstream_protocol_error",
                "{:?}",
                &head[..40.min(head.len())]
            );
            assert_ne!(drain(&mut call.stream).1, Ending::Open);
        }
        let ended = world.end();
        assert_eq!(ended.of("INFERENCE").len(), 11);
    });
}

/// SF-9, INF-23, TR-060
#[test]
fn the_backend_is_left_at_once_when_the_client_goes() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let backend = Upstream::backend();
        for streaming in [false, true] {
            for by_reset in [false, true] {
                let mut client = world.inside();
                let mut call = under_way(&mut client, &backend, CHAT);
                if streaming {
                    begin_events(&mut call);
                    send_chunk(&mut call, "data: x\n\n");
                    assert!(client.head().is_some());
                    client.chunk().unwrap();
                }
                expect_silence(&call.stream, Duration::from_millis(30));
                if by_reset {
                    reset(&client.stream.sock);
                }
                let since = Instant::now();
                drop(client);
                assert_ne!(drain(&mut call.stream).1, Ending::Open);
                let took = since.elapsed();
                assert!(took < AT_ONCE, "{took:?} streaming: {streaming}");
            }
        }
        let ended = world.end();
        assert_eq!(ended.of("INFERENCE").len(), 4);
        assert!(
            ended
                .of("INFERENCE")
                .iter()
                .all(|record| record["end"] == "client_gone")
        );
    });
}

/// SF-9: also a client that says goodbye properly while its backend is dialled.
#[test]
fn a_client_that_leaves_while_its_backend_is_dialled_leaves_one_record() {
    play(|_| {
        let world = Setup::new()
            .routes(&route("http://10.99.0.10:8080", ""))
            .open();
        let _full = full_listener("10.99.0.10:8080");
        let mut client = world.inside();
        client.stream.write_all(&post(CHAT, "{}")).unwrap();
        settle();
        client.stream.conn.send_close_notify();
        client.stream.flush().unwrap();
        drop(client);
        settle();
        let ended = world.end();
        assert_eq!(ended.one("INFERENCE")["end"], "client_gone");
    });
}

/// H-15, H1-12, TR-017: the answer comes although the body was not taken.
#[test]
fn an_answer_before_the_end_of_the_body_is_relayed_at_once() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let backend = Upstream::backend();
        let mut client = world.inside();
        let body = format!("{{\"a\":\"{}\"}}", "y".repeat(24 << 20));
        let sending = post(CHAT, &body);
        let found = thread::scope(|scope| {
            let client = &mut client;
            let asked = scope.spawn(move || ask(client, &sending));
            let mut call = harness::http::Reader::new(backend.accept());
            call.head().unwrap();
            // Some of the body, not all of it: the rest stays in the gate.
            reply(
                &mut call,
                "413 Content Too Large\r\nConnection: close",
                "{\"no\":1}",
            );
            let found = asked.join().unwrap();
            drop(call);
            found
        });
        assert_eq!((found.status(), found.text().as_str()), (413, "{\"no\":1}"));
    });
}
