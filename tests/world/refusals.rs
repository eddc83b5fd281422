//! A CONNECT that is refused: its target, its policy, its caller.

use std::io::{ErrorKind, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use harness::dns::NameServer;
use harness::play;

use crate::heads::refusal;
use crate::tunnel::world;
use crate::world::client::{self, Ending, connect_head, drain, established, refused, verdict};
use crate::world::upstream::Upstream;
use crate::world::{STEP, Setup};

const PEER: &str = "10.99.0.7:7000";

/// CT-8, CON-7, ERR-1
#[test]
fn bytes_behind_a_refused_connect_are_never_a_request() {
    play(|_| {
        let world = world();
        let upstream = Upstream::bind("10.99.0.7:80");
        let mut client = world.proxy();
        let mut bytes = connect_head("10.99.0.7:80");
        bytes.extend_from_slice(b"GET http://10.99.0.7/ HTTP/1.1\r\nHost: 10.99.0.7\r\n\r\n");
        client.write_all(&bytes).unwrap();
        let refusal = established(client).unwrap_err();
        assert_eq!(verdict(&refusal), "403 policy_denied endpoint_not_allowed");
        assert!(upstream.is_untouched());
        assert_eq!(
            world.end().outline(),
            ["CONNECT decide deny policy_denied endpoint_not_allowed"]
        );
    });
}

/// CON-5, AL-12, ERR-1, POL-3
#[test]
fn a_policy_refusal_names_its_reason_and_asks_no_name_server() {
    play(|_| {
        let world = Setup::new()
            .allow("web", "{host: web.test, port: 443}")
            .allow_program(
                "tool",
                "{host: tool.test, port: 443}",
                "/usr/bin/no-such-tool",
            )
            .open();
        let names = NameServer::start();
        for (authority, reason) in [
            ("denied.example:443", "endpoint_not_allowed"),
            ("web.test:444", "endpoint_not_allowed"),
            ("sub.web.test:443", "endpoint_not_allowed"),
            ("tool.test:443", "binary_not_allowed"),
        ] {
            let refusal = refused(&world, authority);
            assert_eq!(
                verdict(&refusal),
                format!("403 policy_denied {reason}"),
                "{authority}"
            );
            let body = refusal.json();
            let (host, port) = authority.rsplit_once(':').unwrap();
            assert_eq!(
                (body["host"].as_str(), body["port"].as_u64()),
                (Some(host), port.parse().ok())
            );
            assert!(refusal.field("x-ringfence-policy").is_some());
            assert_eq!(
                refusal.field("content-type").as_deref(),
                Some("application/json")
            );
            assert_eq!(refusal.field("connection").as_deref(), Some("close"));
        }
        assert_eq!(names.asked(), Vec::<String>::new());
        assert_eq!(
            world.end().outline(),
            [
                "CONNECT decide deny policy_denied endpoint_not_allowed",
                "CONNECT decide deny policy_denied endpoint_not_allowed",
                "CONNECT decide deny policy_denied endpoint_not_allowed",
                "CONNECT decide deny policy_denied binary_not_allowed",
            ]
        );
    });
}

/// POL-3: an empty section is told apart from one that does not match.
#[test]
fn a_policy_without_entries_says_so() {
    play(|_| {
        let world = Setup::new().open();
        assert_eq!(
            verdict(&refused(&world, "web.test:443")),
            "403 policy_denied no_network_policies"
        );
    });
}

/// CT-2 to CT-6, CT-10, CON-1 to CON-3, CON-10, TR-013
#[test]
fn a_target_that_is_no_authority_is_400_and_leaves_one_record() {
    play(|_| {
        let world = Setup::new().allow_port(7000).open();
        let names = NameServer::start();
        let targets = [
            "example.com",
            "example.com:",
            "example.com:0",
            "example.com:65536",
            "example.com:65979",
            "example.com:443.0",
            "example.com:+443",
            "example.com:443/",
            "u@h:443",
            "http://h:443",
            "h:443#x",
            "h%2e:443",
            "a..b:443",
            ".a:443",
            "*.a:443",
            "a,b:443",
            "127.1:80",
            "017700000001:80",
            "0x7f.0.0.1:80",
            "1.2.3.256:80",
            "8.8.8.8.:80",
            "foo.09:80",
            "::1:80",
            "[::1",
            "[::1]",
            "[::1%eth0]:80",
            "[::ffff:127.1]:80",
            "[example.com]:443",
        ];
        for target in targets {
            let mut client = world.proxy();
            let head = format!("CONNECT {target} HTTP/1.1\r\nHost: h\r\n\r\n");
            client.write_all(head.as_bytes()).unwrap();
            let refusal = established(client).unwrap_err();
            assert_eq!(verdict(&refusal), "400 invalid_request_target", "{target}");
            assert_eq!(refusal.field("x-ringfence-policy").as_deref(), Some("-"));
        }
        for (fields, wanted) in [
            ("Host: h\r\nContent-Length: 5\r\n", "400 bad_request"),
            (
                "Host: h\r\nTransfer-Encoding: chunked\r\n",
                "400 bad_request",
            ),
            ("", "400 bad_request"),
            (
                "Host: h\r\nContent-Length: 0\r\n",
                "502 upstream_unreachable",
            ),
            (
                "Host: h\r\nProxy-Authorization: Basic eA==\r\n",
                "502 upstream_unreachable",
            ),
        ] {
            let mut client = world.proxy();
            let head = format!("CONNECT 10.99.0.7:7000 HTTP/1.1\r\n{fields}\r\n");
            client.write_all(head.as_bytes()).unwrap();
            assert_eq!(
                verdict(&established(client).unwrap_err()),
                wanted,
                "{fields:?}"
            );
        }
        for authority in ["inference.local:80", "Inference.LOCAL.:8443"] {
            let refusal = refused(&world, authority);
            assert!(
                verdict(&refusal).starts_with("403 policy_denied"),
                "{authority}"
            );
        }
        assert_eq!(names.asked(), Vec::<String>::new());
        let ended = world.end();
        assert_eq!(
            ended.records.len(),
            targets.len() + 5 + 2,
            "{:#?}",
            ended.outline()
        );
        // Understood and judged: two with odd fields, two for inference.local on another port.
        let judged = ended.of("CONNECT");
        assert_eq!(judged.len(), 2 + 2);
        assert_eq!(judged[3]["dst_host"], "inference.local");
        assert_eq!(judged[3]["reason"], "endpoint_not_allowed");
    });
}

/// ERR-1, ERR-4: what a program reads leads to what the operator reads.
#[test]
fn a_refusal_and_its_record_have_one_number_of_their_own() {
    play(|_| {
        let world = world();
        let numbers: Vec<serde_json::Value> =
            ["denied.test:443", "bad target", "inference.local:80"]
                .into_iter()
                .map(|authority| refused(&world, authority).json()["request_id"].clone())
                .collect();
        let ended = world.end();
        let recorded: Vec<serde_json::Value> = ended
            .records
            .iter()
            .map(|record| record["request_id"].clone())
            .collect();
        assert_eq!(numbers, recorded);
        assert!(
            numbers
                .iter()
                .all(|number| number.as_str().is_some_and(|text| text.len() == 16))
        );
        assert!(numbers[0] != numbers[1] && numbers[1] != numbers[2]);
    });
}

/// IDN-3, TR-051
#[test]
fn a_caller_that_cannot_be_found_is_refused() {
    play(|_| {
        let world = world();
        let upstream = Upstream::bind(PEER);
        world.attach("blind", "127.0.0.3", "/mnt/work");
        let refusal = client::refused_at("127.0.0.3:3128", PEER);
        assert_eq!(verdict(&refusal), "403 identity_unavailable");
        assert!(upstream.is_untouched());
        let ended = world.end();
        let record = ended.one("CONNECT");
        assert_eq!(
            (&record["code"], &record["sandbox_id"], &record["binary"]),
            (&"identity_unavailable".into(), &"blind".into(), &"-".into())
        );
    });
}

/// TR-023, ERR-3
#[test]
fn a_refusal_is_readable_although_the_client_has_more_to_send() {
    play(|_| {
        let world = Setup::new().limit(|limits| limits.drain_time = STEP).open();
        for extra in [1usize, 40_000, 64_000] {
            let mut client = world.proxy();
            let mut bytes = connect_head("denied.test:443");
            bytes.resize(bytes.len() + extra, b'!');
            client.write_all(&bytes).unwrap();
            assert_eq!(
                verdict(&refusal(client)),
                "403 policy_denied no_network_policies",
                "{extra}"
            );
        }
        // A client that goes on sending for a while reads its answer, too.
        let mut client = world.proxy();
        client.write_all(&connect_head("denied.test:443")).unwrap();
        for _ in 0..20 {
            client.write_all(&[b'!'; 1_000]).unwrap();
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(
            verdict(&refusal(client)),
            "403 policy_denied no_network_policies"
        );
    });
}

/// ERR-3: a refused client that keeps its connection open is not waited for.
#[test]
fn a_refused_connection_is_closed_a_second_later_at_the_latest() {
    play(|_| {
        let world = Setup::new()
            .limit(|limits| limits.drain_time = Duration::from_millis(300))
            .open();
        let mut client = world.proxy();
        client.write_all(&connect_head("denied.test:443")).unwrap();
        let (_, ending) = drain(&mut client);
        assert_eq!(ending, Ending::Clean, "the answer's end is told at once");
        let since = Instant::now();
        // Writes go into a closed connection sooner or later.
        while client.write_all(b"x").is_ok() {
            assert!(since.elapsed() < STEP);
            thread::sleep(Duration::from_millis(20));
        }
    });
}

/// A socket that was reset is an error of the client's and nothing else.
#[test]
fn a_client_that_resets_before_its_answer_ends_nothing_but_itself() {
    play(|_| {
        let world = Setup::new().open();
        for _ in 0..20 {
            let mut client = world.proxy();
            client.write_all(&connect_head("denied.test:443")).unwrap();
            crate::world::upstream::reset(&client);
        }
        let mut client = world.proxy();
        client.write_all(&connect_head("denied.test:443")).unwrap();
        assert_eq!(refusal(client).status(), 403);
        let mut probe = [0; 1];
        let mut idle = world.proxy();
        idle.set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        assert_eq!(
            idle.read(&mut probe).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
    });
}
