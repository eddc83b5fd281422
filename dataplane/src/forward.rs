//! One plain-HTTP request in absolute form, to a private address (FWD-4 to FWD-10).
//!
//! Every request has its own upstream connection. Request and answer flow at the same time, so an
//! answer that comes early is relayed at once (H1-12) and an interim one reaches a client that waits for
//! it. Heads are written anew; bodies are decoded and framed again, never relayed as read.

mod heads;

use std::cell::Cell;
use std::pin::pin;

use link::record::{Access, Stage, Text};
use policy::{Admitted, Denial};
use wire::{
    Authority, Code, HeadLimits, Parse, Persistence, RequestFraming, RequestHead, ResponseFraming,
    ResponseHead, ResponseParser, Upgrade, Version,
};

use crate::client;
use heads::{write_answer, write_request, write_upgrade};

use crate::clock;
use crate::deadline::{Alarm, Ends, First, race};
use crate::hangup::Hangup;
use crate::io::Writing;
use crate::limits::Limits;
use crate::record::Entry;
use crate::relay::body::{Body, Framing};
use crate::revoke::Path;
use crate::session::{self, Known};
use crate::stream::{Fill, PlainIn, Stream};
use crate::upstream::{UpstreamError, dial};
use crate::worker::{Sandbox, Worker};
use crate::{relay, tunnel};

/// Forwards one admitted request; the client's connection comes back when it may ask again.
pub(crate) async fn run(
    worker: &Worker,
    sandbox: &Sandbox,
    mut client: Stream,
    head: &RequestHead,
    admitted: Admitted,
    known: &Known,
    mut record: Entry<'_, Access>,
) -> Option<Stream> {
    let target = admitted.target().clone();
    record.said().policy = Some(Text::new(admitted.policy_name().as_bytes()));
    let opened = if head.method() == b"TRACE" && head.framing() != RequestFraming::None {
        Err(Denial::code(Code::BadRequest))
    } else {
        record.reached(Stage::Resolve);
        let mut hangup = Hangup::of(&client);
        hangup
            .unless(&mut client, pin!(open(worker, &admitted)))
            .await
            .ok()?
    };
    let exchanged = match opened {
        Ok(mut upstream) => {
            record.reached(Stage::Relay);
            exchange(worker, &mut client, &mut upstream, head, &target)
                .await
                .map(|done| (done, upstream))
        }
        Err(denial) => Err(Failed::Refused(denial)),
    };
    let took = record.age();
    record.said().took = Some(took);
    match exchanged {
        Ok((Done::Answered { up, down, after }, _)) => {
            record.said().bytes_up = Some(up);
            record.said().bytes_down = Some(down);
            match (after, head.persistence()) {
                (Persistence::KeepAlive, Persistence::KeepAlive) => Some(client),
                (Persistence::Close, _) | (_, Persistence::Close) => {
                    client::close_heard(&mut client, &worker.limits).await;
                    None
                }
            }
        }
        Ok((Done::Upgraded, upstream)) => {
            let id = record.id();
            drop(record);
            let (client, early_up) = client.into_raw();
            let (upstream, early_down) = upstream.into_raw();
            let since = clock::now();
            let tunnel = known.tunnel(target, Path::Forward);
            let moved = relay::run(
                worker,
                sandbox,
                &tunnel,
                (client, early_up),
                (upstream, early_down),
            )
            .await;
            tunnel::record_closed(id, worker, sandbox, &tunnel.target, known, moved, since);
            None
        }
        Err(Failed::Refused(denial)) => {
            session::deny(worker, &mut client, head, &target, &denial, &mut record).await;
            None
        }
        Err(Failed::Cut) => {
            record.said().code = Some(Code::UpstreamProtocolError.as_str());
            client.socket.abort();
            None
        }
        Err(Failed::ClientGone) => None,
    }
}

/// The preconditions of the forward path, then the connection.
async fn open(worker: &Worker, admitted: &Admitted) -> Result<Stream, Denial> {
    if !admitted.has_allowed_ips() {
        return Err(Denial::code(Code::ForwardRequiresAllowedIps));
    }
    let until = dial::until(clock::now(), worker.limits.dial_time);
    let answer = dial::resolve(worker, &admitted.target().host, until)
        .await
        .map_err(UpstreamError::into_denial)?;
    let verified = policy::verify_at(&worker.site(), admitted, &answer)?;
    policy::require_private(admitted, &verified)?;
    let socket = dial::dial(worker, verified, until)
        .await
        .map_err(UpstreamError::into_denial)?;
    Ok(Stream::plain(socket, &worker.buffers))
}

/// An exchange that ended as it should.
enum Done {
    /// The final answer was relayed whole; `after` says whether the client's connection may go on.
    Answered {
        up: u64,
        down: u64,
        after: Persistence,
    },
    /// Both sides switched to another protocol.
    Upgraded,
}

