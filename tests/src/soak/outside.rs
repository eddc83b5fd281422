//! The servers of a soak: one thread a connection, and nothing kept of what they were asked.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{pattern, sum};
use crate::http::{Message, Reader, chunk, read_request};

/// Sends every byte back.
///
/// # Panics
/// When the address cannot be bound, here and below.
pub fn echo(address: &str) {
    accept(address, |mut tcp| {
        let mut buf = vec![0; 65_536];
        while let Ok(read @ 1..) = tcp.read(&mut buf) {
            if tcp.write_all(&buf[..read]).is_err() {
                return;
            }
        }
    });
}

/// `GET /bytes/LEN/SEED`, `POST /sum`, and a streamed completion for everything else that has a body.
pub fn http(address: &str, tls: Option<Arc<ServerConfig>>) {
    accept(address, move |tcp| match &tls {
        None => converse(tcp),
        Some(config) => {
            let conn = ServerConnection::new(Arc::clone(config)).expect("a server connection");
            converse(StreamOwned::new(conn, tcp));
        }
    });
}

fn accept(address: &str, serve: impl Fn(TcpStream) + Send + Sync + 'static) {
    let listener =
        TcpListener::bind(address).unwrap_or_else(|error| unreachable!("{address}: {error}"));
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for tcp in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            let started = thread::Builder::new()
                .stack_size(256 * 1024)
                .spawn(move || {
                    if tcp.set_nodelay(true).is_ok() {
                        serve(tcp);
                    }
                });
            started.expect("a thread for a connection");
        }
    });
}

fn converse(stream: impl Read + Write) {
    let mut reader = Reader::new(stream);
    while let Some(request) = read_request(&mut reader, |wire| {
        drop(wire.write_all(b"HTTP/1.1 100 Continue\r\n\r\n"));
    }) {
        let close = request
            .field("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if answer(&request, &mut reader.stream).is_err() || close {
            return;
        }
    }
}

fn answer(request: &Message, wire: &mut impl Write) -> io::Result<()> {
    let target = request.target();
    let numbers: Vec<u64> = target
        .split('/')
        .filter_map(|word| word.parse().ok())
        .collect();
    match (&numbers[..], target.as_str()) {
        ([len, seed], _) => bytes(*len as usize, *seed, wire),
        (_, "/sum") => {
            let text = format!("{} {}", request.body.len(), sum(&request.body));
            write!(
                wire,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
                text.len()
            )?;
            wire.flush()
        }
        _ => completion(request, wire),
    }
}

/// Half of them by length, half in chunks.
fn bytes(len: usize, seed: u64, wire: &mut impl Write) -> io::Result<()> {
    let body = pattern(seed, len);
    let mut out = Vec::with_capacity(len + 512);
    if seed.is_multiple_of(2) {
        out.extend_from_slice(
            format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n").as_bytes(),
        );
        out.extend_from_slice(&body);
    } else {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for piece in body.chunks(4_000) {
            out.extend_from_slice(&chunk(piece));
        }
        out.extend_from_slice(b"0\r\n\r\n");
    }
    wire.write_all(&out)?;
    wire.flush()
}

/// As many events as the request's `max_tokens`, written one by one.
fn completion(request: &Message, wire: &mut impl Write) -> io::Result<()> {
    let events = request.json()["max_tokens"].as_u64().unwrap_or(1);
    wire.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    )?;
    for number in 0..events {
        wire.write_all(&chunk(event(number).as_bytes()))?;
        wire.flush()?;
        thread::sleep(Duration::from_millis(2));
    }
    wire.write_all(&chunk(DONE.as_bytes()))?;
    wire.write_all(b"0\r\n\r\n")?;
    wire.flush()
}

/// One event of a stream.
pub(super) fn event(number: u64) -> String {
    format!(
        "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"piece-{number} \"}}}}]}}\n\n"
    )
}

/// Its last one.
pub(super) const DONE: &str = "data: [DONE]\n\n";
