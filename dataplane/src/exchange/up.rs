//! The request on its way up, and the client's presence after that.

use std::cell::Cell;
use std::future::pending;

use wire::{Code, RequestFraming};

use crate::deadline::{Alarm, Ends};
use crate::limits::Limits;
use crate::relay::body::{Body, Framing};
use crate::stream::{Fill, In, Out};

/// One request under way.
pub(super) struct Up<'a> {
    pub(super) client: In<'a>,
    pub(super) upstream: Out<'a>,
    pub(super) client_alarm: &'a Alarm,
    pub(super) upstream_alarm: &'a Alarm,
    pub(super) limits: &'a Limits,
    /// Set when all was sent: the size of the body.
    pub(super) sent: &'a Cell<Option<u64>>,
}

/// Why a request did not go up whole, or its client did not stay.
pub(super) enum Unsent {
    /// The client's framing broke, or it was silent for too long.
    Bad(Code),
    ClientGone,
    UpstreamGone,
}

impl Up<'_> {
    /// Sends the head, streams the body, and then watches the client. Ends only when something is wrong.
    pub(super) async fn run(mut self, head: Vec<u8>, framing: RequestFraming) -> Unsent {
        match self.send(head, framing).await {
            Ok(bytes) => self.sent.set(Some(bytes)),
            Err(unsent) => return unsent,
        }
        // INF-23 for everybody: work for a client that left ends at once (decision 0005).
        if !self.client.input().is_empty() {
            return pending().await;
        }
        match self.client.fill().await {
            // The next request, early: it waits its turn, and the client is not watched any more.
            Ok(Fill::Bytes) => pending().await,
            Ok(Fill::End | Fill::Cut) | Err(_) => Unsent::ClientGone,
        }
    }

    async fn send(&mut self, head: Vec<u8>, framing: RequestFraming) -> Result<u64, Unsent> {
        let mut body = Body::of_request(framing);
        let framing = match framing {
            RequestFraming::None => Framing::Bodiless,
            RequestFraming::Length(length) => Framing::Length(length),
            RequestFraming::Chunked => Framing::Chunked,
        };
        let mut out = head;
        let mut bytes = 0;
        let mut piece = Vec::new();
        loop {
            let (used, taken) = framing
                .pass(&mut body, self.client.input(), &mut piece, &mut out)
                .map_err(|_| Unsent::Bad(Code::BadRequest))?;
            self.client.consume(used);
            bytes += taken;
            if body.is_done() {
                framing.end(&[], &mut out);
            }
            if !out.is_empty() {
                self.upstream_alarm
                    .arm(self.limits.forward_header_time, Ends::Connection);
                let sent = self.upstream.send(out).await;
                out = sent.map_err(|_| Unsent::UpstreamGone)?;
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
