//! Raw tunnels that are open, and their end when the newest policy denies them (LIV-10, TR-070); idle connections of routes
//! that are gone end in the same turn.
//!
//! Apart from `tunnel` because nobody asks here for a connection: a policy changed, and what was let through before is
//! asked about again, by the same question. Requests need none of this: each takes the newest snapshot at its head.
//!
//! Invariants: a tunnel is in the list exactly as long as its relay runs, and leaves it before its alarms do; one
//! that was judged by an older generation than the newest is judged again, also when it opened in between; what is not
//! denied is not touched. An idle tunnel costs its entry and nothing else: no timer, no wake-up of its own.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use link::Generation;
use policy::{Caller, Decision, IdentityError};
use wire::Authority;

use crate::deadline::AlarmKey;
use crate::judge;
use crate::listener::contained;
use crate::snapshot::Snapshot;
use crate::upstream::pool::ByRoute;
use crate::worker::{Sandbox, Worker};

/// What a raw tunnel was let through for: all that is needed to ask again.
pub(crate) struct Tunnel {
    pub(crate) target: Authority,
    pub(crate) caller: Result<Arc<Caller>, IdentityError>,
    pub(crate) path: Path,
    /// The generation it was judged by; none counts as older than all.
    judged: Cell<Option<Generation>>,
    standing: Cell<Standing>,
}

/// What is known of a tunnel's right to be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It was let through.
    Granted,
    /// Own rules did not answer. Every connection asks them anew after a change, and they may have been busy.
    Doubted,
    /// A newer policy ended it.
    Revoked,
}

/// The way a tunnel came by, which says what its address must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// A CONNECT.
    Connect,
    /// An upgrade on the forward path, which leads to listed private addresses only (FWD-5).
    Forward,
}

impl Tunnel {
    /// A tunnel that `judged` let through.
    pub(crate) fn new(
        target: Authority,
        caller: Result<Arc<Caller>, IdentityError>,
        path: Path,
        judged: Option<Generation>,
    ) -> Rc<Tunnel> {
        Rc::new(Tunnel {
            target,
            caller,
            path,
            judged: Cell::new(judged),
            standing: Cell::new(Standing::Granted),
        })
    }

    /// Whether a newer policy ended it.
    pub(crate) fn is_revoked(&self) -> bool {
        self.standing.get() == Standing::Revoked
    }
}

/// The open tunnels of one sandbox, at most as many as it may have connections.
#[derive(Default)]
pub(crate) struct Tunnels {
    open: RefCell<Vec<Option<Open>>>,
    free: RefCell<Vec<usize>>,
}

/// A tunnel whose relay runs.
struct Open {
    tunnel: Rc<Tunnel>,
    alarms: [AlarmKey; 2],
}

/// A place in the list; dropped, the tunnel is not in it any more.
pub(crate) struct Listed<'a> {
    tunnels: &'a Tunnels,
    at: usize,
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.tunnels.open.borrow_mut()[self.at] = None;
        self.tunnels.free.borrow_mut().push(self.at);
    }
}

impl Tunnels {
    /// Lists a tunnel. `alarms` are those of its two sockets, and outlive the place.
    pub(crate) fn list(
        &self,
        worker: &Worker,
        tunnel: &Rc<Tunnel>,
        alarms: [AlarmKey; 2],
    ) -> Listed<'_> {
        // A policy that changed while the upstream was dialled was not asked.
        if tunnel.judged.get() != Some(worker.newest().generation) {
            worker.behind.set(true);
        }
        let open = Some(Open {
            tunnel: Rc::clone(tunnel),
            alarms,
        });
        let mut list = self.open.borrow_mut();
        let at = match self.free.borrow_mut().pop() {
            Some(at) => {
                list[at] = open;
                at
            }
            None => {
                list.push(open);
                list.len() - 1
            }
        };
        Listed { tunnels: self, at }
    }

    /// The tunnel at a place, when it is there and was judged by an older generation.
    fn behind(&self, at: usize, newest: Generation) -> Option<Rc<Tunnel>> {
        let list = self.open.borrow();
        let tunnel = &list.get(at)?.as_ref()?.tunnel;
        (tunnel.judged.get() != Some(newest)).then(|| Rc::clone(tunnel))
    }

    /// The alarms of a tunnel that is still at its place.
    fn alarms(&self, at: usize, tunnel: &Rc<Tunnel>) -> Option<[AlarmKey; 2]> {
        let list = self.open.borrow();
        let open = list.get(at)?.as_ref()?;
        Rc::ptr_eq(&open.tunnel, tunnel).then_some(open.alarms)
    }
}

