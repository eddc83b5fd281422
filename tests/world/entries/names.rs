//! What is asked of a name server, and what its silence means, by both ways in.

use std::thread;

use harness::origin::Origin;
use harness::{dns::NameServer, play};

use super::{alike, both, connect, forward, of};
use crate::world::Setup;
use crate::world::zone::{Entry, Zone};

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
