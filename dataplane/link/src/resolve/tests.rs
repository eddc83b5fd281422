//! The resolver against a name server of the test's own, through the public API, awaited on an executor that is not
//! tokio's.

mod chains;
mod lifetimes;
mod server;
mod servers;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::thread::Thread;

use super::*;
use server::{A, AAAA, Asked, Reply, Server, address, nothing};

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

/// AL-14: 5 s is the default.
#[test]
fn the_default_deadline_is_five_seconds() {
    assert_eq!(ResolveConfig::default().deadline, Duration::from_secs(5));
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
