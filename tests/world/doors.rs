//! The two doors of `inference.local`: who may come in, under which name, speaking what.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;

use harness::http::Reader;
use harness::play;
use rustls::HandshakeKind;

use crate::world::client::{
    Ending, ask, connect, connect_head, drain, established, get, inside, post, refused, session,
    verdict,
};
use crate::world::{MODEL, Setup, World, route};

fn mocked() -> World {
    Setup::new().routes(&route("mock://x", "")).open()
}

/// CT-9, CT-11, INF-1
#[test]
fn the_name_is_intercepted_in_any_spelling_and_no_other_name_is() {
    play(|_| {
        let world = mocked();
        for authority in ["inference.local:443", "Inference.LOCAL.:443"] {
            let mut stream = world.proxy();
            stream.write_all(&connect_head(authority)).unwrap();
            let mut client = inside(established(stream).unwrap(), world.trust());
            assert_eq!(
                ask(&mut client, &get("/v1/models")).status(),
                200,
                "{authority}"
            );
        }
        for authority in ["xinference.local:443", "inference.local.example.com:443"] {
            assert_eq!(
                verdict(&refused(&world, authority)),
                "403 policy_denied no_network_policies"
            );
        }
    });
}

/// URI-12, TR-052
#[test]
fn plain_http_to_the_name_is_refused_with_a_hint() {
    play(|_| {
        let world = mocked();
        for target in [
            "http://inference.local/v1/models",
            "http://INFERENCE.LOCAL.:8080/v1/models",
        ] {
            let mut stream = world.proxy();
            let head = format!("GET {target} HTTP/1.1\r\nHost: inference.local\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            let refusal = established(stream).unwrap_err();
            assert_eq!(verdict(&refusal), "403 inference_requires_https");
            assert!(
                refusal.json()["hint"]
                    .as_str()
                    .unwrap()
                    .contains("https://inference.local")
            );
        }
    });
}

/// INF-29
#[test]
fn the_direct_door_serves_the_same_room() {
    play(|_| {
        let world = mocked();
        let mut client = inside(world.direct(), world.trust());
        for _ in 0..3 {
            let found = ask(&mut client, &post("/v1/chat/completions", "{}"));
            assert_eq!(found.json()["model"], MODEL);
        }
        assert_eq!(
            verdict(&ask(&mut client, &get("/v1/files"))),
            "403 inference_request_not_recognised"
        );
        assert_eq!(drain(&mut client.stream), (Vec::new(), Ending::Clean));
        let ended = world.end();
        assert_eq!(ended.of("CONNECT").len(), 0);
        assert_eq!(ended.of("INFERENCE").len(), 4);
        assert!(
            ended.of("INFERENCE")[0]["binary"]
                .as_str()
                .unwrap()
                .starts_with('/')
        );
    });
}

/// INF-3, INF-29
#[test]
fn another_server_name_gets_the_alert_unrecognized_name() {
    play(|_| {
        let world = mocked();
        let tunnel = || {
            let mut stream = world.proxy();
            stream
                .write_all(&connect_head("inference.local:443"))
                .unwrap();
            established(stream).unwrap()
        };
        for stream in [tunnel(), world.direct()] {
            let mut tls = session(stream, world.trust(), "other.test");
            let error = tls.write_all(b"x").and_then(|()| tls.flush()).unwrap_err();
            assert!(error.to_string().contains("UnrecognisedName"), "{error}");
        }
        let ended = world.end();
        assert_eq!(ended.of("REFUSED").len(), 2);
        assert!(
            ended
                .of("REFUSED")
                .iter()
                .all(|record| record["code"] == "authority_mismatch"
                    && record["stage"] == "handshake")
        );
    });
}

/// INF-29: nothing else is served there.
#[test]
fn bytes_that_are_no_tls_end_the_direct_door() {
    play(|_| {
        let world = mocked();
        for bytes in [
            &b"GET / HTTP/1.1\r\nHost: inference.local\r\n\r\n"[..],
            b"SSH-2.0-x\r\n",
            b"\x16\x03\x01\x00\x00",
        ] {
            let mut stream = world.direct();
            stream.write_all(bytes).unwrap();
            let (found, ending) = drain(&mut stream);
            assert!(
                !found.starts_with(b"HTTP"),
                "nothing of ours goes out in plain"
            );
            assert_ne!(ending, Ending::Open);
        }
        let ended = world.end();
        assert_eq!(
            ended.outline(),
            vec!["REFUSED handshake - unsupported_protocol -"; 3]
        );
    });
}

/// Only HTTP/1.1 is spoken: a client that offers h2 alone is told so by TLS.
#[test]
fn a_client_that_offers_h2_alone_is_refused_and_one_that_offers_both_speaks_http_1() {
    play(|_| {
        let world = mocked();
        let offer = |names: &[&[u8]]| {
            let mut config = world.trust().as_ref().clone();
            config.alpn_protocols = names.iter().map(|name| name.to_vec()).collect();
            Arc::new(config)
        };
        let mut tls = session(world.direct(), offer(&[b"h2"]), "inference.local");
        let error = tls.write_all(b"x").and_then(|()| tls.flush()).unwrap_err();
        assert!(
            error.to_string().contains("NoApplicationProtocol"),
            "{error}"
        );
        for names in [&[&b"h2"[..], b"http/1.1"][..], &[]] {
            let mut client = inside(world.direct(), offer(names));
            let agreed = client.stream.conn.alpn_protocol().map(<[u8]>::to_vec);
            assert_eq!(agreed, (!names.is_empty()).then(|| b"http/1.1".to_vec()));
            assert_eq!(ask(&mut client, &get("/v1/models")).status(), 200);
        }
        assert_eq!(world.end().one("REFUSED")["code"], "unsupported_protocol");
    });
}

/// A hello in single bytes is the same hello.
#[test]
fn a_client_hello_in_small_pieces_is_read_whole() {
    play(|_| {
        let world = mocked();
        let mut stream = world.direct();
        let name = rustls::pki_types::ServerName::try_from("inference.local").unwrap();
        let mut conn = rustls::ClientConnection::new(world.trust(), name).unwrap();
        let mut hello = Vec::new();
        conn.write_tls(&mut hello).unwrap();
        for byte in &hello {
            stream.write_all(&[*byte]).unwrap();
        }
        let mut client = Reader::new(rustls::StreamOwned::new(conn, stream));
        assert_eq!(ask(&mut client, &get("/v1/models")).status(), 200);
    });
}

/// LIM TLS handshake, TR-091
#[test]
fn a_handshake_that_is_not_done_in_time_is_closed() {
    play(|_| {
        let world = Setup::new()
            .routes(&route("mock://x", ""))
            .limit(|limits| limits.handshake_time = std::time::Duration::from_millis(300))
            .open();
        let mut half = world.direct();
        half.write_all(b"\x16\x03\x01\x02").unwrap();
        for mut stream in [world.direct(), half] {
            assert_ne!(drain(&mut stream).1, Ending::Open);
        }
    });
}

/// IR-17, INF-2, INF-8, TR-054
#[test]
fn a_list_of_binaries_is_judged_before_the_200() {
    play(|_| {
        let own = std::env::current_exe().unwrap();
        let listed = format!(
            "inference: {{binaries: [{{path: \"{}\"}}]}}\n",
            own.display()
        );
        let world = Setup::new()
            .routes(&route("mock://x", ""))
            .top(&listed)
            .open();
        assert_eq!(ask(&mut world.inside(), &get("/v1/models")).status(), 200);
        world.attach("blind", "127.0.0.3", "/mnt/work");
        let unknown = crate::world::client::refused_at("127.0.0.3:3128", "inference.local:443");
        assert_eq!(verdict(&unknown), "403 identity_unavailable");
        let ended = world.end();
        let codes: Vec<_> = ended
            .of("CONNECT")
            .iter()
            .map(|record| record["code"].clone())
            .collect();
        assert_eq!(codes, ["-", "identity_unavailable"]);
    });
}

/// IR-17, INF-29
#[test]
fn a_program_that_is_not_listed_is_refused_at_both_doors() {
    play(|_| {
        let world = Setup::new()
            .routes(&route("mock://x", ""))
            .top("inference: {binaries: [{path: /usr/bin/only-this}]}\n")
            .open();
        assert_eq!(
            verdict(&refused(&world, "inference.local:443")),
            "403 inference_binary_denied"
        );
        let mut client = inside(world.direct(), world.trust());
        let refusal = ask(&mut client, &get("/v1/models"));
        assert_eq!(verdict(&refusal), "403 inference_binary_denied");
        let ended = world.end();
        assert_eq!(ended.one("CONNECT")["action"], "deny");
        assert_eq!(ended.one("INFERENCE")["code"], "inference_binary_denied");
    });
}

/// INF-8: without an `inference` section an unknown caller may use the service.
#[test]
fn a_caller_that_cannot_be_found_is_served_where_no_list_asks_for_it() {
    play(|_| {
        let world = mocked();
        world.attach("blind", "127.0.0.3", "/mnt/work");
        let mut client = inside(connect("127.0.0.3:443"), world.trust());
        assert_eq!(ask(&mut client, &get("/v1/models")).status(), 200);
        let ended = world.end();
        assert_eq!(ended.one("INFERENCE")["binary"], "-");
    });
}

/// TLS-4, TR-030: tickets resume within one sandbox and are worth nothing in another.
#[test]
fn a_session_ticket_is_good_for_its_own_sandbox_alone() {
    play(|_| {
        let world = mocked();
        world.attach("other", "127.0.0.2", "/proc");
        let trust = world.trust();
        let kind = |stream: TcpStream| {
            let mut client = inside(stream, Arc::clone(&trust));
            // The ticket comes behind the handshake, with the first answer.
            assert_eq!(ask(&mut client, &get("/v1/models")).status(), 200);
            client.stream.conn.handshake_kind()
        };
        assert_eq!(kind(connect("127.0.0.1:443")), Some(HandshakeKind::Full));
        assert_eq!(kind(connect("127.0.0.1:443")), Some(HandshakeKind::Resumed));
        // A client would offer that ticket to the other sandbox, too: the name is the same.
        assert_eq!(kind(connect("127.0.0.2:443")), Some(HandshakeKind::Full));
        assert_eq!(kind(connect("127.0.0.2:443")), Some(HandshakeKind::Resumed));
    });
}

/// TLS-4, TR-029: older stacks are served, and resume as well.
#[test]
fn a_client_of_tls_1_2_is_served_and_resumes() {
    play(|_| {
        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject;
        let world = mocked();
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(world.ca_pem().as_bytes()).unwrap())
            .unwrap();
        let config =
            rustls::ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS12])
                .with_root_certificates(roots)
                .with_no_client_auth();
        let config = Arc::new(config);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut client = inside(world.direct(), Arc::clone(&config));
            assert_eq!(ask(&mut client, &get("/v1/models")).status(), 200);
            let conn = &client.stream.conn;
            assert_eq!(
                conn.protocol_version(),
                Some(rustls::ProtocolVersion::TLSv1_2)
            );
            assert_eq!(conn.handshake_kind(), Some(kind));
            client.stream.conn.send_close_notify();
            client.stream.flush().unwrap();
            assert_eq!(drain(&mut client.stream).1, Ending::Clean);
        }
    });
}
