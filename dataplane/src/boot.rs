//! Starting a data plane and ending it: authority, link, helper threads, one ring thread a core.
//!
//! What a ring thread does is in `ring`, how a sandbox comes to it in `attach`.

mod attach;
mod ring;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use attach::{AttachError, Attachment};
use ring::{Order, Seed};

use crate::clock;
use crate::identify::Watch;
use crate::judge::Evaluators;
use crate::limits::Limits;
use crate::mint::{Authority, MintError};
use crate::offload::Offload;
use crate::snapshot::Snapshot;
use crate::upstream::tls::{self, Roots};

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
        workers.push(ring::start(index, seed)?);
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

    /// Begins to follow a gateway, whose [`link::Site`] puts what it says into [`DataPlane::snapshots`].
    pub fn subscriber(&self) -> &link::Subscriber {
        &self.link.subscriber
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
            BootError::Ring(error) => {
                write!(f, "io_uring is not available: {}", ring::cause(error))
            }
        }
    }
}

impl std::error::Error for BootError {}

/// Where a worker starts to count its requests.
fn random() -> io::Result<u64> {
    let mut bytes = [0u8; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(u64::from_ne_bytes(bytes))
}

/// What workers and their connections have to end.
const CLOSE_TIME: Duration = Duration::from_secs(2);
