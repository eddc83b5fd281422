//! Everything one core owns, and everything it knows of one sandbox.
//!
//! Not `Send`, on purpose: state here is `Cell`s and plain maps. What crosses cores is the immutable
//! snapshot, the record ring and the answers of helper threads.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use link::Versioned;
use link::record::Text;
use policy::{Policy, SandboxId};
use rustls::{ClientConfig, ServerConfig};
use wire::RequestId;

use crate::budget::Budget;
use crate::buffers::Buffers;
use crate::deadline::Deadlines;
use crate::identify::Callers;
use crate::judge::{Evaluators, Judges};
use crate::leaf::Leaves;
use crate::limits::Limits;
use crate::offload::Offload;
use crate::relay::Pipe;
use crate::revoke::Tunnels;
use crate::snapshot::Snapshot;
use crate::upstream::pool::{ByRoute, Inspected, Pool};
use crate::upstream::tls;

/// One core.
pub(crate) struct Worker {
    pub(crate) limits: Limits,
    pub(crate) deadlines: Rc<Deadlines>,
    pub(crate) buffers: Rc<Buffers>,
    /// Idle connections to backends.
    pub(crate) pool: Pool<ByRoute>,
    /// Idle connections that inspected tunnels left.
    pub(crate) inspected: Pool<Inspected>,
    pub(crate) leaves: Rc<Leaves>,
    /// Emptied splice pipes.
    pub(crate) pipes: RefCell<Vec<Pipe>>,
    pub(crate) client_config: Arc<ClientConfig>,
    pub(crate) resolver: link::Resolver,
    pub(crate) records: link::Records,
    pub(crate) offload: Offload,
    /// Start the processes of operators' own rules.
    pub(crate) evaluators: Evaluators,
    pub(crate) judges: Judges,
    pub(crate) snapshots: RefCell<link::Reader<Snapshot>>,
    /// The sandboxes it serves.
    pub(crate) sandboxes: RefCell<Vec<Weak<Sandbox>>>,
    /// A tunnel is open that was judged by an older generation than the newest.
    pub(crate) behind: Cell<bool>,
    /// The last request's number. It starts at random, so workers and hosts do not meet.
    pub(crate) requests: Cell<u64>,
    pub(crate) site: RefCell<link::Reader<policy::Site>>,
}

impl Worker {
    /// A number for one request.
    pub(crate) fn next_request(&self) -> RequestId {
        let next = self.requests.get().wrapping_add(1);
        self.requests.set(next);
        RequestId(next)
    }

    /// The newest snapshot; to be asked once a request.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.newest().value)
    }

    /// The newest snapshot with its generation.
    pub(crate) fn newest(&self) -> Arc<Versioned<Snapshot>> {
        Arc::clone(self.snapshots.borrow_mut().load())
    }

    /// Where this data plane stands; the addresses of one answer are judged by one of these.
    pub(crate) fn site(&self) -> Arc<policy::Site> {
        Arc::clone(&self.site.borrow_mut().load().value)
    }
}

/// One sandbox, as the worker that serves it sees it.
pub(crate) struct Sandbox {
    pub(crate) id: SandboxId,
    /// The id as records show it.
    pub(crate) id_text: Text,
    /// Ends TLS: with the leaf of `inference.local`, or that of an inspected host. Absent when there is no authority.
    pub(crate) server_config: Option<Arc<ServerConfig>>,
    /// Finds out who calls.
    pub(crate) callers: Callers,
    pub(crate) connections: Count,
    pub(crate) tunnels: Tunnels,
    pub(crate) in_flight: Count,
    /// Bytes of request bodies held in memory.
    pub(crate) buffered: Cell<u64>,
    pub(crate) budget: Budget,
    /// TLS toward the servers of inspected tunnels; made when it is first needed.
    pub(crate) client_config: OnceCell<Arc<ClientConfig>>,
}

impl Sandbox {
    /// TLS toward servers, with the sessions of this sandbox alone.
    pub(crate) fn client_config(&self, worker: &Worker) -> &Arc<ClientConfig> {
        self.client_config
            .get_or_init(|| tls::config_apart(&worker.client_config))
    }

    /// The sandbox's policy in `snapshot`; one that was never loaded denies everything (TR-073).
    pub(crate) fn policy(&self, snapshot: &Snapshot) -> Arc<Policy> {
        snapshot
            .policies
            .get(&self.id)
            .map_or_else(|| Arc::new(Policy::denies_everything()), Arc::clone)
    }
}

/// How many of something are open.
#[derive(Default)]
pub(crate) struct Count(Rc<Cell<u32>>);

impl Count {
    /// One more, unless `max` are open already; it is given back when the place is dropped.
    pub(crate) fn enter(&self, max: u32) -> Option<Place> {
        let open = self.0.get();
        (open < max).then(|| {
            self.0.set(open + 1);
            Place(Rc::clone(&self.0))
        })
    }

    /// How many are open now.
    pub(crate) fn open(&self) -> u32 {
        self.0.get()
    }
}

/// A place in a [`Count`].
pub(crate) struct Place(Rc<Cell<u32>>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
