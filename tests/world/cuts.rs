//! Answers that break: how a client learns that what it has is not all.

use std::io::Write;
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use harness::http::{End, Message};
use harness::play;
use serde_json::Value;

use crate::faults::under_way;
use crate::world::client::{Ending, Inside, drain};
use crate::world::upstream::{Upstream, begin_events, request, reset, send_chunk};
use crate::world::{Setup, route};

const CHAT: &str = "/v1/chat/completions";

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
        let world = Setup::new().backend("deadlines: {idle: 2s}").open();
        let backend = Upstream::backend();
        let mut client = world.inside();
        let mut call = under_way(&mut client, &backend, CHAT);
        begin_events(&mut call);
        assert!(client.head().is_some());
        let mut last = Instant::now();
        for _ in 0..5 {
            thread::sleep(Duration::from_millis(600));
            last = Instant::now();
            send_chunk(&mut call, ":\n\n");
            assert_eq!(client.chunk().unwrap(), b":\n\n");
        }
        let event = String::from_utf8(client.chunk().unwrap()).unwrap();
        assert!(event.contains("stream_interrupted"));
        assert!(last.elapsed() >= Duration::from_secs(2));
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
        let world = Setup::new().backend("deadlines: {total: 2s}").open();
        let backend = Upstream::backend();
        let mut client = world.inside();
        let since = Instant::now();
        let mut call = under_way(&mut client, &backend, CHAT);
        begin_events(&mut call);
        assert!(client.head().is_some());
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
            assert!(since.elapsed() < Duration::from_secs(20));
            thread::sleep(Duration::from_millis(20));
        }
        assert!(text.contains("stream_interrupted"));
        assert!(since.elapsed() >= Duration::from_secs(2));
    });
}
