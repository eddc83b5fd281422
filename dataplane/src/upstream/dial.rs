//! Verified addresses → one connection, within the time that is left (DST-9).
//!
//! Families alternate; the next attempt starts when the one before failed or after the stagger. A
//! dropped attempt is safe to drop: its socket belongs to the kernel operation and closes with it.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use monoio::net::TcpStream;
use policy::VerifiedAddr;

use super::UpstreamError;
use crate::clock;
use crate::deadline::{First, race};
use crate::io::Socket;
use crate::worker::Worker;

/// Connects to the first of `addresses` that answers.
///
/// # Errors
/// `Unreachable` when all refuse, `ConnectTimeout` when `until` passes first.
pub(crate) async fn dial(
    worker: &Worker,
    addresses: Vec<VerifiedAddr>,
    until: Instant,
) -> Result<Socket, UpstreamError> {
    let mut waiting = alternate(addresses).into_iter();
    let mut attempts: Vec<Attempt> = Vec::new();
    loop {
        if let Some(address) = waiting.next() {
            attempts.push(Box::pin(TcpStream::connect_addr(address.socket_addr())));
        }
        if attempts.is_empty() {
            return Err(UpstreamError::Unreachable);
        }
        let left = until.saturating_duration_since(clock::now());
        let patience = if waiting.len() > 0 {
            left.min(worker.limits.dial_stagger)
        } else {
            left
        };
        match race(
            pin!(first_done(&mut attempts)),
            pin!(monoio::time::sleep(patience)),
        )
        .await
        {
            First::Left(Ok(stream)) => {
                return Socket::adopt(stream, &worker.deadlines)
                    .map_err(|_| UpstreamError::Unreachable);
            }
            First::Left(Err(_)) => {}
            First::Right(()) if patience == left => return Err(UpstreamError::ConnectTimeout),
            First::Right(()) => {}
        }
    }
}

type Attempt = Pin<Box<dyn Future<Output = io::Result<TcpStream>>>>;

/// The first attempt that ended, taken out of the list.
async fn first_done(attempts: &mut Vec<Attempt>) -> io::Result<TcpStream> {
    poll_fn(|context| {
        for index in 0..attempts.len() {
            if let Poll::Ready(result) = attempts[index].as_mut().poll(context) {
                drop(attempts.swap_remove(index));
                return Poll::Ready(result);
            }
        }
        Poll::Pending
    })
    .await
}

/// IPv6 and IPv4 in turn, each family in the order of the answer (RFC 8305 §4).
fn alternate(addresses: Vec<VerifiedAddr>) -> Vec<VerifiedAddr> {
    let count = addresses.len();
    let (six, four): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.socket_addr().is_ipv6());
    let (mut six, mut four) = (six.into_iter(), four.into_iter());
    let mut ordered = Vec::with_capacity(count);
    while ordered.len() < count {
        ordered.extend(six.next());
        ordered.extend(four.next());
    }
    ordered
}

/// What is left of the dial time.
pub(crate) fn until(start: Instant, time: Duration) -> Instant {
    start.checked_add(time).unwrap_or(start)
}

/// The addresses of `host`: literals at once, names from the link, within what is left of the dial time.
/// Special names never come here: policy admits none (DST-11).
///
/// # Errors
/// `Dns` or `DnsTimeout` when there is no answer.
pub(crate) async fn resolve(
    worker: &Worker,
    host: &wire::Host,
    until: Instant,
) -> Result<Vec<std::net::IpAddr>, UpstreamError> {
    if let Some(address) = host.literal() {
        return Ok(vec![address]);
    }
    let left = until.saturating_duration_since(clock::now());
    match crate::deadline::within(left, pin!(worker.resolver.resolve(host))).await {
        Some(Ok(addresses)) => Ok(addresses.to_vec()),
        Some(Err(link::ResolveError::Timeout)) | None => Err(UpstreamError::DnsTimeout),
        Some(Err(_)) => Err(UpstreamError::Dns),
    }
}
