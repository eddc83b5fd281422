//! From a name to a connection: look-ups, judged addresses, dials that are refused or never answered.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use harness::dns::NameServer;
use harness::play;
use harness::scene::NAME_SERVER;

use crate::world::client::{connect_head, expect, expect_silence, refused, tunnel, verdict};
use crate::world::names::Names;
use crate::world::upstream::Upstream;
use crate::world::{STEP, Setup, settle};

const PEER: &str = "10.99.0.7:7000";
const PEER_ADDRESS: &str = "10.99.0.7";

/// CON-6, MX-8
#[test]
fn a_dial_that_is_refused_is_502_and_one_that_is_not_answered_504() {
    play(|_| {
        let world = Setup::new()
            .allow_port(7000)
            .limit(|limits| limits.dial_time = Duration::from_millis(1_500))
            .open();
        assert_eq!(
            verdict(&refused(&world, "10.99.0.9:7000")),
            "502 upstream_unreachable"
        );
        let _full = full_listener("10.99.0.10:7000");
        let since = Instant::now();
        assert_eq!(
            verdict(&refused(&world, "10.99.0.10:7000")),
            "504 connect_timeout"
        );
        assert!(since.elapsed() >= Duration::from_millis(1_500));
        assert_eq!(
            world.end().outline(),
            [
                "CONNECT dial deny upstream_unreachable -",
                "CONNECT dial deny connect_timeout -"
            ]
        );
    });
}

