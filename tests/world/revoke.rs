//! Open raw tunnels when the policy changes.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use harness::http::Reader;
use harness::play;

use crate::custom_rego;
use crate::dial::full_listener;
use crate::world::client::{
    Ending, connect_head, drain, established, expect, expect_silence, tunnel,
};
use crate::world::upstream::Upstream;
use crate::world::{AT_ONCE, Ended, Setup, World};

const PEER: &str = "10.99.0.7:7000";
const OTHER: &str = "10.99.0.8:7001";

/// LIV-10: so soon after the policy was put in force a tunnel is closed; what is still open then stays.
const SOON: Duration = Duration::from_secs(1);

fn both() -> Setup {
    Setup::new().allow_port(7000).allow_port(7001)
}

fn pair(world: &World, upstream: &Upstream, target: &str) -> (TcpStream, TcpStream) {
    let client = tunnel(world, target).unwrap();
    (client, upstream.accept())
}

/// Bytes pass both ways.
fn flows((client, peer): &mut (TcpStream, TcpStream)) {
    client.write_all(b"up").unwrap();
    expect(peer, b"up");
    peer.write_all(b"down").unwrap();
    expect(client, b"down");
}

/// How the tunnels ended, and where they led.
fn ends(ended: &Ended) -> Vec<(String, u64)> {
    let mut ends: Vec<_> = ended
        .of("TUNNEL_CLOSED")
        .iter()
        .map(|record| {
            (
                record["end"].as_str().unwrap().to_owned(),
                record["dst_port"].as_u64().unwrap(),
            )
        })
        .collect();
    ends.sort();
    ends
}

/// PD-16, LIV-10, TR-070
#[test]
fn a_tunnel_is_closed_within_a_second_when_the_new_policy_denies_it() {
    play(|_| {
        let world = both().open();
        let (first, second) = (Upstream::bind(PEER), Upstream::bind(OTHER));
        let mut denied = pair(&world, &first, PEER);
        let mut kept = pair(&world, &second, OTHER);
        flows(&mut denied);
        flows(&mut kept);
        let since = Instant::now();
        world.put_policy(&Setup::new().allow_port(7001));
        assert_eq!(drain(&mut denied.0), (Vec::new(), Ending::Clean));
        assert_eq!(drain(&mut denied.1), (Vec::new(), Ending::Clean));
        assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
        flows(&mut kept);
        drop(kept);
        let ended = world.end();
        assert_eq!(
            ends(&ended),
            [
                ("normal".to_owned(), 7001),
                ("tunnel_revoked".to_owned(), 7000)
            ]
        );
        let revoked = ended.of("TUNNEL_CLOSED")[0];
        assert_eq!(revoked["end"], "tunnel_revoked");
        assert_eq!(
            (&revoked["bytes_up"], &revoked["bytes_down"]),
            (&2.into(), &4.into())
        );
    });
}

/// PD-16, LIV-10: "cut everything" is as wrong as "never".
#[test]
fn a_tunnel_lives_on_through_changes_that_do_not_deny_it() {
    play(|_| {
        let world = both().open();
        let upstream = Upstream::bind(PEER);
        let mut open = pair(&world, &upstream, PEER);
        world.put_policy(&both().allow("more", "{host: more.example, port: 443}"));
        world.put_policy(&Setup::new().allow(
            "renamed",
            "{host: 10.99.0.7, port: 7000, allowed_ips: [10.99.0.0/24]}",
        ));
        world.put_policy(
            &Setup::new()
                .allow_port(7000)
                .top("inference: {models: [m]}\n"),
        );
        world.put_routes("routes: []\n");
        thread::sleep(SOON);
        flows(&mut open);
        // What has to be inspected from now on cannot be inspected in the middle (decision 0014).
        world.put_policy(&Setup::new().allow(
            "inspected",
            "{host: 10.99.0.7, port: 7000, allowed_ips: [10.99.0.0/24], protocol: rest, access: read-only, enforcement: enforce}",
        ));
        thread::sleep(SOON);
        flows(&mut open);
        drop(open);
        assert_eq!(ends(&world.end()), [("normal".to_owned(), 7000)]);
    });
}

/// LIV-10: the name is still allowed, the connected address is not.
#[test]
fn a_tunnel_is_closed_when_its_address_is_no_longer_listed() {
    play(|_| {
        let world = Setup::new()
            .allow(
                "names",
                "{host: \"*.lan.test\", port: 7000, allowed_ips: [10.99.0.0/24]}",
            )
            .host("10.99.0.7 near.lan.test")
            .host("10.99.0.200 far.lan.test")
            .open();
        let (near, far) = (Upstream::bind(PEER), Upstream::bind("10.99.0.200:7000"));
        let mut stays = pair(&world, &near, "near.lan.test:7000");
        let mut goes = pair(&world, &far, "far.lan.test:7000");
        let since = Instant::now();
        world.put_policy(&Setup::new().allow(
            "names",
            "{host: \"*.lan.test\", port: 7000, allowed_ips: [10.99.0.0/25]}",
        ));
        assert_eq!(drain(&mut goes.0), (Vec::new(), Ending::Clean));
        assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
        flows(&mut stays);
    });
}

