//! Upstream connections of inspected tunnels: kept, left, taken up, and repeated over (decision 0012).

use std::io::Write;

use harness::http::Reader;
use harness::{Scene, play};
use rustls::HandshakeKind;

use super::{Client, HOST, PEER, Way, answer, ask, echo, endpoint, once, open, send, setup, told};
use crate::world::client::{connect, connect_head, established};
use crate::world::settle;
use crate::world::upstream::{Upstream, reply};

const FULL: &str = "access: full";

/// The connection that a client left is taken up by the next CONNECT of the sandbox, by no other's.
fn a_connection_that_a_client_left_serves_the_next_one_of_the_same_sandbox(
    scene: &Scene,
    way: Way,
) {
    let world = setup(way, FULL).open();
    let origin = echo(scene, way);
    for turn in 0..3 {
        assert_eq!(once(&world, way, "GET", "/a"), "200 GET /a", "{turn}");
        settle();
    }
    assert_eq!(origin.connections(), 1, "{way:?}");
    // What is not safe does not go out first where another client was before.
    assert_eq!(once(&world, way, "POST", "/b"), "200 POST /b");
    assert_eq!(origin.connections(), 2);
}

/// TR-082 in spirit: a sandbox never sends on what another one opened.
#[test]
fn a_connection_is_never_shared_between_sandboxes() {
    play(|scene| {
        let world = setup(Way::Plain, FULL).open();
        world.attach("other", "127.0.0.2", "/proc");
        let origin = echo(scene, Way::Plain);
        assert_eq!(once(&world, Way::Plain, "GET", "/a"), "200 GET /a");
        settle();
        let mut stream = connect("127.0.0.2:3128");
        stream.write_all(&connect_head(super::AUTHORITY)).unwrap();
        let mut other: Client = Reader::new(Box::new(established(stream).unwrap()));
        assert_eq!(
            told(&ask(&mut other, Way::Plain, "GET", "/b")),
            "200 GET /b"
        );
        assert_eq!(origin.connections(), 2);
    });
}

/// RFC 4559: who authenticated a connection speaks for all that comes later on it.
#[test]
fn a_connection_that_was_authenticated_as_such_is_not_left_to_others() {
    play(|scene| {
        let world = setup(Way::Plain, FULL).open();
        let origin = echo(scene, Way::Plain);
        for _ in 0..2 {
            let mut client = open(&world, Way::Plain);
            send(
                &mut client,
                Way::Plain,
                "GET",
                "/a",
                "Authorization: NTLM x\r\n",
            );
            assert_eq!(told(&answer(&mut client, "GET")), "200 GET /a");
            drop(client);
            settle();
        }
        assert_eq!(origin.connections(), 2);
    });
}

/// TR-034, DST-4: left connections are judged again before they are used.
#[test]
fn a_left_connection_that_the_new_policy_does_not_reach_is_not_used() {
    play(|scene| {
        let world = setup(Way::Plain, FULL).open();
        let origin = echo(scene, Way::Plain);
        assert_eq!(once(&world, Way::Plain, "GET", "/a"), "200 GET /a");
        settle();
        let narrower = endpoint(Way::Plain, FULL).replace("10.99.0.0/24", "10.99.0.8/32");
        world.put_policy(&crate::world::Setup::new().allow("api", &narrower));
        let refusal = crate::world::client::refused(&world, super::AUTHORITY);
        assert_eq!(
            crate::world::client::verdict(&refusal),
            "403 destination_denied not_in_allowed_ips"
        );
        assert_eq!(origin.connections(), 1);
    });
}

/// TR-098: only over a connection that had served before, only before a byte came back, only what is safe.
#[test]
fn a_get_over_a_kept_connection_that_died_is_sent_again_and_a_post_never() {
    play(|_| {
        let world = setup(Way::Plain, FULL).open();
        let listener = Upstream::bind(PEER);
        let mut client = open(&world, Way::Plain);
        send(&mut client, Way::Plain, "GET", "/1", "");
        let (mut call, _) = listener.call();
        reply(&mut call, "200 OK", "{}");
        assert_eq!(answer(&mut client, "GET").status(), 200);
        send(&mut client, Way::Plain, "GET", "/2", "");
        assert_eq!(crate::world::upstream::request(&mut call).target(), "/2");
        drop(call);
        let (mut call, again) = listener.call();
        assert_eq!(again.target(), "/2");
        reply(&mut call, "200 OK", "{}");
        assert_eq!(answer(&mut client, "GET").status(), 200);
        send(
            &mut client,
            Way::Plain,
            "POST",
            "/3",
            "Content-Length: 0\r\n",
        );
        assert_eq!(crate::world::upstream::request(&mut call).target(), "/3");
        drop(call);
        assert_eq!(
            told(&answer(&mut client, "POST")),
            "502 upstream_protocol_error"
        );
        assert!(listener.is_untouched());
    });
}

/// TR-019, TR-030, TLS-6: an upstream that closes between requests is dialled anew, with its session resumed.
#[test]
fn an_upstream_that_closed_between_requests_is_dialled_anew_and_resumed() {
    play(|scene| {
        let world = setup(Way::Tls, FULL).open();
        let listener = Upstream::bind(PEER);
        let config = scene.authority().server(&[HOST]);
        let mut client = open(&world, Way::Tls);
        let kinds: Vec<_> = (0..2)
            .map(|_| {
                send(&mut client, Way::Tls, "POST", "/", "Content-Length: 0\r\n");
                let mut call = listener.tls(&config);
                crate::world::upstream::request(&mut call);
                reply(&mut call, "200 OK", "{}");
                assert_eq!(answer(&mut client, "POST").status(), 200);
                let kind = call.stream.conn.handshake_kind();
                drop(call);
                settle();
                kind
            })
            .collect();
        assert_eq!(
            kinds,
            [Some(HandshakeKind::Full), Some(HandshakeKind::Resumed)]
        );
    });
}

super::in_both_tunnels! { a_connection_that_a_client_left_serves_the_next_one_of_the_same_sandbox }
