//! Plain HTTP in absolute form, to private addresses.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use harness::http::{Message, Reader};
use harness::play;

use crate::world::client::{Ending, drain, expect, expect_silence, verdict};
use crate::world::upstream::{Upstream, reply};
use crate::world::{AT_ONCE, Setup, World};

const PEER: &str = "10.99.0.7:8000";

fn world() -> World {
    Setup::new()
        .allow(
            "wiki",
            "{host: wiki.test, port: 8000, allowed_ips: [10.99.0.0/24]}",
        )
        .allow("nolist", "{host: nolist.test, port: 8000}")
        .allow(
            "public",
            "{host: public.test, port: 8000, allowed_ips: [45.45.45.0/24, 198.18.0.0/15]}",
        )
        .allow(
            "shared",
            "{host: shared.test, port: 8000, allowed_ips: [100.64.0.0/10]}",
        )
        .host("10.99.0.7 wiki.test nolist.test")
        .host("45.45.45.7 public.test")
        .host("198.18.0.1 bench.test")
        .open()
}

fn send(world: &World, request: &str) -> Reader<TcpStream> {
    let mut client = Reader::new(world.proxy());
    client.stream.write_all(request.as_bytes()).unwrap();
    client
}

fn answer(client: &mut Reader<TcpStream>) -> Message {
    client.answer("GET").expect("an answer").message
}

fn refusal(world: &World, request: &str) -> String {
    let mut client = send(world, request);
    let found = verdict(&answer(&mut client));
    assert_eq!(drain(&mut client.stream).1, Ending::Clean, "{request}");
    found
}

/// RW-1, RW-2, RW-4, RW-5, RW-7, FWD-7
#[test]
fn a_head_is_written_anew_toward_the_upstream() {
    play(|_| {
        let world = world();
        let upstream = Upstream::bind(PEER);
        let mut client = send(
            &world,
            "GET http://wiki.test:8000/a/b?c=d HTTP/1.1\r\nHost: other.test\r\nAccept: */*\r\nVia: 1.0 before\r\n\
             Proxy-Authorization: Basic eA==\r\nProxy-Connection: keep-alive\r\nConnection: keep-alive, X-Foo\r\n\
             X-Foo: 1\r\nX-Bar: caf\u{e9}\r\n\r\n",
        );
        let (mut call, request) = upstream.call();
        assert_eq!(
            String::from_utf8_lossy(&request.head),
            "GET /a/b?c=d HTTP/1.1\r\nHost: wiki.test:8000\r\nAccept: */*\r\nX-Bar: caf\u{e9}\r\n\
             Via: 1.0 before, 1.1 ringfence\r\nConnection: close\r\n\r\n"
        );
        reply(
            &mut call,
            "200 OK\r\nKeep-Alive: timeout=5\r\nVia: 1.1 inside",
            "{}",
        );
        let message = answer(&mut client);
        assert_eq!(message.text(), "{}");
        assert_eq!(
            message.field("via").as_deref(),
            Some("1.1 inside, 1.1 ringfence")
        );
        assert_eq!(message.field("keep-alive"), None);
    });
}

/// RW-10, FWD-7
#[test]
fn options_without_a_path_asks_for_the_server_itself() {
    play(|_| {
        let world = world();
        let upstream = Upstream::bind(PEER);
        let _client = send(
            &world,
            "OPTIONS http://wiki.test:8000 HTTP/1.1\r\nHost: wiki.test:8000\r\n\r\n",
        );
        assert_eq!(upstream.call().1.target(), "*");
    });
}

/// RW-8, RW-9, TR-001, TR-021, FWD-9
#[test]
fn every_request_of_a_connection_is_judged_and_dialled_on_its_own() {
    play(|_| {
        let world = world();
        let upstream = Upstream::bind(PEER);
        let get = |host: &str| format!("GET http://{host}:8000/ HTTP/1.1\r\nHost: x\r\n\r\n");
        let three = get("wiki.test") + &get("denied.test") + &get("wiki.test");
        let mut client = send(&world, &three);
        let (mut call, _) = upstream.call();
        reply(&mut call, "200 OK", "{}");
        assert_eq!(answer(&mut client).status(), 200);
        assert_eq!(
            verdict(&answer(&mut client)),
            "403 policy_denied endpoint_not_allowed"
        );
        assert_eq!(drain(&mut client.stream), (Vec::new(), Ending::Clean));
        assert!(upstream.is_untouched(), "the third was never parsed");
        drop(call);
        assert_eq!(
            world.end().outline(),
            [
                "FORWARD relay allow - -",
                "FORWARD decide deny policy_denied endpoint_not_allowed"
            ]
        );
    });
}

