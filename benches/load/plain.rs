//! Load without TLS: set-ups, bulk, ping-pong.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use crate::client::{Count, Job};
use crate::tls::Wire;
use crate::{Outcome, origin, stage};

/// Opens a way to a service of the origin: a socket, or a tunnel.
pub(crate) async fn open(through: Option<SocketAddr>, target: &str) -> Outcome<Wire> {
    let Some(middle) = through else {
        return Ok(Wire::plain(TcpStream::connect(target).await?)?);
    };
    let mut wire = Wire::plain(TcpStream::connect(middle).await?)?;
    let ask = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    wire.write(ask.as_bytes()).await?;
    let mut answer = [0; 512];
    let mut filled = 0;
    while !answer[..filled].ends_with(b"\r\n\r\n") {
        match wire.read(&mut answer[filled..]).await? {
            0 => return Err("the tunnel ended before its answer".into()),
            received => filled += received,
        }
    }
    if answer.starts_with(b"HTTP/1.1 200 ") {
        Ok(wire)
    } else {
        Err(String::from_utf8_lossy(&answer[..filled]).into())
    }
}

/// Open, hear that it is open, close. Direct: open, one round trip, close.
pub(crate) async fn set_ups(job: &Job, count: &Count) -> Outcome<()> {
    let target = stage::origin(origin::ECHO).to_string();
    loop {
        let begun = count.now();
        let mut wire = open(job.through, &target).await?;
        if job.through.is_none() {
            round_trip(&mut wire, &[b'x'; 64]).await?;
        }
        count.done(begun);
        drop(wire);
    }
}

/// A program that is started for one set-up.
pub(crate) const FRESH_ROLE: &str = "__fresh";

/// Set-ups, each by a process of its own, which this thread waits for: one connection only.
pub(crate) async fn fresh(job: &Job, count: &Count) -> Outcome<()> {
    let target = stage::origin(origin::ECHO).to_string();
    let middle = job.through.ok_or("only through the gate")?.to_string();
    loop {
        let begun = count.now();
        let status = std::process::Command::new(std::env::current_exe()?)
            .args([FRESH_ROLE, &middle, &target])
            .status()?;
        if !status.success() {
            return Err(format!("the process ended with {status}").into());
        }
        count.done(begun);
        // The clock of the run is on this thread as well.
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

/// What such a process does.
pub(crate) fn once(middle: &str, target: &str) -> Outcome<()> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(middle)?;
    write!(
        stream,
        "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"
    )?;
    let mut answer = [0; 13];
    stream.read_exact(&mut answer)?;
    if answer == *b"HTTP/1.1 200 " {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&answer).into())
    }
}

/// Round trips of 64 bytes.
pub(crate) async fn ping_pong(job: &Job, count: &Count) -> Outcome<()> {
    let mut wire = open(job.through, &stage::origin(origin::ECHO).to_string()).await?;
    let mut message = [b'a'; 64];
    loop {
        let begun = count.now();
        message[..8].copy_from_slice(&begun.to_ne_bytes());
        round_trip(&mut wire, &message).await?;
        count.done(begun);
    }
}

async fn round_trip(wire: &mut Wire, message: &[u8; 64]) -> Outcome<()> {
    wire.write(message).await?;
    let mut answer = [0; 64];
    let mut filled = 0;
    while filled < answer.len() {
        match wire.read(&mut answer[filled..]).await? {
            0 => return Err("the echo ended".into()),
            received => filled += received,
        }
    }
    if answer == *message {
        Ok(())
    } else {
        Err("the echo is not what was said".into())
    }
}

/// Pulls for the whole time. The first and the last byte of every read are compared with what belongs at their place.
pub(crate) async fn pull(job: &Job, count: &Count) -> Outcome<()> {
    let mut wire = open(job.through, &stage::origin(origin::SOURCE).to_string()).await?;
    wire.write(b"!").await?;
    let mut at = 0u64;
    // Many tunnels share the cache of one core.
    let mut room = vec![0; if job.connections == 1 { 256 } else { 64 } * 1024];
    loop {
        let received = wire.read(&mut room).await?;
        let (Some(first), Some(last)) = (room[..received].first(), room[..received].last()) else {
            return Err("the source ended".into());
        };
        if *first != origin::byte_at(at) || *last != origin::byte_at(at + received as u64 - 1) {
            return Err(format!("other bytes than the source's at {at}").into());
        }
        at += received as u64;
        count.received(received as u64);
    }
}
