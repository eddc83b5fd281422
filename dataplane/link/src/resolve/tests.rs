//! The resolver against a name server of the test's own, through the public API, awaited on an executor that is not
//! tokio's.

mod server;

use super::*;
use server::{A, AAAA, Asked, Reply, Server, Way, address, cname, nothing};
use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::thread::Thread;

/// A link whose world is a directory of this test and a server's port.
struct World {
    link: crate::Link,
    directory: Directory,
}

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

fn world(port: u16, change: impl FnOnce(&mut ResolveConfig)) -> World {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let directory =
        std::env::temp_dir().join(format!("ringfence-resolve-{}-{number}", std::process::id()));
    _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    let mut config = ResolveConfig {
        hosts_file: directory.join("hosts"),
        resolv_conf: directory.join("resolv.conf"),
        port,
        ..ResolveConfig::default()
    };
    change(&mut config);
    // A search list and options are there to be ignored.
    std::fs::write(
        &config.resolv_conf,
        "search search.example\noptions ndots:5 timeout:1\nnameserver 127.0.0.1\n",
    )
    .unwrap();
    let link = crate::start(crate::Config {
        resolve: config,
        ..crate::Config::default()
    })
    .unwrap();
    World {
        link,
        directory: Directory(directory),
    }
}

impl World {
    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.directory.0.join(file), text).unwrap();
    }

    fn resolve(&self, name: &str) -> Result<Vec<String>, ResolveError> {
        shown(block_on(self.link.resolver.resolve(&host(name))))
    }
}

fn host(name: &str) -> Host {
    Host::parse(name.as_bytes()).unwrap()
}

fn shown(answer: Result<Addresses, ResolveError>) -> Result<Vec<String>, ResolveError> {
    answer.map(|addresses| addresses.iter().map(ToString::to_string).collect())
}

fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}

/// One IPv4 address for every name, nothing else.
fn one_address(asked: &Asked) -> Reply {
    if asked.kind == A {
        Reply::Answer(vec![address(&asked.name, 60, "198.51.100.7")])
    } else {
        nothing()
    }
}

