//! The same question by both ways in: CONNECT and plain HTTP (TR-011, section 4 of the vectors).
//!
//! A row here is one destination and two verdicts. What only one of the two can be asked has its place in `forward`,
//! `refusals` and `dial`.

use std::io::Write;
use std::thread;
use std::time::Duration;

use harness::http::{Message, Reader};
use harness::origin::Origin;
use harness::scene::Scene;
use harness::{dns::NameServer, play};

use crate::dial::full_listener;
use crate::world::client::{established, verdict};
use crate::world::names::Names;
use crate::world::zone::{Entry, Zone};
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

/// AL-7, AL-8, AL-9, AL-10, DST-4, DST-5, DST-8
#[test]
fn both_entries_judge_every_address_of_an_answer() {
    play(|scene| {
        let _origin = everywhere(scene);
        let listed = "allowed_ips: [10.99.0.0/24]";
        let world = Setup::new()
            .host("45.45.45.9 public.test mixed.test")
            .host("10.99.0.9 mixed.test dexim.test")
            .host("45.45.45.9 dexim.test")
            .host("127.0.0.1 loop.test")
            .host("10.99.0.7 any.test")
            .allow(
                "public",
                &format!("{{host: public.test, port: 7000, {listed}}}"),
            )
            .allow(
                "mixed",
                &format!("{{host: mixed.test, port: 7000, {listed}}}"),
            )
            .allow(
                "dexim",
                &format!("{{host: dexim.test, port: 7000, {listed}}}"),
            )
            .allow(
                "loop",
                &format!("{{host: loop.test, port: 7000, {listed}}}"),
            )
            .allow("hostless", &format!("{{port: 7000, {listed}}}"))
            .open();
        let outside = alike("403 destination_denied not_in_allowed_ips");
        for (authority, wanted) in [
            ("public.test:7000", &outside),
            ("mixed.test:7000", &outside),
            ("dexim.test:7000", &outside),
            (
                "loop.test:7000",
                &alike("403 destination_denied always_blocked"),
            ),
            ("any.test:7000", &alike("200")),
            ("10.99.0.7:7000", &alike("200")),
            (
                "any.test:12345",
                &alike("403 policy_denied endpoint_not_allowed"),
            ),
        ] {
            assert_eq!(&both(&world, authority), wanted, "{authority}");
        }
    });
}

