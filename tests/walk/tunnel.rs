//! CONNECT through a real fence: targets, early bytes, both directions, ends, records (VECTORS.md 1 and 4).

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use harness::http::{End, Message, Reader};
use harness::play;
use harness::policy::{ANY, entry, private, text};
use harness::raw::{Fence, Raw};
use harness::scene::{PRIVATE, Scene};

/// A server that hands every connection to `act`, one thread each.
fn server(port: u16, act: impl Fn(TcpStream) + Send + Sync + Clone + 'static) {
    let listener = TcpListener::bind((PRIVATE, port)).expect("a port of the scene");
    thread::spawn(move || {
        for tcp in listener.incoming().flatten() {
            let act = act.clone();
            thread::spawn(move || act(tcp));
        }
    });
}

fn fence(scene: &Scene, port: u16) -> Fence {
    scene
        .run()
        .policy(&text(&private("api", "api.test", port, ANY), ""))
        .fence()
}

fn send(fence: &Fence, bytes: &[u8]) -> Reader<Raw> {
    let mut reader = Reader::new(fence.proxy());
    reader.stream.write_all(bytes).expect("the request is sent");
    reader
}

fn connect(fence: &Fence, authority: &str, fields: &str) -> (Message, Reader<Raw>) {
    let mut reader = send(
        fence,
        format!("CONNECT {authority} HTTP/1.1\r\nHost: x.test\r\n{fields}\r\n").as_bytes(),
    );
    let answer = reader
        .answer("CONNECT")
        .unwrap_or_else(|| unreachable!("no answer to CONNECT {authority}"));
    (answer.message, reader)
}

/// An open tunnel; what the server said with the head is kept for the next read.
fn open(fence: &Fence, authority: &str) -> Reader<Raw> {
    let mut reader = send(
        fence,
        format!("CONNECT {authority} HTTP/1.1\r\nHost: x.test\r\n\r\n").as_bytes(),
    );
    let head = String::from_utf8(reader.head().expect("an answer")).expect("text");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let lower = head.to_ascii_lowercase();
    assert!(
        !lower.contains("content-length") && !lower.contains("transfer-encoding"),
        "CON-6: {head}"
    );
    reader
}