fn strings(addresses: &[&str]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

/// DST-10: both families, the name as given.
#[test]
fn a_name_has_the_addresses_of_both_families() {
    let server = Server::start(|asked| {
        let ip = if asked.kind == A {
            "198.51.100.7"
        } else {
            "2001:db8::7"
        };
        Reply::Answer(vec![address(&asked.name, 60, ip)])
    });
    let world = world(server.port, |_| {});
    assert_eq!(
        world.resolve("a.example"),
        Ok(strings(&["198.51.100.7", "2001:db8::7"]))
    );
    assert_eq!(
        (
            server.asked("a.example", A),
            server.asked("a.example", AAAA),
            server.total()
        ),
        (1, 1, 2)
    );
}

/// DST-10, TR-036: names are absolute; the search list of resolv.conf sends nothing to anyone.
#[test]
fn a_name_without_a_dot_is_asked_as_it_is_and_no_more() {
    let server = Server::start(|_| Reply::Empty {
        code: 3,
        negative_ttl: None,
    });
    let world = world(server.port, |_| {});
    assert_eq!(world.resolve("intranet"), Err(ResolveError::Failure));
    assert_eq!(
        (
            server.asked("intranet", A),
            server.asked("intranet", AAAA),
            server.total()
        ),
        (1, 1, 2)
    );
}

/// CON-2: a literal is its own answer.
#[test]
fn a_literal_asks_nobody() {
    let server = Server::start(|_| Reply::Silence);
    let world = world(server.port, |_| {});
    assert_eq!(world.resolve("192.0.2.1"), Ok(strings(&["192.0.2.1"])));
    assert_eq!(
        world.resolve("[2001:db8::1]"),
        Ok(strings(&["2001:db8::1"]))
    );
    assert_eq!(server.total(), 0);
}

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

/// AL-14: no such name, an empty answer, a broken server.
#[test]
fn what_has_no_address_is_a_failure() {
    let server = Server::start(|asked| match asked.name.as_str() {
        "nx.example" => Reply::Empty {
            code: 3,
            negative_ttl: Some(300),
        },
        "broken.example" => Reply::Empty {
            code: 2,
            negative_ttl: None,
        },
        "refused.example" => Reply::Empty {
            code: 5,
            negative_ttl: None,
        },
        "garbage.example" => Reply::Garbage(vec![0xc0; 300]),
        _ => nothing(),
    });
    let world = world(server.port, |_| {});
    for name in [
        "nx.example",
        "empty.example",
        "broken.example",
        "refused.example",
        "garbage.example",
    ] {
        assert_eq!(world.resolve(name), Err(ResolveError::Failure), "{name}");
    }
}

/// AL-14: this host does not exist anywhere.
#[test]
fn a_name_under_invalid_is_a_failure() {
    let server = Server::start(|_| Reply::Empty {
        code: 3,
        negative_ttl: None,
    });
    let world = world(server.port, |_| {});
    assert_eq!(
        world.resolve("this-host-does-not-exist.invalid"),
        Err(ResolveError::Failure)
    );
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

/// AL-14: 5 s is the default.
#[test]
fn the_default_deadline_is_five_seconds() {
    assert_eq!(ResolveConfig::default().deadline, Duration::from_secs(5));
}

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

/// SECURITY 3: one query in flight per name, however many ask.
#[test]
fn a_hundred_simultaneous_questions_are_one_query() {
    let gate = Arc::new(Mutex::new(()));
    let held = gate.lock().unwrap();
    let opens = gate.clone();
    let server = Server::start(move |asked| {
        drop(opens.lock());
        one_address(asked)
    });
    let world = world(server.port, |_| {});
    let waiting: Vec<Resolving> = (0..100)
        .map(|_| world.link.resolver.resolve(&host("a.example")))
        .collect();
    drop(held);
    for answer in waiting {
        assert_eq!(shown(block_on(answer)), Ok(strings(&["198.51.100.7"])));
    }
    // The gate is held for less than the time after which UDP is sent again, on any machine that runs this at all.
    assert_eq!(
        (
            server.asked("a.example", A),
            server.asked("a.example", AAAA)
        ),
        (1, 1)
    );
}

/// LIM: look-ups and questions are bounded; what is beyond fails at once and what waits is not harmed.
#[test]
fn questions_beyond_the_bounds_fail_at_once() {
    let server = Server::start(|_| Reply::Silence);
    let world = world(server.port, |config| {
        config.lookups_max = 2;
        config.questions_max = 4;
        config.deadline = Duration::from_secs(3);
    });
    let first = world.link.resolver.resolve(&host("a.example"));
    let second = world.link.resolver.resolve(&host("b.example"));
    while server.total() < 4 {
        std::thread::yield_now();
    }
    // At the deadline it would be a time-out.
    assert_eq!(world.resolve("c.example"), Err(ResolveError::Failure));
    assert_eq!(shown(block_on(first)), Err(ResolveError::Timeout));
    assert_eq!(shown(block_on(second)), Err(ResolveError::Timeout));
    assert_eq!(
        world.resolve("c.example"),
        Err(ResolveError::Timeout),
        "the room is free again"
    );
}

/// DST-10: the hosts file comes first, is read again when it changes, and asks nobody.
#[test]
fn the_hosts_file_is_asked_first_and_followed_when_it_changes() {
    let server = Server::start(one_address);
    let world = world(server.port, |_| {});
    assert_eq!(
        world.resolve("a.example"),
        Ok(strings(&["198.51.100.7"])),
        "no file yet"
    );
    world.write("hosts", "# comment\n192.0.2.1 A.Example b.example # c.example\n2001:db8::1\ta.example\nnonsense x\n");
    assert_eq!(
        world.resolve("a.example"),
        Ok(strings(&["192.0.2.1", "2001:db8::1"]))
    );
    assert_eq!(world.resolve("b.example"), Ok(strings(&["192.0.2.1"])));
    assert_eq!(
        world.resolve("c.example"),
        Ok(strings(&["198.51.100.7"])),
        "a comment is no name"
    );
    world.write("hosts", "192.0.2.99 a.example\n");
    assert_eq!(world.resolve("a.example"), Ok(strings(&["192.0.2.99"])));
    assert_eq!(server.asked("b.example", A), 0);
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

/// Closing the link gives up what waits; nobody is left hanging.
#[test]
fn a_question_that_waits_when_the_link_closes_is_a_failure() {
    let server = Server::start(|_| Reply::Silence);
    let world = world(server.port, |_| {});
    let resolver = world.link.resolver.clone();
    let waiting = resolver.resolve(&host("a.example"));
    world.link.close();
    assert_eq!(shown(block_on(waiting)), Err(ResolveError::Failure));
    assert_eq!(
        shown(block_on(resolver.resolve(&host("a.example")))),
        Err(ResolveError::Failure)
    );
}

fn assert_portable<T: Clone + Send + Sync + 'static>() {}

/// B3: a handle may live on any worker.
#[test]
fn the_handles_go_anywhere() {
    assert_portable::<Resolver>();
    assert_portable::<crate::Records>();
}
