//! From the 200 to the first request: what is spoken, and whose certificate answers (L7-2, TLS).

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use harness::http::Reader;
use harness::{Scene, play};
use rustls::HandshakeKind;

use super::{AUTHORITY, HOST, PEER, RULES, Way, answer, ask, echo, open, request, setup, told};
use crate::world::Setup;
use crate::world::client::{
    Ending, connect_head, drain, established, expect_silence, session, tunnel, verdict,
};
use crate::world::upstream::Upstream;

/// LR-18, L7-2, TR-025: a short first segment is waited for.
#[test]
fn a_first_segment_of_two_bytes_is_one_request_with_what_follows() {
    play(|scene| {
        let world = setup(Way::Plain, RULES).open();
        let _origin = echo(scene, Way::Plain);
        let mut stream = tunnel(&world, AUTHORITY).unwrap();
        stream.write_all(b"GE").unwrap();
        expect_silence(&stream, Duration::from_secs(2));
        stream
            .write_all(&request(Way::Plain, "GET", "/repos/a", "")[2..])
            .unwrap();
        let mut client = Reader::new(stream);
        assert_eq!(
            told(&client.answer("GET").unwrap().message),
            "200 GET /repos/a"
        );
    });
}

/// CON-7, CT-7, TR-016: with the CONNECT in one write.
#[test]
fn bytes_behind_the_connect_head_are_the_first_request() {
    play(|scene| {
        let world = setup(Way::Plain, RULES).open();
        let _origin = echo(scene, Way::Plain);
        let mut stream = world.proxy();
        let mut bytes = connect_head(AUTHORITY);
        bytes.extend(request(Way::Plain, "GET", "/repos/a", ""));
        stream.write_all(&bytes).unwrap();
        let mut client = Reader::new(established(stream).unwrap());
        assert_eq!(
            told(&client.answer("GET").unwrap().message),
            "200 GET /repos/a"
        );
    });
}

/// LR-16, LR-17, L7-2, TR-025, OV-5, GEN-8
fn bytes_that_are_no_requests_are_told_so_and_never_become_a_tunnel(_: &Scene, way: Way) {
    let world = setup(way, "access: full").open();
    let upstream = Upstream::bind(PEER);
    for bytes in [
        &b"SSH-2.0-x\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\0\x01\x02",
    ] {
        let mut stream = tunnel(&world, AUTHORITY).unwrap();
        stream.write_all(bytes).unwrap();
        let mut client = Reader::new(stream);
        let refusal = client.answer("GET").unwrap().message;
        assert_eq!(verdict(&refusal), "403 unsupported_protocol", "{bytes:?}");
        assert_eq!(drain(&mut client.stream).1, Ending::Clean);
        let (sent, _) = drain(&mut upstream.accept());
        assert_eq!(sent, b"");
    }
    if way == Way::Tls {
        let mut client = open(&world, way);
        client
            .stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .unwrap();
        assert_eq!(
            told(&answer(&mut client, "GET")),
            "403 unsupported_protocol"
        );
        drop(upstream.accept());
    }
    let ended = world.end();
    assert!(
        ended.of("L7_REQUEST").iter().all(|record| {
            record["l7_decision"] == "deny"
                && record["code"] == "unsupported_protocol"
                && record["dst_host"] == HOST
        }),
        "{:#?}",
        ended.records
    );
    assert_eq!(ended.of("CONNECT").len(), ended.of("L7_REQUEST").len());
}

/// LR-17, L7-2: the handshake is completed only to deliver the answer.
#[test]
fn tls_that_no_endpoint_ends_is_answered_inside_tls() {
    play(|_| {
        let world = setup(Way::Plain, RULES).open();
        let upstream = Upstream::bind(PEER);
        let mut client = super::open_tls(&world, world.trust());
        let refusal = ask(&mut client, Way::Tls, "GET", "/repos/a");
        assert_eq!(told(&refusal), "403 unsupported_protocol");
        assert_eq!(drain(&mut upstream.accept()).0, b"");
        assert_eq!(
            world.end().one("L7_REQUEST")["code"],
            "unsupported_protocol"
        );
    });
}

