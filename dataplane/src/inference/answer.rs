//! A backend's answer toward the client, as it comes (INF-16 to INF-18, INF-21, INF-28).
//!
//! Every read is written before the next one is made: nothing is buffered, a slow reader pauses the
//! upstream, and a stream that breaks never ends cleanly.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use link::record::End;
use policy::{Protocol, Route, Secret};
use wire::sse::EventScanner;
use wire::{HeadWriter, Persistence, ResponseFraming, ResponseHead, Version};

use super::cut;
use super::meter::{Meter, Usage};
use super::request::{Answering, Sent};
use super::{After, Ending};
use crate::clock;
use crate::deadline::Ends;
use crate::hangup::Hangup;
use crate::relay::body::{Body, Framing};
use crate::stream::{Fill, Stream};
use crate::upstream::pool::ByRoute;
use crate::worker::Worker;

/// What the answer must look like for this client.
pub(super) struct Plan<'a> {
    pub(super) protocol: Protocol,
    pub(super) version: Version,
    pub(super) persistence: Persistence,
    /// The model that was sent, where it is not what was asked for.
    pub(super) reveal: Option<&'a str>,
}

/// What became of an answer.
pub(super) struct Outcome {
    pub(super) status: u16,
    pub(super) is_stream: bool,
    pub(super) first_byte: Option<Duration>,
    pub(super) bytes: u64,
    pub(super) usage: Usage,
    pub(super) end: End,
    pub(super) after: After,
}

/// Relays the answer to its end, whichever it is.
pub(super) async fn relay(
    worker: &Worker,
    client: &mut Stream,
    hangup: &mut Hangup,
    route: &Arc<Route>,
    answering: Answering,
    plan: &Plan<'_>,
    begun: Instant,
) -> Outcome {
    let Answering {
        mut upstream,
        head,
        sent,
    } = answering;
    let upstream_framing = head.framing(b"POST");
    let framing = framing_for(&head, upstream_framing, plan.version);
    let mut run = Run {
        route,
        plan,
        framing,
        out: write_head(&head, framing, plan, &route.credential),
        mask: (is_masked(&head) && !head.is_content_coded()).then(Held::default),
        events: is_plain_stream(&head).then(EventScanner::new),
        meter: (!head.is_content_coded()).then(Meter::default),
        told_whole: false,
        bytes: 0,
        first_byte: None,
        begun,
    };
    let mut body = Body::of_response(upstream_framing);
    let end = run.pump(client, hangup, &mut upstream, &mut body).await;
    let reusable = end == End::Complete
        && sent == Sent::Whole
        && upstream_framing != ResponseFraming::UntilClose
        && head.persistence() == Persistence::KeepAlive;
    if reusable {
        // A route that was replaced meanwhile has no next request, and its credential is not to be held (PRV-8).
        if worker.snapshot().uses(route) {
            worker.pool.give(&ByRoute(Arc::clone(route)), upstream);
        }
    }
    let after = match end {
        End::Complete if framing == Framing::UntilClose => After::Close,
        End::Complete => After::Keep,
        End::Cut if framing == Framing::UntilClose => After::Cut(Ending::Reset),
        End::Cut => After::Cut(Ending::Missing),
        End::ClientGone => After::Gone,
    };
    Outcome {
        status: head.status(),
        is_stream: head.is_event_stream(),
        first_byte: run.first_byte,
        bytes: run.bytes,
        usage: run.meter.as_ref().map(Meter::usage).unwrap_or_default(),
        end: match end {
            End::ClientGone if run.told_whole => End::Complete,
            End::ClientGone | End::Complete | End::Cut => end,
        },
        after,
    }
}

/// One answer under way.
struct Run<'a> {
    route: &'a Route,
    plan: &'a Plan<'a>,
    framing: Framing,
    /// Plain bytes for the client, framed: a head and its first event leave together.
    out: Vec<u8>,
    /// Body bytes held back until they are searched for the credential; only for 401 and 403.
    mask: Option<Held>,
    /// Only for event streams without content coding.
    events: Option<EventScanner>,
    meter: Option<Meter>,
    /// The client has a stream's last event: all but the end of the message around it.
    told_whole: bool,
    bytes: u64,
    first_byte: Option<Duration>,
    begun: Instant,
}