/// A listener whose queue is full: the kernel drops further SYNs.
pub(crate) fn full_listener(address: &str) -> (std::os::fd::OwnedFd, Vec<TcpStream>) {
    use rustix::net::{AddressFamily, SocketType, bind, connect, listen, socket};
    let address: std::net::SocketAddr = address.parse().unwrap();
    let family = match address {
        std::net::SocketAddr::V4(_) => AddressFamily::INET,
        std::net::SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let listener = socket(family, SocketType::STREAM, None).unwrap();
    bind(&listener, &address).unwrap();
    listen(&listener, 0).unwrap();
    let waiting = (0..4)
        .map(|_| {
            let stream = socket(family, SocketType::STREAM, None).unwrap();
            rustix::io::ioctl_fionbio(&stream, true).unwrap();
            // In progress, or connected and in the queue.
            _ = connect(&stream, &address);
            TcpStream::from(stream)
        })
        .collect();
    (listener, waiting)
}

/// DST-10, AL-14
#[test]
fn a_name_server_that_stays_silent_is_504() {
    play(|_| {
        let _mute = std::net::UdpSocket::bind((NAME_SERVER, 53)).unwrap();
        let world = Setup::new()
            .allow("gone", "{host: gone.example, port: 443}")
            .open();
        let since = Instant::now();
        assert_eq!(
            verdict(&refused(&world, "gone.example:443")),
            "504 dns_timeout"
        );
        // The world's resolver is given three seconds.
        assert!(since.elapsed() >= Duration::from_secs(3));
        assert_eq!(
            world.end().outline(),
            ["CONNECT resolve deny dns_timeout -"]
        );
    });
}

/// DST-10, AL-14
#[test]
fn a_name_without_an_address_is_502() {
    play(|_| {
        let names = NameServer::start();
        let world = Setup::new()
            .allow("gone", "{host: gone.example, port: 443}")
            .open();
        assert_eq!(
            verdict(&refused(&world, "gone.example:443")),
            "502 dns_failure"
        );
        assert!(names.asked().iter().all(|name| name == "gone.example"));
        assert_eq!(
            world.end().outline(),
            ["CONNECT resolve deny dns_failure -"]
        );
    });
}

/// AL-7, AL-8, AL-9, AL-12, DST-5, DST-11, MX-3: every address of the answer is judged and none is dialled.
#[test]
fn a_forbidden_address_in_an_answer_is_refused_without_a_dial() {
    play(|_| {
        let world = Setup::new()
            .host("45.45.45.9 mixed.test")
            .host("10.99.0.9 mixed.test")
            .host("10.99.0.9 dexim.test")
            .host("45.45.45.9 dexim.test")
            .host("10.99.0.9 private.test")
            .host("127.0.0.1 loop.test")
            .host("45.45.45.9 public.test")
            .allow("mixed", "{host: mixed.test, port: 7000}")
            .allow("dexim", "{host: dexim.test, port: 7000}")
            .allow("private", "{host: private.test, port: 7000}")
            .allow("loop", "{host: loop.test, port: 7000}")
            .allow("literal", "{host: 10.99.0.9, port: 7000}")
            .allow("local", "{host: localhost, port: 7000}")
            .allow("onion", "{host: x.onion, port: 7000}")
            .allow("metadata", "{host: 169.254.169.254, port: 7000}")
            .allow(
                "listed",
                "{host: public.test, port: 7000, allowed_ips: [10.0.0.0/8]}",
            )
            .open();
        let names = NameServer::start();
        let upstreams = ["45.45.45.9:7000", "10.99.0.9:7000"].map(Upstream::bind);
        for (host, reason) in [
            ("mixed.test", "internal_address"),
            ("dexim.test", "internal_address"),
            ("private.test", "internal_address"),
            ("loop.test", "always_blocked"),
            ("10.99.0.9", "internal_address"),
            ("169.254.169.254", "always_blocked"),
            ("localhost", "special_name"),
            ("x.onion", "special_name"),
            ("public.test", "not_in_allowed_ips"),
        ] {
            let refusal = refused(&world, &format!("{host}:7000"));
            assert_eq!(
                verdict(&refusal),
                format!("403 destination_denied {reason}"),
                "{host}"
            );
            let policy = refusal.field("x-ringfence-policy").unwrap();
            assert_eq!(refusal.json()["policy"], policy.as_str(), "{host}");
            assert!(
                host.starts_with("10.") || !refusal.text().contains("10.99"),
                "{host}: no resolved address is told"
            );
        }
        assert_eq!(
            names.asked(),
            Vec::<String>::new(),
            "hosts file, literals and special names only"
        );
        for upstream in &upstreams {
            assert!(upstream.is_untouched());
        }
        let ended = world.end();
        assert_eq!(ended.of("CONNECT").len(), 9);
        for record in ended.of("CONNECT") {
            assert_eq!(record["code"], "destination_denied", "{record}");
        }
    });
}

/// AL-11, AL-14, DST-5, DST-10: the address that was judged is the one that is dialled, and each request asks anew
/// where nothing may be remembered.
#[test]
fn a_name_that_changes_its_answer_is_judged_by_the_answer_it_is_dialled_with() {
    play(|_| {
        let world = Setup::new()
            .allow(
                "turn",
                "{host: turn.example, port: 7000, allowed_ips: [10.99.0.0/24]}",
            )
            .open();
        let upstream = Upstream::bind(PEER);
        let names = Names::start([10, 99, 0, 7].into(), [127, 0, 0, 1].into());
        let mut client = tunnel(&world, "turn.example:7000").unwrap();
        let mut peer = upstream.accept();
        client.write_all(b"hello").unwrap();
        expect(&mut peer, b"hello");
        assert_eq!(names.asked(), 1, "one look-up a request");
        assert_eq!(
            verdict(&refused(&world, "turn.example:7000")),
            "403 destination_denied always_blocked"
        );
        assert!(upstream.is_untouched());
    });
}

/// DST-9, RFC 8305 §5: an address that does not answer does not hold back the next one.
#[test]
fn a_silent_first_address_costs_the_stagger_and_not_the_dial_time() {
    play(|_| {
        let world = Setup::new()
            .host("10.99.0.10 two.test")
            .host("10.99.0.7 two.test")
            .allow(
                "two",
                "{host: two.test, port: 7000, allowed_ips: [10.99.0.0/24]}",
            )
            // Longer than a step of this test may take.
            .limit(|limits| limits.dial_time = STEP * 3)
            .open();
        let _full = full_listener("10.99.0.10:7000");
        let upstream = Upstream::bind(PEER);
        let _client = tunnel(&world, "two.test:7000").unwrap();
        drop(upstream.accept());
    });
}

/// DST-9, RFC 8305 §4 and §5: the second attempt is of the other family, though another IPv6 address stands before it, and
/// begins no sooner than the stagger.
#[test]
fn families_alternate_and_the_stagger_lies_between_attempts() {
    play(|scene| {
        for (label, address) in [("six", "fd99::10"), ("more", "fd99::11")] {
            scene.address(label, address.parse().unwrap());
        }
        let listed = "allowed_ips: [10.99.0.0/24, \"fd99::/64\"]";
        let world = ["fd99::10", "fd99::11", "10.99.0.10", PEER_ADDRESS]
            .into_iter()
            .fold(Setup::new(), |setup, address| {
                setup.host(&format!("{address} many.test"))
            })
            .allow(
                "many",
                &format!("{{host: many.test, port: 7000, {listed}}}"),
            )
            .allow(
                "rest",
                &format!("{{host: many.test, port: 7001, {listed}}}"),
            )
            .limit(|limits| limits.dial_stagger = Duration::from_secs(2))
            .open();
        let _silent = full_listener("[fd99::10]:7000");
        let second_of_six = Upstream::bind("[fd99::11]:7000");
        let first_of_four = Upstream::bind("10.99.0.10:7000");
        let second_of_four = Upstream::bind(PEER);
        let since = Instant::now();
        let _client = tunnel(&world, "many.test:7000").unwrap();
        let taken = since.elapsed();
        assert!(taken >= Duration::from_secs(2), "{taken:?}");
        drop(first_of_four.accept());
        assert!(second_of_six.is_untouched());
        assert!(second_of_four.is_untouched());
    });
}

/// DST-9, RFC 8305 §5: an address that refuses is not waited for.
#[test]
fn refused_attempts_cost_no_stagger() {
    play(|_| {
        let addresses = ["10.99.0.10", "10.99.0.11", PEER_ADDRESS].into_iter();
        let world = addresses
            .fold(Setup::new(), |setup, address| {
                setup.host(&format!("{address} three.test"))
            })
            .allow(
                "three",
                "{host: three.test, port: 7000, allowed_ips: [10.99.0.0/24]}",
            )
            // Longer than a step of this test may take.
            .limit(|limits| {
                limits.dial_stagger = STEP * 3;
                limits.dial_time = STEP * 9;
            })
            .open();
        let upstream = Upstream::bind(PEER);
        let _client = tunnel(&world, "three.test:7000").unwrap();
        drop(upstream.accept());
    });
}

/// INF-23 for tunnels: nobody is left to be told, and the record says what was allowed.
#[test]
fn a_client_that_leaves_while_its_upstream_is_dialled_leaves_one_record() {
    play(|_| {
        let world = Setup::new()
            .allow_port(7000)
            .limit(|limits| limits.dial_time = Duration::from_secs(30))
            .open();
        let _full = full_listener("10.99.0.10:7000");
        let mut client = world.proxy();
        client.write_all(&connect_head("10.99.0.10:7000")).unwrap();
        expect_silence(&client, Duration::from_millis(300));
        drop(client);
        settle();
        // The connection is over: nothing keeps the end waiting for the dial time.
        assert_eq!(world.end().outline(), ["CONNECT dial allow - -"]);
    });
}
