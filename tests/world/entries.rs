//! The same question by both ways in: CONNECT and plain HTTP (TR-011, section 4 of the vectors).
//!
//! A row here is one destination and two verdicts. What only one of the two can be asked has its place in `forward`,
//! `refusals` and `dial`.

mod addresses;
mod names;

use std::io::Write;
use std::time::Duration;

use harness::http::{Message, Reader};
use harness::origin::Origin;
use harness::play;
use harness::scene::Scene;

use crate::dial::full_listener;
use crate::world::client::{established, verdict};
use crate::world::{Setup, World};

/// How both entries answer for `host:port`: `200`, or status, code and reason.
#[derive(Debug, PartialEq, Eq)]
struct Both {
    forward: String,
    connect: String,
}

fn both(world: &World, authority: &str) -> Both {
    let target = format!("http://{authority}/x");
    Both {
        forward: forward(world, "GET", &target),
        connect: connect(world, authority),
    }
}

fn of(forward: &str, connect: &str) -> Both {
    Both {
        forward: forward.to_owned(),
        connect: connect.to_owned(),
    }
}

/// The same by both.
fn alike(answer: &str) -> Both {
    of(answer, answer)
}

fn connect(world: &World, authority: &str) -> String {
    let mut client = world.proxy();
    let head = format!("CONNECT {authority} HTTP/1.1\r\nHost: x.test\r\n\r\n");
    client.write_all(head.as_bytes()).unwrap();
    match established(client) {
        Ok(_) => "200".to_owned(),
        Err(refusal) => told(&refusal),
    }
}

fn forward(world: &World, method: &str, target: &str) -> String {
    let mut client = Reader::new(world.proxy());
    let head = format!("{method} {target} HTTP/1.1\r\nHost: x.test\r\n\r\n");
    client.stream.write_all(head.as_bytes()).unwrap();
    let answer = client
        .answer(method)
        .unwrap_or_else(|| panic!("no answer to {method} {target}"));
    told(&answer.message)
}

fn told(answer: &Message) -> String {
    match answer.status() {
        200 => "200".to_owned(),
        _ => verdict(answer),
    }
}

/// Addresses of every class, local to the scene, and one server behind all of them.
fn everywhere(scene: &Scene) -> Origin {
    for (label, address) in [
        ("3", "100.64.1.1"),
        ("4", "198.18.0.1"),
        ("6", "fd00:99::7"),
    ] {
        scene.address(label, address.parse().unwrap());
    }
    Origin::greeting("[::]:7000", None, "here")
}

/// MX-1 to MX-7, FWD-4, FWD-5, DST-4, TR-041
#[test]
fn both_entries_give_the_verdicts_of_the_matrix() {
    play(|scene| {
        let origin = everywhere(scene);
        let world = Setup::new()
            .host("45.45.45.7 public.test public-listed.test")
            .host("10.99.0.7 private.test private-listed.test")
            .host("fd00:99::7 local6.test local6-listed.test")
            .host("100.64.1.1 shared.test shared-listed.test shared-wide.test")
            .host("198.18.0.1 bench.test bench-listed.test")
            .host("10.99.0.7 two.test")
            .host("45.45.45.7 two.test")
            .allow("public", "{host: public.test, port: 7000}")
            .allow(
                "public-listed",
                "{host: public-listed.test, port: 7000, allowed_ips: [45.45.45.0/24]}",
            )
            .allow("private", "{host: private.test, port: 7000}")
            .allow(
                "private-listed",
                "{host: private-listed.test, port: 7000, allowed_ips: [10.99.0.0/24]}",
            )
            .allow("local6", "{host: local6.test, port: 7000}")
            .allow(
                "local6-listed",
                "{host: local6-listed.test, port: 7000, allowed_ips: ['fd00:99::/64']}",
            )
            .allow("shared", "{host: shared.test, port: 7000}")
            .allow(
                "shared-listed",
                "{host: shared-listed.test, port: 7000, allowed_ips: [100.64.0.0/10]}",
            )
            .allow("bench", "{host: bench.test, port: 7000}")
            .allow(
                "bench-listed",
                "{host: bench-listed.test, port: 7000, allowed_ips: [198.18.0.0/15]}",
            )
            .allow(
                "two",
                "{host: two.test, port: 7000, allowed_ips: [10.99.0.0/24, 45.45.45.0/24]}",
            )
            .open();
        let unlisted = "403 forward_requires_allowed_ips";
        let internal = "403 destination_denied internal_address";
        for (host, wanted) in [
            ("public.test", of(unlisted, "200")),
            ("public-listed.test", of("403 forward_private_only", "200")),
            ("private.test", of(unlisted, internal)),
            ("private-listed.test", alike("200")),
            ("local6.test", of(unlisted, internal)),
            ("local6-listed.test", alike("200")),
            ("shared.test", of(unlisted, internal)),
            ("shared-listed.test", alike("200")),
            ("bench.test", of(unlisted, internal)),
            ("bench-listed.test", of("403 forward_private_only", "200")),
            // One address of the answer is public: plain HTTP goes to neither.
            ("two.test", of("403 forward_private_only", "200")),
            (
                "nowhere.test",
                alike("403 policy_denied endpoint_not_allowed"),
            ),
        ] {
            assert_eq!(both(&world, &format!("{host}:7000")), wanted, "{host}");
        }
        let reached: Vec<_> = origin
            .requests()
            .iter()
            .filter_map(|request| request.field("host"))
            .collect();
        assert_eq!(
            reached,
            [
                "private-listed.test:7000",
                "local6-listed.test:7000",
                "shared-listed.test:7000"
            ]
        );
    });
}

