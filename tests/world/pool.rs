//! Connections to a backend that are kept for the next request, and those that must not be.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use harness::http::Reader;
use harness::play;

use crate::faults::under_way;
use crate::world::client::{Ending, Inside, answer, drain, get, post, verdict};
use crate::world::upstream::{Upstream, reply, request};
use crate::world::{BACKEND, KEY, Setup, route, settle};

const CHAT: &str = "/v1/chat/completions";

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
            settle();
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

/// H1-12, TR-019, TR-081: what is left of a request that was answered early must not become the next one.
#[test]
fn a_connection_that_answered_before_the_request_was_whole_is_not_reused() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let backend = Upstream::backend();
        let mut client = world.inside();
        let body = format!("{{\"x\":\"{}\"}}", "a".repeat(20 << 20));
        client.stream.write_all(&post(CHAT, &body)).unwrap();
        let mut early = Reader::new(backend.accept());
        early.head().unwrap();
        reply(&mut early, "200 OK", "{}");
        assert_eq!(answer(&mut client).text(), "{}");
        client.stream.write_all(&get("/v1/models")).unwrap();
        let (mut call, request) = backend.call();
        assert_eq!(request.target(), "/v1/models");
        reply(&mut call, "200 OK", "{}");
        assert_eq!(answer(&mut client).text(), "{}");
    });
}
