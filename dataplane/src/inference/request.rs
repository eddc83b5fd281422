//! The request toward the backend: allow-listed fields, the route's credential, the pinned model.

use std::sync::Arc;
use std::time::Duration;

use policy::Route;
use policy::route::{AuthStyle, Scheme};
use wire::{
    AfterRefusal, Code, HeadLimits, HeadWriter, Parse, Refusal, RequestHead, ResponseHead,
    ResponseParser, WriteError,
};

use super::body::{Body, Pin};
use super::call::Stop;
use super::recognise::Recognised;
use crate::clock;
use crate::deadline::Ends;
use crate::hangup::Hangup;
use crate::limits::Limits;
use crate::stream::{Fill, Stream};
use crate::upstream::pool::ByRoute;
use crate::upstream::{UpstreamError, dial, tls};
use crate::worker::Worker;

/// A backend that began to answer.
pub(super) struct Answering {
    pub(super) upstream: Stream,
    pub(super) head: ResponseHead,
    /// How much of the request went out before.
    pub(super) sent: Sent,
}

/// How much of a request an upstream was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// All of it: the connection may carry another one.
    Whole,
    /// It answered first, and still takes what comes for the rest of the body (SECURITY 13).
    Part,
}

/// Why the backend gave no answer (INF-20).
#[derive(Debug)]
enum Failure {
    Upstream(UpstreamError),
    /// Reset, early end or malformed bytes before the head.
    Protocol,
    /// The header deadline passed.
    Timeout,
    /// The credential or a header cannot be written.
    Unwritable,
}

impl Failure {
    fn code(&self) -> Code {
        match self {
            Failure::Upstream(UpstreamError::Unreachable) => Code::UpstreamUnavailable,
            Failure::Upstream(UpstreamError::Address(_)) | Failure::Unwritable => Code::RouteBroken,
            Failure::Upstream(error) => error.code(),
            Failure::Protocol => Code::UpstreamProtocolError,
            Failure::Timeout => Code::ResponseTimeout,
        }
    }
}

/// Sends the request and waits for the head of the final answer. Interim answers are relayed.
///
/// # Errors
/// A refusal with the code of INF-20, or the client left.
pub(super) async fn send(
    worker: &Worker,
    client: &mut Stream,
    hangup: &mut Hangup,
    route: &Arc<Route>,
    head: &RequestHead,
    found: &Recognised,
    body: &Body<'_>,
) -> Result<Answering, Stop> {
    let refuse = |failure: Failure| {
        Stop::Refused(
            Box::new(Refusal::new(failure.code())),
            AfterRefusal::KeepOpen,
        )
    };
    let pin = body.pin(&route.model);
    let length = pin.as_ref().map(|pin| body.pinned_len(pin));
    let bytes = write_head(route, head, found, length).map_err(|_| refuse(Failure::Unwritable))?;
    let mut pooled = worker.pool.take(&ByRoute(Arc::clone(route)));
    loop {
        let reused = pooled.is_some();
        let sent = hangup
            .unless(
                client,
                std::pin::pin!(transmit(
                    worker,
                    route,
                    pooled.take(),
                    &bytes,
                    body,
                    pin.as_ref()
                )),
            )
            .await;
        let mut result = sent.map_err(|_| Stop::Gone)?;
        if let Ok((upstream, _)) = &mut result {
            match final_head(
                client,
                hangup,
                upstream,
                head,
                route.deadlines.idle,
                &worker.limits,
            )
            .await?
            {
                Ok(answer) => {
                    return result
                        .map(|(upstream, sent)| Answering {
                            upstream,
                            head: answer,
                            sent,
                        })
                        .map_err(refuse);
                }
                Err(failure) => result = Err(failure),
            }
        }
        match result {
            // Only a connection that was idle may have been closed unseen, and only a GET may be sent
            // again: a call that is repeated is paid twice (TR-098).
            Err(Failure::Protocol) if reused && head.method() == b"GET" => {}
            Err(failure) => return Err(refuse(failure)),
            Ok(_) => return Err(refuse(Failure::Protocol)),
        }
    }
}

