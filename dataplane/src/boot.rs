//! Starting a data plane: authority, link, helper threads, one ring thread a core.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use link::record::Text;
use monoio::net::TcpListener;
use monoio::{IoUringDriver, RuntimeBuilder};
use policy::SandboxId;
use rustls::ServerConfig;

use crate::budget::Budget;
use crate::buffers::Buffers;
use crate::deadline::Deadlines;
use crate::identify::{Callers, Lookup, Watch};
use crate::judge::{Evaluators, Judges};
use crate::leaf::Leaves;
use crate::limits::Limits;
use crate::mint::{Authority, MintError};
use crate::offload::Offload;
use crate::revoke::Tunnels;
use crate::session::Door;
use crate::snapshot::Snapshot;
use crate::upstream::pool::{Bounds, Pool};
use crate::upstream::tls::{self, Roots};
use crate::worker::{Count, Sandbox, Worker};
use crate::{clock, listener, revoke};

/// What a data plane is started with.
pub struct Config {
    /// Bounds.
    pub limits: Limits,
    /// Ring threads; each serves its own sandboxes.
    pub workers: usize,
    /// Helper threads for identity look-ups.
    pub helpers: usize,
    /// The binary that has the verb [`crate::RULES_VERB`]; `/proc/self/exe` where that is the running one.
    pub rules_program: PathBuf,
    /// The link thread's part.
    pub link: link::Config,
    /// The first generation.
    pub snapshot: Snapshot,
    /// What is particular to this host: its NAT64 prefix, and where ringfence listens beside the listeners of
    /// [`Attachment`]s, which add themselves (DST-12).
    pub site: policy::Site,
    /// Whether TLS of sandboxes can be ended.
    pub trust: Trust,
}

/// Where certificates for sandboxes come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// An authority made at the start, whose key stays in memory (TLS-1).
    #[default]
    OwnAuthority,
    /// Nowhere: what needs TLS to be ended is refused.
    NoAuthority,
}

/// A running data plane.
pub struct DataPlane {
    link: link::Link,
    authority: Result<Arc<Authority>, MintError>,
    workers: Vec<flume::Sender<Order>>,
    snapshots: link::Slot<Snapshot>,
    site: link::Slot<policy::Site>,
    unusable_roots: usize,
    watch: io::Result<Watch>,
    limits: Limits,
}

/// A sandbox's listeners and the way to find out who calls on them.
pub struct Attachment {
    /// The sandbox.
    pub id: SandboxId,
    /// Listens on the proxy address.
    pub proxy: OwnedFd,
    /// Listens on port 443 for `inference.local` (INF-29); absent where that port could not be had.
    pub direct: Option<OwnedFd>,
    /// Finds the caller behind a connection, where `calls` is absent.
    pub lookup: Lookup,
    /// A seccomp listener that tells every connect(2) of the sandbox (IDN-2). The calls wait until the data plane has
    /// answered, and fail when it is gone.
    pub calls: Option<OwnedFd>,
}

enum Order {
    Attach(Box<Placed>),
    Close(flume::Sender<()>),
}

struct Placed {
    id: SandboxId,
    proxy: OwnedFd,
    direct: Option<OwnedFd>,
    callers: Callers,
    server_config: Option<Arc<ServerConfig>>,
    confirm: flume::Sender<io::Result<()>>,
}

/// Starts a data plane and returns when every ring is running.
///
/// # Errors
/// `BootError`, which names the likely cause.
pub fn start(config: Config) -> Result<DataPlane, BootError> {
    let authority = match config.trust {
        Trust::OwnAuthority => Authority::make(clock::wall()).map(Arc::new),
        Trust::NoAuthority => Err(MintError::NotWanted),
    };
    let roots = tls::load_roots();
    let link = link::start(config.link).map_err(BootError::Link)?;
    let offload = Offload::start(config.helpers.max(1)).map_err(BootError::Thread)?;
    let snapshots = link::Slot::new(config.snapshot);
    let site = link::Slot::new(config.site);
    let mut workers = Vec::with_capacity(config.workers);
    for index in 0..config.workers.max(1) {
        let seed = Seed {
            limits: config.limits.clone(),
            client_config: tls::client_config(&roots).map_err(BootError::Tls)?,
            resolver: link.resolver.clone(),
            records: link.records.clone(),
            offload: offload.clone(),
            evaluators: Evaluators::new(config.rules_program.clone(), &config.limits),
            snapshots: snapshots.reader(),
            authority: authority.as_ref().ok().map(Arc::clone),
            leaves_max: config.limits.leaves_max / config.workers.max(1),
            first_request: random().map_err(BootError::Thread)?,
            site: site.reader(),
        };
        workers.push(start_worker(index, seed)?);
    }
    let watch = Watch::start(offload);
    let Roots { unusable, .. } = roots;
    Ok(DataPlane {
        link,
        authority,
        workers,
        snapshots,
        site,
        unusable_roots: unusable,
        watch,
        limits: config.limits,
    })
}

