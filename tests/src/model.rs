//! A model server for scenes: OpenAI and Anthropic dialects, unary and streaming, and its failures.
//!
//! What it does is asked for in the prompt, so that concurrent requests do not share a switch: words like
//! `do:gate=NAME` anywhere in the request body. Without one it answers well. Streams have three content events
//! unless `do:events=N` says otherwise.
//!
//! `do:gate=NAME`: after the first content event the stream goes on only once `/mnt/work/NAME` exists, which the
//! client makes when it has seen that event. A proxy that waits for more before it passes anything on makes the
//! stream end without its last events; no clock is involved but the limit of the wait.

mod dialect;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rustls::ServerConfig;

use crate::http::{Message, chunk};
use crate::origin::{After, Origin, Wire};

pub use dialect::Dialect;

/// The model of the scene's route.
pub const MODEL: &str = "scene-model-1";
/// The canary of this scene: a key that must be found nowhere inside a sandbox.
pub fn key() -> &'static str {
    // Why new each time: the machine's files hold the harness itself, and with it any key it would name.
    static KEY: OnceLock<String> = OnceLock::new();
    KEY.get_or_init(|| {
        let random = RandomState::new();
        format!(
            "sk-canary-{:016x}{:016x}",
            random.hash_one(1),
            random.hash_one(2)
        )
    })
}
/// How long a gated stream waits for its client.
const GATE_LIMIT: Duration = Duration::from_secs(20);

/// Starts the server.
pub fn start(address: &str, tls: Option<Arc<ServerConfig>>) -> Origin {
    Origin::start(address, tls, answer)
}

/// A routes file for this base URL: an OpenAI route, and an Anthropic one for its own protocol.
pub fn routes(endpoint: &str) -> String {
    let mut text = String::from("routes:\n");
    for (provider, protocols) in [
        (
            "openai",
            "openai_chat_completions, openai_completions, openai_responses, model_discovery",
        ),
        ("anthropic", "anthropic_messages"),
    ] {
        text.push_str(&format!(
            "  - endpoint: {endpoint}
    model: {MODEL}
    provider_type: {provider}
    protocols: [{protocols}]
    api_key: {}
    allow_private_endpoint: true
",
            key()
        ));
    }
    text
}

/// Where a server listens, as an endpoint of a routes file: the literal address, which is a permission (RTE-8).
pub fn endpoint(scheme: &str, address: SocketAddr) -> String {
    format!("{scheme}://{address}/v1")
}

/// What the prompt asks for.
fn wish(request: &Message, word: &str) -> Option<String> {
    let text = request.text();
    let at = text.find(&format!("do:{word}"))?;
    let tail = &text[at + 3 + word.len()..];
    let value = tail.strip_prefix('=').unwrap_or("");
    Some(
        value
            .chars()
            .take_while(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(*letter))
            .collect(),
    )
}

fn answer(request: &Message, wire: &mut Wire) -> io::Result<After> {
    if let Some(after) = fault(request, wire)? {
        return Ok(after);
    }
    let target = request.target();
    let path = target.split('?').next().unwrap_or_default();
    if request.method() == "GET" {
        let body = format!(
            r#"{{"object":"list","data":[{{"id":"{MODEL}","object":"model","created":1,"owned_by":"scene"}}]}}"#
        );
        return json(wire, 200, &body);
    }
    let Some(dialect) = Dialect::of(path) else {
        return json(wire, 404, r#"{"error":{"message":"no such path"}}"#);
    };
    let model = request.json()["model"].as_str().unwrap_or("-").to_owned();
    if request.json()["stream"] == true {
        stream(request, wire, dialect, &model)
    } else {
        json(wire, 200, &dialect.whole(&model, "Hello from the scene"))
    }
}

fn fault(request: &Message, wire: &mut Wire) -> io::Result<Option<After>> {
    if let Some(status) = wish(request, "status") {
        let quoted = request
            .field("authorization")
            .or_else(|| request.field("x-api-key"))
            .unwrap_or_default();
        let body = format!(r#"{{"error":{{"message":"wrong key: {quoted}"}}}}"#);
        return json(wire, status.parse().unwrap_or(401), &body).map(Some);
    }
    if wish(request, "reset-first").is_some() {
        return Ok(Some(After::Reset));
    }
    if wish(request, "garbage").is_some() {
        wire.write_all(b"SSH-2.0-not-http\r\n\r\n")?;
        return Ok(Some(After::Close));
    }
    if wish(request, "silence").is_some() {
        let end = Instant::now() + Duration::from_secs(30);
        while Instant::now() < end && !wire.gone_within(Duration::from_millis(200)) {}
        return Ok(Some(After::Cut));
    }
    if wish(request, "short").is_some() {
        wire.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{\"cut\":")?;
        return Ok(Some(After::Close));
    }
    if wish(request, "gzip").is_some() {
        // Not a gzip stream: a proxy must pass coded bytes on without looking.
        wire.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        wire.write_all(&chunk(b"\x1f\x8b\x08\x00data: "))?;
        return Ok(Some(After::Cut));
    }
    Ok(None)
}

fn stream(request: &Message, wire: &mut Wire, dialect: Dialect, model: &str) -> io::Result<After> {
    let events = wish(request, "events")
        .and_then(|count| count.parse().ok())
        .unwrap_or(3);
    let cut: Option<usize> = wish(request, "cut").map(|at| at.parse().unwrap_or(1));
    let pause = wish(request, "pause").map(|ms| Duration::from_millis(ms.parse().unwrap_or(1)));
    let gate = wish(request, "gate");
    wire.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    for event in dialect.opening(model) {
        wire.write_all(&chunk(event.as_bytes()))?;
    }
    for number in 0..events {
        if cut == Some(number) {
            return Ok(After::Reset);
        }
        wire.write_all(&chunk(
            dialect.piece(model, &format!("piece-{number} ")).as_bytes(),
        ))?;
        if let Some(pause) = pause {
            thread::sleep(pause);
        }
        if let (0, Some(name)) = (number, &gate)
            && !opened(name)
        {
            // The client never saw the first event: it must not see a complete stream either.
            return Ok(After::Reset);
        }
    }
    for event in dialect.closing(model, events) {
        wire.write_all(&chunk(event.as_bytes()))?;
    }
    wire.write_all(b"0\r\n\r\n")?;
    Ok(After::KeepOpen)
}

fn opened(name: &str) -> bool {
    let path = Path::new("/mnt/work").join(name);
    let end = Instant::now() + GATE_LIMIT;
    while Instant::now() < end {
        if path.exists() {
            return true;
        }
        thread::sleep(Duration::from_millis(2));
    }
    false
}

fn json(wire: &mut Wire, status: u16, body: &str) -> io::Result<After> {
    let head = format!(
        "HTTP/1.1 {status} Scene\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    wire.write_all(head.as_bytes())?;
    wire.write_all(body.as_bytes())?;
    Ok(After::KeepOpen)
}
