//! Backends behind TLS: verified, reused, resumed, and slow.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::http::Reader;
use harness::play;
use rustls::HandshakeKind;

use crate::world::client::{Ending, answer, ask, drain, get, post, verdict};
use crate::world::upstream::{Upstream, reply, request};
use crate::world::{AT_ONCE, MODEL, Setup, route};

/// TLS-6, RTE-9, TR-030, TR-028, SF-4
#[test]
fn a_backend_behind_tls_is_verified_reused_and_resumed() {
    play(|scene| {
        let world = Setup::new()
            .host("10.99.0.80 model.test")
            .host("10.99.0.80 wrong.test")
            .routes(&route(
                "https://model.test:8443/v1",
                "allow_private_endpoint: true",
            ))
            .open();
        let listener = Upstream::bind("10.99.0.80:8443");
        let config = scene.authority().server(&["model.test"]);
        let mut client = world.inside();
        client.stream.write_all(&get("/v1/models")).unwrap();
        let mut call = listener.tls(&config);
        let sent = request(&mut call);
        assert_eq!(sent.field("host").as_deref(), Some("model.test:8443"));
        assert_eq!(call.stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        reply(&mut call, "200 OK", "{}");
        assert_eq!(answer(&mut client).status(), 200);
        client.stream.write_all(&get("/v1/models/again")).unwrap();
        assert_eq!(
            request(&mut call).target(),
            "/v1/models/again",
            "the connection is reused"
        );
        reply(&mut call, "200 OK\r\nConnection: close", "{}");
        assert_eq!(answer(&mut client).status(), 200);
        drop(call);
        client.stream.write_all(&get("/v1/models")).unwrap();
        let mut call = listener.tls(&config);
        assert_eq!(
            call.stream.conn.handshake_kind(),
            Some(HandshakeKind::Resumed)
        );
        request(&mut call);
        reply(&mut call, "200 OK", "{}");
        assert_eq!(answer(&mut client).status(), 200);

        // A certificate for another name.
        world.put_routes(&route(
            "https://wrong.test:8443/v1",
            "allow_private_endpoint: true",
        ));
        client.stream.write_all(&get("/v1/models")).unwrap();
        let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut wrong = rustls::StreamOwned::new(connection, listener.accept());
        assert!(wrong.read(&mut [0]).is_err(), "no request is sent");
        assert_eq!(verdict(&answer(&mut client)), "502 upstream_tls_failed");
    });
}

/// LIM TLS handshake, INF-20, TR-091
#[test]
fn a_backend_that_never_completes_its_handshake_is_502_in_time() {
    play(|_| {
        let world = Setup::new()
            .host("10.99.0.80 model.test")
            .routes(&route(
                "https://model.test:8443/v1",
                "allow_private_endpoint: true",
            ))
            .limit(|limits| limits.handshake_time = Duration::from_secs(2))
            .open();
        let listener = Upstream::bind("10.99.0.80:8443");
        let mut client = world.inside();
        client.stream.write_all(&get("/v1/models")).unwrap();
        let mut mute = listener.accept();
        assert_eq!(verdict(&answer(&mut client)), "502 upstream_tls_failed");
        let (hello, ending) = drain(&mut mute);
        assert_eq!((hello.first(), ending == Ending::Open), (Some(&22), false));
    });
}

/// E5 of the style: a handshake message that comes in pieces while a body is sent.
#[test]
fn a_backend_whose_ticket_comes_in_pieces_is_waited_for() {
    play(|scene| {
        let world = Setup::new()
            .host("10.99.0.80 model.test")
            .routes(&route(
                "https://model.test:8443/v1",
                "allow_private_endpoint: true",
            ))
            .open();
        let listener = Upstream::bind("10.99.0.80:8443");
        let mut config = scene.authority().server(&["model.test"]).as_ref().clone();
        config.max_fragment_size = Some(64);
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
        let mut client = world.inside();
        let body = format!("{{\"a\":\"{}\"}}", "y".repeat(20 << 20));
        let sending = post("/v1/messages", &body);
        let found = std::thread::scope(|scope| {
            let client = &mut client;
            let asked = scope.spawn(move || ask(client, &sending));
            let mut socket = listener.accept();
            let mut conn = rustls::ServerConnection::new(Arc::new(config)).unwrap();
            while conn.is_handshaking() {
                if conn.wants_write() {
                    conn.write_tls(&mut socket).unwrap();
                } else {
                    conn.read_tls(&mut socket).unwrap();
                    conn.process_new_packets().unwrap();
                }
            }
            let mut tickets = Vec::new();
            while conn.wants_write() {
                conn.write_tls(&mut tickets).unwrap();
            }
            // The first record of several, and the rest once the body is here.
            let first = 5 + usize::from(u16::from_be_bytes([tickets[3], tickets[4]]));
            assert!(tickets.len() > 2 * first, "a ticket of several records");
            socket.write_all(&tickets[..first]).unwrap();
            let mut call = Reader::new(rustls::StreamOwned::new(conn, socket));
            let sent = request(&mut call);
            assert_eq!(
                sent.body.len(),
                body.len() + format!("\"model\":\"{MODEL}\",").len()
            );
            call.stream.sock.write_all(&tickets[first..]).unwrap();
            reply(&mut call, "200 OK", "{}");
            asked.join().unwrap()
        });
        assert_eq!(found.status(), 200);
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
        assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
        assert_eq!(world.end().one("INFERENCE")["end"], "client_gone");
    });
}