/// An exchange that did not.
enum Failed {
    /// Nothing of an answer was sent yet.
    Refused(Denial),
    /// The answer had begun.
    Cut,
    /// Nobody is there to be told.
    ClientGone,
}

/// Runs both directions of one exchange.
async fn exchange(
    worker: &Worker,
    client: &mut Stream,
    upstream: &mut Stream,
    head: &RequestHead,
    target: &Authority,
) -> Result<Done, Failed> {
    let refused = |code| Failed::Refused(Denial::code(code));
    let request = write_request(head, target).map_err(|_| refused(Code::BadRequest))?;
    let answering = Cell::new(false);
    let writing = client.socket.writing_alarm(&worker.deadlines);
    let (client_alarm, client_in, client_out) = client.split_plain();
    let (upstream_alarm, upstream_in, upstream_out) = upstream.split_plain();
    let mut up = std::pin::pin!(
        Up {
            client: client_in,
            upstream: upstream_out,
            client_alarm,
            upstream_alarm,
            limits: &worker.limits
        }
        .run(request, head.framing())
    );
    let mut down = std::pin::pin!(
        Down {
            upstream: upstream_in,
            client: client_out,
            alarm: upstream_alarm,
            writing: &writing,
            limits: &worker.limits,
            head,
            answering: &answering,
        }
        .run()
    );
    let (sent, answered) = match race(up.as_mut(), down.as_mut()).await {
        First::Right(answered) => (None, answered),
        First::Left(Ok(sent)) => (Some(sent), down.await),
        // An upstream that takes no more may have answered already.
        First::Left(Err(Unsent::UpstreamGone)) => (None, down.await),
        First::Left(Err(Unsent::ClientGone)) => return Err(Failed::ClientGone),
        First::Left(Err(Unsent::Bad(_))) if answering.get() => return Err(Failed::Cut),
        First::Left(Err(Unsent::Bad(code))) => return Err(refused(code)),
    };
    match answered {
        Ok(Answered::Upgraded) => Ok(Done::Upgraded),
        Ok(Answered::Whole { bytes, framing }) => {
            let after = match (sent, framing) {
                (None, _) | (_, Framing::UntilClose) => Persistence::Close,
                (Some(_), Framing::Bodiless | Framing::Length(_) | Framing::Chunked) => {
                    Persistence::KeepAlive
                }
            };
            Ok(Done::Answered {
                up: sent.unwrap_or(0),
                down: bytes,
                after,
            })
        }
        Err(Unanswered::Protocol) => Err(refused(Code::UpstreamProtocolError)),
        Err(Unanswered::Timeout) => Err(refused(Code::ResponseTimeout)),
        Err(Unanswered::Cut) => Err(Failed::Cut),
        Err(Unanswered::ClientGone) => Err(Failed::ClientGone),
    }
}

/// The request on its way up.
struct Up<'a> {
    client: PlainIn<'a>,
    upstream: &'a mut Writing,
    client_alarm: &'a Alarm,
    upstream_alarm: &'a Alarm,
    limits: &'a Limits,
}

/// Why a request did not go up whole.
enum Unsent {
    /// The client's framing broke, or it was silent for too long.
    Bad(Code),
    ClientGone,
    UpstreamGone,
}

impl Up<'_> {
    /// Sends the head and streams the body; the size of the body.
    async fn run(mut self, head: Vec<u8>, framing: RequestFraming) -> Result<u64, Unsent> {
        let mut body = Body::of_request(framing);
        let framing = match framing {
            RequestFraming::None => Framing::Bodiless,
            RequestFraming::Length(length) => Framing::Length(length),
            RequestFraming::Chunked => Framing::Chunked,
        };
        let mut out = head;
        let mut bytes = 0u64;
        let mut piece = Vec::new();
        loop {
            piece.clear();
            let used = body
                .take(self.client.input(), |part| piece.extend_from_slice(part))
                .map_err(|_| Unsent::Bad(Code::BadRequest))?;
            self.client.consume(used);
            bytes += piece.len() as u64;
            framing.frame(&piece, &mut out);
            if body.is_done() {
                framing.end(&[], &mut out);
            }
            if !out.is_empty() {
                self.upstream_alarm
                    .arm(self.limits.forward_header_time, Ends::Connection);
                let (sent, buffer) = self.upstream.send_all(out).await;
                sent.map_err(|_| Unsent::UpstreamGone)?;
                out = buffer;
                out.clear();
            }
            if body.is_done() {
                self.client_alarm.rest();
                return Ok(bytes);
            }
            self.client_alarm
                .arm(self.limits.body_idle_time, Ends::Reading);
            match self.client.fill().await {
                Ok(Fill::Bytes) => {}
                _ if self.client_alarm.rang() => return Err(Unsent::Bad(Code::RequestTimeout)),
                Ok(Fill::End | Fill::Cut) | Err(_) => return Err(Unsent::ClientGone),
            }
        }
    }
}