/// LIV-10: a tunnel that was judged by the old policy and opened under the new one is no exception.
#[test]
fn a_tunnel_that_was_dialled_while_the_policy_changed_is_closed_too() {
    play(|_| {
        let world = both().open();
        let (listener, waiting) = full_listener(PEER);
        let mut client = world.proxy();
        client.write_all(&connect_head(PEER)).unwrap();
        // Nothing is heard before there is room for the connection.
        expect_silence(&client, Duration::from_millis(300));
        world.put_policy(&Setup::new().allow_port(7001));
        thread::sleep(Duration::from_millis(500));
        drop(waiting);
        // Those that waited come first; the kernel asks again for ours after a second.
        thread::spawn(move || {
            let mut taken = Vec::new();
            while let Ok(accepted) = rustix::net::accept(&listener) {
                taken.push(accepted);
            }
        });
        let mut client = established(client).unwrap();
        let since = Instant::now();
        assert_eq!(drain(&mut client), (Vec::new(), Ending::Clean));
        assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
        assert_eq!(world.end().one("TUNNEL_CLOSED")["end"], "tunnel_revoked");
    });
}

/// PD-16, FWD-10: an upgraded WebSocket is a raw tunnel too, and its address must stay a private one.
#[test]
fn an_upgraded_websocket_is_closed_when_the_new_policy_denies_it() {
    play(|_| {
        let wiki = |endpoint: &str| Setup::new().allow("wiki", endpoint);
        let listed = "{host: wiki.test, port: 8000, allowed_ips: [10.99.0.0/24]}";
        let world = wiki(listed).host("10.99.0.7 wiki.test").open();
        let upstream = Upstream::bind("10.99.0.7:8000");
        let denying = [
            Setup::new(),
            // Still an endpoint of that name and port, and no longer one of the forward path.
            wiki("{host: wiki.test, port: 8000}"),
        ];
        for denying in &denying {
            world.put_policy(&wiki(listed));
            let mut client = world.proxy();
            client
                .write_all(b"GET http://wiki.test:8000/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
                .unwrap();
            let (mut call, _) = upstream.call();
            call.stream
                .write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
                .unwrap();
            let mut reader = Reader::new(client);
            assert!(reader.head().unwrap().starts_with(b"HTTP/1.1 101"));
            let mut open = (reader.stream, call.stream);
            flows(&mut open);
            world.put_policy(&wiki(
                "{host: wiki.test, port: 8000, allowed_ips: [10.99.0.0/29]}",
            ));
            thread::sleep(SOON);
            flows(&mut open);
            let since = Instant::now();
            world.put_policy(denying);
            assert_eq!(drain(&mut open.0), (Vec::new(), Ending::Clean));
            assert_eq!(drain(&mut open.1), (Vec::new(), Ending::Clean));
            assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
        }
        let ends = ends(&world.end());
        assert_eq!(ends, vec![("tunnel_revoked".to_owned(), 8000); 2]);
    });
}

/// PD-16, TR-070
#[test]
fn five_hundred_of_a_thousand_tunnels_are_closed_and_the_others_are_not() {
    play(|_| {
        let enough = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        rustix::process::setrlimit(
            rustix::process::Resource::Nofile,
            rustix::process::Rlimit {
                current: enough.maximum,
                ..enough
            },
        )
        .unwrap();
        let world = both().open();
        let (first, second) = (Upstream::bind(PEER), Upstream::bind(OTHER));
        let mut denied: Vec<_> = (0..500).map(|_| pair(&world, &first, PEER)).collect();
        let mut kept: Vec<_> = (0..500).map(|_| pair(&world, &second, OTHER)).collect();
        let since = Instant::now();
        world.put_policy(&Setup::new().allow_port(7001));
        for (client, _) in &mut denied {
            assert_eq!(drain(client), (Vec::new(), Ending::Clean));
        }
        let took = since.elapsed();
        println!("500 tunnels of 1,000 closed in {} ms", took.as_millis());
        assert!(took < AT_ONCE, "{took:?}");
        kept.iter_mut().for_each(flows);
        drop(kept);
        drop(denied);
        let ended = world.end();
        let revoked = ends(&ended)
            .into_iter()
            .filter(|end| *end == ("tunnel_revoked".to_owned(), 7000))
            .count();
        assert_eq!((revoked, ended.of("TUNNEL_CLOSED").len()), (500, 1000));
    });
}

/// LIV-10: a policy that never loaded denies everything (TR-073), open tunnels included.
#[test]
fn a_sandbox_that_lost_its_policy_loses_its_tunnels() {
    play(|_| {
        let world = both().open();
        let upstream = Upstream::bind(PEER);
        let mut open = pair(&world, &upstream, PEER);
        let since = Instant::now();
        world.drop_policies();
        assert_eq!(drain(&mut open.0), (Vec::new(), Ending::Clean));
        assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
    });
}

/// LIV-10, RGO-6: own rules are asked about open tunnels like a table.
#[test]
fn own_rules_close_what_they_deny_and_spare_what_they_allow() {
    play(|_| {
        let rules = |port: u16| {
            both().rules(&format!(
                "default network_action := \"deny\"\nnetwork_action := \"allow\" if input.network.port >= {port}\nmatched_network_policy := \"own\" if network_action == \"allow\"\nmatched_endpoint_config := {{\"allowed_ips\": [\"10.99.0.0/24\"]}}\n"
            ))
        };
        let world = custom_rego::open(rules(7000));
        let (first, second) = (Upstream::bind(PEER), Upstream::bind(OTHER));
        let mut denied: Vec<_> = (0..20).map(|_| pair(&world, &first, PEER)).collect();
        let mut kept: Vec<_> = (0..20).map(|_| pair(&world, &second, OTHER)).collect();
        let since = Instant::now();
        world.put_rules(&rules(7001));
        for (client, _) in &mut denied {
            assert_eq!(drain(client), (Vec::new(), Ending::Clean));
        }
        assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
        kept.iter_mut().for_each(flows);
    });
}
