//! Backends that fail, in every place where they can, and clients that leave.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use harness::http::{End, Message};
use harness::play;
use serde_json::Value;

use crate::tunnel::full_listener;
use crate::world::client::{
    Ending, Inside, answer, ask, drain, expect_silence, get, post, verdict,
};
use crate::world::upstream::{Call, Upstream, begin_events, reply, request, reset, send_chunk};
use crate::world::{BACKEND, KEY, Setup, route};

const CHAT: &str = "/v1/chat/completions";

/// A client whose request has reached the backend.
fn under_way(client: &mut Inside, backend: &Upstream, path: &str) -> Call {
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
            let since = Instant::now();
            let refusal = ask(&mut client, &post(CHAT, "{}"));
            assert_eq!(verdict(&refusal), wanted, "{endpoint}");
            assert!(since.elapsed() < Duration::from_secs(4), "{endpoint}");
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
        let world = Setup::new().backend("deadlines: {header: 400ms}").open();
        let backend = Upstream::backend();
        let mut client = world.inside();
        let mut call = under_way(&mut client, &backend, CHAT);
        let since = Instant::now();
        assert_eq!(verdict(&answer(&mut client)), "504 response_timeout");
        assert!(since.elapsed() >= Duration::from_millis(300));
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

/// What a client of a cut stream reads: the body so far, and how it ended.
fn cut_stream(client: &mut Inside) -> (String, End, Ending) {
    let found = client.answer("POST").expect("a head");
    let (rest, ending) = drain(&mut client.stream);
    assert_eq!(rest, b"");
    (found.message.text(), found.end, ending)
}

/// The one event behind what the backend sent.
fn error_event(text: &str, sent: &str) -> Value {
    let rest = text
        .strip_prefix(sent)
        .unwrap_or_else(|| panic!("{sent:?} in {text:?}"));
    let data: Vec<_> = rest
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .collect();
    let [data] = data[..] else {
        panic!("not one event: {rest:?}")
    };
    assert!(rest.ends_with("\n\n"));
    assert!(!text.contains("[DONE]") && !text.contains("message_stop"));
    serde_json::from_str(data).unwrap()
}

/// SF-5, INF-21, INF-22, TR-056, TR-057
#[test]
fn a_stream_that_breaks_between_events_ends_with_one_error_in_its_dialect() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let backend = Upstream::backend();
        for (path, kind, pointer) in [
            (CHAT, None, "/error/code"),
            ("/v1/completions", None, "/error/code"),
            ("/v1/responses", Some("event: error\n"), "/code"),
            ("/v1/messages", Some("event: error\n"), "/error/message"),
        ] {
            for by_reset in [true, false] {
                let mut client = world.inside();
                let mut call = under_way(&mut client, &backend, path);
                begin_events(&mut call);
                send_chunk(&mut call, "data: one\n\n");
                let head = client.head().unwrap();
                assert_eq!(client.chunk().unwrap(), b"data: one\n\n");
                if by_reset {
                    reset(&call.stream);
                }
                drop(call);
                let mut text = String::new();
                let end = loop {
                    match client.chunk() {
                        Ok(piece) if piece.is_empty() => break None,
                        Ok(piece) => text += &String::from_utf8(piece).unwrap(),
                        Err(end) => break Some(end),
                    }
                };
                assert_eq!(end, Some(End::Truncated), "{path}: no last chunk");
                let event = error_event(&text, kind.unwrap_or(""));
                let told = event.pointer(pointer).and_then(Value::as_str).unwrap();
                assert!(told.starts_with("stream_interrupted"), "{event}");
                assert!(head.starts_with(b"HTTP/1.1 200 OK"));
            }
        }
        let ended = world.end();
        assert_eq!(ended.of("INFERENCE").len(), 8);
        for record in ended.of("INFERENCE") {
            assert_eq!(
                (&record["end"], &record["status"]),
                (&"cut".into(), &200.into())
            );
        }
    });
}

