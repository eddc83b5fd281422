//! A backend's answer on its way to the client: status, framing, events, and what is told of the model.

use std::io::Write;
use std::thread;
use std::time::Duration;

use harness::http::End;
use harness::play;

use crate::faults::under_way;
use crate::inference::carried;
use crate::world::client::{Ending, answer, drain, get, post};
use crate::world::upstream::Kept;
use crate::world::upstream::{Upstream, begin_events, reply, request, send_chunk};
use crate::world::{KEY, MODEL, Setup, route};

const CHAT: &str = "/v1/chat/completions";

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
                thread::sleep(Duration::from_millis(15));
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

/// RF-1, RF-2, RF-5, RF-6, SF-8, INF-17, H1-13, H1-14
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
