//! Handshakes that go wrong, on the sandbox's side and on the model's (TRAPS area 2, SECURITY.md 26 and 50).
//!
//! Whatever bytes a peer sends in place of a handshake, its own connection ends and the next one is served: one
//! worker carries the whole sandbox.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use harness::http::{End, Reader};
use harness::policy::text;
use harness::raw::{DIRECT, Fence};
use harness::scene::PRIVATE;
use harness::{model, play};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

fn client_hello(trust: &Arc<ClientConfig>) -> Vec<u8> {
    let name = ServerName::try_from("inference.local").expect("a DNS name");
    let mut client = ClientConnection::new(Arc::clone(trust), name).expect("a client connection");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("written to memory");
    hello
}

/// A handshake record around `bytes`.
fn record(bytes: &[u8]) -> Vec<u8> {
    let mut record = vec![0x16, 3, 1];
    record.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    record.extend_from_slice(bytes);
    record
}

/// What is sent where a ClientHello is due.
fn wrong_openings(hello: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let message = &hello[5..];
    let mut flipped = hello.to_vec();
    flipped[9] ^= 0xff;
    let mut version = hello.to_vec();
    version[1] = 9;
    vec![
        ("nothing", Vec::new()),
        ("one byte", vec![0x16]),
        ("half a record head", hello[..3].to_vec()),
        ("half a record", hello[..hello.len() / 2].to_vec()),
        (
            "half a message in a whole record",
            record(&message[..message.len() / 2]),
        ),
        (
            "a message in records of seven bytes, without the last",
            message.chunks(7).take(20).flat_map(record).collect(),
        ),
        (
            "half a message, then an alert",
            [record(&message[..40]), vec![0x15, 3, 1, 0, 2, 2, 40]].concat(),
        ),
        (
            "half a message, then application data",
            [record(&message[..40]), vec![0x17, 3, 1, 0, 2, 1, 1]].concat(),
        ),
        (
            "a whole hello, then rubbish",
            [hello.to_vec(), vec![0xff; 64]].concat(),
        ),
        ("two hellos", [hello, hello].concat()),
        ("a hello with a flipped byte", flipped),
        ("a record of another version", version),
        ("an empty record", record(&[])),
        (
            "many empty records",
            (0..200).flat_map(|_| record(&[])).collect(),
        ),
        (
            "a record longer than the protocol permits",
            [vec![0x16, 3, 1, 0xff, 0xff], vec![0; 70_000]].concat(),
        ),
        (
            "a message longer than the protocol permits",
            record(&[1, 0xff, 0xff, 0xff, 3, 3]),
        ),
        ("an alert", vec![0x15, 3, 1, 0, 2, 1, 0]),
        (
            "plain HTTP",
            b"GET /v1/models HTTP/1.1\r\nHost: inference.local\r\n\r\n".to_vec(),
        ),
        (
            "the HTTP/2 preface",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        ),
        (
            "rubbish",
            (0..2000_u32)
                .map(|at| (at.wrapping_mul(2_654_435_761) >> 11) as u8)
                .collect(),
        ),
    ]
}

fn still_serves(fence: &Fence, trust: &Arc<ClientConfig>, after: &str) {
    let mut reader = fence.inference(trust, 65_536);
    reader
        .stream
        .write_all(b"GET /v1/models HTTP/1.1\r\nHost: inference.local\r\n\r\n")
        .expect("the request is sent");
    let answer = reader
        .final_answer("GET")
        .unwrap_or_else(|| unreachable!("nothing is served after {after}"));
    assert_eq!(answer.message.status(), 200, "after {after}");
}

#[test]
fn no_opening_of_a_client_stops_the_gate() {
    play(|scene| {
        let server = model::start(&format!("{PRIVATE}:8000"), None);
        let fence = scene
            .run()
            .policy(&text("", ""))
            .routes(&model::routes(&model::endpoint("http", server.address())))
            .fence();
        let trust = fence.trust();
        for (what, bytes) in wrong_openings(&client_hello(&trust)) {
            for door in ["proxy", "direct"] {
                for leaving in ["half-close", "reset"] {
                    let mut reader = if door == "direct" {
                        Reader::new(fence.connect(DIRECT, 65_536))
                    } else {
                        let mut reader = Reader::new(fence.proxy());
                        reader.stream.write_all(b"CONNECT inference.local:443 HTTP/1.1\r\nHost: inference.local:443\r\n\r\n").unwrap();
                        reader.head().expect("an answer to CONNECT");
                        reader
                    };
                    reader.stream.set_timeout(Duration::from_secs(8));
                    reader.stream.write_all(&bytes).unwrap();
                    if leaving == "half-close" {
                        reader.stream.half_close().unwrap();
                        assert_ne!(
                            reader.drain().1,
                            End::Silent,
                            "{what} at the {door} door: neither an answer nor a close"
                        );
                    } else {
                        reader.stream.reset().unwrap();
                    }
                    drop(reader);
                    still_serves(
                        &fence,
                        &trust,
                        &format!("{what}, {leaving}, at the {door} door"),
                    );
                }
            }
        }
        let ended = fence.end();
        assert!(!ended.err().contains("panicked"), "{}", ended.err());
    });
}

