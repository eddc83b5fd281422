//! Name servers that are slow, limited, wrong or silent.

use std::net::Ipv4Addr;

use super::server::{A, Reply, Server, Way, address, cname, nothing};
use super::*;

/// AL-14: the server says nothing.
#[test]
fn a_silent_server_is_a_timeout_at_the_deadline() {
    let server = Server::start(|_| Reply::Silence);
    let world = world(server.port, |config| {
        config.deadline = Duration::from_millis(600)
    });
    let asked = Instant::now();
    assert_eq!(world.resolve("silent.example"), Err(ResolveError::Timeout));
    let took = asked.elapsed();
    assert!(
        (Duration::from_millis(550)..ResolveConfig::default().deadline).contains(&took),
        "{took:?}"
    );
}

/// SECURITY 10: what does not fit UDP comes over TCP; a thousand addresses are all there.
#[test]
fn a_truncated_answer_is_asked_for_again_over_tcp() {
    let server = Server::start(|asked| match (asked.kind, asked.way) {
        (A, Way::Udp) => Reply::Truncated,
        (A, Way::Tcp) => {
            let ip = |n: usize| Ipv4Addr::from(0x0808_0000 + u32::try_from(n).unwrap()).to_string();
            Reply::Answer(
                (0..1_000)
                    .map(|n| address(&asked.name, 60, &ip(n)))
                    .collect(),
            )
        }
        _ => nothing(),
    });
    let world = world(server.port, |_| {});
    let addresses = world.resolve("many.example").unwrap();
    assert_eq!(addresses.len(), 1_000);
    assert_eq!(addresses[999], "8.8.3.231");
    assert_eq!(world.resolve("many.example").unwrap().len(), 1_000);
    assert_eq!(
        server.asked("many.example", A),
        2,
        "once each way, then from the cache"
    );
}

/// SECURITY 10: a chain whose messages sum up to more than 64 KiB is given up.
#[test]
fn answers_beyond_the_byte_bound_are_a_failure() {
    let server = Server::start(|asked| match (asked.kind, asked.way) {
        (A, Way::Udp) => Reply::Truncated,
        (A, Way::Tcp) => {
            let number: usize = asked.name.split('.').next().unwrap().parse().unwrap();
            let mut records = vec![cname(&asked.name, 60, &format!("{}.example", number + 1))];
            records.extend((0..1_500).map(|_| address("padding.example", 60, "198.51.100.9")));
            Reply::Answer(records)
        }
        _ => nothing(),
    });
    let world = world(server.port, |_| {});
    assert_eq!(world.resolve("0.example"), Err(ResolveError::Failure));
    assert!(
        server.asked("2.example", A) == 0,
        "45 KB a message: the second is one too many"
    );
}

/// SECURITY 10: an answer that only repeats itself over TCP without end is bounded by the deadline.
#[test]
fn a_server_that_truncates_over_tcp_too_is_a_failure() {
    let server = Server::start(|_| Reply::Truncated);
    let world = world(server.port, |config| {
        config.deadline = Duration::from_secs(2)
    });
    let asked = Instant::now();
    assert!(world.resolve("t.example").is_err());
    assert!(asked.elapsed() < Duration::from_secs(20));
}

/// TR-034: an answer to another question with the right identifier is not taken.
#[test]
fn a_forged_question_is_ignored() {
    let server = Server::start(|_| Reply::Forged);
    let world = world(server.port, |config| {
        config.deadline = Duration::from_millis(500)
    });
    assert!(world.resolve("a.example").is_err());
}

/// RFC 6891 §7: a server from before EDNS is asked again without it.
#[test]
fn a_server_that_does_not_know_edns_still_answers() {
    let server = Server::start(|asked| {
        if asked.edns {
            Reply::Empty {
                code: 1,
                negative_ttl: None,
            }
        } else {
            one_address(asked)
        }
    });
    let world = world(server.port, |_| {});
    assert_eq!(world.resolve("old.example"), Ok(strings(&["198.51.100.7"])));
}

/// DST-10: name servers in their order; the next one helps when the first is broken or silent.
#[test]
fn the_next_name_server_is_asked_when_the_first_fails_or_is_silent() {
    let first = Server::start(|asked| match asked.name.as_str() {
        "servfail.example" => Reply::Empty {
            code: 2,
            negative_ttl: None,
        },
        "silent.example" => Reply::Silence,
        "nx.example" => Reply::Empty {
            code: 3,
            negative_ttl: None,
        },
        _ => one_address(asked),
    });
    let second = Server::start_at(Ipv4Addr::new(127, 0, 0, 2), first.port, |asked| {
        if asked.kind == A {
            Reply::Answer(vec![address(&asked.name, 60, "192.0.2.2")])
        } else {
            nothing()
        }
    });
    let world = world(first.port, |config| {
        config.next_server_after = Duration::from_secs(2)
    });
    world.write(
        "resolv.conf",
        "nameserver 127.0.0.1\nnameserver 127.0.0.2\n",
    );
    assert_eq!(
        world.resolve("fine.example"),
        Ok(strings(&["198.51.100.7"]))
    );
    assert_eq!(
        second.total(),
        0,
        "the first alone sees a name that it answers"
    );
    assert_eq!(world.resolve("nx.example"), Err(ResolveError::Failure));
    assert_eq!(second.total(), 0, "that there is none is an answer");
    assert_eq!(
        world.resolve("servfail.example"),
        Ok(strings(&["192.0.2.2"]))
    );
    assert_eq!(world.resolve("silent.example"), Ok(strings(&["192.0.2.2"])));
}

/// A laptop that changes networks gets new name servers without a restart.
#[test]
fn a_changed_resolv_conf_is_followed() {
    let first = Server::start(one_address);
    let world = world(first.port, |_| {});
    let second = Server::start_at(Ipv4Addr::new(127, 0, 0, 3), first.port, one_address);
    assert!(world.resolve("a.example").is_ok());
    world.write("resolv.conf", "nameserver 127.0.0.3\n# changed\n");
    assert!(world.resolve("b.example").is_ok());
    assert_eq!(
        (first.asked("b.example", A), second.asked("b.example", A)),
        (0, 1)
    );
}

/// A network where AAAA is never answered costs a second once, not the deadline, and the answer is kept briefly.
#[test]
fn one_family_that_never_answers_does_not_cost_the_other() {
    let server = Server::start(|asked| {
        if asked.kind == A {
            one_address(asked)
        } else {
            Reply::Silence
        }
    });
    let world = world(server.port, |_| {});
    let asked = Instant::now();
    assert_eq!(world.resolve("a.example"), Ok(strings(&["198.51.100.7"])));
    assert!(asked.elapsed() < ResolveConfig::default().deadline);
    assert!(world.resolve("a.example").is_ok());
    assert_eq!(server.asked("a.example", A), 1);
}