/// The answer on its way down.
struct Down<'a> {
    upstream: PlainIn<'a>,
    client: &'a mut Writing,
    alarm: &'a Alarm,
    writing: &'a Alarm,
    limits: &'a Limits,
    head: &'a RequestHead,
    /// Set when the first byte of the final answer is sent.
    answering: &'a Cell<bool>,
}

/// How an answer ended.
enum Answered {
    Whole { bytes: u64, framing: Framing },
    Upgraded,
}

/// Why there is no whole answer.
enum Unanswered {
    /// Malformed or ended before the head.
    Protocol,
    /// Too late.
    Timeout,
    /// Broken off behind the head.
    Cut,
    ClientGone,
}

impl Down<'_> {
    async fn run(mut self) -> Result<Answered, Unanswered> {
        let answer = match self.final_head().await? {
            Some(answer) => answer,
            None => return Ok(Answered::Upgraded),
        };
        let upstream_framing = answer.framing(self.head.method());
        let framing = Framing::like(upstream_framing, self.head.version());
        let persistence = match framing {
            Framing::UntilClose => Persistence::Close,
            Framing::Bodiless | Framing::Length(_) | Framing::Chunked => self.head.persistence(),
        };
        self.answering.set(true);
        let out = write_answer(&answer, framing, persistence);
        let bytes = self
            .body(
                out,
                Body::of_response(upstream_framing),
                upstream_framing,
                framing,
            )
            .await?;
        Ok(Answered::Whole { bytes, framing })
    }

    /// The head of the final answer; interim ones are relayed. `None` when both sides switched protocol.
    async fn final_head(&mut self) -> Result<Option<ResponseHead>, Unanswered> {
        for _ in 0..self.limits.answer_heads_max {
            let answer = self.read_head().await?;
            match answer.status() {
                101 if self.head.upgrade() == Some(Upgrade::WebSocket) => {
                    drop(self.send(write_upgrade(&answer)).await?);
                    return Ok(None);
                }
                101 => return Err(Unanswered::Protocol),
                100..200 if self.head.version() == Version::Http10 => {}
                100..200 => {
                    let interim = write_answer(&answer, Framing::Bodiless, Persistence::KeepAlive);
                    drop(self.send(interim).await?);
                }
                _ => return Ok(Some(answer)),
            }
        }
        Err(Unanswered::Protocol)
    }

    async fn read_head(&mut self) -> Result<ResponseHead, Unanswered> {
        let mut parser = ResponseParser::new(HeadLimits::upstream());
        loop {
            if !self.upstream.input().is_empty() {
                match parser.advance(self.upstream.input()) {
                    Parse::Done(answer, used) => {
                        self.upstream.consume(used);
                        return Ok(answer);
                    }
                    Parse::Bad(_) => return Err(Unanswered::Protocol),
                    Parse::More => {}
                }
            }
            match self.upstream.fill().await {
                Ok(Fill::Bytes) => {}
                _ if self.alarm.rang() => return Err(Unanswered::Timeout),
                Ok(Fill::End | Fill::Cut) | Err(_) => return Err(Unanswered::Protocol),
            }
        }
    }

    async fn body(
        &mut self,
        head: Vec<u8>,
        mut body: Body,
        upstream_framing: ResponseFraming,
        framing: Framing,
    ) -> Result<u64, Unanswered> {
        let mut out = head;
        let mut bytes = 0u64;
        let mut piece = Vec::new();
        loop {
            piece.clear();
            let used = body
                .take(self.upstream.input(), |part| piece.extend_from_slice(part))
                .map_err(|_| Unanswered::Cut)?;
            self.upstream.consume(used);
            bytes += piece.len() as u64;
            framing.frame(&piece, &mut out);
            if let Body::Done(trailers) = &body {
                framing.end(trailers, &mut out);
                drop(self.send(out).await?);
                return Ok(bytes);
            }
            out = self.send(out).await?;
            self.alarm
                .arm(self.limits.forward_idle_time, Ends::Connection);
            match self.upstream.fill().await {
                Ok(Fill::Bytes) => {}
                Ok(Fill::End)
                    if upstream_framing == ResponseFraming::UntilClose && !self.alarm.rang() =>
                {
                    framing.end(&[], &mut out);
                    drop(self.send(out).await?);
                    return Ok(bytes);
                }
                Ok(Fill::End | Fill::Cut) | Err(_) => return Err(Unanswered::Cut),
            }
        }
    }

    async fn send(&mut self, out: Vec<u8>) -> Result<Vec<u8>, Unanswered> {
        if out.is_empty() {
            return Ok(out);
        }
        // A reader that takes nothing for the idle time is gone for all that matters.
        self.writing
            .arm(self.limits.forward_idle_time, Ends::Connection);
        let (sent, mut buffer) = self.client.send_all(out).await;
        self.writing.rest();
        sent.map_err(|_| Unanswered::ClientGone)?;
        buffer.clear();
        Ok(buffer)
    }
}
