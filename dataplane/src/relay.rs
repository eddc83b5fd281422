//! Two ways until both ended.
//!
//! A direction that ends passes its FIN on and leaves the other flowing (TR-100). The idle deadline is
//! one for both: a byte either way moves it, and when it rings both sockets are shut down, so both
//! directions end by themselves.

pub(crate) mod body;
mod copy;
mod splice;

pub(crate) use splice::Pipe;

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use link::record::TunnelEnd;

use crate::clock;
use crate::deadline::{Ends, join};
use crate::io::Socket;
use crate::revoke::Tunnel;
use crate::worker::{Sandbox, Worker};

/// What a relay moved, and how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Bytes from the sandbox.
    pub(crate) up: u64,
    /// Bytes to the sandbox.
    pub(crate) down: u64,
    /// How long it took.
    pub(crate) open: Duration,
    pub(crate) end: TunnelEnd,
}

/// Relays until both directions ended. With each socket come the bytes that were already read from it.
pub(crate) async fn run(
    worker: &Worker,
    sandbox: &Sandbox,
    tunnel: &Rc<Tunnel>,
    client: (Socket, Vec<u8>),
    upstream: (Socket, Vec<u8>),
) -> Moved {
    let ((client, early_up), (upstream, early_down)) = (client, upstream);
    let since = clock::now();
    let idle = worker.limits.tunnel_idle_time;
    let Socket {
        alarm: client_alarm,
        read: mut client_read,
        write: mut client_write,
    } = client;
    let Socket {
        alarm: upstream_alarm,
        read: mut upstream_read,
        write: mut upstream_write,
    } = upstream;
    let touch = Touch {
        alarms: [&client_alarm, &upstream_alarm],
        idle,
    };
    touch.moved();
    // Invariant: declared behind the alarms, so dropped before them.
    let _listed = sandbox
        .tunnels
        .list(worker, tunnel, [client_alarm.key(), upstream_alarm.key()]);
    let (up, down) = join(
        pin!(copy::run(
            worker,
            &mut client_read,
            &mut upstream_write,
            early_up,
            &touch,
        )),
        pin!(copy::run(
            worker,
            &mut upstream_read,
            &mut client_write,
            early_down,
            &touch,
        )),
    )
    .await;
    let end = if tunnel.is_revoked() {
        TunnelEnd::Revoked
    } else if client_alarm.rang() || upstream_alarm.rang() {
        TunnelEnd::Idle
    } else if up.failed || down.failed {
        TunnelEnd::Error
    } else {
        TunnelEnd::Normal
    };
    Moved {
        up: up.bytes,
        down: down.bytes,
        open: clock::now().saturating_duration_since(since),
        end,
    }
}

/// What one direction moved.
struct Flow {
    bytes: u64,
    failed: bool,
}

/// Moves the idle deadline of both sockets.
struct Touch<'a> {
    alarms: [&'a crate::deadline::Alarm; 2],
    idle: Duration,
}

impl Touch<'_> {
    fn moved(&self) {
        for alarm in self.alarms {
            alarm.arm(self.idle, Ends::Connection);
        }
    }

    /// One direction broke: the other must not wait for a peer that will never be answered.
    fn broke(&self) {
        for alarm in self.alarms {
            alarm.end_now();
        }
    }
}