/// SF-6, SF-7, INF-21
#[test]
fn what_is_unfinished_is_ended_before_the_error_event() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let backend = Upstream::backend();
        for (sent, closing) in [
            ("data: ha", "\n\n"),
            ("data: half\n", "\n"),
            ("data: half\r\n", "\n"),
            ("data: whole\n\n", ""),
            ("", ""),
            (": comment\n\n", ""),
        ] {
            // In chunks, and with a length that is not reached: both are relayed in chunks.
            for framing in ["Transfer-Encoding: chunked", "Content-Length: 500"] {
                let mut client = world.inside();
                let mut call = under_way(&mut client, &backend, CHAT);
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{framing}\r\n\r\n"
                );
                call.stream.write_all(head.as_bytes()).unwrap();
                if framing.starts_with('C') {
                    call.stream.write_all(sent.as_bytes()).unwrap();
                } else if !sent.is_empty() {
                    send_chunk(&mut call, sent);
                }
                drop(call);
                let (text, end, ending) = cut_stream(&mut client);
                assert_eq!(end, End::Truncated, "{sent:?} {framing}");
                assert_ne!(
                    ending,
                    Ending::Clean,
                    "no close_notify: the message is not whole"
                );
                let event = error_event(&text, &format!("{sent}{closing}"));
                assert_eq!(event["error"]["code"], "stream_interrupted");
            }
        }
    });
}

/// SF-7, RF-8, INF-21, TR-056: an answer that carries no event of ours is cut, never ended.
#[test]
fn other_answers_that_break_are_aborted_without_a_word() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let backend = Upstream::backend();
        for head in [
            "Content-Type: application/json\r\nContent-Length: 500\r\n\r\n{\"half\":",
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{\"half\":\r\n",
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{\"half\":",
            "Content-Type: text/event-stream\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{\"half\":\r\n",
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{\"half\":\r\nnonsense",
        ] {
            let mut client = world.inside();
            let mut call = under_way(&mut client, &backend, CHAT);
            call.stream
                .write_all(format!("HTTP/1.1 200 OK\r\n{head}").as_bytes())
                .unwrap();
            drop(call);
            let (text, end, ending) = cut_stream(&mut client);
            assert_eq!(
                (text.as_str(), end),
                ("{\"half\":", End::Truncated),
                "{head}"
            );
            assert_ne!(ending, Ending::Clean, "{head}");
        }
        let ended = world.end();
        assert!(
            ended
                .of("INFERENCE")
                .iter()
                .all(|record| record["end"] == "cut")
        );
    });
}

/// INF-21, H1-13, TR-018: over TLS an end without close_notify is a cut where the end is the length.
#[test]
fn an_unframed_answer_over_tls_needs_a_close_notify_to_be_whole() {
    play(|scene| {
        let world = Setup::new()
            .host("10.99.0.80 model.test")
            .routes(&route(
                "https://model.test:8443/v1",
                "allow_private_endpoint: true",
            ))
            .open();
        let listener = Upstream::bind("10.99.0.80:8443");
        let config = scene.authority().server(&["model.test"]);
        for (version, proper) in [("1.1", true), ("1.1", false), ("1.0", true), ("1.0", false)] {
            let mut client = world.inside();
            let head = format!("GET /v1/models HTTP/{version}\r\nHost: inference.local\r\n\r\n");
            client.stream.write_all(head.as_bytes()).unwrap();
            let mut call = listener.tls(&config);
            request(&mut call);
            call.stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"n\":1}")
                .unwrap();
            if proper {
                call.stream.conn.send_close_notify();
                call.stream.flush().unwrap();
            }
            call.stream.sock.shutdown(Shutdown::Write).unwrap();
            if version == "1.1" {
                let found = client.answer("GET").unwrap();
                assert_eq!(found.message.text(), "{\"n\":1}");
                assert_eq!(
                    found.end,
                    if proper {
                        End::Complete
                    } else {
                        End::Truncated
                    }
                );
            } else {
                let message = Message {
                    head: client.head().unwrap(),
                    ..Message::default()
                };
                assert_eq!(message.count("content-length"), 0);
                let (body, ending) = drain(&mut client.stream);
                assert_eq!(ending == Ending::Clean, proper, "{ending:?}");
                let body = [client.rest(), &body].concat();
                assert!(body == b"{\"n\":1}" || !proper, "{body:?}");
            }
        }
        let ended = world.end();
        let ends: Vec<_> = ended
            .of("INFERENCE")
            .iter()
            .map(|record| record["end"].clone())
            .collect();
        assert_eq!(ends, ["complete", "cut", "complete", "cut"]);
    });
}