impl DataPlane {
    /// The authority's certificate for the sandboxes' trust bundles; the error says why there is none.
    ///
    /// # Errors
    /// What kept the authority from being made.
    pub fn ca_pem(&self) -> Result<&str, &MintError> {
        self.authority.as_ref().map(|authority| authority.ca_pem())
    }

    /// Certificates of the host's bundle that could not be used as roots.
    pub fn unusable_roots(&self) -> usize {
        self.unusable_roots
    }

    /// Whether an [`Attachment`] may have `calls`: this process can see who calls connect(2).
    ///
    /// # Errors
    /// Why not, with the likely cause.
    pub fn can_observe(&self) -> Result<(), &io::Error> {
        self.watch.as_ref().map(drop)
    }

    /// Takes records of what is no request's.
    pub fn records(&self) -> &link::Records {
        &self.link.records
    }

    /// Where the newest snapshot lies; putting one in is how policies and routes change.
    pub fn snapshots(&self) -> &link::Slot<Snapshot> {
        &self.snapshots
    }

    /// Takes a sandbox's listeners over and returns when they are served. The worker is chosen by the
    /// sandbox's id, so all its connections meet on one core.
    ///
    /// # Errors
    /// `AttachError` when the listeners cannot be used or the worker does not answer in time.
    pub fn attach(&self, attachment: Attachment) -> Result<(), AttachError> {
        let server_config = self
            .authority
            .as_ref()
            .ok()
            .and_then(|authority| authority.server_config().ok());
        // Before the first connection is accepted: a sandbox never reaches its own gate, nor another's.
        let own: Vec<_> = [Some(&attachment.proxy), attachment.direct.as_ref()]
            .into_iter()
            .flatten()
            .filter_map(listener::address)
            .collect();
        self.site.update(|site| {
            let mut site = site.clone();
            site.own.extend_from_slice(&own);
            site
        });
        let (confirm, confirmed) = flume::bounded(1);
        let Attachment {
            id,
            proxy,
            direct,
            lookup,
            calls,
        } = attachment;
        let callers = match calls {
            Some(calls) => self.observe(lookup, calls, &own)?,
            None => Callers::LookedFor(Arc::new(lookup)),
        };
        let spread: usize = id.as_str().bytes().map(usize::from).sum();
        let worker = &self.workers[spread % self.workers.len()];
        let placed = Box::new(Placed {
            id,
            proxy,
            direct,
            callers,
            server_config,
            confirm,
        });
        worker
            .send(Order::Attach(placed))
            .map_err(|_| AttachError::WorkerGone)?;
        match confirmed.recv_timeout(CONFIRM_TIME) {
            Ok(result) => result.map_err(AttachError::Listener),
            Err(_) => Err(AttachError::WorkerGone),
        }
    }

    fn observe(
        &self,
        lookup: Lookup,
        calls: OwnedFd,
        own: &[SocketAddr],
    ) -> Result<Callers, AttachError> {
        let doors = own
            .iter()
            .filter_map(|door| match door {
                SocketAddr::V4(door) => Some(*door),
                SocketAddr::V6(_) => None,
            })
            .collect();
        let watch = self
            .watch
            .as_ref()
            .map_err(|error| AttachError::Calls(io::Error::other(error.to_string())))?;
        Callers::observe(watch, lookup, calls, doors, &self.limits).map_err(AttachError::Calls)
    }

    /// Ends: connections get a moment to finish, records are written, and what was denied is returned.
    pub fn close(self) -> link::Summary {
        let (done, ended) = flume::bounded(self.workers.len());
        for worker in &self.workers {
            // A worker that is gone has nothing left to close.
            drop(worker.send(Order::Close(done.clone())));
        }
        drop(done);
        while ended.recv_timeout(CLOSE_TIME).is_ok() {}
        self.link.close()
    }
}