/// What a model's server does with a connection in place of a handshake.
type Act = fn(TcpStream, &Arc<ServerConfig>);

const ACTS: &[(&str, Act)] = &[
    ("closes", |_, _| ()),
    ("says rubbish", |mut tcp, _| say(&mut tcp, &[0xff; 300])),
    ("speaks plain HTTP", |mut tcp, _| {
        say(
            &mut tcp,
            b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        )
    }),
    ("sends an alert", |mut tcp, _| {
        say(&mut tcp, &[0x15, 3, 3, 0, 2, 2, 40])
    }),
    ("sends half of its first flight", |mut tcp, config| {
        let flight = first_flight(&mut tcp, config);
        say(&mut tcp, &flight[..flight.len() / 2]);
    }),
    ("sends its first flight and closes", |mut tcp, config| {
        let flight = first_flight(&mut tcp, config);
        say(&mut tcp, &flight);
    }),
    (
        "sends its hello in small records, without the last",
        |mut tcp, config| {
            let flight = first_flight(&mut tcp, config);
            let length = usize::from(u16::from_be_bytes([flight[3], flight[4]]));
            let pieces: Vec<u8> = flight[5..5 + length]
                .chunks(11)
                .take(3)
                .flat_map(record)
                .collect();
            say(&mut tcp, &pieces);
        },
    ),
    ("flips a byte of its first flight", |mut tcp, config| {
        let mut flight = first_flight(&mut tcp, config);
        let at = flight.len() - 20;
        flight[at] ^= 1;
        say(&mut tcp, &flight);
    }),
];

fn say(tcp: &mut TcpStream, bytes: &[u8]) {
    // Why dropped: the gate may have gone.
    drop(tcp.write_all(bytes));
    drop(tcp.shutdown(std::net::Shutdown::Write));
    drop(tcp.read_to_end(&mut Vec::new()));
}

fn first_flight(tcp: &mut TcpStream, config: &Arc<ServerConfig>) -> Vec<u8> {
    let mut server = ServerConnection::new(Arc::clone(config)).expect("a server connection");
    let mut flight = Vec::new();
    while !server.wants_write() {
        if !server.read_tls(tcp).is_ok_and(|count| count > 0)
            || server.process_new_packets().is_err()
        {
            break;
        }
    }
    while server.wants_write() {
        server.write_tls(&mut flight).expect("written to memory");
    }
    flight
}

/// SECURITY.md 26: no byte of a request goes to a server that did not prove its name.
#[test]
fn no_answer_of_a_models_server_stops_the_gate() {
    play(|scene| {
        let config = scene.authority().server(&["model.test"]);
        let listener = TcpListener::bind((PRIVATE, 8443)).unwrap();
        let turn = Arc::new(AtomicUsize::new(0));
        let now = Arc::clone(&turn);
        thread::spawn(move || {
            for tcp in listener.incoming().flatten() {
                let config = Arc::clone(&config);
                let act = ACTS[now.load(Ordering::SeqCst)].1;
                thread::spawn(move || act(tcp, &config));
            }
        });
        let fence = scene
            .run()
            .policy(&text("", ""))
            .routes(&model::routes("https://model.test:8443/v1"))
            .fence();
        let trust = fence.trust();
        for (number, (what, _)) in ACTS.iter().enumerate() {
            turn.store(number, Ordering::SeqCst);
            for (line, body) in [
                ("GET /v1/models", ""),
                ("POST /v1/chat/completions", r#"{"model":"any"}"#),
            ] {
                let mut reader = fence.inference(&trust, 65_536);
                let length = if body.is_empty() {
                    String::new()
                } else {
                    format!("Content-Length: {}\r\n", body.len())
                };
                write!(
                    reader.stream,
                    "{line} HTTP/1.1\r\nHost: inference.local\r\n{length}\r\n{body}"
                )
                .unwrap();
                let answer = reader
                    .final_answer("POST")
                    .unwrap_or_else(|| unreachable!("no answer when the server {what}"));
                let error = answer.message.json()["error"]
                    .as_str()
                    .unwrap_or("-")
                    .to_owned();
                assert_eq!(
                    answer.message.status(),
                    502,
                    "{line} when the server {what}: {error}"
                );
                assert!(
                    ["upstream_tls_failed", "upstream_protocol_error"].contains(&error.as_str()),
                    "{line} when the server {what}: {error}"
                );
            }
        }
        let ended = fence.end();
        assert!(!ended.err().contains("panicked"), "{}", ended.err());
    });
}