/// CT-1, CT-11, CON-2, CON-11: spelling of the host, and fields that change nothing.
#[test]
fn an_allowed_target_is_tunnelled_however_its_host_is_spelled() {
    play(|scene| {
        server(8000, |mut tcp| tcp.write_all(b"first").expect("written"));
        let fence = fence(scene, 8000);
        for authority in [
            "api.test:8000",
            "API.Test:8000",
            "api.test.:8000",
            "api.test:08000",
        ] {
            let mut reader = send(&fence, format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nProxy-Authorization: Basic eA==\r\n\r\n").as_bytes());
            let head = reader
                .head()
                .unwrap_or_else(|| unreachable!("no answer to {authority}"));
            assert!(
                head.starts_with(b"HTTP/1.1 200 "),
                "{authority}: {}",
                String::from_utf8_lossy(&head)
            );
            // A server may speak first (CON-8).
            assert_eq!(
                reader.drain(),
                (b"first".to_vec(), End::Complete),
                "{authority}"
            );
        }
        let (answer, _) = connect(&fence, "xinference.local:443", "");
        assert_eq!(
            (answer.status(), answer.json()["error"].as_str()),
            (403, Some("policy_denied"))
        );
        let (answer, _) = connect(&fence, "inference.local.example.com:443", "");
        assert_eq!(
            (answer.status(), answer.json()["error"].as_str()),
            (403, Some("policy_denied"))
        );
    });
}

/// CT-6, CON-3
#[test]
fn a_connect_with_content_is_refused() {
    play(|scene| {
        server(8000, |mut tcp| tcp.write_all(b"first").expect("written"));
        let fence = fence(scene, 8000);
        let status = |fields: &str| connect(&fence, "api.test:8000", fields).0.status();
        assert_eq!(status("Content-Length: 0\r\n"), 200);
        assert_eq!(status("Content-Length: 5\r\n"), 400);
        assert_eq!(status("Transfer-Encoding: chunked\r\n"), 400);
        let mut reader = send(&fence, b"CONNECT api.test:8000 HTTP/1.1\r\n\r\n");
        assert_eq!(reader.answer("CONNECT").unwrap().message.status(), 400);
    });
}

/// CT-7, CON-7, CON-8
#[test]
fn bytes_sent_with_the_connect_head_reach_the_tunnel_in_order() {
    play(|scene| {
        let (sender, received) = channel();
        server(8000, move |mut tcp| {
            let mut all = Vec::new();
            tcp.read_to_end(&mut all).expect("read to the end");
            sender.send(all).expect("the test listens");
        });
        let fence = fence(scene, 8000);
        let mut expected = b"early ".to_vec();
        let reader = send(
            &fence,
            b"CONNECT api.test:8000 HTTP/1.1\r\nHost: x.test\r\n\r\nearly ",
        );
        let mut raw = reader.stream;
        for piece in 0..50 {
            let bytes = vec![piece as u8; 1 + piece * 97];
            raw.write_all(&bytes).unwrap();
            expected.extend(bytes);
        }
        raw.half_close().unwrap();
        assert!(next(&received) == expected);
    });
}

/// CON-8: each side may end first, and the other goes on.
#[test]
fn half_closes_are_passed_on_both_ways() {
    play(|scene| {
        // Answers only after it has seen the client's end.
        server(8000, |mut tcp| {
            let mut all = Vec::new();
            tcp.read_to_end(&mut all).expect("read to the end");
            tcp.write_all(&all.iter().rev().copied().collect::<Vec<_>>())
                .expect("written");
        });
        let (sender, received) = channel();
        // Ends first, and still reads.
        server(8001, move |mut tcp| {
            tcp.write_all(b"bye").expect("written");
            tcp.shutdown(Shutdown::Write).expect("half-closed");
            let mut all = Vec::new();
            tcp.read_to_end(&mut all).expect("read to the end");
            sender.send(all).expect("the test listens");
        });
        let policy = [
            private("a", "api.test", 8000, ANY),
            private("b", "api.test", 8001, ANY),
        ]
        .concat();
        let fence = scene.run().policy(&text(&policy, "")).fence();
        let mut reader = open(&fence, "api.test:8000");
        reader.stream.write_all(b"abc").unwrap();
        reader.stream.half_close().unwrap();
        assert_eq!(reader.drain(), (b"cba".to_vec(), End::Complete));
        let mut reader = open(&fence, "api.test:8001");
        assert_eq!(reader.drain(), (b"bye".to_vec(), End::Complete));
        reader.stream.write_all(b"still here").unwrap();
        reader.stream.half_close().unwrap();
        assert_eq!(next(&received), b"still here");
    });
}

/// CON-8, LOG-1: bulk both ways at once, and the record's byte counts.
#[test]
fn bulk_passes_unchanged_both_ways_and_is_counted() {
    const BYTES: usize = 24 << 20;
    play(|scene| {
        server(8000, |tcp| {
            let mut reading = tcp.try_clone().expect("a second descriptor");
            let mut writing = tcp;
            let echo = thread::spawn(move || {
                std::io::copy(&mut reading, &mut writing).map(|_| writing.shutdown(Shutdown::Write))
            });
            drop(echo.join());
        });
        let fence = fence(scene, 8000);
        let mut reader = open(&fence, "api.test:8000");
        reader.stream.set_timeout(Duration::from_secs(30));
        let pattern = |at: usize| (at.wrapping_mul(2_654_435_761) >> 13) as u8;
        let sent: Vec<u8> = (0..BYTES).map(pattern).collect();
        for piece in sent.chunks(1 << 20) {
            reader.stream.write_all(piece).unwrap();
        }
        reader.stream.half_close().unwrap();
        let (back, end) = reader.drain();
        assert_eq!((back.len(), end), (BYTES, End::Complete));
        assert!(back == sent, "bytes changed on the way");
        let ended = fence.end();
        let closed = ended.records_of("TUNNEL_CLOSED");
        assert_eq!(closed.len(), 1, "{}", ended.record_text);
        assert_eq!(
            (&closed[0]["bytes_up"], &closed[0]["bytes_down"]),
            (&BYTES.into(), &BYTES.into())
        );
        assert_eq!(closed[0]["end"], "normal");
    });
}

/// TRAPS area 8: a tunnel that is abandoned inside ends outside too, and the other way round.
#[test]
fn a_reset_on_one_side_ends_the_other() {
    play(|scene| {
        let (sender, received) = channel();
        server(8000, move |mut tcp| {
            tcp.write_all(b"hello").expect("written");
            let ended = tcp.read(&mut [0; 16]);
            sender
                .send(ended.map_or_else(|error| error.kind().to_string(), |read| read.to_string()))
                .expect("the test listens");
        });
        server(8001, |mut tcp| {
            tcp.write_all(b"hello").expect("written");
            rustix::net::sockopt::set_socket_linger(&tcp, Some(Duration::ZERO)).expect("linger");
        });
        let policy = [
            private("a", "api.test", 8000, ANY),
            private("b", "api.test", 8001, ANY),
        ]
        .concat();
        let fence = scene.run().policy(&text(&policy, "")).fence();
        let mut reader = open(&fence, "api.test:8000");
        assert_eq!(reader.exactly(5).unwrap(), b"hello");
        reader.stream.reset().unwrap();
        let ended = received
            .recv_timeout(Duration::from_secs(20))
            .expect("the server sees the end");
        assert!(ended == "0" || ended == "connection reset", "{ended}");
        let (bytes, end) = open(&fence, "api.test:8001").drain();
        assert_ne!(end, End::Silent, "{bytes:?}");
    });
}

/// MX-4…6, DST-8: private blocks that are listed.
#[test]
fn each_kind_of_listed_address_is_tunnelled() {
    play(|scene| {
        server(8000, |mut tcp| tcp.write_all(b"x").expect("written"));
        let policy = [
            entry(
                "host",
                "{host: api.test, port: 8000, allowed_ips: [10.99.0.1]}",
                ANY,
            ),
            entry(
                "literal",
                "{host: 10.99.0.1, port: 8000, allowed_ips: [10.0.0.0/8]}",
                ANY,
            ),
        ]
        .concat();
        let fence = scene.run().policy(&text(&policy, "")).fence();
        for authority in ["api.test:8000", "10.99.0.1:8000"] {
            assert_eq!(
                connect(&fence, authority, "").0.status(),
                200,
                "{authority}"
            );
        }
        let any_host = entry("hostless", "{port: 8000, allowed_ips: [10.99.0.0/24]}", ANY);
        let fence = scene.run().policy(&text(&any_host, "")).fence();
        assert_eq!(connect(&fence, "origin.test:8000", "").0.status(), 200);
    });
}

/// MX-9, FWD-1, FWD-2: what is no CONNECT and no http URL.
#[test]
fn requests_that_are_no_connect_are_answered_with_their_own_code() {
    play(|scene| {
        let fence = fence(scene, 8000);
        for (line, status, error) in [
            (
                "GET https://api.test/ HTTP/1.1",
                400,
                "use_connect_for_https",
            ),
            ("GET /path HTTP/1.1", 400, "invalid_request_target"),
            ("GET ftp://h/ HTTP/1.1", 400, "unsupported_scheme"),
            (
                "GET http://inference.local/v1/models HTTP/1.1",
                403,
                "inference_requires_https",
            ),
            ("GET / HTTP/1.2", 505, "unsupported_http_version"),
            ("GET  / HTTP/1.1", 400, "bad_request"),
        ] {
            let mut reader = send(&fence, format!("{line}\r\nHost: x.test\r\n\r\n").as_bytes());
            let answer = reader
                .answer("GET")
                .unwrap_or_else(|| unreachable!("no answer to {line}"))
                .message;
            assert_eq!(
                (answer.status(), answer.json()["error"].as_str()),
                (status, Some(error)),
                "{line}"
            );
        }
    });
}

/// H-10, H-11, H1-7: limits answer at once, a slow head in ten seconds.
#[test]
fn heads_that_are_too_large_or_too_slow_are_answered() {
    play(|scene| {
        server(8000, |mut tcp| tcp.write_all(b"x").expect("written"));
        let fence = fence(scene, 8000);
        let mut slow = send(&fence, b"CONNECT api.test:8000 HTTP/1.1\r\nHost: x");
        slow.stream.set_timeout(Duration::from_secs(30));
        let frame = "CONNECT api.test:8000 HTTP/1.1\r\nHost: x.test\r\nX: \r\n\r\n".len();
        for (size, status) in [(65_536, 200), (65_537, 431)] {
            let (answer, _) = connect(
                &fence,
                "api.test:8000",
                &format!("X: {}\r\n", "a".repeat(size - frame)),
            );
            assert_eq!(answer.status(), status, "a head of {size} bytes");
        }
        let many = |count: usize| {
            (0..count)
                .map(|number| format!("X{number}: 1\r\n"))
                .collect::<String>()
        };
        assert_eq!(connect(&fence, "api.test:8000", &many(127)).0.status(), 200);
        assert_eq!(connect(&fence, "api.test:8000", &many(128)).0.status(), 431);
        let mut endless = send(
            &fence,
            format!(
                "CONNECT api.test:8000 HTTP/1.1\r\nHost: x.test\r\nX: {}",
                "a".repeat(70_000)
            )
            .as_bytes(),
        );
        assert_eq!(
            endless.answer("CONNECT").unwrap().message.status(),
            431,
            "answered before the head ends"
        );
        let mut long = send(
            &fence,
            format!("GET http://api.test/{} HTTP/1.1\r\n", "a".repeat(9_000)).as_bytes(),
        );
        assert_eq!(long.answer("GET").unwrap().message.status(), 414);
        assert_eq!(slow.answer("CONNECT").unwrap().message.status(), 408);
    });
}

fn next(received: &Receiver<Vec<u8>>) -> Vec<u8> {
    received
        .recv_timeout(Duration::from_secs(10))
        .expect("the server gets the bytes")
}
