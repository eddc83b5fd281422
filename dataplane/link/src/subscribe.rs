//! The data plane's end of `DataPlane.Subscribe` and `Report`: one stream from a gateway, for ever (DPL-1 to DPL-9).
//!
//! ```text
//!  gateway ── messages ─► merge ── whole changes ─► table ── everything at once ─► Site (the snapshot of the workers)
//!          ◄── report ─── reports ◄── what became of each object ──┘
//! ```
//!
//! It runs on the link thread beside the resolver, so nothing here takes long: reading and compiling policies, and what a
//! [`Site`] does, happen on a helper thread, one change at a time. Invariants: changes are applied in the order of their
//! generations; a lost stream is tried again without an end, the first one included; a report that is under way keeps no
//! message waiting; what waits is bounded.

mod follower;
mod merge;
mod standing;
mod table;

use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use proto::v1::SandboxReport;
use tokio::sync::mpsc;

pub(crate) use standing::Shared;
pub use standing::{Freshness, Standing, Stream};
pub use table::{Served, ServedSandbox, Site};

use crate::channel::Peer;
use crate::report::Shelf;
use follower::Follower;

/// A gateway to follow.
pub struct Gateway {
    /// Where it is, and who asks.
    pub peer: Peer,
    /// Whose state this is, in the gateway's words.
    pub host_id: String,
    /// The sandboxes that are served here.
    pub claims: Vec<Claim>,
    /// How long routes count without a stream; absent for ever (DPL-9).
    pub max_stale: Option<Duration>,
    /// Deadlines of the stream.
    pub timing: Timing,
    /// Where what it says is put in force.
    pub site: Box<dyn Site>,
}

/// A sandbox that is served here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// As the gateway calls it.
    pub id: String,
    /// As records call it.
    pub local: String,
}

/// Deadlines of a stream. The defaults are those of DPL-4 and DPL-5.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Without a message for so long a stream has ended; heartbeats come every 5 s.
    pub silence: Duration,
    /// Bound of the first wait before another attempt; later ones are bounded by twice the one before. Where nobody
    /// listens every wait is between this and twice this.
    pub retry_first: Duration,
    /// Bound of every wait.
    pub retry_longest: Duration,
    /// Before a report that did not arrive is sent again, and between reports of records alone.
    pub report_every: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            silence: Duration::from_secs(15),
            retry_first: Duration::from_millis(500),
            retry_longest: Duration::from_secs(30),
            report_every: Duration::from_secs(1),
        }
    }
}

/// How long routes count without a stream unless an operator says otherwise (DPL-9).
pub const MAX_STALE: Duration = Duration::from_secs(3_600);

/// Begins to follow a gateway; cheap to clone.
#[derive(Clone)]
pub struct Subscriber {
    begin: mpsc::Sender<Order>,
}

/// A gateway that is followed until the link ends.
#[derive(Clone)]
pub struct Subscription {
    shared: Shared,
    says: mpsc::Sender<Said>,
}

/// A word on a sandbox.
struct Said {
    report: SandboxReport,
    /// Told when the gateway has heard it; absent where nobody waits.
    heard: Option<SyncSender<()>>,
}

/// There is one gateway a data plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlreadyFollowing;

impl std::fmt::Display for AlreadyFollowing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("this data plane follows a gateway already, or has ended")
    }
}

impl std::error::Error for AlreadyFollowing {}

/// What the link thread is told.
struct Order {
    gateway: Gateway,
    shared: Shared,
    says: mpsc::Receiver<Said>,
}

/// The link thread's end of a [`Subscriber`].
pub(crate) struct Desk {
    orders: mpsc::Receiver<Order>,
    shelf: Shelf,
}

/// A subscriber and the desk that does what it asks.
pub(crate) fn desk(shelf: Shelf) -> (Subscriber, Desk) {
    // One: a data plane follows one gateway.
    let (begin, orders) = mpsc::channel(1);
    (Subscriber { begin }, Desk { orders, shelf })
}

impl Subscriber {
    /// Follows `gateway` from now on, whether it answers yet or not.
    ///
    /// # Errors
    /// One is followed already.
    pub fn follow(&self, gateway: Gateway) -> Result<Subscription, AlreadyFollowing> {
        let shared = Shared::default();
        let (says, said) = mpsc::channel(SAYS_MAX);
        let order = Order {
            gateway,
            shared: shared.clone(),
            says: said,
        };
        self.begin
            .try_send(order)
            .map_err(|_| AlreadyFollowing)
            .map(|()| Subscription { shared, says })
    }
}

impl Subscription {
    /// How this host stands with the gateway now.
    pub fn standing(&self) -> Standing {
        self.shared.get()
    }

    /// Waits until the first generation is in force and gives its number.
    pub fn wait_ready(&self, timeout: Duration) -> Option<u64> {
        self.shared.wait_ready(timeout)
    }

    /// Tells the gateway how a sandbox fares; the newest word on each counts. One that finds many others waiting is lost.
    pub fn say(&self, report: SandboxReport) {
        let heard = None;
        drop(self.says.try_send(Said { report, heard }));
    }

    /// The same as a last word: waits until the gateway has heard it, or for so long, or not at all without a stream.
    pub fn say_last(&self, report: SandboxReport, within: Duration) {
        let (heard, told) = sync_channel(1);
        let heard = Some(heard);
        let is_on_its_way = self.says.try_send(Said { report, heard }).is_ok();
        if is_on_its_way && self.standing().stream == Stream::Up {
            // Why ignored: late or lost, it was best effort.
            _ = told.recv_timeout(within);
        }
    }
}

impl Desk {
    /// Runs until the link ends.
    pub(crate) async fn run(mut self) {
        let Some(order) = self.orders.recv().await else {
            return;
        };
        // Closed, so that a second gateway is refused and not forgotten.
        self.orders.close();
        self.shelf.open();
        Follower::new(order, self.shelf).run().await;
    }
}

/// Words on sandboxes that may wait.
const SAYS_MAX: usize = 64;
