//! One stream to one host: everything first, then what changed for it, and a heartbeat (DPL-1 to DPL-4).
//!
//! Apart from `fleet` because `Feed` is pure: views in, messages out. Each stream has a task and a channel of one message; a
//! host that does not read holds up its own task and nothing else, and when it reads again it is compared with the newest
//! view (TR-106).
//!
//! Invariants: the first message is complete; the base of every other is the generation of the one before it; a stream that
//! was cut between the parts of a generation is never continued.

mod feed;

use std::sync::Arc;
use std::time::Duration;

use proto::v1::{SandboxSnapshot, Snapshot};
use tokio::sync::mpsc::{self, OwnedPermit, Sender};
use tokio::sync::{Notify, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::view::View;
use super::{Fleet, Progress};
use crate::config::Limits;
use crate::engine::now_ms;
use crate::server::Draining;
use feed::Feed;

/// What a host asks for.
pub(crate) struct Subscription {
    /// Who it is; the caller was asked whether it may say so.
    pub host_id: String,
    /// What it has in force.
    pub applied: u64,
    /// The generation its claims are part of: nothing older is sent.
    pub from: u64,
    /// The sandboxes it claimed and does not get, each with its code.
    pub refused: Vec<SandboxSnapshot>,
}

/// What a stream carries.
type Message = Result<Snapshot, Status>;

/// Starts a stream.
pub(crate) fn start(
    fleet: &Arc<Fleet>,
    subscription: Subscription,
    limits: &Limits,
    draining: watch::Receiver<Draining>,
) -> ReceiverStream<Message> {
    let (out, messages) = mpsc::channel(1);
    let (stream, wake) = fleet.connect(&subscription.host_id, subscription.applied);
    let push = Push {
        views: fleet.views.subscribe(),
        fleet: Arc::clone(fleet),
        stream,
        wake,
        feed: Feed::new(
            &subscription.host_id,
            subscription.refused,
            limits.push_bytes_max,
        ),
        host_id: subscription.host_id,
        heartbeat: limits.heartbeat,
    };
    let from = subscription.from;
    tokio::spawn(push.run(from, out, draining));
    ReceiverStream::new(messages)
}

struct Push {
    fleet: Arc<Fleet>,
    views: watch::Receiver<Arc<View>>,
    stream: u64,
    wake: Arc<Notify>,
    feed: Feed,
    host_id: String,
    heartbeat: Duration,
}

impl Push {
    /// Pushes until the host goes or the gateway does.
    async fn run(
        mut self,
        from: u64,
        out: Sender<Message>,
        mut draining: watch::Receiver<Draining>,
    ) {
        let gone = out.clone();
        let drains = draining.wait_for(|draining| *draining == Draining::Yes);
        tokio::select! {
            () = gone.closed() => (),
            () = self.serve(from, out) => (),
            _ = drains => {
                // Why: only if there is room. A host that does not read finds the stream ended, which says the same.
                _ = gone.try_send(Err(Status::unavailable("the gateway is going away; subscribe again")));
            }
        }
    }

    async fn serve(&mut self, from: u64, mut out: Sender<Message>) {
        if self
            .views
            .wait_for(|view| view.generation >= from)
            .await
            .is_err()
        {
            return;
        }
        loop {
            // Why: room first, the view then. What waits for a slow host is the newest state and not an old one.
            let Ok(room) = out.reserve_owned().await else {
                return;
            };
            let view = Arc::clone(&self.views.borrow_and_update());
            let Some(sent) = self.send_changes(&view, room).await else {
                return;
            };
            out = sent;
            self.progress(&view);
            tokio::select! {
                () = self.wake.notified() => (),
                () = tokio::time::sleep(self.heartbeat) => {
                    let Ok(room) = out.reserve_owned().await else { return };
                    let view = Arc::clone(&self.views.borrow_and_update());
                    let Some(sent) = self.send_beat(&view, room).await else { return };
                    out = sent;
                    self.progress(&view);
                }
            }
        }
    }

    async fn send_changes(
        &mut self,
        view: &View,
        room: OwnedPermit<Message>,
    ) -> Option<Sender<Message>> {
        let parts = self.feed.changes(view, now_ms());
        send(parts, room).await
    }

    /// A heartbeat; with what changed meanwhile, if anything did.
    async fn send_beat(
        &mut self,
        view: &View,
        room: OwnedPermit<Message>,
    ) -> Option<Sender<Message>> {
        let mut parts = self.feed.changes(view, now_ms());
        if parts.is_empty() {
            parts.push(self.feed.beat(view, now_ms()));
        }
        send(parts, room).await
    }

    fn progress(&self, view: &View) {
        let progress = Progress {
            compared: view.generation,
            sent: self.feed.sent(),
        };
        self.fleet.progressed(&self.host_id, self.stream, progress);
    }
}

impl Drop for Push {
    fn drop(&mut self) {
        self.fleet.disconnect(&self.host_id, self.stream);
    }
}

/// Sends the parts of one generation; gives the room back when there are none.
async fn send(parts: Vec<Snapshot>, room: OwnedPermit<Message>) -> Option<Sender<Message>> {
    let mut parts = parts.into_iter();
    let out = match parts.next() {
        Some(first) => room.send(Ok(first)),
        None => room.release(),
    };
    for part in parts {
        out.send(Ok(part)).await.ok()?;
    }
    Some(out)
}
