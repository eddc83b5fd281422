//! A raw CONNECT: addresses, dial, 200, relay, record (CON-4 to CON-8).

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;

use link::record::{Access, Event, Stage, Text, TunnelClosed};
use policy::{Admitted, Denial};
use wire::{RequestHead, RequestId};

use crate::client;
use crate::clock;
use crate::hangup::{Gone, Hangup};
use crate::io::Socket;
use crate::record::{self, Entry};
use crate::relay::{self, Moved};
use crate::revoke::{Path, Tunnel};
use crate::session::{self, Known};
use crate::stream::Stream;
use crate::upstream::{UpstreamError, dial};
use crate::worker::{Sandbox, Worker};

/// Opens the tunnel, or refuses with the reason.
pub(crate) async fn run(
    worker: &Worker,
    sandbox: &Sandbox,
    mut client: Stream,
    head: &RequestHead,
    admitted: Admitted,
    known: &Known,
    mut record: Entry<'_, Access>,
) {
    let stage = Cell::new(Stage::Resolve);
    // Boxed, as what an open tunnel does not need: it is open for hours.
    let established = Box::pin(establish(
        worker,
        &mut client,
        head,
        &admitted,
        &mut record,
        &stage,
        open(worker, &admitted, &stage),
    ));
    let Some(upstream) = established.await else {
        return;
    };
    let id = record.id();
    drop(record);
    let tunnel = known.tunnel(admitted.target().clone(), Path::Connect);
    let upstream = (upstream, Vec::new());
    let moved = relay::run(worker, sandbox, &tunnel, client.into_raw(), upstream).await;
    record_closed(id, worker, sandbox, known, &tunnel, moved);
}

/// Does what comes before the 200, and says it: `open` tells by `stage` how far it is. `None` when there is no tunnel,
/// with the record written.
pub(crate) async fn establish<T>(
    worker: &Worker,
    client: &mut Stream,
    head: &RequestHead,
    admitted: &Admitted,
    record: &mut Entry<'_, Access>,
    stage: &Cell<Stage>,
    open: impl Future<Output = Result<T, Denial>>,
) -> Option<T> {
    record.said().policy = Some(Text::new(admitted.policy_name().as_bytes()));
    let opened = Hangup::of(client).unless(client, pin!(open)).await;
    record.reached(stage.get());
    let upstream = match opened {
        Ok(Ok(upstream)) => upstream,
        Ok(Err(denial)) => {
            session::deny(worker, client, head, admitted.target(), &denial, record).await;
            return None;
        }
        // The client left while its upstream was dialled: allowed, and nobody there to be told.
        Err(Gone) => return None,
    };
    client::establish(client).await.ok()?;
    record.reached(Stage::Relay);
    Some(upstream)
}

/// Says what an open tunnel moved, once it has ended.
pub(crate) fn record_closed(
    id: RequestId,
    worker: &Worker,
    sandbox: &Sandbox,
    known: &Known,
    tunnel: &Tunnel,
    moved: Moved,
) {
    let closed = TunnelClosed {
        host: Text::new(tunnel.target.host.as_str().as_bytes()),
        port: tunnel.target.port.number(),
        bytes_up: moved.up,
        bytes_down: moved.down,
        open: moved.open,
        end: moved.end,
        program: known.program.clone(),
    };
    let event = Event::TunnelClosed(closed);
    record::push_as(id, worker, sandbox, Stage::Relay, event);
}

/// Resolves once, verifies every address of the answer, dials one of them.
async fn open(worker: &Worker, admitted: &Admitted, stage: &Cell<Stage>) -> Result<Socket, Denial> {
    let until = dial::until(clock::now(), worker.limits.dial_time);
    let answer = dial::resolve(worker, &admitted.target().host, until)
        .await
        .map_err(UpstreamError::into_denial)?;
    stage.set(Stage::Dial);
    let verified = policy::verify_at(&worker.site(), admitted, &answer)?;
    dial::dial(worker, verified, until)
        .await
        .map_err(UpstreamError::into_denial)
}