/// AD-1 to AD-3, AD-6 to AD-8, AD-10, AD-11, AL-6, DST-1, DST-7, TR-032, TR-033: as a literal and as the answer for a
/// name, metadata services in every spelling, under the widest lists that load.
#[test]
fn neither_entry_reaches_a_blocked_address_however_it_is_written() {
    play(|_| {
        let lists = "allowed_ips: [10.0.0.0/8, 100.64.0.0/10, 172.16.0.0/12, 192.168.0.0/16, 198.18.0.0/15, 'fc00::/7', '64:ff9b::a00:0/104', '2002:a00::/24']";
        let mut addresses: Vec<String> = [
            "127.0.0.1",
            "127.0.0.2",
            "::1",
            "::ffff:127.0.0.1",
            "169.254.0.1",
            "fe80::1",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "224.0.0.1",
            "ff02::1",
            "240.0.0.1",
            "255.255.255.255",
            "::ffff:0.0.0.0",
            "192.0.0.1",
            "192.0.2.1",
            "198.51.100.7",
            "203.0.113.9",
            "192.88.99.1",
            "2001:db8::1",
            "3fff::1",
            "100::1",
            "5f00::1",
            "2001:20::1",
            "fec0::1",
            "e000::1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "::7f00:1",
            "fd00:ec2::254",
            "fd20:ce::254",
        ]
        .map(str::to_owned)
        .to_vec();
        for metadata in [
            [169, 254, 169, 254],
            [168, 63, 129, 16],
            [100, 100, 100, 200],
            [192, 0, 0, 192_u8],
        ] {
            let [a, b, c, d] = metadata;
            let (high, low) = (format!("{a:x}{b:02x}"), format!("{c:x}{d:02x}"));
            let inverted = format!("{:x}{:02x}:{:x}{:02x}", !a, !b, !c, !d);
            addresses.extend([
                format!("{a}.{b}.{c}.{d}"),
                format!("::ffff:{a}.{b}.{c}.{d}"),
                format!("::ffff:{high}:{low}"),
                format!("::{high}:{low}"),
                format!("64:ff9b::{high}:{low}"),
                format!("64:ff9b:1::{high}:{low}"),
                format!("2002:{high}:{low}::"),
                format!("2001:0:808:808::{inverted}"),
                format!("2001:0:{high}:{low}::f7f7:f7f7"),
            ]);
        }
        let mut setup = Setup::new().allow("hostless", &format!("{{port: 7000, {lists}}}"));
        for (number, address) in addresses.iter().enumerate() {
            setup = setup.host(&format!("{address} n{number}.test"));
        }
        let world = setup.open();
        for (number, address) in addresses.iter().enumerate() {
            let blocked = alike("403 destination_denied always_blocked");
            assert_eq!(
                both(&world, &format!("n{number}.test:7000")),
                blocked,
                "{address} by name"
            );
            let literal = if address.contains(':') {
                format!("[{address}]")
            } else {
                address.clone()
            };
            assert_eq!(
                both(&world, &format!("{literal}:7000")),
                blocked,
                "{address}"
            );
        }
        for spelled in [
            "2852039166",
            "0xa9fea9fe",
            "0xa9.0xfe.0xa9.0xfe",
            "0251.0376.0251.0376",
            "169.254.43518",
            "169.16689662",
            "[::ffff:169.254.43518]",
            "[fd00:ec2::254%25lo]",
            "169.254.169.254.",
        ] {
            let both = both(&world, &format!("{spelled}:7000"));
            assert_eq!(both, alike("400 invalid_request_target"), "{spelled}");
        }
    });
}

/// AL-13, DST-12, TR-042: the listeners of every attached sandbox, under a list that covers them.
#[test]
fn neither_entry_leads_to_a_listener_of_ringfence_itself() {
    play(|_| {
        let world = Setup::new()
            .host("10.99.0.66 gate.test")
            .host("10.99.0.7 gate-and-more.test")
            .host("10.99.0.66 gate-and-more.test")
            .allow("any-3128", "{port: 3128, allowed_ips: [10.99.0.0/24]}")
            .allow("any-443", "{port: 443, allowed_ips: [10.99.0.0/24]}")
            .open();
        // Before it is attached the address is one like any other.
        assert_eq!(
            both(&world, "10.99.0.66:3128"),
            alike("502 upstream_unreachable")
        );
        world.attach("other", "10.99.0.66", "/proc");
        let own = alike("403 destination_denied own_address");
        for authority in [
            "10.99.0.66:3128",
            "10.99.0.66:443",
            "[::ffff:10.99.0.66]:3128",
            "gate.test:443",
            "gate-and-more.test:3128",
        ] {
            assert_eq!(both(&world, authority), own, "{authority}");
        }
        assert_eq!(
            both(&world, "10.99.0.67:3128"),
            alike("502 upstream_unreachable")
        );
    });
}

