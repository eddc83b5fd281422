//! The far end: an echo, a source, and a chat backend, plain and in TLS, on one thread.
//!
//! The chat backend answers only what the route's key and model came with, so every answer that the load counts was
//! rewritten by the gate.

use std::fs;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use crate::chat::{KEY, MODEL};
use crate::tls::Wire;
use crate::{Outcome, client, stage, sys};

/// This process.
pub(crate) const ROLE: &str = "__origin";

/// Sends back what comes.
pub(crate) const ECHO: u16 = 7001;
/// Sends for ever once it is asked.
pub(crate) const SOURCE: u16 = 7002;
/// Chat.
pub(crate) const CHAT: u16 = 7003;
/// Chat in TLS.
pub(crate) const CHAT_TLS: u16 = 7004;

/// The file, in the directory of the run, with the certificate of its authority.
pub(crate) const CA_FILE: &str = "origin.pem";

/// Serves for ever.
pub(crate) fn run(directory: &str) -> Outcome<()> {
    sys::pin(stage::ENDS_CORE)?;
    let authority = harness::authority::Authority::new("bench origin");
    fs::write(format!("{directory}/{CA_FILE}"), authority.pem())?;
    let tls = authority.server(&[&stage::ORIGIN.to_string()]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, async move {
        let source: Arc<[u8]> = (0..SOURCE_BYTES as u64).map(byte_at).collect();
        listen(ECHO, echo).await?;
        listen(SOURCE, move |socket| pour(socket, Arc::clone(&source))).await?;
        listen(CHAT, |socket| chat(socket, None)).await?;
        listen(CHAT_TLS, move |socket| chat(socket, Some(Arc::clone(&tls)))).await?;
        client::say("ready")?;
        std::future::pending().await
    })
}

async fn listen<Served>(port: u16, serve: impl Fn(TcpStream) -> Served + 'static) -> Outcome<()>
where
    Served: Future<Output = Outcome<()>> + 'static,
{
    let listener = TcpListener::bind(stage::origin(port)).await?;
    tokio::task::spawn_local(async move {
        loop {
            match listener.accept().await {
                Ok((socket, _)) => {
                    let served = serve(socket);
                    // A client that leaves in the middle is how a run ends.
                    tokio::task::spawn_local(async move { drop(served.await) });
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    });
    Ok(())
}

async fn echo(mut socket: TcpStream) -> Outcome<()> {
    socket.set_nodelay(true)?;
    let mut room = [0; 4096];
    loop {
        match socket.read(&mut room).await? {
            0 => return Ok(()),
            received => socket.write_all(&room[..received]).await?,
        }
    }
}

async fn pour(mut socket: TcpStream, source: Arc<[u8]>) -> Outcome<()> {
    socket.read_u8().await?;
    loop {
        socket.write_all(&source).await?;
    }
}

/// What the source says at a place.
pub(crate) fn byte_at(place: u64) -> u8 {
    (place % PERIOD) as u8
}

/// A prime below 256, so that bytes at a wrong place are seen.
const PERIOD: u64 = 251;

/// Whole periods.
const SOURCE_BYTES: usize = PERIOD as usize * 1024;

async fn chat(socket: TcpStream, tls: Option<Arc<ServerConfig>>) -> Outcome<()> {
    let mut wire = Wire::plain(socket)?;
    if let Some(config) = tls {
        wire = wire
            .into_tls(rustls::ServerConnection::new(config)?.into())
            .await?;
    }
    let whole = whole_answer();
    let whole = [
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-request-id: req_bench\r\nContent-Length: {}\r\n\r\n",
            whole.len()
        )
        .as_bytes(),
        &whole,
    ]
    .concat();
    let mut input = Vec::with_capacity(8192);
    let mut room = vec![0; 8192];
    loop {
        let request = loop {
            if let Some(len) = request_len(&input)? {
                break String::from_utf8(input.drain(..len).collect())?;
            }
            match wire.read(&mut room).await? {
                0 => return Ok(()),
                received => input.extend_from_slice(&room[..received]),
            }
        };
        let is_rewritten = request.contains(&format!("Authorization: Bearer {KEY}\r\n"))
            && request.contains(&format!("\"model\":\"{MODEL}\""))
            && request.matches("\"model\"").count() == 1;
        if !is_rewritten {
            wire.write(b"HTTP/1.1 500 Not rewritten\r\nContent-Length: 0\r\n\r\n")
                .await?;
        } else if let Some(events) = number(&request, "\"events\":") {
            let gap_ms = number(&request, "\"gap_ms\":").unwrap_or(0);
            stream(&mut wire, events, Duration::from_millis(gap_ms)).await?;
        } else {
            wire.write(&whole).await?;
        }
    }
}

/// Length of the first request when it is whole; bodies have a length here.
fn request_len(input: &[u8]) -> Outcome<Option<usize>> {
    let Some(head) = input.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&input[..head])?;
    let body = number(text, "Content-Length: ").ok_or("a request without a length")?;
    let len = head + 4 + usize::try_from(body)?;
    Ok((input.len() >= len).then_some(len))
}

fn number(text: &str, name: &str) -> Option<u64> {
    let rest = text.split_once(name)?.1;
    let end = rest.find(|byte: char| !byte.is_ascii_digit());
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

/// One write an event, as a backend does that makes them one by one.
async fn stream(wire: &mut Wire, events: u64, gap: Duration) -> Outcome<()> {
    wire.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
    let mut at = tokio::time::Instant::now();
    for index in 0..events {
        if gap.is_zero() {
            tokio::task::yield_now().await;
        } else {
            at += gap;
            tokio::time::sleep_until(at).await;
        }
        let event = event(index);
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        wire.write(chunk.as_bytes()).await?;
    }
    wire.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n").await?;
    Ok(())
}

/// About 200 bytes, with its number and the moment it was made.
fn event(index: u64) -> String {
    format!(
        "data: {{\"id\":\"{index:06}-{:020}\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"{MODEL}\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" planet\"}},\"finish_reason\":null}}]}}\n\n",
        clock_ns()
    )
}

/// Number and moment of an event.
pub(crate) fn read_event(event: &[u8]) -> Option<(u32, u64)> {
    let id = event.strip_prefix(b"data: {\"id\":\"")?.get(..27)?;
    let (index, sent) = std::str::from_utf8(id).ok()?.split_once('-')?;
    event
        .ends_with(b"}")
        .then_some((index.parse().ok()?, sent.parse().ok()?))
}

/// The machine's monotonic clock, the same in all processes.
pub(crate) fn clock_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// 600 bytes of a chat answer.
pub(crate) fn whole_answer() -> Vec<u8> {
    let head = format!(
        "{{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"{MODEL}\",\"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":\""
    );
    let tail = "\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":41,\"completion_tokens\":87,\"total_tokens\":128}}";
    let text = "Saturn has the most, and eighteen of them were known by then. ";
    let room = ANSWER_BYTES - head.len() - tail.len();
    let content: String = text.chars().cycle().take(room).collect();
    format!("{head}{content}{tail}").into_bytes()
}

const ANSWER_BYTES: usize = 600;
