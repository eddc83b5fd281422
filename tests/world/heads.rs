//! Heads as they arrive: slowly, in pieces, too large, too late, or not at all.

use std::io::{ErrorKind, Read, Seek, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use harness::http::Message;
use harness::play;

use crate::world::client::{
    Ending, answer, ask, connect_head, drain, established, expect_silence, get, post, tunnel,
    verdict,
};
use crate::world::upstream::{Upstream, reply, request};
use crate::world::{Setup, World};

const PEER: &str = "10.99.0.7:7000";

fn quick() -> World {
    Setup::new()
        .allow_port(7000)
        .limit(|limits| {
            limits.head_time = Duration::from_millis(500);
            limits.keep_alive_time = Duration::from_millis(700);
            limits.body_idle_time = Duration::from_millis(500);
        })
        .backend("")
        .open()
}

/// Reads a refusal that was not asked for by a whole head.
fn refusal(stream: TcpStream) -> Message {
    established(stream).expect_err("a refusal")
}

/// H-13, CT-1
#[test]
fn a_head_in_single_bytes_is_read_like_one_in_one_piece() {
    play(|_| {
        let world = Setup::new().allow_port(7000).open();
        let upstream = Upstream::bind(PEER);
        let mut head = b"\r\n".to_vec();
        head.extend_from_slice(&connect_head(PEER));
        let mut client = world.proxy();
        for byte in &head {
            client.write_all(&[*byte]).unwrap();
        }
        established(client).unwrap();
        drop(upstream.accept());
        // A boundary inside each CRLF.
        for at in (1..head.len()).filter(|at| head[at - 1] == b'\r') {
            let mut client = world.proxy();
            client.write_all(&head[..at]).unwrap();
            thread::sleep(Duration::from_millis(20));
            client.write_all(&head[at..]).unwrap();
            established(client).unwrap();
            drop(upstream.accept());
        }
    });
}

/// H-10, TR-091, ERR-4
#[test]
fn a_head_that_is_not_complete_in_time_is_408_however_it_drips() {
    play(|_| {
        let world = quick();
        let since = Instant::now();
        let mut dripping = world.proxy();
        let silent = world.proxy();
        let mut half = world.proxy();
        half.write_all(b"CONNECT 10.99.0.7:7000 HTTP/1.1\r\nHos")
            .unwrap();
        let head = connect_head(PEER);
        for byte in &head[..head.len() - 4] {
            // Each byte comes long before the limit, all of them do not.
            if dripping.write_all(&[*byte]).is_err() {
                break;
            }
            thread::sleep(Duration::from_millis(40));
        }
        for (name, stream) in [("dripping", dripping), ("silent", silent), ("half", half)] {
            let refusal = refusal(stream);
            assert_eq!(verdict(&refusal), "408 request_timeout", "{name}");
        }
        assert!(since.elapsed() < Duration::from_secs(8));
        assert_eq!(
            world.end().outline(),
            vec!["REFUSED head - request_timeout -"; 3]
        );
    });
}

/// H-10: an end before the head is complete asked for nothing.
#[test]
fn a_client_that_leaves_before_its_head_is_complete_gets_no_answer() {
    play(|_| {
        let world = Setup::new().open();
        for bytes in [&b""[..], b"CONNECT x:1 HT"] {
            let mut client = world.proxy();
            client.write_all(bytes).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!(drain(&mut client), (Vec::new(), Ending::Clean));
        }
        assert_eq!(world.end().outline(), Vec::<String>::new());
    });
}

/// H-11, H1-7, TR-010
#[test]
fn a_limit_that_is_crossed_is_answered_before_the_head_ends() {
    play(|_| {
        let world = Setup::new().open();
        let long_target = vec![b'a'; 8_193];
        let many_fields = b"a: b\r\n".repeat(129);
        let long_field = [b"a: ".to_vec(), vec![b'x'; 65_536]].concat();
        for (name, start, more, wanted) in [
            (
                "target",
                &b"CONNECT "[..],
                long_target,
                "414 target_too_long",
            ),
            (
                "fields",
                b"CONNECT h:1 HTTP/1.1\r\n",
                many_fields,
                "431 header_too_large",
            ),
            (
                "bytes",
                b"CONNECT h:1 HTTP/1.1\r\n",
                long_field,
                "431 header_too_large",
            ),
        ] {
            let mut client = world.proxy();
            client.write_all(start).unwrap();
            client.write_all(&more).unwrap();
            // No empty line was sent, and none is waited for.
            let since = Instant::now();
            assert_eq!(verdict(&refusal(client)), wanted, "{name}");
            assert!(since.elapsed() < Duration::from_secs(5), "{name}");
        }
        assert_eq!(world.end().of("REFUSED").len(), 3);
    });
}

/// H-11: exactly 65,536 bytes are a head, one more is none.
#[test]
fn a_head_of_exactly_the_limit_is_accepted() {
    play(|_| {
        let world = Setup::new().open();
        for (size, wanted) in [
            (65_536, "403 policy_denied no_network_policies"),
            (65_537, "431 header_too_large"),
        ] {
            let start = b"CONNECT h.test:1 HTTP/1.1\r\nHost: h.test:1\r\na: ";
            let mut head = start.to_vec();
            head.resize(size - 4, b'x');
            head.extend_from_slice(b"\r\n\r\n");
            let mut client = world.proxy();
            client.write_all(&head).unwrap();
            assert_eq!(verdict(&refusal(client)), wanted, "{size}");
        }
    });
}

/// H-5, H-12, H1-1
#[test]
fn a_malformed_head_is_refused_at_its_fault_with_one_record() {
    play(|_| {
        let world = Setup::new().open();
        let cases: [(&[u8], &str); 9] = [
            (b"CONNECT  h:1 HTTP/1.1\r\n", "400 bad_request"),
            (b"CONNECT h:1 HTTP/1.1\n", "400 bad_request"),
            (b"CONNECT h:1 HTTP/2.0\r\n", "505 unsupported_http_version"),
            (b"CONNECT h:1 HTTP/1\r\n", "400 bad_request"),
            (b"CONNECT h:1 HTTP/1.1\r\nHost : h\r\n", "400 bad_request"),
            (
                b"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n b\r\n",
                "400 bad_request",
            ),
            (b"CONNECT h:1 HTTP/1.1\r\nHost: h\0\r\n", "400 bad_request"),
            (b"\x16\x03\x01\x02\x00\x01", "400 bad_request"),
            (
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                "505 unsupported_http_version",
            ),
        ];
        for (bytes, wanted) in cases {
            let mut client = world.proxy();
            client.write_all(bytes).unwrap();
            let refusal = refusal(client);
            assert_eq!(
                verdict(&refusal),
                wanted,
                "{:?}",
                String::from_utf8_lossy(bytes)
            );
            assert!(!refusal.json()["detail"].as_str().unwrap().is_empty());
        }
        assert_eq!(world.end().of("REFUSED").len(), cases.len());
    });
}

/// TR-023, ERR-3
#[test]
fn a_refusal_is_readable_although_the_client_has_more_to_send() {
    play(|_| {
        let world = Setup::new().open();
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
            assert!(since.elapsed() < Duration::from_secs(3));
            thread::sleep(Duration::from_millis(20));
        }
    });
}