/// Connects unless there is a pooled connection, and sends head and body.
async fn transmit(
    worker: &Worker,
    route: &Arc<Route>,
    pooled: Option<Stream>,
    head: &[u8],
    body: &Body<'_>,
    pin: Option<&Pin>,
) -> Result<(Stream, Sent), Failure> {
    let mut upstream = match pooled {
        Some(upstream) => upstream,
        None => connect(worker, route).await.map_err(Failure::Upstream)?,
    };
    upstream
        .socket
        .alarm
        .arm(route.deadlines.header, Ends::Connection);
    let mut waiting = 0;
    let pieces = std::iter::once(head)
        .chain(pin.into_iter().flat_map(|pin| body.pinned(pin)))
        .flat_map(|piece| piece.chunks(WRITE_MAX));
    for piece in pieces {
        upstream.put(piece).map_err(|_| Failure::Protocol)?;
        waiting += piece.len();
        if waiting >= WRITE_MAX {
            waiting = 0;
            match upstream.flush_listening(is_early_answer).await {
                Ok(None) => {}
                // An early answer: what is left of the body is not wanted any more (H1-12).
                Ok(Some(Fill::Bytes)) => return Ok((upstream, Sent::Part)),
                Ok(Some(Fill::End | Fill::Cut)) | Err(_) => return Err(failed(&upstream)),
            }
        }
    }
    // A small request fits the socket's buffer: nothing can be missed while it is sent.
    let rest = match body.len() > WRITE_MAX as u64 {
        true => upstream.flush_listening(is_early_answer).await,
        false => upstream.flush().await.map(|()| None),
    };
    match rest {
        Ok(None) => Ok((upstream, Sent::Whole)),
        Ok(Some(Fill::Bytes)) => Ok((upstream, Sent::Part)),
        Ok(Some(Fill::End | Fill::Cut)) | Err(_) => Err(failed(&upstream)),
    }
}

/// Whether these bytes, which came before the request was sent whole, are its answer: then the rest is not wanted.
/// Interim answers are none, and an upstream that says `100` of its own accord waits for that rest.
fn is_early_answer(input: &[u8]) -> bool {
    let limits = HeadLimits::upstream();
    let mut parser = ResponseParser::new(limits);
    let mut rest = input;
    loop {
        match parser.advance(rest) {
            Parse::Done(head, used) if head.is_interim() => rest = rest.get(used..).unwrap_or(&[]),
            Parse::Done(..) | Parse::Bad(_) => return true,
            Parse::More => return input.len() > limits.head_bytes_max,
        }
    }
}

/// Reads heads until the final one; the outer error is the client's leaving.
async fn final_head(
    client: &mut Stream,
    hangup: &mut Hangup,
    upstream: &mut Stream,
    request: &RequestHead,
    idle: Duration,
    limits: &Limits,
) -> Result<Result<ResponseHead, Failure>, Stop> {
    for _ in 0..limits.answer_heads_max {
        let head = match hangup
            .unless(client, std::pin::pin!(next_head(upstream)))
            .await
            .map_err(|_| Stop::Gone)?
        {
            Ok(head) => head,
            Err(failure) => return Ok(Err(failure)),
        };
        match head.status() {
            101 => return Ok(Err(Failure::Protocol)),
            // We waited with nothing, so nobody waits for this one.
            100 => {}
            102..200 => {
                if request.version() == wire::Version::Http11 {
                    relay_interim(client, &head, idle).await?;
                }
            }
            _ => return Ok(Ok(head)),
        }
    }
    Ok(Err(Failure::Protocol))
}

async fn next_head(upstream: &mut Stream) -> Result<ResponseHead, Failure> {
    let mut parser = ResponseParser::new(HeadLimits::upstream());
    loop {
        if !upstream.input().is_empty() {
            match parser.advance(upstream.input()) {
                Parse::Done(head, used) => {
                    upstream.consume(used);
                    return Ok(head);
                }
                Parse::Bad(_) => return Err(Failure::Protocol),
                Parse::More => {}
            }
        }
        match upstream.fill().await {
            Ok(Fill::Bytes) => {}
            Ok(Fill::End | Fill::Cut) | Err(_) => return Err(failed(upstream)),
        }
    }
}

async fn relay_interim(
    client: &mut Stream,
    head: &ResponseHead,
    idle: Duration,
) -> Result<(), Stop> {
    client.put(&write_interim(head)).map_err(|_| Stop::Gone)?;
    client.socket.alarm.arm(idle, Ends::Connection);
    let sent = client.flush().await;
    client.socket.alarm.rest();
    sent.map_err(|_| Stop::Gone)
}