/// TLS-5, TR-026
#[test]
fn another_server_name_than_the_connect_host_ends_the_handshake() {
    play(|_| {
        let world = setup(Way::Tls, RULES).open();
        let _upstream = Upstream::bind(PEER);
        let stream = tunnel(&world, AUTHORITY).unwrap();
        let mut tls = session(stream, world.trust(), "other.example");
        let error = tls.read(&mut [0]).unwrap_err().to_string();
        assert!(error.contains("UnrecognisedName"), "{error}");
        let ended = world.end();
        assert_eq!(ended.one("L7_REQUEST")["code"], "authority_mismatch");
        assert_eq!(ended.one("L7_REQUEST")["stage"], "handshake");
    });
}

/// TLS-3, TLS-4: an address has a certificate of its own kind; clients send no name for it.
#[test]
fn a_host_that_is_an_address_has_a_leaf_for_the_address() {
    play(|scene| {
        let world = Setup::new()
            .allow("ip", "{host: 10.99.0.7, port: 8080, protocol: rest, tls: terminate, access: full, allowed_ips: [10.99.0.7]}")
            .open();
        let listener = Upstream::bind(PEER);
        let config = scene.authority().server(&["10.99.0.7"]);
        let stream = tunnel(&world, "10.99.0.7:8080").unwrap();
        let mut tls = session(stream, world.trust(), "10.99.0.7");
        tls.write_all(b"GET /a HTTP/1.1\r\nHost: 10.99.0.7:8080\r\n\r\n")
            .unwrap();
        let mut call = listener.tls(&config);
        let asked = crate::world::upstream::request(&mut call);
        assert_eq!(asked.target(), "/a");
        crate::world::upstream::reply(&mut call, "200 OK", "{}");
        assert_eq!(Reader::new(tls).answer("GET").unwrap().message.text(), "{}");
    });
}

/// TLS-4
#[test]
fn a_client_that_offers_only_another_protocol_is_refused_in_the_handshake() {
    play(|_| {
        let world = setup(Way::Tls, RULES).open();
        let _upstream = Upstream::bind(PEER);
        let mut config = world.trust().as_ref().clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = tunnel(&world, AUTHORITY).unwrap();
        let mut tls = session(stream, Arc::new(config), HOST);
        let error = tls.read(&mut [0]).unwrap_err().to_string();
        assert!(error.contains("NoApplicationProtocol"), "{error}");
        assert_eq!(
            world.end().one("L7_REQUEST")["code"],
            "unsupported_protocol"
        );
    });
}

/// TLS-4, TR-030: sessions are resumed; TLS 1.2 is spoken too.
#[test]
fn a_client_resumes_its_session_in_both_versions_of_tls() {
    play(|scene| {
        let world = setup(Way::Tls, RULES).open();
        let _origin = echo(scene, Way::Tls);
        for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
            let mut roots = rustls::RootCertStore::empty();
            use rustls::pki_types::pem::PemObject;
            roots
                .add(
                    rustls::pki_types::CertificateDer::from_pem_slice(world.ca_pem().as_bytes())
                        .unwrap(),
                )
                .unwrap();
            let config = Arc::new(
                rustls::ClientConfig::builder_with_protocol_versions(&[version])
                    .with_root_certificates(roots)
                    .with_no_client_auth(),
            );
            let kinds: Vec<_> = (0..2)
                .map(|_| {
                    let stream = tunnel(&world, AUTHORITY).unwrap();
                    let mut tls = session(stream, Arc::clone(&config), HOST);
                    tls.write_all(&request(Way::Tls, "GET", "/repos/a", ""))
                        .unwrap();
                    let answer = Reader::new(&mut tls).answer("GET").unwrap();
                    assert_eq!(answer.message.status(), 200);
                    tls.conn.handshake_kind()
                })
                .collect();
            assert_eq!(
                kinds,
                [Some(HandshakeKind::Full), Some(HandshakeKind::Resumed)],
                "{version:?}"
            );
        }
    });
}