/// LIM keep-alive idle, H1-8
#[test]
fn a_kept_alive_connection_is_closed_without_an_answer_when_it_stays_idle() {
    play(|_| {
        let world = quick();
        let backend = Upstream::backend();
        let mut client = world.inside();
        client.stream.write_all(&get("/v1/models")).unwrap();
        let (mut call, _) = backend.call();
        reply(&mut call, "200 OK", "{}");
        assert_eq!(answer(&mut client).status(), 200);
        let since = Instant::now();
        assert_eq!(drain(&mut client.stream), (Vec::new(), Ending::Clean));
        assert!(since.elapsed() >= Duration::from_millis(600));
        assert!(since.elapsed() < Duration::from_secs(3));
        let ended = world.end();
        assert_eq!(ended.of("REFUSED").len(), 0, "{:?}", ended.outline());
        assert_eq!(ended.of("INFERENCE").len(), 1);
    });
}

/// H-10: the head's time runs from its first byte, also for the second request.
#[test]
fn a_second_head_that_stops_in_the_middle_is_408() {
    play(|_| {
        let world = quick();
        let backend = Upstream::backend();
        let mut client = world.inside();
        client.stream.write_all(&get("/v1/models")).unwrap();
        let (mut call, _) = backend.call();
        reply(&mut call, "200 OK", "{}");
        assert_eq!(answer(&mut client).status(), 200);
        thread::sleep(Duration::from_millis(400));
        client.stream.write_all(b"GET /v1/mod").unwrap();
        let refusal = answer(&mut client);
        assert_eq!(verdict(&refusal), "408 request_timeout");
        assert_eq!(drain(&mut client.stream).1, Ending::Clean);
        assert_eq!(world.end().of("REFUSED").len(), 1);
    });
}