/// What a worker is made of, on its way to its thread.
struct Seed {
    limits: Limits,
    client_config: Arc<rustls::ClientConfig>,
    resolver: link::Resolver,
    records: link::Records,
    offload: Offload,
    evaluators: Evaluators,
    snapshots: link::Reader<Snapshot>,
    authority: Option<Arc<Authority>>,
    leaves_max: usize,
    first_request: u64,
    site: link::Reader<policy::Site>,
}

fn start_worker(index: usize, seed: Seed) -> Result<flume::Sender<Order>, BootError> {
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

/// Where a worker starts to count its requests.
fn random() -> io::Result<u64> {
    let mut bytes = [0u8; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(u64::from_ne_bytes(bytes))
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
                let result = attach(&worker, *placed);
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

fn attach(worker: &Rc<Worker>, placed: Placed) -> io::Result<Rc<Sandbox>> {
    let Placed {
        id,
        proxy,
        direct,
        callers,
        server_config,
        confirm: _,
    } = placed;
    let proxy = TcpListener::from_std(proxy.into())?;
    let direct = direct
        .map(|direct| TcpListener::from_std(direct.into()))
        .transpose()?;
    let sandbox = Rc::new(Sandbox {
        id_text: Text::new(id.as_str().as_bytes()),
        id,
        server_config,
        callers,
        connections: Count::default(),
        tunnels: Tunnels::default(),
        in_flight: Count::default(),
        buffered: Cell::new(0),
        budget: Budget::default(),
        client_config: OnceCell::new(),
    });
    worker.sandboxes.borrow_mut().push(Rc::downgrade(&sandbox));
    let policy = sandbox.policy(&worker.snapshot());
    worker.judges.warm(worker, &sandbox, &policy);
    monoio::spawn(listener::run(
        Rc::clone(worker),
        Rc::clone(&sandbox),
        proxy,
        Door::Proxy,
    ));
    if let Some(direct) = direct {
        monoio::spawn(listener::run(
            Rc::clone(worker),
            Rc::clone(&sandbox),
            direct,
            Door::Direct,
        ));
    }
    Ok(sandbox)
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

/// Why a data plane did not start.
#[derive(Debug)]
pub enum BootError {
    /// The link thread.
    Link(link::LinkError),
    /// A thread could not be made.
    Thread(io::Error),
    /// TLS is not usable.
    Tls(rustls::Error),
    /// There is no io_uring.
    Ring(io::Error),
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BootError::Link(error) => write!(f, "{error}"),
            BootError::Thread(error) => write!(
                f,
                "cannot start a thread: {error}; look at the limits on processes (ulimit -u)"
            ),
            BootError::Tls(error) => write!(f, "TLS is not usable: {error}"),
            BootError::Ring(error) => write!(f, "io_uring is not available: {}", ring_cause(error)),
        }
    }
}

impl std::error::Error for BootError {}

/// The likely cause of a ring that could not be made (E7).
fn ring_cause(error: &io::Error) -> String {
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

/// Why a sandbox was not attached.
#[derive(Debug)]
pub enum AttachError {
    /// The listener cannot be used.
    Listener(io::Error),
    /// Who calls connect(2) cannot be seen.
    Calls(io::Error),
    /// The worker did not confirm in time (GEN-5).
    WorkerGone,
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AttachError::Listener(error) => {
                write!(f, "the sandbox's listener cannot be used: {error}")
            }
            AttachError::Calls(error) => {
                write!(f, "connect(2) in the sandbox cannot be observed: {error}")
            }
            AttachError::WorkerGone => write!(
                f,
                "the data plane did not confirm the sandbox within {} s",
                CONFIRM_TIME.as_secs()
            ),
        }
    }
}

impl std::error::Error for AttachError {}

/// Submission entries a ring: one turn of a busy worker.
const RING_ENTRIES: u32 = 4096;

/// Orders that may wait for a worker.
const ORDERS_MAX: usize = 64;

/// GEN-5.
const CONFIRM_TIME: Duration = Duration::from_secs(10);

const SWEEP_EVERY: Duration = Duration::from_secs(5);
const SETTLE_STEP: Duration = Duration::from_millis(10);
const SETTLE_TURNS: u32 = 50;
const CLOSE_TIME: Duration = Duration::from_secs(2);