/// MX-1, MX-2, MX-3, MX-6, MX-7, MX-9, URI-7, URI-9, URI-11, URI-12, FWD-1 to FWD-5
#[test]
fn what_plain_http_may_not_reach_is_refused_with_its_reason() {
    play(|_| {
        let world = world();
        let upstream = Upstream::bind(PEER);
        let of =
            |target: &str| refusal(&world, &format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(
            of("http://nolist.test:8000/"),
            "403 forward_requires_allowed_ips"
        );
        assert_eq!(of("http://public.test:8000/"), "403 forward_private_only");
        assert_eq!(
            of("http://denied.test/"),
            "403 policy_denied endpoint_not_allowed"
        );
        assert_eq!(of("https://wiki.test:8000/"), "400 use_connect_for_https");
        assert_eq!(of("ftp://wiki.test/"), "400 unsupported_scheme");
        for invalid in [
            "/path",
            "*",
            "http:///x",
            "http://u:p@wiki.test:8000/",
            "http://wiki.test:8000/#f",
        ] {
            assert_eq!(of(invalid), "400 invalid_request_target", "{invalid}");
        }
        for name in [
            "http://inference.local/v1/models",
            "http://INFERENCE.LOCAL.:8080/",
        ] {
            assert_eq!(of(name), "403 inference_requires_https", "{name}");
        }
        assert!(upstream.is_untouched());
    });
}

/// FWD-6, MX-8: failures before the first byte carry their codes; no name server answers in here.
#[test]
fn an_upstream_or_a_name_that_is_not_there_is_told_apart() {
    play(|_| {
        let world = world();
        let of =
            |target: &str| refusal(&world, &format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(of("http://wiki.test:8000/"), "502 upstream_unreachable");
        assert_eq!(of("http://shared.test:8000/"), "504 dns_timeout");
    });
}

/// RW-3, H-8, H-9, FWD-8: a chunked body is framed again; extensions and trailers are dropped.
#[test]
fn a_body_is_decoded_and_framed_again() {
    play(|_| {
        let world = world();
        let upstream = Upstream::bind(PEER);
        let mut client = send(
            &world,
            "POST http://wiki.test:8000/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n",
        );
        let (mut call, request) = upstream.call();
        assert_eq!(request.text(), "hello");
        assert!(!String::from_utf8_lossy(&request.head).contains("x: y"));
        // An answer without framing is chunked toward the client and its connection goes on.
        call.stream
            .write_all(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")
            .unwrap();
        drop(call);
        let message = answer(&mut client);
        assert_eq!(message.text(), "until the end");
        assert_eq!(
            message.field("transfer-encoding").as_deref(),
            Some("chunked")
        );
        client
            .stream
            .write_all(b"GET http://wiki.test:8000/2 HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        assert_eq!(upstream.call().1.target(), "/2");
    });
}

/// H-6, TR-008: the upstream never sees a complete message, and the client is told.
#[test]
fn a_malformed_chunk_is_400_and_the_upstream_sees_no_end() {
    play(|_| {
        let world = world();
        let upstream = Upstream::bind(PEER);
        let mut client = send(
            &world,
            "POST http://wiki.test:8000/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n+5\r\n",
        );
        let mut peer = upstream.accept();
        assert_eq!(verdict(&answer(&mut client)), "400 bad_request");
        let (sent, _) = drain(&mut peer);
        assert!(
            !sent.ends_with(b"0\r\n\r\n"),
            "{:?}",
            String::from_utf8_lossy(&sent)
        );
    });
}

/// H-14, TR-017: the expectation is the upstream's to meet.
#[test]
fn an_interim_answer_reaches_a_client_that_waits_for_it() {
    play(|_| {
        let world = world();
        let upstream = Upstream::bind(PEER);
        let mut client = send(
            &world,
            "POST http://wiki.test:8000/ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
        );
        let mut call = Reader::new(upstream.accept());
        let head = call.head().unwrap();
        assert!(String::from_utf8_lossy(&head).contains("Expect: 100-continue\r\n"));
        expect_silence(&client.stream, Duration::from_millis(50));
        call.stream
            .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
            .unwrap();
        let interim = client.head().unwrap();
        assert!(interim.starts_with(b"HTTP/1.1 100 "));
        client.stream.write_all(b"body").unwrap();
        assert_eq!(call.exactly(4).unwrap(), b"body");
        reply(&mut call, "200 OK", "{}");
        assert_eq!(answer(&mut client).text(), "{}");
    });
}

/// H-15, H1-12, TR-017
#[test]
fn an_answer_that_comes_before_the_body_is_relayed_and_ends_the_connection() {
    play(|_| {
        let world = world();
        let upstream = Upstream::bind(PEER);
        let mut client = send(
            &world,
            "POST http://wiki.test:8000/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nfirst",
        );
        let mut call = Reader::new(upstream.accept());
        call.head().unwrap();
        reply(&mut call, "413 Too Large", "{}");
        assert_eq!(answer(&mut client).status(), 413);
        assert_eq!(drain(&mut client.stream).1, Ending::Clean);
    });
}

/// RF-3, RF-7, RF-8, TR-019
#[test]
fn answers_are_framed_as_they_are_meant_or_refused() {
    play(|_| {
        let world = world();
        let upstream = Upstream::bind(PEER);
        let of = |method: &str, bytes: &[u8]| {
            let client = send(
                &world,
                &format!("{method} http://wiki.test:8000/ HTTP/1.1\r\nHost: x\r\n\r\n"),
            );
            let (mut call, _) = upstream.call();
            call.stream.write_all(bytes).unwrap();
            call.stream.shutdown(Shutdown::Write).unwrap();
            client
        };
        let mut head = of("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        let message = head.answer("HEAD").unwrap().message;
        assert_eq!(message.field("content-length").as_deref(), Some("1000"));
        for malformed in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabc"[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/2.0 200 OK\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
            b"",
        ] {
            let mut client = of("GET", malformed);
            assert_eq!(verdict(&answer(&mut client)), "502 upstream_protocol_error");
        }
        let mut short = of(
            "GET",
            b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nshort",
        );
        let (bytes, ending) = drain(&mut short.stream);
        assert_ne!(ending, Ending::Open);
        assert!(!bytes.ends_with(b"\r\n0\r\n\r\n"));
    });
}

/// RW-11, FWD-10, TR-016: bytes that came with the 101 included.
#[test]
fn a_websocket_upgrade_becomes_a_raw_tunnel() {
    play(|_| {
        let world = world();
        let upstream = Upstream::bind(PEER);
        let mut client = send(
            &world,
            "GET http://wiki.test:8000/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        );
        let (mut call, request) = upstream.call();
        assert_eq!(request.field("upgrade").as_deref(), Some("websocket"));
        assert_eq!(request.field("connection").as_deref(), Some("Upgrade"));
        call.stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nserver first")
            .unwrap();
        let head = client.head().unwrap();
        assert!(head.starts_with(b"HTTP/1.1 101 "));
        assert_eq!(client.exactly(12).unwrap(), b"server first");
        client.stream.write_all(b"client then").unwrap();
        expect(&mut call.stream, b"client then");
        drop((client, call));
        assert_eq!(world.end().one("TUNNEL_CLOSED")["end"], "normal");
    });
}

/// FWD-10: any other upgrade is removed and the request goes on.
#[test]
fn another_upgrade_is_removed() {
    play(|_| {
        let world = world();
        let upstream = Upstream::bind(PEER);
        let mut client = send(
            &world,
            "GET http://wiki.test:8000/ HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
        );
        let (mut call, request) = upstream.call();
        assert_eq!(request.field("upgrade"), None);
        assert_eq!(request.field("http2-settings"), None);
        reply(&mut call, "200 OK", "{}");
        assert_eq!(answer(&mut client).status(), 200);
    });
}

/// LIM, TR-091: an upstream that never answers.
#[test]
fn a_silent_upstream_is_504_when_its_time_is_up() {
    play(|_| {
        let world = Setup::new()
            .allow_port(8000)
            .limit(|limits| limits.forward_header_time = Duration::from_millis(300))
            .open();
        let upstream = Upstream::bind(PEER);
        let mut client = send(
            &world,
            &format!("GET http://{PEER}/ HTTP/1.1\r\nHost: x\r\n\r\n"),
        );
        let _call = upstream.call();
        assert_eq!(verdict(&answer(&mut client)), "504 response_timeout");
    });
}

/// INF-23 for the forward path: an upstream does not work for nobody.
#[test]
fn an_upstream_that_has_not_answered_is_left_when_the_client_leaves() {
    play(|_| {
        let world = world();
        let upstream = Upstream::bind(PEER);
        let client = send(
            &world,
            "POST http://wiki.test:8000/ HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody",
        );
        let (mut call, _) = upstream.call();
        let since = Instant::now();
        drop(client);
        assert_ne!(drain(&mut call.stream).1, Ending::Open);
        assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
    });
}

/// H-14: an expectation nobody knows is 417 before anything is dialled.
#[test]
fn an_expectation_that_is_not_known_is_417() {
    play(|_| {
        let world = world();
        let upstream = Upstream::bind(PEER);
        assert_eq!(
            refusal(
                &world,
                "POST http://wiki.test:8000/ HTTP/1.1\r\nHost: x\r\nExpect: x\r\nContent-Length: 4\r\n\r\nbody",
            ),
            "417 expectation_failed"
        );
        assert!(upstream.is_untouched());
    });
}