/// SF-2, INF-19: a comment line counts as a byte; silence does not.
#[test]
fn a_silent_stream_is_cut_after_the_idle_deadline_and_a_comment_keeps_it() {
    play(|_| {
        let world = Setup::new().backend("deadlines: {idle: 500ms}").open();
        let backend = Upstream::backend();
        let mut client = world.inside();
        let mut call = under_way(&mut client, &backend, CHAT);
        begin_events(&mut call);
        assert!(client.head().is_some());
        for _ in 0..5 {
            thread::sleep(Duration::from_millis(250));
            send_chunk(&mut call, ":\n\n");
            assert_eq!(client.chunk().unwrap(), b":\n\n");
        }
        let since = Instant::now();
        let event = String::from_utf8(client.chunk().unwrap()).unwrap();
        assert!(event.contains("stream_interrupted"));
        assert!(since.elapsed() >= Duration::from_millis(400));
        assert_eq!(client.chunk(), Err(End::Truncated));
        assert_ne!(
            drain(&mut call.stream).1,
            Ending::Open,
            "the backend is left, too"
        );
        assert_eq!(world.end().one("INFERENCE")["end"], "cut");
    });
}

/// INF-19: a total deadline ends a stream that never stops.
#[test]
fn a_stream_is_cut_at_its_total_deadline_however_busy_it_is() {
    play(|_| {
        let world = Setup::new().backend("deadlines: {total: 600ms}").open();
        let backend = Upstream::backend();
        let mut client = world.inside();
        let mut call = under_way(&mut client, &backend, CHAT);
        begin_events(&mut call);
        assert!(client.head().is_some());
        let since = Instant::now();
        let mut text = String::new();
        loop {
            // The gate may have closed already.
            _ = call.stream.write_all(&harness::http::chunk(b"data: x\n\n"));
            match client.chunk() {
                Ok(piece) => text += &String::from_utf8(piece).unwrap(),
                Err(end) => {
                    assert_eq!(end, End::Truncated);
                    break;
                }
            }
            if text.contains("stream_interrupted") {
                continue;
            }
            assert!(since.elapsed() < Duration::from_secs(5));
            thread::sleep(Duration::from_millis(20));
        }
        assert!(text.contains("stream_interrupted"));
        assert!(since.elapsed() >= Duration::from_millis(400));
    });
}

/// SF-9, INF-23, TR-060
#[test]
fn the_backend_is_left_within_a_tenth_of_a_second_when_the_client_goes() {
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
                assert!(
                    took < Duration::from_millis(100),
                    "{took:?} streaming: {streaming}"
                );
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
        thread::sleep(Duration::from_millis(200));
        client.stream.conn.send_close_notify();
        client.stream.flush().unwrap();
        drop(client);
        thread::sleep(Duration::from_millis(200));
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

/// TR-098, INF-17, SF-4: a kept connection that died unseen.
#[test]
fn a_get_is_sent_again_over_a_new_connection_and_a_post_never() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let backend = Upstream::backend();
        let mut client = world.inside();
        // The backend takes the request on the kept connection and drops it without a byte.
        let primed = |client: &mut Inside| {
            client.stream.write_all(&get("/v1/models")).unwrap();
            let (mut call, _) = backend.call();
            reply(&mut call, "200 OK", "{}");
            answer(client);
            call
        };
        let mut call = primed(&mut client);
        client.stream.write_all(&get("/v1/models/twice")).unwrap();
        assert_eq!(request(&mut call).target(), "/v1/models/twice");
        drop(call);
        let (mut call, again) = backend.call();
        assert_eq!(again.target(), "/v1/models/twice");
        reply(&mut call, "200 OK\r\nConnection: close", "{\"n\":2}");
        assert_eq!(answer(&mut client).text(), "{\"n\":2}");
        drop(call);

        let mut call = primed(&mut client);
        client.stream.write_all(&post(CHAT, "{}")).unwrap();
        request(&mut call);
        drop(call);
        assert_eq!(verdict(&answer(&mut client)), "502 upstream_protocol_error");
        assert!(
            backend.is_untouched(),
            "a call that is repeated is paid twice"
        );

        // A new connection that breaks is not tried again, GET or not.
        client.stream.write_all(&get("/v1/models")).unwrap();
        drop(backend.call());
        assert_eq!(verdict(&answer(&mut client)), "502 upstream_protocol_error");
        assert!(backend.is_untouched());
    });
}

/// TR-019, H1-13, RF-6: what was left over or closed is never used for the next request.
#[test]
fn a_connection_with_stray_bytes_or_an_end_is_not_reused() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let backend = Upstream::backend();
        let mut client = world.inside();
        for stray in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
            b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        ] {
            client.stream.write_all(&get("/v1/models")).unwrap();
            let (mut call, _) = backend.call();
            call.stream.write_all(stray).unwrap();
            assert_eq!(answer(&mut client).text(), "{}");
            assert_ne!(drain(&mut call.stream).1, Ending::Open, "the gate closes it");
        }
        // One that ends, or speaks, while it is idle.
        for late in [None, Some(&b"HTTP/1.1 408 Timeout\r\n\r\n"[..])] {
            client.stream.write_all(&get("/v1/models")).unwrap();
            let (mut call, _) = backend.call();
            reply(&mut call, "200 OK", "{}");
            answer(&mut client);
            match late {
                None => call.stream.shutdown(Shutdown::Write).unwrap(),
                Some(bytes) => call.stream.write_all(bytes).unwrap(),
            }
            thread::sleep(Duration::from_millis(50));
        }
        client.stream.write_all(&get("/v1/models")).unwrap();
        let (mut call, _) = backend.call();
        reply(&mut call, "200 OK", "{\"last\":1}");
        assert_eq!(answer(&mut client).text(), "{\"last\":1}");
    });
}