/// AL-12, CON-5, DST-11, FWD-3, TR-036: counted at a name server that would answer.
#[test]
fn a_name_that_is_denied_is_never_asked_for_by_either_entry() {
    play(|_| {
        let names = NameServer::start();
        let listed = "allowed_ips: [10.99.0.0/24]";
        let world = Setup::new()
            .allow(
                "local",
                &format!("{{host: localhost, port: 7000, {listed}}}"),
            )
            .allow(
                "under",
                &format!("{{host: a.localhost, port: 7000, {listed}}}"),
            )
            .allow("onion", &format!("{{host: x.onion, port: 7000, {listed}}}"))
            .allow(
                "inner",
                &format!("{{host: x.inference.local, port: 7000, {listed}}}"),
            )
            .allow("nolist", "{host: nolist.example, port: 7000}")
            .open();
        let special = alike("403 destination_denied special_name");
        for authority in [
            "localhost:7000",
            "LOCALHOST.:7000",
            "a.localhost:7000",
            "x.onion:7000",
            "x.inference.local:7000",
        ] {
            assert_eq!(both(&world, authority), special, "{authority}");
        }
        let denied = alike("403 policy_denied endpoint_not_allowed");
        for authority in [
            "denied.example:7000",
            "nolist.example:7001",
            "secret-in-a-label.denied.example:7000",
        ] {
            assert_eq!(both(&world, authority), denied, "{authority}");
        }
        for name in ["inference.local:7000", "Inference.LOCAL.:80"] {
            let wanted = of(
                "403 inference_requires_https",
                "403 policy_denied endpoint_not_allowed",
            );
            assert_eq!(both(&world, name), wanted, "{name}");
        }
        // The forward path refuses for want of a list before it asks for the name.
        assert_eq!(
            forward(&world, "GET", "http://nolist.example:7000/"),
            "403 forward_requires_allowed_ips"
        );
        assert_eq!(names.asked(), Vec::<String>::new());
        // The server does answer: what is allowed is asked for.
        assert_eq!(connect(&world, "nolist.example:7000"), "502 dns_failure");
        assert!(!names.asked().is_empty());
    });
}

/// AL-14, DST-10: what name servers say.
#[test]
fn both_entries_tell_a_name_without_an_address_from_a_silent_name_server() {
    play(|_| {
        let _zone = Zone::of([
            ("empty.example", Entry::Addresses(Vec::new())),
            ("loop-a.example", Entry::Alias("loop-b.example".to_owned())),
            ("loop-b.example", Entry::Alias("loop-a.example".to_owned())),
            ("mute.example", Entry::Silence),
            ("found.example", Entry::Alias("host.example".to_owned())),
            (
                "host.example",
                Entry::Addresses(vec!["10.99.0.9".parse().unwrap()]),
            ),
        ]);
        let world = Setup::new().allow_port(7000).open();
        for (name, wanted) in [
            ("this-host-does-not-exist.invalid", "502 dns_failure"),
            ("empty.example", "502 dns_failure"),
            ("loop-a.example", "502 dns_failure"),
            ("mute.example", "504 dns_timeout"),
            ("found.example", "502 upstream_unreachable"),
        ] {
            assert_eq!(
                both(&world, &format!("{name}:7000")),
                alike(wanted),
                "{name}"
            );
        }
    });
}

/// AL-11, DST-9, TR-034: the name turns to an address that must not be dialled.
#[test]
fn a_rebinding_name_is_dialled_at_the_address_that_was_judged_by_either_entry() {
    play(|_| {
        let origin = Origin::greeting("10.99.0.7:7000", None, "here");
        let names = Names::start([10, 99, 0, 7].into(), [127, 0, 0, 1].into());
        let world = Setup::new().allow_port(7000).open();
        assert_eq!(forward(&world, "GET", "http://turn.example:7000/"), "200");
        assert_eq!((names.asked(), origin.connections()), (1, 1));
        assert_eq!(
            both(&world, "turn.example:7000"),
            alike("403 destination_denied always_blocked")
        );
        assert_eq!(origin.connections(), 1);
    });
}

/// DST-10, SECURITY 3: however many ask at once, on whichever path.
#[test]
fn sixty_four_requests_for_one_name_are_one_question() {
    play(|_| {
        let zone = Zone::of([(
            "busy.example",
            Entry::Addresses(vec!["10.99.0.7".parse().unwrap()]),
        )]);
        let origin = Origin::greeting("10.99.0.7:7000", None, "here");
        let world = Setup::new().allow_port(7000).open();
        let world = &world;
        thread::scope(|scope| {
            for number in 0..64 {
                scope.spawn(move || {
                    let found = if number % 2 == 0 {
                        connect(world, "busy.example:7000")
                    } else {
                        forward(world, "GET", "http://busy.example:7000/")
                    };
                    assert_eq!(found, "200");
                });
            }
        });
        assert_eq!(origin.connections(), 64);
        assert_eq!(zone.count("busy.example"), 1);
        assert_eq!(
            zone.asked().len(),
            2,
            "one question a family: {:?}",
            zone.asked()
        );
    });
}
