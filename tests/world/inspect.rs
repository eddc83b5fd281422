//! Requests judged one by one: inside plain tunnels, inside tunnels whose TLS is ended, and on the forward path.
//!
//! Here is what the files beneath share: the endpoint of the vectors, and a client that asks the same on all three.

/// A test for each way of functions that take the scene and the way.
macro_rules! on_every_way {
    ($($name:ident),*; $($inside:ident),*) => {
        super::in_both_tunnels! { $($name,)* $($inside),* }
        mod forward {
            $(#[test]
            fn $name() {
                harness::play(|scene| super::$name(scene, crate::inspect::Way::Forward));
            })*
        }
    };
}

/// The same where a request only comes through a tunnel.
macro_rules! in_both_tunnels {
    ($($name:ident),*) => {
        mod plain {
            $(#[test]
            fn $name() {
                harness::play(|scene| super::$name(scene, crate::inspect::Way::Plain));
            })*
        }
        mod tls {
            $(#[test]
            fn $name() {
                harness::play(|scene| super::$name(scene, crate::inspect::Way::Tls));
            })*
        }
    };
}
use in_both_tunnels;
use on_every_way;

mod door;
mod flow;
mod link;
mod rules;

use std::io::{Read, Write};
use std::sync::Arc;

use harness::Scene;
use harness::http::{Message, Reader};
use harness::origin::Origin;
use rustls::ClientConfig;

use crate::world::client::{self, tunnel, verdict};
use crate::world::{Setup, World};

/// The host of section 7 of the vectors.
pub(crate) const HOST: &str = "api.example.com";
/// Where its server listens.
pub(crate) const PEER: &str = "10.99.0.7:8080";
/// Its authority.
pub(crate) const AUTHORITY: &str = "api.example.com:8080";

/// The ways a request comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Plain,
    Tls,
    Forward,
}

/// A connection that requests are written to, whatever lies beneath.
pub(crate) trait Line: Read + Write + Send {}

impl<L: Read + Write + Send> Line for L {}

/// A client on one of the ways.
pub(crate) type Client = Reader<Box<dyn Line>>;

/// A policy with one inspected endpoint; `more` are further members of it.
pub(crate) fn endpoint(way: Way, more: &str) -> String {
    let tls = match way {
        Way::Tls => "tls: terminate, ",
        Way::Plain | Way::Forward => "",
    };
    format!(
        "{{host: {HOST}, port: 8080, protocol: rest, {tls}allowed_ips: [10.99.0.0/24], {more}}}"
    )
}

/// The rules of the vectors LR.
pub(crate) const RULES: &str = "enforcement: enforce, rules: [{allow: {method: GET, path: \"/repos/**\"}}, {allow: {method: POST, path: \"/repos/*/issues\"}}]";

/// A setup with one inspected endpoint.
pub(crate) fn setup(way: Way, more: &str) -> Setup {
    Setup::new()
        .allow("api", &endpoint(way, more))
        .host("10.99.0.7 api.example.com")
}

/// A server that answers everything with its own target.
pub(crate) fn echo(scene: &Scene, way: Way) -> Origin {
    Origin::start(PEER, server(scene, way), |request, wire| {
        let body = format!("{} {}", request.method(), request.target());
        let length = body.len();
        let body = if request.method() == "HEAD" {
            String::new()
        } else {
            body
        };
        write!(
            wire,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
        Ok(harness::origin::After::KeepOpen)
    })
}

/// TLS of the upstream, where there is any.
pub(crate) fn server(scene: &Scene, way: Way) -> Option<Arc<rustls::ServerConfig>> {
    (way == Way::Tls).then(|| scene.authority().server(&[HOST]))
}

/// Opens a connection that requests can be written to.
pub(crate) fn open(world: &World, way: Way) -> Client {
    match way {
        Way::Forward => Reader::new(Box::new(world.proxy())),
        Way::Plain => Reader::new(Box::new(tunnel(world, AUTHORITY).unwrap())),
        Way::Tls => open_tls(world, world.trust()),
    }
}

/// A connection inside TLS, handshake done.
pub(crate) fn open_tls(world: &World, config: Arc<ClientConfig>) -> Client {
    let stream = tunnel(world, AUTHORITY).unwrap_or_else(|refusal| panic!("{}", refusal.text()));
    let mut tls = client::session(stream, config, HOST);
    while tls.conn.is_handshaking() {
        tls.conn.complete_io(&mut tls.sock).unwrap();
    }
    Reader::new(Box::new(tls))
}

/// A request with further fields and a body.
pub(crate) fn request(way: Way, method: &str, target: &str, fields: &str) -> Vec<u8> {
    let target = match way {
        Way::Forward => format!("http://{AUTHORITY}{target}"),
        Way::Plain | Way::Tls => target.to_owned(),
    };
    format!("{method} {target} HTTP/1.1\r\nHost: {AUTHORITY}\r\n{fields}\r\n").into_bytes()
}

/// Writes the head of a request.
pub(crate) fn send(client: &mut Client, way: Way, method: &str, target: &str, fields: &str) {
    let request = request(way, method, target, fields);
    client.stream.write_all(&request).unwrap();
}

/// Asks on an open connection and reads the final answer.
pub(crate) fn ask(client: &mut Client, way: Way, method: &str, target: &str) -> Message {
    send(client, way, method, target, "");
    answer(client, method)
}

/// Reads the final answer.
pub(crate) fn answer(client: &mut Client, method: &str) -> Message {
    let answer = client.final_answer(method).expect("an answer");
    assert_eq!(answer.end, harness::http::End::Complete);
    answer.message
}

/// `200 METHOD target` as the server saw it, or the verdict.
pub(crate) fn told(message: &Message) -> String {
    match message.status() {
        200 => format!("200 {}", message.text()),
        _ => verdict(message),
    }
}

/// Asks once on a connection of its own.
pub(crate) fn once(world: &World, way: Way, method: &str, target: &str) -> String {
    told(&ask(&mut open(world, way), way, method, target))
}
