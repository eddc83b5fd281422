//! Aliases on the way to an address.

use super::server::{A, Reply, Server, address, cname, nothing};
use super::*;

/// DST-10: chains within one message and across messages, in any order, count alike; eight links pass.
#[test]
fn a_chain_of_eight_links_leads_to_an_address_and_one_of_nine_does_not() {
    // `in-N.example`: the whole chain in one message, last link first. `over-N.example`: a message per link.
    let server = Server::start(|asked| {
        if asked.kind != A {
            return nothing();
        }
        let (way, links) = asked
            .name
            .split_once('.')
            .unwrap()
            .0
            .split_once('-')
            .unwrap();
        let links: usize = links.parse().unwrap();
        if way == "over" {
            let next = format!("over-{}.example", links.saturating_sub(1));
            return Reply::Answer(vec![if links == 0 {
                address(&asked.name, 60, "198.51.100.7")
            } else {
                cname(&asked.name, 60, &next)
            }]);
        }
        let name = |number: usize| {
            if number == links {
                asked.name.clone()
            } else {
                format!("link{number}.example")
            }
        };
        let mut records = vec![address(&name(0), 60, "198.51.100.7")];
        records.extend((1..=links).map(|number| cname(&name(number), 60, &name(number - 1))));
        Reply::Answer(records)
    });
    let world = world(server.port, |_| {});
    for links in [0, 1, 2, 8] {
        assert_eq!(
            world.resolve(&format!("in-{links}.example")),
            Ok(strings(&["198.51.100.7"])),
            "in {links}"
        );
        assert_eq!(
            world.resolve(&format!("over-{links}.example")),
            Ok(strings(&["198.51.100.7"])),
            "over {links}"
        );
    }
    for links in [9, 40] {
        assert_eq!(
            world.resolve(&format!("in-{links}.example")),
            Err(ResolveError::Failure),
            "in {links}"
        );
        assert_eq!(
            world.resolve(&format!("over-{links}.example")),
            Err(ResolveError::Failure),
            "over {links}"
        );
    }
}

/// AL-14, SECURITY 10: loops of one, two and across messages.
#[test]
fn a_loop_is_a_failure_and_ends_at_once() {
    let server = Server::start(|asked| {
        Reply::Answer(match asked.name.as_str() {
            "self.example" => vec![cname("self.example", 60, "self.example")],
            "two.example" => vec![
                cname("two.example", 60, "owt.example"),
                cname("owt.example", 60, "two.example"),
            ],
            "ping.example" => vec![cname("ping.example", 60, "pong.example")],
            _ => vec![cname("pong.example", 60, "ping.example")],
        })
    });
    let world = world(server.port, |_| {});
    for name in ["self.example", "two.example", "ping.example"] {
        // At the deadline it would be a time-out.
        assert_eq!(world.resolve(name), Err(ResolveError::Failure), "{name}");
    }
    assert!(server.asked("ping.example", A) + server.asked("pong.example", A) <= 9);
}

/// TR-035: an address that belongs to another name is not part of the answer.
#[test]
fn an_address_of_a_name_outside_the_chain_does_not_count() {
    let server = Server::start(|asked| {
        if asked.kind != A {
            return nothing();
        }
        Reply::Answer(vec![
            address("stranger.example", 60, "192.0.2.66"),
            cname("a.example", 60, "b.example"),
            address("b.example", 60, "198.51.100.7"),
            address("c.example", 60, "192.0.2.67"),
        ])
    });
    let world = world(server.port, |_| {});
    assert_eq!(world.resolve("a.example"), Ok(strings(&["198.51.100.7"])));
    assert_eq!(world.resolve("never.example"), Err(ResolveError::Failure));
}
