//! How long an answer is remembered.

use super::server::{A, Reply, Server, address, cname, nothing};
use super::*;

/// AL-11, SECURITY 3, TR-034: within the time to live a rebinding name is asked once.
#[test]
fn a_rebinding_name_is_asked_once_within_its_time_to_live() {
    let server = Server::start(|asked| {
        let ip = if asked.before == 0 {
            "8.8.8.8"
        } else {
            "127.0.0.1"
        };
        if asked.kind == A {
            Reply::Answer(vec![address(&asked.name, 300, ip)])
        } else {
            nothing()
        }
    });
    let world = world(server.port, |_| {});
    for _ in 0..1_000 {
        assert_eq!(world.resolve("rebind.example"), Ok(strings(&["8.8.8.8"])));
    }
    assert_eq!(server.asked("rebind.example", A), 1);
}

/// DST-10: a time to live of zero is obeyed: the answer holds for the question and no longer.
#[test]
fn an_answer_without_a_lifetime_is_not_remembered() {
    let server = Server::start(|asked| {
        let ip = if asked.before == 0 {
            "8.8.8.8"
        } else {
            "127.0.0.1"
        };
        if asked.kind == A {
            Reply::Answer(vec![address(&asked.name, 0, ip)])
        } else {
            nothing()
        }
    });
    let world = world(server.port, |_| {});
    assert_eq!(world.resolve("zero.example"), Ok(strings(&["8.8.8.8"])));
    assert_eq!(world.resolve("zero.example"), Ok(strings(&["127.0.0.1"])));
}

/// DST-10: cached answers obey the TTL.
#[test]
fn an_answer_is_asked_for_again_when_its_time_is_over() {
    let server = Server::start(one_address);
    let world = world(server.port, |config| {
        config.ttl_max = Duration::from_secs(2)
    });
    assert!(world.resolve("a.example").is_ok());
    assert!(world.resolve("a.example").is_ok());
    assert_eq!(server.asked("a.example", A), 1);
    std::thread::sleep(Duration::from_millis(2_100));
    assert!(world.resolve("a.example").is_ok());
    assert_eq!(server.asked("a.example", A), 2);
}

/// RFC 2308 §5: that there is none is remembered as long as the SOA says, and without one not at all.
#[test]
fn that_there_is_no_such_name_is_remembered() {
    let server = Server::start(|asked| Reply::Empty {
        code: 3,
        negative_ttl: (asked.name == "kept.example").then_some(300),
    });
    let world = world(server.port, |_| {});
    for _ in 0..5 {
        assert_eq!(world.resolve("kept.example"), Err(ResolveError::Failure));
        assert_eq!(world.resolve("unkept.example"), Err(ResolveError::Failure));
    }
    assert_eq!(
        (
            server.asked("kept.example", A),
            server.asked("unkept.example", A)
        ),
        (1, 5)
    );
}

/// The time to live of an answer is the least along its chain.
#[test]
fn a_short_lived_alias_shortens_the_answer() {
    let server = Server::start(|asked| {
        if asked.kind != A {
            return nothing();
        }
        Reply::Answer(vec![
            cname("a.example", 0, "b.example"),
            address("b.example", 300, "198.51.100.7"),
        ])
    });
    let world = world(server.port, |_| {});
    assert!(world.resolve("a.example").is_ok());
    assert!(world.resolve("a.example").is_ok());
    assert_eq!(server.asked("a.example", A), 2);
}
