//! The answer on its way down.

use std::cell::Cell;

use wire::{
    HeadLimits, Parse, Persistence, RequestHead, ResponseFraming, ResponseHead, ResponseParser,
    Upgrade, Version,
};

use super::{Answered, Binding, Heads};
use crate::deadline::{Alarm, Ends};
use crate::limits::Limits;
use crate::relay::body::{Body, Framing};
use crate::stream::{Fill, In, Out};

/// One answer under way.
pub(super) struct Down<'a> {
    pub(super) upstream: In<'a>,
    pub(super) client: Out<'a>,
    pub(super) alarm: &'a Alarm,
    pub(super) writing: &'a Alarm,
    pub(super) limits: &'a Limits,
    pub(super) head: &'a RequestHead,
    pub(super) heads: Heads,
    /// How far the final answer is.
    pub(super) progress: &'a Cell<Progress>,
}

/// How far the final answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// None of it was sent.
    Awaited,
    /// Some of it was.
    Begun,
    /// Its last bytes are on their way: a client that has them may leave at once.
    Ending,
}

/// How an answer ended.
pub(super) enum Relayed {
    Whole(Answered),
    Upgraded,
}

/// Why there is no whole answer.
pub(super) enum Unanswered {
    /// Ended without a byte.
    Nothing,
    /// Malformed, or ended inside the head.
    Protocol,
    /// Too late.
    Timeout,
    /// Broken off behind the head.
    Cut,
    ClientGone,
}

impl Down<'_> {
    pub(super) async fn run(mut self) -> Result<Relayed, Unanswered> {
        let Some(answer) = self.final_head().await? else {
            return Ok(Relayed::Upgraded);
        };
        let upstream_framing = answer.framing(self.head.method());
        let framing = Framing::like(upstream_framing, self.head.version());
        let client = match (
            framing,
            self.head.persistence(),
            (self.heads.persistence)(&answer),
        ) {
            (Framing::UntilClose, _, _)
            | (_, Persistence::Close, _)
            | (_, _, Persistence::Close) => Persistence::Close,
            (
                Framing::Bodiless | Framing::Length(_) | Framing::Chunked,
                Persistence::KeepAlive,
                Persistence::KeepAlive,
            ) => Persistence::KeepAlive,
        };
        self.progress.set(Progress::Begun);
        let head = (self.heads.answer)(&answer, framing, client);
        let bytes = self.body(head, upstream_framing, framing).await?;
        self.alarm.rest();
        // Bytes beyond the message would become the next one (H1-13).
        let is_clean = self.upstream.input().is_empty();
        let upstream = match (upstream_framing, answer.persistence()) {
            (
                ResponseFraming::None | ResponseFraming::Length(_) | ResponseFraming::Chunked,
                Persistence::KeepAlive,
            ) if is_clean => Persistence::KeepAlive,
            (_, Persistence::KeepAlive | Persistence::Close) => Persistence::Close,
        };
        Ok(Relayed::Whole(Answered {
            status: answer.status(),
            up: 0,
            down: bytes,
            client,
            upstream,
            binding: binding(&answer),
        }))
    }

    /// The head of the final answer; interim ones are relayed. `None` when both sides switched protocol.
    async fn final_head(&mut self) -> Result<Option<ResponseHead>, Unanswered> {
        for turn in 0..self.limits.answer_heads_max {
            let answer = match self.read_head().await {
                Err(Unanswered::Nothing) if turn > 0 => Err(Unanswered::Protocol),
                other => other,
            }?;
            match (answer.status(), self.heads.switching) {
                (101, Some(switching)) if self.head.upgrade() == Some(Upgrade::WebSocket) => {
                    drop(self.send(switching(&answer)).await?);
                    return Ok(None);
                }
                (101, _) => return Err(Unanswered::Protocol),
                (100..200, _) if self.head.version() == Version::Http10 => {}
                (100..200, _) => {
                    let interim =
                        (self.heads.answer)(&answer, Framing::Bodiless, Persistence::KeepAlive);
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
                Ok(Fill::End | Fill::Cut) | Err(_) if self.upstream.input().is_empty() => {
                    return Err(Unanswered::Nothing);
                }
                Ok(Fill::End | Fill::Cut) | Err(_) => return Err(Unanswered::Protocol),
            }
        }
    }

    /// Relays the body behind `head`; its size.
    async fn body(
        &mut self,
        head: Vec<u8>,
        upstream_framing: ResponseFraming,
        framing: Framing,
    ) -> Result<u64, Unanswered> {
        let mut body = Body::of_response(upstream_framing);
        let mut out = head;
        let mut bytes = 0;
        let mut piece = Vec::new();
        loop {
            let passed = framing.pass(&mut body, self.upstream.input(), &mut piece, &mut out);
            let Ok((used, taken)) = passed else {
                return Err(Unanswered::Cut);
            };
            self.upstream.consume(used);
            bytes += taken;
            if let Body::Done(trailers) = &body {
                framing.end(trailers, &mut out);
                self.progress.set(Progress::Ending);
                drop(self.send(out).await?);
                return Ok(bytes);
            }
            out = self.send(out).await?;
            self.alarm
                .arm(self.limits.forward_idle_time, Ends::Connection);
            match self.upstream.fill().await {
                Ok(Fill::Bytes) => {}
                // Over TLS only close_notify is an end: anything else is a cut (H1-13).
                Ok(Fill::End)
                    if upstream_framing == ResponseFraming::UntilClose && !self.alarm.rang() =>
                {
                    framing.end(&[], &mut out);
                    self.progress.set(Progress::Ending);
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
        let sent = self.client.send(out).await;
        self.writing.rest();
        sent.map_err(|_| Unanswered::ClientGone)
    }
}

/// NTLM and Negotiate authenticate a connection: what comes later on it needs no proof of its own.
fn binding(answer: &ResponseHead) -> Binding {
    let bound = answer
        .fields()
        .filter(|field| field.is("www-authenticate"))
        .any(|field| super::names_bound_scheme(field.value));
    if bound { Binding::Bound } else { Binding::Free }
}
