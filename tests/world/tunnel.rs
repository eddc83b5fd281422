//! A raw CONNECT, from the dial to both ends' goodbye.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use harness::play;

use crate::world::client::{Ending, connect_head, drain, established, expect, tunnel};
use crate::world::upstream::{Upstream, reset};
use crate::world::{Setup, World};

const PEER: &str = "10.99.0.7:7000";

pub(crate) fn world() -> World {
    Setup::new().allow_port(7000).open()
}

/// A client and its upstream at both ends of one tunnel.
fn pair(world: &World, upstream: &Upstream) -> (TcpStream, TcpStream) {
    let client = tunnel(world, PEER).unwrap();
    (client, upstream.accept())
}

/// CT-7, CON-7, TR-016
#[test]
fn bytes_behind_the_head_reach_the_upstream_first() {
    play(|_| {
        let world = world();
        let upstream = Upstream::bind(PEER);
        let mut client = world.proxy();
        let mut bytes = connect_head(PEER);
        bytes.extend_from_slice(b"\x16\x03\x01early");
        client.write_all(&bytes).unwrap();
        let mut peer = upstream.accept();
        expect(&mut peer, b"\x16\x03\x01early");
        let mut client = established(client).unwrap();
        client.write_all(b"then").unwrap();
        expect(&mut peer, b"then");
        peer.write_all(b"back").unwrap();
        expect(&mut client, b"back");
        drop((client, peer));
        let ended = world.end();
        assert_eq!(ended.one("TUNNEL_CLOSED")["bytes_up"], 12);
        assert_eq!(ended.one("TUNNEL_CLOSED")["bytes_down"], 4);
    });
}

/// TR-027, CON-8
#[test]
fn an_upstream_that_speaks_first_is_heard_before_the_client_said_a_word() {
    play(|_| {
        let world = world();
        let upstream = Upstream::bind(PEER);
        let (mut client, mut peer) = pair(&world, &upstream);
        peer.write_all(b"220 ready\r\n").unwrap();
        expect(&mut client, b"220 ready\r\n");
    });
}

/// CON-8, TR-100
#[test]
fn a_fin_of_one_side_leaves_the_other_direction_flowing() {
    play(|_| {
        let world = world();
        let upstream = Upstream::bind(PEER);
        for client_first in [true, false] {
            let (client, peer) = pair(&world, &upstream);
            let (mut first, mut second) = if client_first {
                (client, peer)
            } else {
                (peer, client)
            };
            first.write_all(b"last words").unwrap();
            first.shutdown(Shutdown::Write).unwrap();
            assert_eq!(drain(&mut second), (b"last words".to_vec(), Ending::Clean));
            for _ in 0..3 {
                second.write_all(b"still here").unwrap();
                expect(&mut first, b"still here");
            }
            drop(second);
            assert_eq!(drain(&mut first), (Vec::new(), Ending::Clean));
        }
        let ended = world.end();
        let counts: Vec<_> = ended
            .of("TUNNEL_CLOSED")
            .iter()
            .map(|record| {
                (
                    record["bytes_up"].as_u64().unwrap(),
                    record["bytes_down"].as_u64().unwrap(),
                    record["end"].as_str().unwrap().to_owned(),
                )
            })
            .collect();
        assert_eq!(
            counts,
            [(10, 30, "normal".to_owned()), (30, 10, "normal".to_owned())]
        );
        assert_eq!(ended.of("CONNECT").len(), 2);
    });
}

/// CON-8, TR-091
#[test]
fn a_tunnel_is_closed_when_nothing_moved_for_the_idle_time() {
    play(|_| {
        let world = Setup::new()
            .allow_port(7000)
            .limit(|limits| limits.tunnel_idle_time = Duration::from_secs(2))
            .open();
        let upstream = Upstream::bind(PEER);
        let (mut client, mut peer) = pair(&world, &upstream);
        // One direction alone keeps both alive.
        let mut last = Instant::now();
        for _ in 0..6 {
            thread::sleep(Duration::from_millis(500));
            last = Instant::now();
            peer.write_all(b".").unwrap();
            expect(&mut client, b".");
        }
        assert_eq!(drain(&mut client), (Vec::new(), Ending::Clean));
        assert!(last.elapsed() >= Duration::from_secs(2));
        assert_eq!(drain(&mut peer).0, b"");
        let ended = world.end();
        assert_eq!(ended.one("TUNNEL_CLOSED")["end"], "idle");
        assert_eq!(ended.one("TUNNEL_CLOSED")["bytes_down"], 6);
    });
}

