//! What is bounded: connections, descriptors, requests, tokens, calls at once, memory under a slow reader.

use std::io::{Read, Seek, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use harness::play;

use crate::heads::refusal;
use crate::world::client::{
    Ending, answer, ask, connect_head, drain, established, get, post, tunnel, verdict,
};
use crate::world::upstream::{Call, Upstream, begin_events, reply, send_chunk};
use crate::world::{MODEL, Setup, route};

const PEER: &str = "10.99.0.7:7000";

/// IR-19, INF-25
#[test]
fn the_third_request_of_two_a_minute_is_429_and_says_when_to_come_back() {
    play(|_| {
        let world = Setup::new()
            .routes(&route("mock://x", ""))
            .top("inference: {requests_per_minute: 2}\n")
            .open();
        let mut client = world.inside();
        for _ in 0..2 {
            assert_eq!(ask(&mut client, &get("/v1/models")).status(), 200);
        }
        for request in [get("/v1/models"), get("/v1/models")] {
            let refusal = ask(&mut client, &request);
            assert_eq!(verdict(&refusal), "429 rate_limited");
            let wait: u32 = refusal.field("retry-after").unwrap().parse().unwrap();
            assert!((15..=30).contains(&wait), "{wait}");
        }
        let codes: Vec<_> = world
            .end()
            .of("INFERENCE")
            .iter()
            .map(|record| record["code"].clone())
            .collect();
        assert_eq!(codes, ["-", "-", "rate_limited", "rate_limited"]);
    });
}

/// IR-19, INF-25, LIM
#[test]
fn a_call_beyond_the_concurrent_ones_is_429_until_one_ends() {
    play(|_| {
        let world = Setup::new()
            .backend("")
            .top("inference: {max_concurrent: 1}\n")
            .open();
        let backend = Upstream::backend();
        let mut first = world.inside();
        first.stream.write_all(&post("/v1/messages", "{}")).unwrap();
        let (mut call, _) = backend.call();
        let mut second = world.inside();
        let refusal = ask(&mut second, &get("/v1/models"));
        assert_eq!(verdict(&refusal), "429 too_many_concurrent");
        assert_eq!(refusal.field("retry-after").as_deref(), Some("1"));
        // ERR-3: 429 leaves the connection open where the request was read to its end.
        reply(&mut call, "200 OK", "{}");
        assert_eq!(answer(&mut first).status(), 200);
        second.stream.write_all(&get("/v1/models")).unwrap();
        crate::world::upstream::request(&mut call);
        reply(&mut call, "200 OK", "{}");
        assert_eq!(answer(&mut second).status(), 200);
        // A call whose client left gives its place back.
        first.stream.write_all(&post("/v1/messages", "{}")).unwrap();
        crate::world::upstream::request(&mut call);
        drop(first);
        assert_ne!(drain(&mut call.stream).1, Ending::Open);
        second.stream.write_all(&get("/v1/models")).unwrap();
        let (mut call, _) = backend.call();
        reply(&mut call, "200 OK", "{}");
        assert_eq!(answer(&mut second).status(), 200);
    });
}

/// LIM inference requests in flight, TR-092
#[test]
fn a_call_beyond_the_cap_of_the_sandbox_is_503() {
    play(|_| {
        let world = Setup::new()
            .backend("")
            .limit(|limits| limits.inference_in_flight_per_sandbox_max = 1)
            .open();
        let backend = Upstream::backend();
        let mut first = world.inside();
        first.stream.write_all(&get("/v1/models")).unwrap();
        let (mut call, _) = backend.call();
        let mut second = world.inside();
        let refusal = ask(&mut second, &get("/v1/models"));
        assert_eq!(verdict(&refusal), "503 capacity_exceeded");
        assert_eq!(refusal.field("retry-after").as_deref(), Some("1"));
        reply(&mut call, "200 OK", "{}");
        assert_eq!(answer(&mut first).status(), 200);
    });
}

/// LIM buffered bytes, TR-064
#[test]
fn bodies_beyond_the_sandboxs_memory_are_503_and_give_theirs_back() {
    play(|_| {
        let world = Setup::new()
            .backend("")
            .limit(|limits| limits.buffered_bytes_per_sandbox_max = 10_000)
            .open();
        let backend = Upstream::backend();
        let large = format!("{{\"a\":\"{}\"}}", "y".repeat(20_000));
        let mut client = world.inside();
        let refusal = ask(&mut client, &post("/v1/messages", &large));
        assert_eq!(verdict(&refusal), "503 capacity_exceeded");
        assert!(backend.is_untouched());
        for _ in 0..3 {
            let mut client = world.inside();
            let small = format!("{{\"a\":\"{}\"}}", "y".repeat(8_000));
            client
                .stream
                .write_all(&post("/v1/messages", &small))
                .unwrap();
            let (mut call, _) = backend.call();
            reply(&mut call, "200 OK\r\nConnection: close", "{}");
            assert_eq!(answer(&mut client).status(), 200);
        }
    });
}

/// INF-25: tokens that the backend reports.
#[test]
fn a_spent_token_budget_is_429_until_it_refills() {
    play(|_| {
        let usage = "{\"usage\":{\"input_tokens\":50,\"output_tokens\":40}}";
        over_budget(|call| reply(call, "200 OK", usage));
    });
}

/// INF-25: the same in a stream, cut in the middle of the number.
#[test]
fn tokens_reported_in_a_stream_are_spent_like_others() {
    play(|_| {
        over_budget(|call| {
            begin_events(call);
            send_chunk(call, "data: {\"usage\":{\"input_tokens\":5");
            thread::sleep(Duration::from_millis(50));
            send_chunk(call, "0,\"output_tokens\":40}}\n\n");
            call.stream.write_all(b"0\r\n\r\n").unwrap();
        });
    });
}

/// An answer that reports 90 tokens where 60 a minute are allowed.
fn over_budget(report: impl FnOnce(&mut Call)) {
    let world = Setup::new()
        .backend("")
        .top("inference: {tokens_per_minute: 60}\n")
        .open();
    let backend = Upstream::backend();
    let mut client = world.inside();
    client
        .stream
        .write_all(&post("/v1/messages", "{}"))
        .unwrap();
    let (mut call, _) = backend.call();
    report(&mut call);
    assert_eq!(answer(&mut client).status(), 200);
    let refusal = ask(&mut client, &get("/v1/models"));
    assert_eq!(verdict(&refusal), "429 token_budget_exceeded");
    let wait: u32 = refusal.field("retry-after").unwrap().parse().unwrap();
    assert!((15..=30).contains(&wait), "{wait}");
    let ended = world.end();
    let spent = ended.of("INFERENCE")[0];
    assert_eq!(
        (&spent["input_tokens"], &spent["output_tokens"]),
        (&50.into(), &40.into())
    );
}

/// INF-18, LIM-2, TR-055: a reader that takes nothing stops the backend, and no memory grows meanwhile.
#[test]
fn a_slow_reader_pauses_the_backend_within_bounded_memory() {
    play(|_| {
        const BYTES: usize = 100 << 20;
        let world = Setup::new().backend("").open();
        let backend = Upstream::backend();
        let mut client = world.inside();
        client
            .stream
            .write_all(&post("/v1/chat/completions", "{}"))
            .unwrap();
        let (mut call, _) = backend.call();
        begin_events(&mut call);
        assert!(client.head().is_some());
        let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counter = std::sync::Arc::clone(&sent);
        call.stream
            .set_write_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let sender = thread::spawn(move || {
            let event = format!("data: {}\n\n", "x".repeat(16_000));
            let chunk = harness::http::chunk(event.as_bytes());
            let mut total = 0;
            while total < BYTES {
                call.stream.write_all(&chunk).unwrap();
                total += event.len();
                counter.store(total, std::sync::atomic::Ordering::Relaxed);
            }
            call.stream.write_all(b"0\r\n\r\n").unwrap();
            total
        });
        let sent = || sent.load(std::sync::atomic::Ordering::Relaxed);
        let before = resident_kib();
        // The pause is reached when nothing more was taken for a while.
        let since = Instant::now();
        let mut last = usize::MAX;
        while sent() != last {
            last = sent();
            thread::sleep(Duration::from_millis(300));
            assert!(since.elapsed() < Duration::from_secs(20));
        }
        assert!(
            last < BYTES / 2,
            "{last} bytes were taken although nobody reads"
        );
        let grown = resident_kib().saturating_sub(before);
        assert!(grown < 8 * 1024, "{grown} KiB for one paused stream");
        let mut total = 0;
        loop {
            let piece = client.chunk().unwrap();
            if piece.is_empty() {
                break;
            }
            total += piece.len();
        }
        assert_eq!(total, sender.join().unwrap());
        let grown = resident_kib().saturating_sub(before);
        assert!(grown < 16 * 1024, "{grown} KiB after 100 MB");
        let ended = world.end();
        let record = ended.one("INFERENCE");
        assert_eq!(
            (&record["bytes_out"], &record["end"]),
            (&total.into(), &"complete".into())
        );
        assert_eq!(record["model"], MODEL);
    });
}

/// INF-23: a reader that takes nothing for the idle time is gone for all that matters.
#[test]
fn a_reader_that_takes_nothing_for_the_idle_time_is_left() {
    play(|_| {
        let world = Setup::new().backend("deadlines: {idle: 2s}").open();
        let backend = Upstream::backend();
        let mut client = world.inside();
        client
            .stream
            .write_all(&post("/v1/chat/completions", "{}"))
            .unwrap();
        let (mut call, _) = backend.call();
        begin_events(&mut call);
        assert!(client.head().is_some());
        let chunk = harness::http::chunk(&[b'x'; 16_000]);
        let since = Instant::now();
        while call.stream.write_all(&chunk).is_ok() {
            assert!(since.elapsed() < Duration::from_secs(20));
        }
        drop(call);
        // What was on its way is still there; what ends it is no clean end.
        let mut rest = Vec::new();
        assert!(client.stream.read_to_end(&mut rest).is_err());
        assert_eq!(world.end().one("INFERENCE")["end"], "client_gone");
    });
}

/// Resident memory of this process.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// LIM open connections, TR-092, INF-2
#[test]
fn a_connection_beyond_the_cap_is_503_with_retry_after_and_the_others_go_on() {
    play(|_| {
        let world = Setup::new()
            .allow_port(7000)
            .limit(|limits| limits.connections_per_sandbox_max = 3)
            .open();
        let upstream = Upstream::bind(PEER);
        let mut open: Vec<_> = (0..3)
            .map(|_| (tunnel(&world, PEER).unwrap(), upstream.accept()))
            .collect();
        let mut client = world.proxy();
        client.write_all(&connect_head(PEER)).unwrap();
        let refusal = refusal(client);
        assert_eq!(verdict(&refusal), "503 capacity_exceeded");
        assert_eq!(refusal.field("retry-after").as_deref(), Some("1"));
        let (client, peer) = &mut open[0];
        client.write_all(b"go on").unwrap();
        let mut heard = [0; 5];
        peer.read_exact(&mut heard).unwrap();
        // One leaves, one comes.
        open.pop();
        let since = Instant::now();
        loop {
            let mut client = world.proxy();
            client.write_all(&connect_head(PEER)).unwrap();
            match established(client) {
                Ok(_) => break,
                Err(refusal) => assert_eq!(verdict(&refusal), "503 capacity_exceeded"),
            }
            assert!(since.elapsed() < Duration::from_secs(20));
            thread::sleep(Duration::from_millis(20));
        }
        drop(open);
        let ended = world.end();
        assert!(
            ended
                .of("REFUSED")
                .iter()
                .all(|record| record["code"] == "capacity_exceeded")
        );
        assert_eq!(ended.of("CONNECT").len(), 4);
    });
}

/// TR-090, LIM-1
#[test]
fn running_out_of_descriptors_delays_accepting_and_never_ends_it() {
    use rustix::net::{AddressFamily, SocketType, connect, socket};
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    play(|_| {
        let world = Setup::new().allow_port(7000).open();
        let upstream = Upstream::bind(PEER);
        let (mut client, mut peer) = (tunnel(&world, PEER).unwrap(), upstream.accept());
        // Sockets first, then the limit, then the connections: only accept(2) needs a descriptor.
        let address: std::net::SocketAddrV4 = "127.0.0.1:3128".parse().unwrap();
        let waiting: Vec<_> = (0..8)
            .map(|_| socket(AddressFamily::INET, SocketType::STREAM, None).unwrap())
            .collect();
        let mut clock = Clock::of("worker-0");
        let before = getrlimit(Resource::Nofile);
        setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(8),
                maximum: before.maximum,
            },
        )
        .unwrap();
        for socket in &waiting {
            connect(socket, &address).unwrap();
        }
        let (begun, cpu) = (Instant::now(), clock.ticks());
        while begun.elapsed() < Duration::from_millis(1_500) {
            client.write_all(b"ping").unwrap();
            let mut word = [0; 4];
            peer.read_exact(&mut word).unwrap();
            thread::sleep(Duration::from_millis(50));
        }
        let spent = clock.ticks() - cpu;
        assert!(
            spent < 50,
            "{spent} ticks of 10 ms in 1.5 s: the accept loop spins"
        );
        setrlimit(Resource::Nofile, before).unwrap();
        for (at, socket) in waiting.into_iter().enumerate() {
            let mut stream = crate::world::client::prepared(TcpStream::from(socket));
            stream.write_all(&connect_head(PEER)).unwrap();
            match established(stream) {
                Ok(_) => drop(upstream.accept()),
                // The accept that waited all the time had its descriptor already; nobody could be looked up then.
                Err(refusal) => assert_eq!(
                    (at, verdict(&refusal)),
                    (0, "403 identity_unavailable".to_owned())
                ),
            }
        }
    });
}

/// User and system time of a thread of this process; holds its file open.
struct Clock(std::fs::File);

impl Clock {
    fn of(name: &str) -> Clock {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let mut paths = tasks.map(|task| task.path());
        let path = paths.find(|path| {
            std::fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
        });
        Clock(std::fs::File::open(path.unwrap().join("stat")).unwrap())
    }

    /// In ticks of the clock (10 ms).
    fn ticks(&mut self) -> u64 {
        let mut stat = String::new();
        self.0.rewind().unwrap();
        self.0.read_to_string(&mut stat).unwrap();
        let (_, rest) = stat.rsplit_once(") ").unwrap();
        let fields: Vec<_> = rest.split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}
