//! Messages on the forward path: framing of requests and of answers, as they reach the other side.
//!
//! Apart from `forward`, which is about what the proxy does with a request: here it is about where a message ends.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use harness::http::{End, Message, Reader, chunk};
use harness::origin::{After, Origin};
use harness::play;

use crate::malformed;
use crate::world::client::{Ending, drain, expect_silence, verdict};
use crate::world::upstream::{Call, Upstream, reply};
use crate::world::{Setup, World};

const PEER: &str = "10.99.0.7:8000";

fn world() -> World {
    Setup::new().allow_port(8000).open()
}

fn send(world: &World, bytes: &[u8]) -> Reader<TcpStream> {
    let mut client = Reader::new(world.proxy());
    client.stream.write_all(bytes).unwrap();
    client
}

fn post(fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST http://{PEER}/p HTTP/1.1\r\nHost: {PEER}\r\n{fields}\r\n");
    [head.as_bytes(), body].concat()
}

fn get(path: &str) -> Vec<u8> {
    format!("GET http://{PEER}{path} HTTP/1.1\r\nHost: {PEER}\r\n\r\n").into_bytes()
}

fn answer(client: &mut Reader<TcpStream>) -> Message {
    let answer = client.answer("GET").expect("an answer");
    assert_eq!(answer.end, End::Complete);
    answer.message
}

