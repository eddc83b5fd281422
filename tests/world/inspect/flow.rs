//! How a judged request and its answer flow through a tunnel (H, RF, L7-15).

use std::io::Write;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Instant;

use harness::http::{Answer, End, Reader};
use harness::{Scene, play};
use rustls::ServerConfig;

use super::{
    AUTHORITY, Client, HOST, PEER, Way, answer, ask, echo, open, request, send, setup, told,
};
use crate::malformed;
use crate::world::client::{Ending, drain, expect, tunnel, verdict};
use crate::world::upstream::{Upstream, reply};
use crate::world::{AT_ONCE, Setup, World};

fn world(way: Way) -> World {
    setup(way, "access: full").open()
}

/// L7-15, TR-006, H-8, RW-3
fn fields_and_body_reach_the_upstream_as_they_were_sent(scene: &Scene, way: Way) {
    let world = world(way);
    let origin = echo(scene, way);
    let mut client = open(&world, way);
    client
        .stream
        .write_all(
            format!(
                "POST /a/./b?c=d HTTP/1.1\r\nHost: {AUTHORITY}\r\nX-Raw: caf\u{e9}\r\nAuthorization: Bearer t\r\nCookie: a=b\r\nVia: 1.0 v\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nt: 1\r\n\r\n"
            )
            .as_bytes(),
        )
        .unwrap();
    assert_eq!(told(&answer(&mut client, "POST")), "200 POST /a/b?c=d");
    let sent = &origin.requests()[0];
    assert_eq!(
        String::from_utf8_lossy(&sent.head),
        format!(
            "POST /a/b?c=d HTTP/1.1\r\nHost: {AUTHORITY}\r\nX-Raw: caf\u{e9}\r\nAuthorization: Bearer t\r\nCookie: a=b\r\nVia: 1.0 v\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
    );
    assert_eq!(sent.body, b"hello");
    assert_eq!(sent.body_wire, b"5\r\nhello\r\n0\r\n\r\n");
}

/// H-16, TR-021, H1-8: three in one write, the first with a chunked body; one upstream connection for all.
fn requests_of_a_connection_are_answered_in_order_over_one_upstream_connection(
    scene: &Scene,
    way: Way,
) {
    let world = world(way);
    let origin = echo(scene, way);
    let mut client = open(&world, way);
    let mut bytes = request(way, "POST", "/1", "Transfer-Encoding: chunked\r\n");
    bytes.extend_from_slice(b"1\r\nx\r\n0\r\n\r\n");
    bytes.extend(request(way, "GET", "/2", ""));
    bytes.extend(request(way, "GET", "/3", ""));
    client.stream.write_all(&bytes).unwrap();
    for (method, target) in [("POST", "/1"), ("GET", "/2"), ("GET", "/3")] {
        assert_eq!(
            told(&answer(&mut client, method)),
            format!("200 {method} {target}")
        );
    }
    assert_eq!(origin.connections(), 1, "{way:?}");
    drop(client);
    let ended = world.end();
    let records = ended.of("L7_REQUEST");
    assert_eq!(records.len(), 3);
    let first = records[0];
    for (key, value) in [
        ("dst_host", HOST),
        ("policy", "api"),
        ("l7_protocol", "rest"),
        ("l7_action", "POST"),
        ("l7_target", "/1"),
        ("l7_decision", "allow"),
        ("l7_deny_reason", "-"),
        ("stage", "relay"),
    ] {
        assert_eq!(first[key], value, "{key}");
    }
    assert_eq!(
        (&first["bytes_up"], &first["bytes_down"]),
        (&1.into(), &7.into())
    );
    assert_eq!(first["status"], 200);
}

/// H-1, H-3, H-4, H-5, H-11, H-12, H-14, CP-7, TR-002 to TR-005, TR-010: one parser, one verdict.
fn a_malformed_head_is_refused_and_recorded_and_nothing_is_sent(scene: &Scene, way: Way) {
    let world = world(way);
    let origin = echo(scene, way);
    let with = |lines: &str| format!("POST / HTTP/1.1\r\nHost: {AUTHORITY}\r\n{lines}\r\n");
    let versed = |version: &str| format!("GET / {version}\r\nHost: {AUTHORITY}\r\n\r\n");
    let lines = [
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        format!("GET  / HTTP/1.1\r\nHost: {AUTHORITY}\r\n\r\n"),
        format!("POST / HTTP/1.0\r\nHost: {AUTHORITY}\r\nTransfer-Encoding: chunked\r\n\r\n"),
        versed("HTTP/1"),
        versed("http/1.1"),
    ];
    let fields = malformed::fields().into_iter().map(|lines| with(&lines));
    let mut rows: Vec<(String, &str)> = fields
        .chain(lines)
        .map(|row| (row, "400 bad_request"))
        .collect();
    rows.extend(
        ["HTTP/1.2", "HTTP/2.0", "HTTP/0.9"]
            .map(|version| (versed(version), "505 unsupported_http_version")),
    );
    rows.extend([
        (with("Expect: x\r\n"), "417 expectation_failed"),
        (
            format!(
                "GET /{} HTTP/1.1\r\nHost: {AUTHORITY}\r\n\r\n",
                "a".repeat(8_192)
            ),
            "414 target_too_long",
        ),
        (
            with(&format!("X: {}\r\n", "a".repeat(65_536))),
            "431 header_too_large",
        ),
        (with(&"X: 1\r\n".repeat(128)), "431 header_too_large"),
    ]);
    for (row, expected) in &rows {
        let shown = &row[..row.len().min(120)];
        let mut client = open(&world, way);
        client.stream.write_all(row.as_bytes()).unwrap();
        assert_eq!(
            told(&answer(&mut client, "POST")),
            *expected,
            "{way:?} {shown:?}"
        );
        assert_eq!(drain(&mut client.stream).0, b"");
    }
    assert_eq!(origin.requests().len(), 0);
    let ended = world.end();
    assert_eq!(ended.of("L7_REQUEST").len(), rows.len());
    assert!(
        ended
            .of("L7_REQUEST")
            .iter()
            .all(|record| record["l7_decision"] == "deny")
    );
}

/// Plays one answer of an upstream, byte for byte, and gives what the client saw.
fn answered(
    world: &World,
    listener: &Upstream,
    config: Option<&Arc<ServerConfig>>,
    method: &str,
    bytes: &[u8],
) -> Answer {
    let way = config.map_or(Way::Plain, |_| Way::Tls);
    let mut client = open(world, way);
    send(&mut client, way, method, "/", "");
    match config {
        None => {
            let (mut call, _) = listener.call();
            call.stream.write_all(bytes).unwrap();
            call.stream.shutdown(Shutdown::Write).unwrap();
        }
        Some(config) => {
            let mut call = listener.tls(config);
            crate::world::upstream::request(&mut call);
            call.stream.write_all(bytes).unwrap();
            call.stream.conn.send_close_notify();
            // Whoever saw a fault before this may be gone.
            drop(call.stream.flush());
            drop(call.stream.sock.shutdown(Shutdown::Write));
        }
    }
    client.final_answer(method).expect("an answer")
}

/// RF-1, RF-3, RF-4, RF-5, RF-6, RF-7, RF-8, H1-13, TR-018, TR-019, TR-020
fn answers_are_framed_as_they_are_meant_or_refused(scene: &Scene, way: Way) {
    let (world, listener) = (world(way), Upstream::bind(PEER));
    let config = super::server(scene, way);
    let of =
        |method: &str, bytes: &[u8]| answered(&world, &listener, config.as_ref(), method, bytes);
    let closing = of(
        "GET",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello world",
    );
    assert_eq!(
        (closing.message.text(), closing.end),
        ("hello world".into(), End::Complete)
    );
    assert_eq!(
        closing.message.field("connection").as_deref(),
        Some("close")
    );
    let head = of("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    assert_eq!(
        head.message.field("content-length").as_deref(),
        Some("1000")
    );
    assert_eq!(
        of("GET", b"HTTP/1.1 204 No Content\r\n\r\n")
            .message
            .status(),
        204
    );
    let early = of(
        "GET",
        b"HTTP/1.1 103 E\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    assert_eq!(early.message.text(), "ok");
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-checksum: 1\r\n\r\n";
    let trailed = of("GET", chunked);
    assert_eq!(trailed.message.text(), "ok");
    assert!(String::from_utf8_lossy(&trailed.message.body_wire).contains("x-checksum: 1"));
    let excess = of(
        "GET",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokexcess",
    );
    assert_eq!(
        (excess.message.text(), excess.end),
        ("ok".into(), End::Complete)
    );
    let cut = of(
        "GET",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n0123456789",
    );
    assert_eq!(cut.end, End::Truncated);
    for bad in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabc"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"",
    ] {
        assert_eq!(
            verdict(&of("GET", bad).message),
            "502 upstream_protocol_error",
            "{way:?} {}",
            bad.escape_ascii()
        );
    }
}

/// H1-13, TR-018: over TLS an end without close_notify is a cut.
#[test]
fn a_body_until_close_that_ends_without_close_notify_is_a_cut() {
    play(|scene| {
        let world = world(Way::Tls);
        let listener = Upstream::bind(PEER);
        let config = scene.authority().server(&[HOST]);
        let mut client = open(&world, Way::Tls);
        send(&mut client, Way::Tls, "GET", "/", "");
        let mut call = listener.tls(&config);
        crate::world::upstream::request(&mut call);
        call.stream
            .write_all(b"HTTP/1.1 200 OK\r\n\r\npart")
            .unwrap();
        call.stream.sock.shutdown(Shutdown::Both).unwrap();
        assert_eq!(client.answer("GET").unwrap().end, End::Truncated);
        assert_eq!(
            world.end().one("L7_REQUEST")["code"],
            "upstream_protocol_error"
        );
    });
}

/// H-14, H1-10, TR-017
#[test]
fn a_client_that_waits_for_100_gets_it_from_the_upstream_or_a_refusal() {
    play(|_| {
        let rules = "enforcement: enforce, rules: [{allow: {method: PUT, path: /a}}]";
        let world = setup(Way::Plain, rules).open();
        let listener = Upstream::bind(PEER);
        let fields = "Expect: 100-continue\r\nContent-Length: 4\r\n";
        let mut client = open(&world, Way::Plain);
        send(&mut client, Way::Plain, "PUT", "/a", fields);
        let mut call = Reader::new(listener.accept());
        call.head().unwrap();
        call.stream
            .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
            .unwrap();
        assert!(client.head().unwrap().starts_with(b"HTTP/1.1 100 "));
        client.stream.write_all(b"body").unwrap();
        assert_eq!(call.exactly(4).unwrap(), b"body");
        reply(&mut call, "200 OK", "{}");
        assert_eq!(told(&answer(&mut client, "PUT")), "200 {}");
        send(&mut client, Way::Plain, "PUT", "/b", fields);
        assert_eq!(
            told(&client.answer("PUT").unwrap().message),
            "403 policy_denied request_not_allowed"
        );
    });
}

/// H-15, H1-12, TR-017
#[test]
fn an_answer_that_comes_before_the_body_is_relayed_and_ends_the_connection() {
    play(|_| {
        let world = world(Way::Plain);
        let listener = Upstream::bind(PEER);
        let mut client = open(&world, Way::Plain);
        send(
            &mut client,
            Way::Plain,
            "POST",
            "/",
            "Content-Length: 1000000\r\n",
        );
        client.stream.write_all(b"first").unwrap();
        let mut call = Reader::new(listener.accept());
        call.head().unwrap();
        reply(&mut call, "413 Too Large", "{}");
        let early = answer(&mut client, "POST");
        assert_eq!(early.status(), 413);
        assert_eq!(drain(&mut client.stream).1, Ending::Clean);
    });
}

/// FWD-8, LIM-2, TR-017: both directions at once, inside TLS on both sides.
fn large_bodies_flow_both_ways_at_the_same_time(scene: &Scene, way: Way) {
    let world = world(way);
    let _origin =
        harness::origin::Origin::start(PEER, super::server(scene, way), |request, wire| {
            write!(
                wire,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                request.body.len()
            )?;
            wire.write_all(&request.body)?;
            Ok(harness::origin::After::KeepOpen)
        });
    let body: Vec<u8> = (0..8u32 << 20).map(|n| (n * 7 + n / 251) as u8).collect();
    let mut client: Client = open(&world, way);
    let fields = format!("Content-Length: {}\r\n", body.len());
    send(&mut client, way, "POST", "/", &fields);
    client.stream.write_all(&body).unwrap();
    assert!(answer(&mut client, "POST").body == body, "{way:?}");
}

/// INF-23 for inspected requests: an upstream does not work for nobody.
#[test]
fn an_upstream_that_has_not_answered_is_left_when_the_client_leaves() {
    play(|_| {
        let world = world(Way::Plain);
        let listener = Upstream::bind(PEER);
        let mut client = open(&world, Way::Plain);
        send(&mut client, Way::Plain, "GET", "/", "");
        let (mut call, _) = listener.call();
        let since = Instant::now();
        drop(client);
        assert_ne!(drain(&mut call.stream).1, Ending::Open);
        assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
    });
}

/// LR-11: one without a host is inspected like others.
#[test]
fn an_endpoint_without_a_host_is_inspected_like_others() {
    play(|scene| {
        let world = Setup::new()
            .allow("any", "{port: 8080, protocol: rest, allowed_ips: [10.99.0.0/24], enforcement: enforce, access: read-only}")
            .host("10.99.0.7 api.example.com")
            .open();
        let _origin = echo(scene, Way::Plain);
        let mut client = open(&world, Way::Plain);
        assert_eq!(
            told(&ask(&mut client, Way::Plain, "GET", "/a")),
            "200 GET /a"
        );
        assert_eq!(
            told(&ask(&mut client, Way::Plain, "PUT", "/a")),
            "403 policy_denied request_not_allowed"
        );
    });
}

/// LR-11, POL-5: no request is read where no endpoint says `protocol`; a rule beside, for another port, changes nothing.
#[test]
fn an_endpoint_without_protocol_is_a_raw_tunnel() {
    play(|_| {
        let world = Setup::new()
            .allow(
                "raw",
                "{host: api.example.com, port: 8080, allowed_ips: [10.99.0.0/24]}",
            )
            .allow(
                "beside",
                "{host: api.example.com, port: 8081, protocol: rest, allowed_ips: [10.99.0.0/24], enforcement: enforce, access: read-only}",
            )
            .host("10.99.0.7 api.example.com")
            .open();
        let upstream = Upstream::bind(PEER);
        for bytes in [
            &b"SSH-2.0-x\r\n"[..],
            b"DELETE /a%2fb/../c HTTP/1.1\r\nHost: other.example\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\0\x16\x03\x01",
        ] {
            let mut client = tunnel(&world, AUTHORITY).unwrap();
            let mut peer = upstream.accept();
            client.write_all(bytes).unwrap();
            expect(&mut peer, bytes);
            peer.write_all(b"\0anything").unwrap();
            expect(&mut client, b"\0anything");
        }
        let ended = world.end();
        assert_eq!(ended.of("TUNNEL_CLOSED").len(), 4);
        assert_eq!(ended.of("L7_REQUEST").len(), 0);
    });
}

super::in_both_tunnels! { fields_and_body_reach_the_upstream_as_they_were_sent, requests_of_a_connection_are_answered_in_order_over_one_upstream_connection, a_malformed_head_is_refused_and_recorded_and_nothing_is_sent, answers_are_framed_as_they_are_meant_or_refused, large_bodies_flow_both_ways_at_the_same_time }