/// LIM request body idle, TR-091
#[test]
fn a_body_that_stops_in_the_middle_is_408_and_never_reaches_the_backend() {
    play(|_| {
        let world = quick();
        let backend = Upstream::backend();
        let mut client = world.inside();
        let request = post("/v1/chat/completions", r#"{"model":"x","messages":[]}"#);
        client
            .stream
            .write_all(&request[..request.len() - 5])
            .unwrap();
        assert_eq!(verdict(&answer(&mut client)), "408 request_timeout");
        assert_eq!(drain(&mut client.stream).1, Ending::Clean);
        assert!(backend.is_untouched());
        let ended = world.end();
        assert_eq!(ended.one("INFERENCE")["code"], "request_timeout");
    });
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
            assert!(since.elapsed() < Duration::from_secs(5));
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

/// H-16, H1-8, TR-001, TR-021
#[test]
fn three_requests_in_one_write_are_answered_in_order_each_on_its_own() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let backend = Upstream::backend();
        let mut client = world.inside();
        let chunked = "POST /v1/chat/completions HTTP/1.1\r\nHost: inference.local\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\n{\"mo\r\n9\r\ndel\":\"a\"}\r\n0\r\nx: y\r\n\r\n";
        let mut bytes = chunked.as_bytes().to_vec();
        bytes.extend_from_slice(&get("/v1/models/b"));
        bytes.extend_from_slice(&get("/v1/files"));
        bytes.extend_from_slice(&get("/v1/models/never"));
        client.stream.write_all(&bytes).unwrap();
        let (mut call, first) = backend.call();
        assert_eq!(first.text(), r#"{"model":"pinned-1"}"#);
        assert_eq!(first.count("transfer-encoding"), 0);
        expect_silence(&call.stream, Duration::from_millis(100));
        reply(&mut call, "200 OK", "{\"n\":1}");
        assert_eq!(answer(&mut client).text(), "{\"n\":1}");
        let second = request(&mut call);
        assert_eq!(second.target(), "/v1/models/b", "on the kept connection");
        reply(&mut call, "200 OK", "{\"n\":2}");
        assert_eq!(answer(&mut client).text(), "{\"n\":2}");
        assert_eq!(
            verdict(&answer(&mut client)),
            "403 inference_request_not_recognised"
        );
        assert_eq!(drain(&mut client.stream), (Vec::new(), Ending::Clean));
        expect_silence(&call.stream, Duration::from_millis(100));
        assert!(backend.is_untouched());
        assert_eq!(
            world.end().outline(),
            [
                "CONNECT decide allow - -",
                "INFERENCE relay allow - -",
                "INFERENCE relay allow - -",
                "INFERENCE head deny inference_request_not_recognised -",
            ]
        );
    });
}

/// H1-9, TR-021
#[test]
fn connection_close_and_http_1_0_end_the_connection_after_the_answer() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let backend = Upstream::backend();
        let mut kept = None;
        for head in [
            "GET /v1/models HTTP/1.1\r\nHost: inference.local\r\nConnection: close\r\n\r\n",
            "GET /v1/models HTTP/1.0\r\nHost: inference.local\r\n\r\n",
        ] {
            let mut client = world.inside();
            client.stream.write_all(head.as_bytes()).unwrap();
            let mut call = match kept.take() {
                Some(call) => call,
                None => harness::http::Reader::new(backend.accept()),
            };
            request(&mut call);
            reply(&mut call, "200 OK", "{}");
            let found = answer(&mut client);
            assert_eq!(found.field("connection").as_deref(), Some("close"));
            assert_eq!(drain(&mut client.stream), (Vec::new(), Ending::Clean));
            kept = Some(call);
        }
    });
}

/// H-14, H1-10, TR-017
#[test]
fn a_client_that_waits_for_100_gets_it_only_when_its_head_is_acceptable() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let backend = Upstream::backend();
        let body = r#"{"model":"x"}"#;
        let head = |path: &str, expect: &str| {
            format!(
                "POST {path} HTTP/1.1\r\nHost: inference.local\r\nExpect: {expect}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            )
        };
        let mut client = world.inside();
        client
            .stream
            .write_all(head("/v1/messages", "100-continue").as_bytes())
            .unwrap();
        let since = Instant::now();
        let interim = client.head().unwrap();
        assert_eq!(interim, b"HTTP/1.1 100 Continue\r\n\r\n");
        assert!(since.elapsed() < Duration::from_secs(1));
        assert!(
            backend.is_untouched(),
            "nothing leaves before the body is judged"
        );
        client.stream.write_all(body.as_bytes()).unwrap();
        let (mut call, sent) = backend.call();
        assert_eq!(sent.count("expect"), 0);
        reply(&mut call, "200 OK", "{}");
        assert_eq!(answer(&mut client).status(), 200);

        for (path, expect, wanted) in [
            (
                "/v1/embeddings",
                "100-continue",
                "403 inference_request_not_recognised",
            ),
            ("/v1/messages", "x", "417 expectation_failed"),
        ] {
            let mut client = world.inside();
            client
                .stream
                .write_all(head(path, expect).as_bytes())
                .unwrap();
            let first = client.answer("POST").unwrap().message;
            assert_eq!(verdict(&first), wanted);
            assert_eq!(drain(&mut client.stream).1, Ending::Clean);
        }
    });
}