/// MX-8, CON-6, FWD-6
#[test]
fn both_entries_tell_a_refused_dial_from_one_that_is_not_answered() {
    play(|_| {
        let world = Setup::new()
            .allow_port(7000)
            .limit(|limits| limits.dial_time = Duration::from_millis(1_500))
            .open();
        let _full = full_listener("10.99.0.10:7000");
        assert_eq!(
            both(&world, "10.99.0.9:7000"),
            alike("502 upstream_unreachable")
        );
        assert_eq!(
            both(&world, "10.99.0.10:7000"),
            alike("504 connect_timeout")
        );
    });
}

/// L4-1, L4-3, L4-5, L4-6, L4-12, L4-13, POL-5, TR-011, TR-077: the same table answers both.
#[test]
fn both_entries_name_the_same_reason_for_the_same_caller() {
    play(|scene| {
        let _origin = everywhere(scene);
        let world = Setup::new()
            .host("10.99.0.7 open.test tool.test wild.deep.test")
            .allow(
                "open",
                "{host: open.test, port: 7000, allowed_ips: [10.99.0.0/24]}",
            )
            .allow_program(
                "tool",
                "{host: tool.test, port: 7000, allowed_ips: [10.99.0.0/24]}",
                "/usr/bin/no-such-tool",
            )
            .allow(
                "wild",
                "{host: '*.deep.test', port: 7000, allowed_ips: [10.99.0.0/24]}",
            )
            .open();
        for (authority, wanted) in [
            ("open.test:7000", alike("200")),
            ("OPEN.Test.:7000", alike("200")),
            ("wild.deep.test:7000", alike("200")),
            (
                "tool.test:7000",
                alike("403 policy_denied binary_not_allowed"),
            ),
            (
                "open.test:7001",
                alike("403 policy_denied endpoint_not_allowed"),
            ),
            (
                "a.wild.deep.test:7000",
                alike("403 policy_denied endpoint_not_allowed"),
            ),
        ] {
            assert_eq!(both(&world, authority), wanted, "{authority}");
        }
        let ended = world.end();
        let policies = |kind: &str| -> Vec<String> {
            let records = ended.of(kind).into_iter();
            records
                .map(|record| format!("{} {}", record["policy"], record["reason"]))
                .collect()
        };
        assert_eq!(policies("CONNECT").len(), 6);
        assert_eq!(policies("CONNECT"), policies("FORWARD"));
    });
}

/// L4-12: an empty policy.
#[test]
fn both_entries_say_that_there_is_no_policy_at_all() {
    play(|_| {
        let world = Setup::new().open();
        assert_eq!(
            both(&world, "open.test:7000"),
            alike("403 policy_denied no_network_policies")
        );
    });
}