/// RTE-9, TR-082: a connection that carried one credential never carries another.
#[test]
fn a_connection_is_never_shared_between_credentials() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let backend = Upstream::backend();
        let mut client = world.inside();
        client.stream.write_all(&get("/v1/models")).unwrap();
        let (mut first, _) = backend.call();
        reply(&mut first, "200 OK", "{}");
        answer(&mut client);
        world.put_routes(&route(&format!("http://{BACKEND}/v1"), "").replace(KEY, "sk-other-key"));
        client.stream.write_all(&get("/v1/models")).unwrap();
        let (mut second, sent) = backend.call();
        assert_eq!(
            sent.field("authorization").as_deref(),
            Some("Bearer sk-other-key")
        );
        reply(&mut second, "200 OK", "{}");
        answer(&mut client);
        let mut probe = [0; 1];
        first
            .stream
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        assert!(!matches!(first.stream.read(&mut probe), Ok(1)));
    });
}

/// TR-009, RF-5, H-13: an answer is the same however it is cut.
#[test]
fn an_answer_in_single_bytes_is_the_same_answer() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let backend = Upstream::backend();
        let mut client = world.inside();
        let mut call = under_way(&mut client, &backend, CHAT);
        let text = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n6;a=b\r\ndata: \r\n4\r\n1\r\n\n\r\n0\r\nx-checksum: 1\r\n\r\n";
        for byte in text.bytes() {
            call.stream.write_all(&[byte]).unwrap();
            thread::sleep(Duration::from_millis(2));
        }
        let found = answer(&mut client);
        assert_eq!(found.text(), "data: 1\r\n\n");
        assert!(found.body_wire.ends_with(b"0\r\nx-checksum: 1\r\n\r\n"));
        // The connection is whole and kept.
        client.stream.write_all(&get("/v1/models")).unwrap();
        assert_eq!(request(&mut call).target(), "/v1/models");
    });
}

/// LIM, RTE-9: idle connections to a backend are bounded.
#[test]
fn no_more_idle_connections_are_kept_than_the_limit() {
    play(|_| {
        let world = Setup::new()
            .backend("")
            .limit(|limits| limits.pool_idle_per_key_max = 1)
            .open();
        let backend = Upstream::backend();
        let mut clients = [world.inside(), world.inside()];
        let mut calls: Vec<_> = clients
            .iter_mut()
            .map(|client| under_way(client, &backend, CHAT))
            .collect();
        for (client, call) in clients.iter_mut().zip(&mut calls) {
            reply(call, "200 OK", "{}");
            assert_eq!(answer(client).status(), 200);
        }
        assert_ne!(
            drain(&mut calls[1].stream).1,
            Ending::Open,
            "the second is let go"
        );
        clients[0].stream.write_all(&get("/v1/models")).unwrap();
        assert_eq!(
            request(&mut calls[0]).target(),
            "/v1/models",
            "the first is kept"
        );
    });
}

/// INF-23 where the backend is behind TLS and silent.
#[test]
fn a_client_that_leaves_during_the_backends_handshake_ends_it() {
    play(|_| {
        let world = Setup::new()
            .host("10.99.0.80 model.test")
            .routes(&route(
                "https://model.test:8443/v1",
                "allow_private_endpoint: true",
            ))
            .open();
        let listener = Upstream::bind("10.99.0.80:8443");
        let mut client = world.inside();
        client.stream.write_all(&get("/v1/models")).unwrap();
        let mut mute = listener.accept();
        let mut first = [0; 1];
        mute.read_exact(&mut first).unwrap();
        let since = Instant::now();
        drop(client);
        assert_ne!(drain(&mut mute).1, Ending::Open);
        assert!(
            since.elapsed() < Duration::from_millis(100),
            "{:?}",
            since.elapsed()
        );
        assert_eq!(world.end().one("INFERENCE")["end"], "client_gone");
    });
}
