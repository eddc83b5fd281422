//! Streams and failures at inference.local: cuts, deadlines, leaving clients, slow readers (VECTORS.md 9, SF).

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use harness::authority::Authority;
use harness::http::{Answer, End, Reader, chunk};
use harness::origin::{After, Origin};
use harness::policy::text;
use harness::raw::{Fence, TlsRaw};
use harness::scene::{PRIVATE, Scene};
use harness::{model, play};
use rustls::ClientConfig;

const CHAT: &str = "/v1/chat/completions";

/// How long anything may take to come about. Never what a test waits for.
const LIMIT: Duration = Duration::from_secs(10);

fn fence(scene: &Scene, endpoint: &str, deadlines: &str) -> (Fence, Arc<ClientConfig>) {
    let routes = model::routes(endpoint).replace(
        "    allow_private",
        &format!("    deadlines: {{{deadlines}}}\n    allow_private"),
    );
    let fence = scene.run().policy(&text("", "")).routes(&routes).fence();
    let trust = fence.trust();
    (fence, trust)
}

fn send(fence: &Fence, trust: &Arc<ClientConfig>, path: &str, words: &str) -> Reader<TlsRaw> {
    let mut reader = fence.inference(trust, 65_536);
    let body = format!(r#"{{"model":"any","stream":true,"messages":"{words}"}}"#);
    write!(
        reader.stream,
        "POST {path} HTTP/1.1\r\nHost: inference.local\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("the request is sent");
    reader
}

fn ask(fence: &Fence, trust: &Arc<ClientConfig>, path: &str, words: &str) -> Answer {
    send(fence, trust, path, words)
        .final_answer("POST")
        .unwrap_or_else(|| unreachable!("{path} {words}: no answer"))
}

fn refused(answer: &Answer) -> (u16, String) {
    assert_eq!(answer.end, End::Complete);
    (
        answer.message.status(),
        answer.message.json()["error"]
            .as_str()
            .unwrap_or("-")
            .to_owned(),
    )
}

/// A port that takes no more connections: its backlog is full, so a SYN gets no answer.
fn deaf(address: SocketAddr) -> Vec<std::os::fd::OwnedFd> {
    use rustix::net::{
        AddressFamily, SocketFlags, SocketType, bind, connect, listen, socket, socket_with,
    };
    let listener = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&listener, &address).expect("a port of the scene");
    listen(&listener, 0).expect("a listener");
    let mut held = vec![listener];
    for _ in 0..8 {
        let filler = socket_with(
            AddressFamily::INET,
            SocketType::STREAM,
            SocketFlags::NONBLOCK,
            None,
        )
        .expect("a socket");
        // In progress for ever, or connected: both fill the backlog.
        connect(&filler, &address).unwrap_or_default();
        held.push(filler);
    }
    held
}

/// SF-3, INF-20
#[test]
fn a_model_that_cannot_be_reached_is_503_and_one_that_is_silent_504() {
    play(|scene| {
        let (closed, trust) = fence(scene, "http://10.99.0.1:9/v1", "connect: 2s");
        assert_eq!(
            refused(&ask(&closed, &trust, CHAT, "x")),
            (503, "upstream_unavailable".into())
        );
        let _held = deaf("10.99.0.1:8001".parse().unwrap());
        let (fence_to_deaf, trust) = fence(scene, "http://10.99.0.1:8001/v1", "connect: 1s");
        assert_eq!(
            refused(&ask(&fence_to_deaf, &trust, CHAT, "x")),
            (504, "connect_timeout".into())
        );
        let server = model::start(&format!("{PRIVATE}:8000"), None);
        let (silent, trust) = fence(
            scene,
            &model::endpoint("http", server.address()),
            "header: 1s",
        );
        assert_eq!(
            refused(&ask(&silent, &trust, CHAT, "do:silence")),
            (504, "response_timeout".into())
        );
    });
}

/// RB-12, RTE-8: a name that leads to a private address without permission, and to metadata with it.
#[test]
fn a_backend_name_is_judged_by_its_address() {
    play(|scene| {
        let server = model::start(
            &format!("{PRIVATE}:8000"),
            Some(scene.authority().server(&["model.test"])),
        );
        let routes = model::routes("https://model.test:8000/v1").replace(
            "allow_private_endpoint: true",
            "allow_private_endpoint: false",
        );
        let fence = scene.run().policy(&text("", "")).routes(&routes).fence();
        let trust = fence.trust();
        assert_eq!(
            refused(&ask(&fence, &trust, CHAT, "x")),
            (503, "route_broken".into())
        );
        assert_eq!(server.connections(), 0);
    });
}

/// SF-4, TLS-6
#[test]
fn a_reset_garbage_or_an_untrusted_certificate_before_the_head_is_502() {
    play(|scene| {
        let server = model::start(&format!("{PRIVATE}:8000"), None);
        let (plain, trust) = fence(scene, &model::endpoint("http", server.address()), "");
        for words in ["do:reset-first", "do:garbage"] {
            assert_eq!(
                refused(&ask(&plain, &trust, CHAT, words)),
                (502, "upstream_protocol_error".into()),
                "{words}"
            );
        }
        let stranger = Authority::new("a stranger");
        for (port, config) in [
            (8443, stranger.server(&["model.test"])),
            (8444, scene.authority().server(&["other.test"])),
        ] {
            let server = model::start(&format!("{PRIVATE}:{port}"), Some(config));
            let (fence, trust) = fence(scene, &format!("https://model.test:{port}/v1"), "");
            assert_eq!(
                refused(&ask(&fence, &trust, CHAT, "x")),
                (502, "upstream_tls_failed".into()),
                "{port}"
            );
            assert_eq!(
                server.requests().len(),
                0,
                "no byte of the request is sent to a stranger"
            );
        }
    });
}

/// SF-5, INF-21, INF-22: plain and over TLS, in every dialect.
#[test]
fn a_stream_that_breaks_ends_with_one_error_event_and_no_end_of_its_own() {
    play(|scene| {
        let plain = model::start(&format!("{PRIVATE}:8000"), None);
        let tls = model::start(
            &format!("{PRIVATE}:8443"),
            Some(scene.authority().server(&["model.test"])),
        );
        for endpoint in [
            model::endpoint("http", plain.address()),
            format!("https://model.test:{}/v1", tls.address().port()),
        ] {
            let (fence, trust) = fence(scene, &endpoint, "");
            for (path, start) in [
                (CHAT, "data: {\"error\":{\"message\":"),
                ("/v1/completions", "data: {\"error\":{\"message\":"),
                (
                    "/v1/responses",
                    "event: error\ndata: {\"type\":\"error\",\"code\":\"stream_interrupted\"",
                ),
                (
                    "/v1/messages",
                    "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":",
                ),
            ] {
                let mut reader = send(&fence, &trust, path, "do:cut=2");
                let answer = reader.final_answer("POST").unwrap();
                let body = answer.message.text();
                assert_eq!(
                    (answer.message.status(), answer.end),
                    (200, End::Truncated),
                    "{path}: {body}"
                );
                assert!(
                    body.contains("piece-1") && body.ends_with("\n\n"),
                    "{path}: {body}"
                );
                assert_eq!(body.matches(start).count(), 1, "{path}: {body}");
                for made_up in ["[DONE]", "message_stop", "response.completed"] {
                    assert!(!body.contains(made_up), "{path}: {body}");
                }
                let last = body.trim_end().rsplit("data: ").next().unwrap_or_default();
                assert!(
                    serde_json::from_str::<serde_json::Value>(last).is_ok(),
                    "{path}: {last}"
                );
            }
            let ended = fence.end();
            let ends: Vec<_> = ended
                .records_of("INFERENCE")
                .iter()
                .map(|record| record["end"].as_str().unwrap_or("-").to_owned())
                .collect();
            assert_eq!(ends, ["cut"; 4], "{}", ended.record_text);
        }
    });
}

/// SF-7
#[test]
fn a_cut_that_cannot_be_told_in_words_is_an_abort() {
    play(|scene| {
        let server = model::start(&format!("{PRIVATE}:8000"), None);
        let (fence, trust) = fence(scene, &model::endpoint("http", server.address()), "");
        for words in ["do:gzip", "do:short"] {
            let answer = ask(&fence, &trust, CHAT, words);
            assert_eq!(answer.end, End::Truncated, "{words}");
            assert!(
                !answer.message.text().contains("stream_interrupted"),
                "{words}: {}",
                answer.message.text()
            );
        }
    });
}

/// SF-2, INF-19: the idle deadline, made short.
#[test]
fn a_stream_that_falls_silent_is_cut_at_the_idle_deadline() {
    play(|scene| {
        let server = model::start(&format!("{PRIVATE}:8000"), None);
        let (fence, trust) = fence(
            scene,
            &model::endpoint("http", server.address()),
            "idle: 3s",
        );
        let started = Instant::now();
        let answer = ask(&fence, &trust, CHAT, "do:gate=never");
        assert_eq!(answer.end, End::Truncated);
        assert!(
            answer.message.text().contains("piece-0")
                && answer.message.text().contains("stream_interrupted"),
            "{}",
            answer.message.text()
        );
        assert!(started.elapsed() >= Duration::from_secs(3));
        // One that keeps talking outlives it.
        let answer = ask(&fence, &trust, CHAT, "do:events=6 do:pause=700");
        assert_eq!(answer.end, End::Complete);
    });
}

/// SF-9, INF-23: in the stream, and while the head is awaited.
#[test]
fn when_the_client_leaves_the_model_is_let_go_at_once() {
    play(|scene| {
        let (sender, left) = channel();
        let sender = Mutex::new(sender);
        let origin = Origin::start(&format!("{PRIVATE}:8000"), None, move |request, wire| {
            if request.text().contains("streams") {
                wire.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                wire.write_all(&chunk(b"data: 1\n\n"))?;
            }
            let gone = wire.gone_within(LIMIT);
            sender
                .lock()
                .expect("one at a time")
                .send((gone, Instant::now()))
                .expect("the test listens");
            Ok(After::Cut)
        });
        let (fence, trust) = fence(scene, &model::endpoint("http", origin.address()), "");
        for (words, how) in [
            ("streams", "close"),
            ("streams", "reset"),
            ("waits", "close"),
            ("waits", "reset"),
        ] {
            let before = origin.requests().len();
            let mut reader = send(&fence, &trust, CHAT, words);
            if words == "streams" {
                reader.head().expect("the stream begins");
                assert_eq!(reader.chunk().unwrap(), b"data: 1\n\n");
            } else {
                assert_eq!(origin.wait_for(before + 1, LIMIT), before + 1);
            }
            let leaving = Instant::now();
            if how == "reset" {
                reader.stream.sock.reset().unwrap();
            }
            drop(reader);
            let (gone, at) = left
                .recv_timeout(LIMIT * 2)
                .expect("the model answers for itself");
            assert!(gone, "{words}, {how}: the model was not let go");
            // The requirement is a tenth of a second; the rest is for a busy machine.
            assert!(
                at.duration_since(leaving) < LIMIT / 2,
                "{words}, {how}: after {:?}",
                at.duration_since(leaving)
            );
        }
    });
}

/// INF-18: a slow reader pauses the model, and gets every byte in the end.
#[test]
fn a_reader_that_pauses_pauses_the_model() {
    const EVENTS: u64 = 4_000;
    play(|scene| {
        let written = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&written);
        let origin = Origin::start(&format!("{PRIVATE}:8000"), None, move |_, wire| {
            wire.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            let event = chunk(format!("data: {}\n\n", "x".repeat(16_376)).as_bytes());
            for _ in 0..EVENTS {
                wire.write_all(&event)?;
                counter.fetch_add(1, Ordering::SeqCst);
            }
            wire.write_all(b"0\r\n\r\n")?;
            Ok(After::KeepOpen)
        });
        let (fence, trust) = fence(scene, &model::endpoint("http", origin.address()), "");
        let mut reader = send(&fence, &trust, CHAT, "x");
        reader.head().expect("the stream begins");
        reader.stream.sock.pause().unwrap();
        let mut before = written.load(Ordering::SeqCst);
        let settled = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(200));
            let now = written.load(Ordering::SeqCst);
            std::mem::replace(&mut before, now) == now
        });
        assert!(
            settled && before < EVENTS,
            "{before} of {EVENTS} events taken from the model with nobody reading"
        );
        reader.stream.sock.resume().unwrap();
        let mut events = 0;
        while !reader.chunk().expect("the stream goes on").is_empty() {
            events += 1;
        }
        assert!(events > 0);
        assert_eq!(written.load(Ordering::SeqCst), EVENTS);
    });
}