/// MX-10, TLS-1, TR-024, CON-4: after the addresses, before any connection, and never as a raw tunnel.
#[test]
fn without_an_authority_a_terminated_endpoint_is_503_and_nothing_is_dialled() {
    play(|_| {
        let world = setup(Way::Tls, RULES)
            .host("45.45.45.7 public.test")
            .allow("public", "{host: public.test, port: 8080, protocol: rest, tls: terminate, access: full, allowed_ips: [10.99.0.0/24]}")
            .without_authority()
            .open();
        let upstream = Upstream::bind(PEER);
        let refused = |authority: &str| verdict(&crate::world::client::refused(&world, authority));
        assert_eq!(refused(AUTHORITY), "503 tls_unavailable");
        assert_eq!(
            refused("public.test:8080"),
            "403 destination_denied not_in_allowed_ips"
        );
        assert!(upstream.is_untouched());
        assert_eq!(
            world.end().outline(),
            [
                "CONNECT dial deny tls_unavailable -",
                "CONNECT dial deny destination_denied not_in_allowed_ips"
            ]
        );
    });
}

/// LIM, TR-091: a client that says nothing, and one whose handshake stops.
#[test]
fn a_client_that_does_not_go_on_after_the_200_is_closed_in_time() {
    play(|_| {
        let world = setup(Way::Tls, RULES)
            .limit(|limits| {
                limits.head_time = Duration::from_millis(1_500);
                limits.handshake_time = Duration::from_millis(1_500);
            })
            .open();
        let _upstream = Upstream::bind(PEER);
        let mut mute = Reader::new(tunnel(&world, AUTHORITY).unwrap());
        assert_eq!(
            verdict(&mute.answer("GET").unwrap().message),
            "408 request_timeout"
        );
        let mut half = tunnel(&world, AUTHORITY).unwrap();
        half.write_all(&[22, 3, 1, 0, 100, 1]).unwrap();
        assert_ne!(drain(&mut half).1, Ending::Open);
    });
}

/// TLS-6, TR-028, LR: a certificate for another name, answered inside the client's TLS.
#[test]
fn an_upstream_certificate_for_another_name_is_502_inside_tls() {
    play(|scene| {
        let world = setup(Way::Tls, RULES).open();
        let _origin = harness::origin::Origin::greeting(
            PEER,
            Some(scene.authority().server(&["wrong.test"])),
            "never",
        );
        let mut client = open(&world, Way::Tls);
        let refusal = ask(&mut client, Way::Tls, "GET", "/repos/a");
        assert_eq!(told(&refusal), "502 upstream_tls_failed");
        assert_eq!(world.end().one("L7_REQUEST")["code"], "upstream_tls_failed");
    });
}

super::in_both_tunnels! { bytes_that_are_no_requests_are_told_so_and_never_become_a_tunnel }

/// TLS-4, GEN-10: a ticket of one sandbox is worth nothing in another.
#[test]
fn a_session_of_one_sandbox_is_not_resumed_in_another() {
    play(|scene| {
        let world = setup(Way::Tls, RULES).open();
        world.attach("other", "127.0.0.2", "/proc");
        let _origin = echo(scene, Way::Tls);
        let config = world.trust();
        let kinds = ["127.0.0.1:3128", "127.0.0.1:3128", "127.0.0.2:3128"].map(|door| {
            let mut stream = crate::world::client::connect(door);
            stream.write_all(&connect_head(AUTHORITY)).unwrap();
            let mut tls = session(established(stream).unwrap(), Arc::clone(&config), HOST);
            tls.write_all(&request(Way::Tls, "GET", "/repos/a", ""))
                .unwrap();
            let answer = Reader::new(&mut tls).answer("GET").unwrap();
            assert_eq!(answer.message.status(), 200);
            tls.conn.handshake_kind().unwrap()
        });
        assert_eq!(
            kinds,
            [
                HandshakeKind::Full,
                HandshakeKind::Resumed,
                HandshakeKind::Full
            ]
        );
    });
}