/// CON-8: bytes of both directions, through copying buffers and through the kernel's pipe.
#[test]
fn two_hundred_megabytes_go_both_ways_unchanged() {
    play(|_| {
        const BYTES: u64 = 200 << 20;
        let world = world();
        let upstream = Upstream::bind(PEER);
        let (client, peer) = pair(&world, &upstream);
        let ends = [(client, 1), (peer, 2)].map(|(stream, seed)| {
            let mut sender = stream.try_clone().unwrap();
            let sending = thread::spawn(move || {
                let mut noise = Noise(seed);
                let mut buf = vec![0; 1 << 18];
                let mut left = BYTES;
                while left > 0 {
                    noise.fill(&mut buf);
                    let len = usize::try_from(left).unwrap().min(buf.len());
                    sender.write_all(&buf[..len]).unwrap();
                    left -= len as u64;
                }
                sender.shutdown(Shutdown::Write).unwrap();
            });
            let mut receiver = stream;
            let receiving = thread::spawn(move || {
                let mut noise = Noise(3 - seed);
                let (mut wanted, mut found) = (vec![0; 1 << 18], vec![0; 1 << 18]);
                for _ in 0..BYTES >> 18 {
                    noise.fill(&mut wanted);
                    receiver.read_exact(&mut found).unwrap();
                    assert!(wanted == found, "a byte is not as it was sent");
                }
                assert_eq!(drain(&mut receiver), (Vec::new(), Ending::Clean));
            });
            [sending, receiving]
        });
        for thread in ends.into_iter().flatten() {
            thread.join().unwrap();
        }
        let ended = world.end();
        let closed = ended.one("TUNNEL_CLOSED");
        assert_eq!(closed["bytes_up"], BYTES);
        assert_eq!(closed["bytes_down"], BYTES);
        assert_eq!(closed["end"], "normal");
    });
}

/// Bytes that do not repeat.
struct Noise(u64);

impl Noise {
    fn fill(&mut self, buf: &mut [u8]) {
        for word in buf.chunks_exact_mut(8) {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            word.copy_from_slice(&self.0.to_le_bytes());
        }
    }
}

/// TR-093, CON-8
#[test]
fn sixty_four_tunnels_answer_each_other_at_once() {
    play(|_| {
        let world = world();
        let upstream = Upstream::bind(PEER);
        let mut pairs: Vec<_> = (0..64).map(|_| pair(&world, &upstream)).collect();
        let since = Instant::now();
        for round in 0u32..20 {
            for (at, (client, _)) in (0u32..).zip(&mut pairs) {
                client.write_all(&(round * 64 + at).to_be_bytes()).unwrap();
            }
            for (at, (client, peer)) in (0u32..).zip(&mut pairs) {
                let word = (round * 64 + at).to_be_bytes();
                expect(peer, &word);
                peer.write_all(&word).unwrap();
                expect(client, &word);
            }
        }
        // 1,280 exchanges; a delayed write would cost 40 ms each.
        assert!(
            since.elapsed() < Duration::from_secs(40),
            "{:?}",
            since.elapsed()
        );
        drop(pairs);
        let ended = world.end();
        assert_eq!(ended.of("CONNECT").len(), 64);
        let closed = ended.of("TUNNEL_CLOSED");
        assert_eq!(closed.len(), 64);
        for record in closed {
            assert_eq!(
                (&record["bytes_up"], &record["bytes_down"]),
                (&80.into(), &80.into())
            );
        }
    });
}

/// CON-8, TR-099
#[test]
fn a_reset_of_one_side_ends_the_other() {
    play(|_| {
        let world = world();
        let upstream = Upstream::bind(PEER);
        for client_resets in [true, false] {
            let (client, peer) = pair(&world, &upstream);
            let (mut gone, mut left) = if client_resets {
                (client, peer)
            } else {
                (peer, client)
            };
            gone.write_all(b"half a mess").unwrap();
            expect(&mut left, b"half a mess");
            reset(&gone);
            drop(gone);
            let (bytes, ending) = drain(&mut left);
            assert_eq!(bytes, b"");
            assert_ne!(ending, Ending::Open);
        }
        let ended = world.end();
        let closed = ended.of("TUNNEL_CLOSED");
        assert_eq!(closed.len(), 2);
        for record in closed {
            assert_eq!(record["end"], "error");
        }
    });
}

/// LOG-1, LOG-2: what the two records of a tunnel say.
#[test]
fn an_allowed_tunnel_is_recorded_once_when_it_opens_and_once_when_it_ends() {
    play(|_| {
        let world = Setup::new()
            .host("10.99.0.7 peer.test")
            .allow(
                "the-entry",
                "{host: peer.test, port: 7000, allowed_ips: [10.99.0.0/24]}",
            )
            .open();
        let upstream = Upstream::bind(PEER);
        let client = tunnel(&world, "PEER.test.:7000").unwrap();
        let source = client.local_addr().unwrap().port();
        drop((client, upstream.accept()));
        let ended = world.end();
        assert_eq!(ended.records.len(), 2, "{:#?}", ended.outline());
        let record = ended.one("CONNECT");
        let program = std::env::current_exe().unwrap();
        for (key, value) in [
            ("stage", "relay"),
            ("action", "allow"),
            ("dst_host", "peer.test"),
            ("policy", "the-entry"),
            ("engine", "rego"),
            ("src_addr", "127.0.0.1"),
            ("sandbox_id", "walk"),
            ("code", "-"),
            ("reason", "-"),
            ("binary", program.to_str().unwrap()),
        ] {
            assert_eq!(record[key], value, "{key}: {record}");
        }
        assert_eq!(
            (&record["dst_port"], &record["src_port"]),
            (&7000.into(), &source.into())
        );
        assert_eq!(record["binary_pid"], std::process::id());
        assert_eq!(record["binary_sha256"].as_str().unwrap().len(), 64);
        assert!(record["policy_version"].as_str().unwrap().len() > 8);
        let closed = ended.one("TUNNEL_CLOSED");
        assert_eq!(
            (&closed["dst_host"], &closed["end"]),
            (&"peer.test".into(), &"normal".into())
        );
    });
}