/// H-1, H-3, H-4, H-5, H1-2, H1-4, TR-002 to TR-005
#[test]
fn ambiguous_framing_is_400_and_no_upstream_is_dialled() {
    play(|_| {
        let world = world();
        let upstream = Upstream::bind(PEER);
        let heads = malformed::fields();
        for head in &heads {
            let mut client = send(&world, &post(head, b"hello"));
            assert_eq!(verdict(&answer(&mut client)), "400 bad_request", "{head:?}");
            assert_eq!(drain(&mut client.stream).1, Ending::Clean, "{head:?}");
        }
        let old =
            format!("POST http://{PEER}/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
        assert_eq!(
            verdict(&answer(&mut send(&world, old.as_bytes()))),
            "400 bad_request"
        );
        assert!(upstream.is_untouched());
        assert_eq!(world.end().of("REFUSED").len(), heads.len() + 1);
    });
}

/// H-6, H-7, H1-5, TR-008: the upstream may have seen the beginning, never an end.
#[test]
fn a_broken_chunk_never_ends_a_message_upstream() {
    play(|_| {
        let world = world();
        let origin = Origin::greeting(PEER, None, "here");
        for body in [
            "+5\r\nhello\r\n0\r\n\r\n",
            "5 x\r\nhello\r\n0\r\n\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            "00000000000000005\r\nhello\r\n0\r\n\r\n",
            "5\nhello\r\n0\r\n\r\n",
            "5\r\nhello0\r\n\r\n",
            "5\r\nhellox\r\n0\r\n\r\n",
            "FFFFFFFFFFFFFFFF\r\nhello",
            "10000000000000005\r\nhello\r\n0\r\n\r\n",
        ] {
            let mut client = send(
                &world,
                &post("Transfer-Encoding: chunked\r\n", body.as_bytes()),
            );
            assert_eq!(verdict(&answer(&mut client)), "400 bad_request", "{body:?}");
            assert_eq!(drain(&mut client.stream).1, Ending::Clean, "{body:?}");
        }
        assert!(origin.requests().is_empty());
    });
}

/// H-7, TR-009: in linear time, and the body is what it was.
#[test]
fn a_hundred_thousand_chunks_of_one_byte_are_one_body() {
    play(|_| {
        let world = world();
        let origin = Origin::greeting(PEER, None, "here");
        let mut body = Vec::new();
        for number in 0..100_000_u32 {
            body.extend_from_slice(&chunk(&[b'a' + (number % 26) as u8]));
        }
        body.extend_from_slice(b"0\r\n\r\n");
        let since = Instant::now();
        let mut client = send(&world, &post("Transfer-Encoding: chunked\r\n", &body));
        assert_eq!(answer(&mut client).status(), 200);
        assert!(
            since.elapsed() < Duration::from_secs(30),
            "{:?}",
            since.elapsed()
        );
        let sent = &origin.requests()[0].body;
        assert_eq!(sent.len(), 100_000);
        assert!(
            sent.iter()
                .enumerate()
                .all(|(at, byte)| *byte == b'a' + (at % 26) as u8)
        );
    });
}

/// RW-3, H-9, H-13, TR-006, TR-009: a body that came with its head, one in single bytes, and every byte value.
#[test]
fn a_body_arrives_byte_for_byte_however_it_was_cut() {
    play(|_| {
        let world = world();
        let origin = Origin::greeting(PEER, None, "here");
        let body: Vec<u8> = (0..=255).cycle().take(3_000).collect();
        let whole = post(
            &format!("Content-Length: {}\r\nX-Raw: caf\u{e9}\r\n", body.len()),
            &body,
        );
        let mut client = send(&world, &whole);
        assert_eq!(answer(&mut client).status(), 200);
        let mut client = Reader::new(world.proxy());
        for byte in &whole {
            client.stream.write_all(&[*byte]).unwrap();
        }
        assert_eq!(answer(&mut client).status(), 200);
        for request in origin.take() {
            assert_eq!(request.body, body);
            assert!(
                harness::http::find(&request.head, "X-Raw: caf\u{e9}\r\n".as_bytes()).is_some()
            );
        }
        let mut client = send(
            &world,
            &post(
                "Transfer-Encoding: chunked\r\n",
                b"A\r\n{\"a\":true}\r\n0\r\n\r\n",
            ),
        );
        assert_eq!(answer(&mut client).status(), 200);
        assert_eq!(origin.take()[0].body, b"{\"a\":true}");
    });
}

/// H-16, H1-8, TR-001, TR-021
#[test]
fn three_requests_in_one_write_are_answered_in_order() {
    play(|_| {
        let world = world();
        let origin = Origin::start(PEER, None, |request, wire| {
            let text = format!("{} {}", request.target(), request.text());
            write!(
                wire,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
                text.len()
            )?;
            Ok(After::KeepOpen)
        });
        let three = [
            post("Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
            get("/second"),
            post("Content-Length: 3\r\n", b"end"),
        ]
        .concat();
        let mut client = send(&world, &three);
        for wanted in ["/p hello", "/second ", "/p end"] {
            assert_eq!(answer(&mut client).text(), wanted);
        }
        assert_eq!(origin.connections(), 3, "one upstream connection a request");
        drop(client);
        assert_eq!(world.end().of("FORWARD").len(), 3);
    });
}

/// H-14, H1-10, TR-017
#[test]
fn an_expectation_is_met_by_the_upstream_alone_and_others_are_417() {
    play(|_| {
        let world = world();
        let upstream = Upstream::bind(PEER);
        let mut client = send(&world, &post("Expect: x\r\nContent-Length: 4\r\n", b""));
        assert_eq!(verdict(&answer(&mut client)), "417 expectation_failed");
        let tunnel = format!("CONNECT {PEER} HTTP/1.1\r\nHost: {PEER}\r\nExpect: x\r\n\r\n");
        let mut client = send(&world, tunnel.as_bytes());
        assert_eq!(verdict(&answer(&mut client)), "417 expectation_failed");
        let denied = b"POST http://denied.test/ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
        let mut client = send(&world, denied);
        assert_eq!(
            verdict(&answer(&mut client)),
            "403 policy_denied endpoint_not_allowed"
        );
        assert_eq!(drain(&mut client.stream), (Vec::new(), Ending::Clean));
        assert!(upstream.is_untouched());
        // The upstream may refuse, too: its answer comes and the body is never sent.
        let mut client = send(
            &world,
            &post("Expect: 100-continue\r\nContent-Length: 4\r\n", b""),
        );
        let mut call = Reader::new(upstream.accept());
        call.head().unwrap();
        expect_silence(&client.stream, Duration::from_millis(50));
        reply(&mut call, "401 Unauthorized", "{}");
        assert_eq!(answer(&mut client).status(), 401);
        assert_eq!(drain(&mut client.stream).1, Ending::Clean);
    });
}

/// Sends a GET and answers it with `pieces`, one write each; how the answer ended for the client.
fn answered(
    world: &World,
    upstream: &Upstream,
    method: &str,
    pieces: &[&[u8]],
) -> (Reader<TcpStream>, Call) {
    let request = format!("{method} http://{PEER}/ HTTP/1.1\r\nHost: {PEER}\r\n\r\n");
    let client = send(world, request.as_bytes());
    let (mut call, _) = upstream.call();
    for piece in pieces {
        call.stream.write_all(piece).unwrap();
        thread::sleep(Duration::from_millis(5));
    }
    (client, call)
}

/// RF-1 to RF-6, H1-11, H1-13, H1-14, TR-017, TR-018, TR-019, TR-020
#[test]
fn every_framing_of_an_answer_reaches_the_client_whole() {
    play(|_| {
        let world = world();
        let upstream = Upstream::bind(PEER);
        let next = |client: &mut Reader<TcpStream>| {
            // What came behind the answer is not there: the connection serves the next request.
            client.stream.write_all(&get("/next")).unwrap();
            let (mut call, request) = upstream.call();
            assert_eq!(request.target(), "/next");
            reply(&mut call, "200 OK", "{}");
            assert_eq!(answer(client).text(), "{}");
        };
        // RF-1, RF-2: until the upstream closes; a pause is no end.
        let (mut client, mut call) = answered(
            &world,
            &upstream,
            "GET",
            &[b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"hello "],
        );
        thread::sleep(Duration::from_millis(700));
        call.stream.write_all(b"world").unwrap();
        call.stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(answer(&mut client).text(), "hello world");
        next(&mut client);
        // RF-3: no body, no wait.
        for (method, head) in [
            ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
            ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
            (
                "GET",
                "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n",
            ),
        ] {
            let (mut client, _call) = answered(&world, &upstream, method, &[head.as_bytes()]);
            let message = client.answer(method).unwrap().message;
            assert!(message.body.is_empty(), "{head:?}");
            next(&mut client);
        }
        // RF-4: interim answers pass, the final one is awaited.
        let (mut client, _call) = answered(
            &world,
            &upstream,
            "GET",
            &[
                b"HTTP/1.1 100 Continue\r\n\r\n",
                b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            ],
        );
        let statuses: Vec<u16> = (0..3).map(|_| answer(&mut client).status()).collect();
        assert_eq!(statuses, [100, 103, 200]);
        next(&mut client);
        // RF-5: chunked, with a trailer, although the upstream stays open.
        let (mut client, _call) = answered(
            &world,
            &upstream,
            "GET",
            &[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX-Checksum: 1\r\nContent-Length: 3\r\nAuthorization: x\r\n\r\n"],
        );
        let message = answer(&mut client);
        assert_eq!(message.text(), "hello");
        let wire = String::from_utf8_lossy(&message.body_wire).to_ascii_lowercase();
        assert!(wire.ends_with("0\r\nx-checksum: 1\r\n\r\n"), "{wire:?}");
        next(&mut client);
        // RF-6: bytes beyond the length are dropped.
        let (mut client, mut call) = answered(&world, &upstream, "GET", &[b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad"]);
        assert_eq!(answer(&mut client).text(), "hello");
        next(&mut client);
        assert_ne!(
            drain(&mut call.stream).1,
            Ending::Open,
            "the upstream connection is closed"
        );
    });
}

/// RF-7, H1-11, H1-13, TR-019
#[test]
fn an_answer_that_is_none_is_502() {
    play(|_| {
        let world = world();
        let upstream = Upstream::bind(PEER);
        let mut large = b"HTTP/1.1 200 OK\r\n".to_vec();
        large.resize(256 * 1024, b'a');
        for head in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde"[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/2.0 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX: \0\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            b"ICY 200 OK\r\n\r\n",
            &large,
        ] {
            let mut client = send(&world, &get("/"));
            let (mut call, _) = upstream.call();
            // A gate that has seen enough closes.
            _ = call.stream.write_all(head);
            let found = answer(&mut client);
            let shown = String::from_utf8_lossy(&head[..head.len().min(60)]);
            assert_eq!(verdict(&found), "502 upstream_protocol_error", "{shown:?}");
            assert_ne!(drain(&mut call.stream).1, Ending::Open, "{shown:?}");
        }
    });
}

/// RF-8, H1-14, TR-018: nobody takes a part for the whole.
#[test]
fn a_short_answer_is_never_made_a_complete_one() {
    play(|_| {
        let world = world();
        let upstream = Upstream::bind(PEER);
        for (pieces, is_reset) in [
            (
                &b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nshort"[..],
                false,
            ),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
                false,
            ),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
                false,
            ),
            (b"HTTP/1.1 200 OK\r\n\r\nuntil", true),
        ] {
            let (mut client, call) = answered(&world, &upstream, "GET", &[pieces]);
            if is_reset {
                crate::world::upstream::reset(&call.stream);
            }
            drop(call);
            let found = client.answer("GET").unwrap();
            assert_eq!(
                found.end,
                End::Truncated,
                "{:?}",
                String::from_utf8_lossy(pieces)
            );
        }
    });
}

/// LIM-2, FWD-8, TR-094: memory does not follow the size of a body in either direction.
#[test]
fn a_body_of_256_mib_each_way_stays_out_of_memory() {
    const PIECE: usize = 1 << 20;
    const PIECES: usize = 256;
    play(|_| {
        let world = world();
        let upstream = Upstream::bind(PEER);
        let mut client = send(
            &world,
            &post(&format!("Content-Length: {}\r\n", PIECE * PIECES), b""),
        );
        let mut call = Reader::new(upstream.accept());
        call.head().unwrap();
        let before = resident_kib();
        let mut writer = client.stream.try_clone().unwrap();
        let sending = thread::spawn(move || {
            let piece = vec![b'x'; PIECE];
            (0..PIECES).for_each(|_| writer.write_all(&piece).unwrap());
        });
        for _ in 0..PIECES {
            assert_eq!(call.exactly(PIECE).unwrap().len(), PIECE);
        }
        sending.join().unwrap();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            PIECE * PIECES
        );
        call.stream.write_all(head.as_bytes()).unwrap();
        let sending = thread::spawn(move || {
            let piece = vec![b'y'; PIECE];
            (0..PIECES).for_each(|_| call.stream.write_all(&piece).unwrap());
        });
        client.head().unwrap();
        for _ in 0..PIECES {
            assert_eq!(client.exactly(PIECE).unwrap().len(), PIECE);
        }
        sending.join().unwrap();
        let grown = resident_kib().saturating_sub(before);
        assert!(
            grown < 32 * 1024,
            "{grown} KiB more, the test's own buffers included"
        );
    });
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