/// An interim answer has no body, whatever it says of one (RFC 9110 §8.6).
fn write_interim(head: &ResponseHead) -> Vec<u8> {
    let mut writer = HeadWriter::response(head.status(), head.reason());
    for field in head
        .fields()
        .filter(|field| !field.is("content-length") && !head.is_hop_by_hop(field.name))
    {
        // Fields were valid when they were read; one that cannot be written is left out.
        _ = writer.field(field.name, field.value);
    }
    writer.finish()
}

fn failed(upstream: &Stream) -> Failure {
    if upstream.socket.alarm.rang() {
        Failure::Timeout
    } else {
        Failure::Protocol
    }
}

/// Resolves, verifies and dials the route's backend (RTE-8), then TLS where the base URL says so.
async fn connect(worker: &Worker, route: &Route) -> Result<Stream, UpstreamError> {
    let until = dial::until(clock::now(), route.deadlines.connect);
    let authority = &route.base.authority;
    let answer = dial::resolve(worker, &authority.host, until).await?;
    let verified = policy::verify_backend_at(&worker.site(), route, &answer)
        .map_err(UpstreamError::Address)?;
    let socket = dial::dial(worker, verified, until).await?;
    match route.base.scheme {
        Scheme::Https => {
            let stream = Stream::plain(socket, &worker.buffers);
            tls::secure(worker, &worker.client_config, stream, &authority.host).await
        }
        Scheme::Http | Scheme::Mock => Ok(Stream::plain(socket, &worker.buffers)),
    }
}

/// INF-9, INF-10: an allow-list, then what the route adds; the credential comes last (TR-081).
fn write_head(
    route: &Route,
    head: &RequestHead,
    found: &Recognised,
    length: Option<u64>,
) -> Result<Vec<u8>, WriteError> {
    let target = route.upstream_target(&found.path, found.query.as_deref());
    let mut writer = HeadWriter::request(head.method(), &[&target])?;
    writer.field(b"Host", route.base.host_field().as_bytes())?;
    let mut has_type = false;
    for field in head
        .fields()
        .filter(|field| is_allowed(field.name) && !head.is_hop_by_hop(field.name))
    {
        has_type |= field.is("content-type");
        writer.field(field.name, field.value)?;
    }
    for (name, value) in &route.default_headers {
        let (name, value) = (name.as_str(), value.as_str());
        let travels = is_allowed(name.as_bytes()) && !head.is_hop_by_hop(name.as_bytes());
        if head.field(name).is_none() || !travels {
            writer.field(name.as_bytes(), value.as_bytes())?;
        }
    }
    if let Some(length) = length {
        if !has_type {
            writer.own_field("Content-Type", "application/json");
        }
        writer.number_field("Content-Length", length);
    }
    let (name, prefix): (&str, &[u8]) = match &route.auth {
        AuthStyle::Bearer => ("Authorization", b"Bearer "),
        AuthStyle::Header(name) => (name.as_str(), b""),
    };
    route
        .credential
        .expose_to(&mut writer, name.as_bytes(), prefix)?;
    Ok(writer.finish())
}

/// Request fields that may travel (INF-9).
fn is_allowed(name: &[u8]) -> bool {
    let starts = |prefix: &str| {
        name.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    ALLOWED
        .iter()
        .any(|allowed| name.eq_ignore_ascii_case(allowed.as_bytes()))
        || starts("openai-")
        || starts("x-stainless-")
}

const ALLOWED: [&str; 10] = [
    "content-type",
    "accept",
    "accept-encoding",
    "user-agent",
    "anthropic-version",
    "anthropic-beta",
    "idempotency-key",
    "traceparent",
    "tracestate",
    "x-request-id",
];

/// What is encrypted and written in one step.
const WRITE_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// H1-11, H1-12: only a final answer ends the sending of a request.
    #[test]
    fn an_interim_answer_does_not_end_the_request() {
        let interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\nLink: </a>\r\n\r\n";
        let last = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n";
        let both = [&interim[..], last].concat();
        for end in 0..both.len() {
            assert!(!is_early_answer(&both[..end]), "{end} bytes");
        }
        assert!(is_early_answer(&both));
        assert!(is_early_answer(b"nonsense"));
        assert!(is_early_answer(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"));
        assert!(is_early_answer(&interim.repeat(2_000)));
    }

    /// H1-11: a length in an interim answer would cut the final one.
    #[test]
    fn an_interim_answer_announces_no_body() {
        let text = b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\nLink: </a>\r\n\r\n";
        let Parse::Done(head, _) = ResponseParser::new(HeadLimits::upstream()).advance(text) else {
            panic!("a whole head");
        };
        assert_eq!(
            write_interim(&head),
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        );
    }
}
