//! Leaf certificates of one worker: minted once a name, kept within a bound (TLS-3, TR-030).
//!
//! Apart from `mint`, which makes one and may take its time, because a worker never does: minting runs on the
//! helper threads, and who needs the same name meanwhile waits for the same flight. Shared by sandboxes: a
//! leaf says nothing of who asked for it. Workers do not share theirs, so a name may be minted once a worker.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use rustls::sign::CertifiedKey;
use wire::Host;

use crate::clock;
use crate::mint::Authority;
use crate::offload::Offload;

/// The leaves of one worker.
pub(crate) struct Leaves {
    authority: Option<Arc<Authority>>,
    offload: Offload,
    max: usize,
    kept: RefCell<HashMap<Host, Kept>>,
    flights: RefCell<HashMap<Host, Rc<Flight>>>,
    /// Counts uses, so that the least recently used one can be told.
    uses: Cell<u64>,
}

struct Kept {
    leaf: Arc<CertifiedKey>,
    made: Instant,
    used: u64,
}

/// A leaf under way.
#[derive(Default)]
struct Flight {
    landed: RefCell<Option<Option<Arc<CertifiedKey>>>>,
    waiting: RefCell<Vec<Waker>>,
}

impl Leaves {
    /// No leaves yet, and none ever without an authority.
    pub(crate) fn new(authority: Option<Arc<Authority>>, offload: Offload, max: usize) -> Rc<Self> {
        Rc::new(Leaves {
            authority,
            offload,
            max: max.max(1),
            kept: RefCell::default(),
            flights: RefCell::default(),
            uses: Cell::new(0),
        })
    }

    /// The leaf for `host`; `None` when there is no authority, or no helper free to make it.
    pub(crate) async fn of(self: &Rc<Self>, host: &Host) -> Option<Arc<CertifiedKey>> {
        if let Some(leaf) = self.find(host) {
            return Some(leaf);
        }
        let flight = self.begin(host)?;
        poll_fn(|context| {
            if let Some(leaf) = &*flight.landed.borrow() {
                return Poll::Ready(leaf.clone());
            }
            flight.waiting.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Has the leaf made for whoever asks next.
    pub(crate) fn prepare(self: &Rc<Self>, host: &Host) {
        if self.find(host).is_none() {
            drop(self.begin(host));
        }
    }

    fn find(&self, host: &Host) -> Option<Arc<CertifiedKey>> {
        let mut kept = self.kept.borrow_mut();
        let found = kept.get_mut(host)?;
        if clock::now().saturating_duration_since(found.made) >= RENEW_AFTER {
            return None;
        }
        found.used = self.next_use();
        Some(Arc::clone(&found.leaf))
    }

    /// The flight under way for `host`, or a new one.
    fn begin(self: &Rc<Self>, host: &Host) -> Option<Rc<Flight>> {
        if let Some(flight) = self.flights.borrow().get(host) {
            return Some(Rc::clone(flight));
        }
        let authority = Arc::clone(self.authority.as_ref()?);
        let flight = Rc::<Flight>::default();
        self.flights
            .borrow_mut()
            .insert(host.clone(), Rc::clone(&flight));
        let name = host.clone();
        let answer = self
            .offload
            .submit(move || authority.leaf(&name, clock::wall()).ok());
        let (leaves, host, landing) = (Rc::clone(self), host.clone(), Rc::clone(&flight));
        // A task of its own: whoever asked first may leave before the others.
        monoio::spawn(async move {
            let leaf = answer.wait().await.flatten().map(Arc::new);
            leaves.land(host, leaf, &landing);
        });
        Some(flight)
    }

    fn land(&self, host: Host, leaf: Option<Arc<CertifiedKey>>, flight: &Flight) {
        self.flights.borrow_mut().remove(&host);
        if let Some(leaf) = &leaf {
            self.keep(host, Arc::clone(leaf));
        }
        *flight.landed.borrow_mut() = Some(leaf);
        flight.waiting.take().into_iter().for_each(Waker::wake);
    }

    /// Files a leaf; the least recently used one goes when there are too many. Finding it looks at all,
    /// which a new name pays, not a known one.
    fn keep(&self, host: Host, leaf: Arc<CertifiedKey>) {
        let mut kept = self.kept.borrow_mut();
        if kept.len() >= self.max && !kept.contains_key(&host) {
            let oldest = kept.iter().min_by_key(|(_, kept)| kept.used);
            if let Some(oldest) = oldest.map(|(host, _)| host.clone()) {
                kept.remove(&oldest);
            }
        }
        let made = clock::now();
        let used = self.next_use();
        kept.insert(host, Kept { leaf, made, used });
    }

    fn next_use(&self) -> u64 {
        let next = self.uses.get() + 1;
        self.uses.set(next);
        next
    }
}

/// A leaf is good for 30 days (`mint`); after 20 a new one is made.
const RENEW_AFTER: Duration = Duration::from_secs(20 * 24 * 3600);

#[cfg(test)]
mod tests;
