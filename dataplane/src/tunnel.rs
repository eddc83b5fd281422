//! A raw CONNECT: addresses, dial, 200, relay, record (CON-4 to CON-8).

use std::cell::Cell;
use std::pin::pin;
use std::time::Instant;

use link::record::{Access, Event, Stage, Text, TunnelClosed, TunnelEnd};
use policy::Admitted;
use wire::{Authority, RequestHead, RequestId};

use crate::clock;
use crate::hangup::Hangup;
use crate::io::Socket;
use crate::record::{self, Entry};
use crate::relay::{self, Moved, RelayEnd};
use crate::revoke::Path;
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
    let target = admitted.target().clone();
    record.said().policy = Some(Text::new(admitted.policy_name().as_bytes()));
    let stage = Cell::new(Stage::Resolve);
    let mut hangup = Hangup::of(&client);
    let opened = hangup
        .unless(&mut client, pin!(open(worker, &admitted, &target, &stage)))
        .await;
    record.reached(stage.get());
    let upstream = match opened {
        Ok(Ok(upstream)) => upstream,
        Ok(Err(error)) => {
            let denial = error.into_denial();
            return session::deny(worker, &mut client, head, &target, &denial, &mut record).await;
        }
        // The client left while its upstream was dialled: allowed, and nobody there to be told.
        Err(_) => return,
    };
    if client.put(ESTABLISHED).is_err() || client.flush().await.is_err() {
        return;
    }
    record.reached(Stage::Relay);
    let id = record.id();
    drop(record);
    let since = clock::now();
    let tunnel = known.tunnel(target, Path::Connect);
    let moved = relay::run(
        worker,
        sandbox,
        &tunnel,
        client.into_raw(),
        (upstream, Vec::new()),
    )
    .await;
    record_closed(id, worker, sandbox, &tunnel.target, known, moved, since);
}

/// Says what an open tunnel moved, once it has ended.
pub(crate) fn record_closed(
    id: RequestId,
    worker: &Worker,
    sandbox: &Sandbox,
    target: &Authority,
    known: &Known,
    moved: Moved,
    since: Instant,
) {
    let end = match moved.end {
        RelayEnd::Normal => TunnelEnd::Normal,
        RelayEnd::Idle => TunnelEnd::Idle,
        RelayEnd::Revoked => TunnelEnd::Revoked,
        RelayEnd::Error => TunnelEnd::Error,
    };
    let closed = TunnelClosed {
        host: Text::new(target.host.as_str().as_bytes()),
        port: target.port.number(),
        bytes_up: moved.up,
        bytes_down: moved.down,
        open: clock::now().saturating_duration_since(since),
        end,
        program: known.program.clone(),
    };
    let event = Event::TunnelClosed(closed);
    record::push_as(id, worker, sandbox, Stage::Relay, event);
}

/// Resolves once, verifies every address of the answer, dials one of them.
async fn open(
    worker: &Worker,
    admitted: &Admitted,
    target: &Authority,
    stage: &Cell<Stage>,
) -> Result<Socket, UpstreamError> {
    let until = dial::until(clock::now(), worker.limits.dial_time);
    let answer = dial::resolve(worker, &target.host, until).await?;
    stage.set(Stage::Dial);
    let verified =
        policy::verify_at(&worker.site(), admitted, &answer).map_err(UpstreamError::Address)?;
    dial::dial(worker, verified, until).await
}

/// RFC 9110 §9.3.6: no body, no framing fields.
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection Established\r\n\r\n";