/// H1-4, H-1, H-3, H-4, H-6, MS-6, TR-002 to TR-008
#[test]
fn ambiguous_framing_is_400_and_nothing_leaves() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let backend = Upstream::backend();
        let heads = [
            "Content-Length: 2\r\nContent-Length: 2\r\n",
            "Content-Length: 2, 2\r\n",
            "Content-Length: +2\r\n",
            "Content-Length: 0x2\r\n",
            "Content-Length:\r\n",
            "Content-Length: 18446744073709551616\r\n",
            "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Connection: content-length\r\nContent-Length: 2\r\n",
        ];
        for fields in heads {
            let mut client = world.inside();
            let head =
                format!("POST /v1/messages HTTP/1.1\r\nHost: inference.local\r\n{fields}\r\n{{}}");
            client.stream.write_all(head.as_bytes()).unwrap();
            assert_eq!(
                verdict(&answer(&mut client)),
                "400 bad_request",
                "{fields:?}"
            );
            assert_eq!(drain(&mut client.stream).1, Ending::Clean);
        }
        let bodies = [
            "+2\r\n{}\r\n0\r\n\r\n",
            "2 x\r\n{}\r\n0\r\n\r\n",
            "0x2\r\n{}\r\n0\r\n\r\n",
            "00000000000000002\r\n{}\r\n0\r\n\r\n",
            "2\n{}\r\n0\r\n\r\n",
            "2\r\n{}!!0\r\n\r\n",
            "FFFFFFFFFFFFFFFF\r\n{}",
        ];
        for body in bodies {
            let mut client = world.inside();
            let head = format!(
                "POST /v1/messages HTTP/1.1\r\nHost: inference.local\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
            );
            client.stream.write_all(head.as_bytes()).unwrap();
            assert_eq!(verdict(&answer(&mut client)), "400 bad_request", "{body:?}");
            assert_eq!(drain(&mut client.stream).1, Ending::Clean);
        }
        assert!(backend.is_untouched());
        let ended = world.end();
        assert_eq!(ended.of("REFUSED").len(), heads.len());
        assert_eq!(ended.of("INFERENCE").len(), bodies.len());
    });
}

/// H-2, H-7, IR-16
#[test]
fn a_size_beyond_the_limit_is_413_before_the_body_comes() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let backend = Upstream::backend();
        for fields in [
            "Content-Length: 67108864\r\n\r\n",
            "Content-Length: 9223372036854775807\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n7FFFFFFFFFFFFFFF\r\n",
        ] {
            let mut client = world.inside();
            let head = format!("POST /v1/messages HTTP/1.1\r\nHost: inference.local\r\n{fields}");
            client.stream.write_all(head.as_bytes()).unwrap();
            assert_eq!(
                verdict(&answer(&mut client)),
                "413 request_too_large",
                "{fields:?}"
            );
            assert_eq!(drain(&mut client.stream).1, Ending::Clean);
        }
        assert!(backend.is_untouched());
    });
}

/// A peer that ends in the middle of TLS records is no request.
#[test]
fn a_client_that_leaves_in_the_middle_of_a_body_leaves_nothing_upstream() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let backend = Upstream::backend();
        let mut client = world.inside();
        let request = post("/v1/messages", r#"{"model":"x"}"#);
        client
            .stream
            .write_all(&request[..request.len() - 1])
            .unwrap();
        client.stream.sock.shutdown(Shutdown::Both).unwrap();
        drop(client);
        thread::sleep(Duration::from_millis(100));
        assert!(backend.is_untouched());
        let ended = world.end();
        assert_eq!(ended.one("INFERENCE")["end"], "client_gone");
    });
}

/// ERR-3: what was read to its end and refused leaves the connection open.
#[test]
fn a_refusal_of_a_whole_body_leaves_the_connection_open() {
    play(|_| {
        let world = Setup::new().backend("").open();
        let backend = Upstream::backend();
        let mut client = world.inside();
        for body in ["[]", "{\"model\":1,\"model\":2}"] {
            let refusal = ask(&mut client, &post("/v1/messages", body));
            assert_eq!(refusal.status(), 400);
            assert_eq!(refusal.count("connection"), 0, "{}", refusal.text());
        }
        client
            .stream
            .write_all(&post("/v1/messages", "{}"))
            .unwrap();
        let (mut call, sent) = backend.call();
        assert_eq!(sent.text(), r#"{"model":"pinned-1"}"#);
        reply(&mut call, "200 OK", "{}");
        assert_eq!(answer(&mut client).status(), 200);
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