impl Run<'_> {
    async fn pump(
        &mut self,
        client: &mut Stream,
        hangup: &mut Hangup,
        upstream: &mut Stream,
        body: &mut Body,
    ) -> End {
        let total_ends = self
            .route
            .deadlines
            .total
            .and_then(|total| self.begun.checked_add(total));
        let mut piece = Vec::new();
        loop {
            piece.clear();
            let taken = body.take(upstream.input(), |bytes| piece.extend_from_slice(bytes));
            let Ok(used) = taken else {
                // What came before the fault was sent in good faith.
                self.pass(&mut piece, false);
                return self.cut(client).await;
            };
            upstream.consume(used);
            self.pass(&mut piece, body.is_done());
            if let Body::Done(trailers) = body {
                if self.mask.is_some() {
                    self.route.credential.masks(trailers);
                }
                self.framing.end(trailers, &mut self.out);
                return if self.flush(client).await {
                    End::Complete
                } else {
                    End::ClientGone
                };
            }
            if !self.flush(client).await {
                return End::ClientGone;
            }
            let idle = self.route.deadlines.idle;
            let left = total_ends.map_or(idle, |ends| {
                idle.min(ends.saturating_duration_since(clock::now()))
            });
            upstream.socket.alarm.arm(left, Ends::Connection);
            let filled = hangup.unless(client, pin!(upstream.fill())).await;
            match filled {
                Err(_) => return End::ClientGone,
                Ok(Ok(Fill::Bytes)) => {}
                // An end of our own making is no end of the message.
                Ok(Ok(Fill::End))
                    if matches!(body, Body::UntilClose) && !upstream.socket.alarm.rang() =>
                {
                    self.pass(&mut Vec::new(), true);
                    self.framing.end(&[], &mut self.out);
                    return if self.flush(client).await {
                        End::Complete
                    } else {
                        End::ClientGone
                    };
                }
                Ok(Ok(Fill::End | Fill::Cut) | Err(_)) => return self.cut(client).await,
            }
        }
    }

    /// Frames the bytes of one read.
    fn pass(&mut self, piece: &mut Vec<u8>, last: bool) {
        if let Some(meter) = &mut self.meter {
            meter.push(piece);
        }
        if let Some(held) = &mut self.mask {
            held.pass(piece, last, &self.route.credential);
        }
        if piece.is_empty() {
            return;
        }
        self.first_byte
            .get_or_insert_with(|| clock::now().saturating_duration_since(self.begun));
        self.bytes += piece.len() as u64;
        if let Some(events) = &mut self.events {
            events.push(piece);
        }
        self.framing.frame(piece, &mut self.out);
    }

    /// Sends what is framed; `false` when the client left.
    async fn flush(&mut self, client: &mut Stream) -> bool {
        if self.out.is_empty() {
            return true;
        }
        let put = client.put(&self.out);
        self.out.clear();
        // A reader that takes nothing for the idle time is gone for all that matters.
        client
            .socket
            .alarm
            .arm(self.route.deadlines.idle, Ends::Connection);
        let sent = put.is_ok() && client.flush().await.is_ok();
        client.socket.alarm.rest();
        let meter = self.meter.as_ref().filter(|_| self.events.is_some());
        self.told_whole |= sent && meter.is_some_and(Meter::has_last_event);
        sent
    }

    /// Ends a broken stream visibly: an error event where there is a plain event stream.
    async fn cut(&mut self, client: &mut Stream) -> End {
        if let Some(events) = &self.events {
            let mut event = events.closing().to_vec();
            event.extend_from_slice(cut::error_event(self.plan.protocol));
            self.framing.frame(&event, &mut self.out);
        }
        let sent = client.put(&self.out).is_ok() && client.flush().await.is_ok();
        if sent { End::Cut } else { End::ClientGone }
    }
}

/// Body bytes held back, as they came and as they will be shown: a run of the credential is found whatever reads it
/// came in, and what was found once stays hidden.
#[derive(Default)]
struct Held {
    raw: Vec<u8>,
    shown: Vec<u8>,
}

impl Held {
    /// Takes a piece in and gives back, in its place, what cannot become part of a run any more.
    fn pass(&mut self, piece: &mut Vec<u8>, last: bool, credential: &Secret) {
        self.raw.extend_from_slice(piece);
        self.shown.append(piece);
        let mut masked = self.raw.clone();
        credential.masks(&mut masked);
        for (shown, (masked, raw)) in self.shown.iter_mut().zip(masked.iter().zip(&self.raw)) {
            if masked != raw {
                *shown = *masked;
            }
        }
        let keep = if last {
            0
        } else {
            self.raw.len().min(MASK_HELD_MAX)
        };
        let go = self.raw.len() - keep;
        self.raw.drain(..go);
        piece.extend(self.shown.drain(..go));
    }
}

/// An event stream that may carry an event of ours.
fn is_plain_stream(head: &ResponseHead) -> bool {
    head.is_event_stream() && !head.is_content_coded()
}

/// INF-17: an event stream that may carry an event of ours is chunked even where its length is known.
fn framing_for(head: &ResponseHead, upstream: ResponseFraming, version: Version) -> Framing {
    match upstream {
        ResponseFraming::Length(_) if is_plain_stream(head) => Framing::unknown(version),
        ResponseFraming::None
        | ResponseFraming::Length(_)
        | ResponseFraming::Chunked
        | ResponseFraming::UntilClose => Framing::like(upstream, version),
    }
}

/// INF-28: the answers in which a backend may quote the credential.
fn is_masked(head: &ResponseHead) -> bool {
    matches!(head.status(), 401 | 403)
}

fn write_head(
    head: &ResponseHead,
    framing: Framing,
    plan: &Plan<'_>,
    credential: &Secret,
) -> Vec<u8> {
    let shown = |text: &[u8]| {
        let mut text = text.to_vec();
        if is_masked(head) {
            credential.masks(&mut text);
        }
        text
    };
    let mut writer = HeadWriter::response(head.status(), &shown(head.reason()));
    for field in head.fields() {
        let ours = ["content-length", "alt-svc", MODEL_FIELD]
            .iter()
            .any(|name| field.is(name));
        if !ours && !head.is_hop_by_hop(field.name) {
            // Fields were valid when they were read; one that cannot be written is left out.
            _ = writer.field(field.name, &shown(field.value));
        }
    }
    close_head(writer, framing, plan)
}

/// Adds framing, the revealed model and `Connection`, and ends the head.
pub(super) fn close_head(mut writer: HeadWriter, framing: Framing, plan: &Plan<'_>) -> Vec<u8> {
    if let Some(model) = plan.reveal {
        // A model id that cannot stand in a header was refused when the route was loaded.
        _ = writer.field(MODEL_FIELD.as_bytes(), model.as_bytes());
    }
    framing.announce(&mut writer);
    if plan.persistence == Persistence::Close || framing == Framing::UntilClose {
        writer.own_field("Connection", "close");
    }
    writer.finish()
}

const MODEL_FIELD: &str = "x-ringfence-model";

/// Bytes of a 401 or 403 held back: longer than any credential (PRV-4).
const MASK_HELD_MAX: usize = 8192;

#[cfg(test)]
mod tests;
