//! One ring thread: how it is made, what it lives on, what it is told.
//!
//! Apart from `boot`, which has all of them. Invariant: what a worker is made of crosses to its thread once, in a
//! [`Seed`]; after that it hears orders only.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use monoio::{IoUringDriver, RuntimeBuilder};

use super::BootError;
use super::attach::Placed;
use crate::buffers::Buffers;
use crate::deadline::Deadlines;
use crate::judge::{Evaluators, Judges};
use crate::leaf::Leaves;
use crate::limits::Limits;
use crate::mint::Authority;
use crate::offload::Offload;
use crate::revoke;
use crate::snapshot::Snapshot;
use crate::upstream::pool::{Bounds, Pool};
use crate::worker::{Sandbox, Worker};

/// What a worker is told.
pub(super) enum Order {
    Attach(Box<Placed>),
    Close(flume::Sender<()>),
}

/// What a worker is made of, on its way to its thread.
pub(super) struct Seed {
    pub(super) limits: Limits,
    pub(super) client_config: Arc<rustls::ClientConfig>,
    pub(super) resolver: link::Resolver,
    pub(super) records: link::Records,
    pub(super) offload: Offload,
    pub(super) evaluators: Evaluators,
    pub(super) snapshots: link::Reader<Snapshot>,
    pub(super) authority: Option<Arc<Authority>>,
    pub(super) leaves_max: usize,
    pub(super) first_request: u64,
    pub(super) site: link::Reader<policy::Site>,
}

/// Starts a worker and returns when its ring runs.
pub(super) fn start(index: usize, seed: Seed) -> Result<flume::Sender<Order>, BootError> {
    let (orders, receive) = flume::bounded(ORDERS_MAX);
    let (report, reported) = flume::bounded(1);
    thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(move || match ring() {
            Ok(mut runtime) => {
                drop(report.send(Ok(())));
                runtime.block_on(work(seed, receive));
            }
            Err(error) => drop(report.send(Err(error))),
        })
        .map_err(BootError::Thread)?;
    match reported.recv() {
        Ok(Ok(())) => Ok(orders),
        Ok(Err(error)) => Err(BootError::Ring(error)),
        Err(_) => Err(BootError::Ring(io::ErrorKind::BrokenPipe.into())),
    }
}

type Runtime = monoio::Runtime<monoio::time::TimeDriver<IoUringDriver>>;

/// A ring owned by this thread alone; kernels before 6.0 get one without the newer flags.
fn ring() -> io::Result<Runtime> {
    let mut newest = io_uring::IoUring::builder();
    newest.setup_single_issuer().setup_coop_taskrun();
    let build = |builder: io_uring::Builder| {
        RuntimeBuilder::<IoUringDriver>::new()
            .with_entries(RING_ENTRIES)
            .uring_builder(builder)
            .enable_timer()
            .build()
    };
    match build(newest) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            build(io_uring::IoUring::builder())
        }
        other => other,
    }
}

/// The life of one worker thread.
async fn work(seed: Seed, orders: flume::Receiver<Order>) {
    let worker = Rc::new(Worker {
        buffers: Rc::new(Buffers::new(seed.limits.buffers_kept_bytes_max)),
        deadlines: Deadlines::new(),
        pool: Pool::new(Bounds {
            per_key_max: seed.limits.pool_idle_per_key_max,
            max: seed.limits.pool_idle_max,
            time: seed.limits.pool_idle_time,
        }),
        inspected: Pool::new(Bounds {
            per_key_max: seed.limits.inspected_idle_per_key_max,
            max: seed.limits.inspected_idle_max,
            time: seed.limits.pool_idle_time,
        }),
        leaves: Leaves::new(seed.authority, seed.offload.clone(), seed.leaves_max),
        limits: seed.limits,
        pipes: RefCell::default(),
        client_config: seed.client_config,
        resolver: seed.resolver,
        records: seed.records,
        offload: seed.offload,
        evaluators: seed.evaluators,
        judges: Judges::default(),
        snapshots: RefCell::new(seed.snapshots),
        sandboxes: RefCell::default(),
        behind: Cell::new(false),
        requests: Cell::new(seed.first_request),
        site: RefCell::new(seed.site),
    });
    monoio::spawn(Rc::clone(&worker.deadlines).run());
    monoio::spawn(sweep(Rc::clone(&worker)));
    monoio::spawn(revoke::watch(Rc::clone(&worker)));
    let mut sandboxes: Vec<Rc<Sandbox>> = Vec::new();
    while let Ok(order) = orders.recv_async().await {
        match order {
            Order::Attach(placed) => {
                let confirm = placed.confirm.clone();
                let result = placed.attach(&worker);
                let answer = result.map(|sandbox| sandboxes.push(sandbox));
                drop(confirm.send(answer));
            }
            Order::Close(done) => {
                settle(&sandboxes).await;
                _ = done.send(());
                return;
            }
        }
    }
}

/// Idle upstream connections do not stay for ever, nor do callers whose connections never came.
async fn sweep(worker: Rc<Worker>) {
    loop {
        monoio::time::sleep(SWEEP_EVERY).await;
        worker.pool.sweep();
        worker.inspected.sweep();
        for sandbox in worker.sandboxes.borrow().iter() {
            if let Some(sandbox) = sandbox.upgrade() {
                sandbox.callers.sweep();
            }
        }
        worker.judges.sweep();
    }
}

/// Waits until no connection is open, for a moment: their records are worth it.
async fn settle(sandboxes: &[Rc<Sandbox>]) {
    for _ in 0..SETTLE_TURNS {
        if sandboxes
            .iter()
            .all(|sandbox| sandbox.connections.open() == 0)
        {
            return;
        }
        monoio::time::sleep(SETTLE_STEP).await;
    }
}

/// The likely cause of a ring that could not be made (E7).
pub(super) fn cause(error: &io::Error) -> String {
    let cause = match error.raw_os_error() {
        Some(libc::ENOSYS) => {
            "this kernel has no io_uring (5.19 or newer is needed), or a seccomp filter hides it, as container runtimes do by default"
        }
        Some(libc::EPERM | libc::EACCES) => {
            "it is disabled by the sysctl kernel.io_uring_disabled, or refused by a seccomp filter or security module"
        }
        Some(libc::ENOMEM) => "the limit on locked memory is too low (ulimit -l)",
        Some(libc::EMFILE | libc::ENFILE) => "no file descriptor is left (ulimit -n)",
        _ => "the kernel refused the ring",
    };
    format!("{cause} ({error})")
}

/// Submission entries a ring: one turn of a busy worker.
const RING_ENTRIES: u32 = 4096;

/// Orders that may wait for a worker.
const ORDERS_MAX: usize = 64;

const SWEEP_EVERY: Duration = Duration::from_secs(5);
const SETTLE_STEP: Duration = Duration::from_millis(10);
const SETTLE_TURNS: u32 = 50;