/// Looks for a newer generation, for ever, and asks about the open tunnels again when there is one.
pub(crate) async fn watch(worker: Rc<Worker>) {
    let settled = Rc::new(Cell::new(worker.newest().generation));
    loop {
        monoio::time::sleep(LOOK_EVERY).await;
        let newest = worker.newest();
        if newest.generation == settled.get() && !worker.behind.take() {
            continue;
        }
        // Idle connections of a route that is gone hold its credential; nobody will ask for them (PRV-8).
        let snapshot = &newest.value;
        worker.pool.keep(|ByRoute(route)| snapshot.uses(route));
        let (worker, settled) = (Rc::clone(&worker), Rc::clone(&settled));
        contained(async move {
            pass(&worker, &newest.value, newest.generation).await;
            // Only now: a pass that panics is made again.
            settled.set(newest.generation);
        })
        .await;
    }
}

/// Asks about every open tunnel of the worker once.
async fn pass(worker: &Worker, snapshot: &Snapshot, generation: Generation) {
    let sandboxes: Vec<Rc<Sandbox>> = {
        let mut known = worker.sandboxes.borrow_mut();
        known.retain(|sandbox| sandbox.strong_count() > 0);
        known.iter().filter_map(Weak::upgrade).collect()
    };
    let mut asked = 0;
    for sandbox in &sandboxes {
        let policy = sandbox.policy(snapshot);
        let places = sandbox.tunnels.open.borrow().len();
        for at in 0..places {
            let Some(tunnel) = sandbox.tunnels.behind(at, generation) else {
                continue;
            };
            let caller = tunnel.caller.as_deref().map_err(|error| *error);
            let decision = judge::connect(worker, sandbox, &policy, caller, &tunnel.target).await;
            // It may have ended meanwhile, and its place be another's.
            if let Some(alarms) = sandbox.tunnels.alarms(at, &tunnel) {
                let [_, upstream] = alarms;
                let unanswered =
                    matches!(&decision, Decision::Deny(denial) if denial.is_evaluation_failure());
                if allowed(worker, &tunnel, &decision, upstream) {
                    tunnel.judged.set(Some(generation));
                    tunnel.standing.set(Standing::Granted);
                } else if unanswered
                    && policy.rules().is_some()
                    && tunnel.standing.get() == Standing::Granted
                {
                    // The next look asks once more.
                    tunnel.standing.set(Standing::Doubted);
                    worker.behind.set(true);
                } else {
                    tunnel.standing.set(Standing::Revoked);
                    alarms.iter().for_each(|key| worker.deadlines.end(*key));
                }
            }
            asked += 1;
            if asked % SLICE == 0 {
                monoio::time::sleep(BREATH).await;
            }
        }
    }
}

/// Whether the tunnel may stay. LIV-10 ends what is denied; a verdict to inspect cannot be carried out in the middle of
/// a conversation and lets it end by itself (docs/decisions/0014).
fn allowed(worker: &Worker, tunnel: &Tunnel, decision: &Decision, upstream: AlarmKey) -> bool {
    let admitted = match decision {
        Decision::Tunnel(admitted) | Decision::Inspect(admitted) => admitted,
        Decision::Deny(_) => return false,
    };
    // Without a peer the connection is broken, and the relay about to say so.
    let Some(address) = worker.deadlines.peer(upstream) else {
        return true;
    };
    match (
        policy::verify_at(&worker.site(), admitted, &[address]),
        tunnel.path,
    ) {
        (Err(_), _) => false,
        (Ok(_), Path::Connect) => true,
        (Ok(verified), Path::Forward) => {
            admitted.has_allowed_ips() && policy::require_private(admitted, &verified).is_ok()
        }
    }
}

/// How often a worker looks whether there is a newer generation: one atomic load. With the time of a pass it stays
/// well below the second of LIV-10.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Tunnels asked about, and at the most closed, in one go: some tens of microseconds by the table…
const SLICE: usize = 64;

/// …and what the other tasks have before the next ones. Ten thousand tunnels take a quarter of a second.
const BREATH: Duration = Duration::from_millis(1);
