//! `link`: the one thread of a data plane that may wait for files, name servers and a gateway, and what it has for the
//! workers.
//!
//! It exists as a crate of its own because it is the only part of the data plane that names tokio: no tokio type is in
//! its API, so none can get into a worker. (`channel`, which commands of people use as well, gives out one of tonic's.)
//!
//! ```text
//!  worker ── Resolver ──► resolve ─┬─ hosts file        worker ── Records ──► ring ──► ship ─┬─ file of --record
//!         ◄── Resolving ───────────┴─ dns (hickory)                                         └─ summary of denials
//!  worker ── Reader ◄──── slot (policy and routes, swapped whole) ◄── Site ◄── subscribe ◄── gateway
//! ```
//!
//! Invariants: nothing here blocks a worker; every queue, cache and deadline has a bound in [`Config`] or beside its
//! file; names and records are a sandbox's words and are treated as hostile.
//! It must never decide: which name may be looked up and which address may be dialled is `policy`'s to say.

mod backoff;
pub mod channel;
mod decode;
pub mod record;
mod report;
mod resolve;
mod ring;
mod ship;
pub mod slot;
mod subscribe;
mod summary;
mod symlink;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::thread::{Builder, JoinHandle};

use tokio::sync::watch;

pub use record::Record;
pub use resolve::{Addresses, ResolveConfig, ResolveError, Resolver, Resolving};
pub use ring::Records;
pub use slot::{Generation, Reader, Slot, Versioned};
pub use subscribe::{
    AlreadyFollowing, Claim, Freshness, Gateway, MAX_STALE, Served, ServedSandbox, Site, Standing,
    Stream, Subscriber, Subscription, Timing,
};
pub use summary::{Denials, Group, Summary};
pub use symlink::symlink_target;

/// What the link is to do.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Where names come from.
    pub resolve: ResolveConfig,
    /// The file that gets every record as a JSON line; created with mode 0600.
    pub record_file: Option<PathBuf>,
    /// Bounds of the record queue.
    pub queue: QueueConfig,
}

/// Bound of the record queue.
#[derive(Debug, Clone)]
pub struct QueueConfig {
    /// Records that may wait. The default of 8,192 is a fifth of a second at 40,000 requests a second and, at about
    /// 1 KiB a record, 8 MiB; what comes on top is lost and counted.
    pub records_max: usize,
}

impl Default for QueueConfig {
    fn default() -> QueueConfig {
        QueueConfig { records_max: 8_192 }
    }
}

/// The running link thread.
pub struct Link {
    /// Resolves names; to be cloned for every worker.
    pub resolver: Resolver,
    /// Takes records; to be cloned for every worker.
    pub records: Records,
    /// Begins to follow a gateway.
    pub subscriber: Subscriber,
    closing: watch::Sender<bool>,
    thread: JoinHandle<Summary>,
}

/// Starts the link thread.
///
/// # Errors
/// The record file cannot be opened, or the thread cannot be had.
pub fn start(config: Config) -> Result<Link, LinkError> {
    let sink = match &config.record_file {
        Some(path) => Some(
            ship::Sink::open(path).map_err(|error| LinkError::RecordFile {
                path: path.clone(),
                error,
            })?,
        ),
        None => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(LinkError::Runtime)?;
    let (records, intake) = ring::ring(config.queue.records_max);
    let (resolver, desk) = resolve::desk(config.resolve);
    let shelf = report::Shelf::default();
    let (subscriber, following) = subscribe::desk(shelf.clone());
    let (closing, is_closing) = watch::channel(false);
    let thread = Builder::new()
        .name("link".to_owned())
        .spawn(move || {
            runtime.block_on(async move {
                let answering = tokio::spawn(desk.run());
                let following = tokio::spawn(following.run());
                let summary = ship::run(intake, sink, &shelf, is_closing).await;
                following.abort();
                answering.abort();
                summary
            })
        })
        .map_err(LinkError::Runtime)?;
    Ok(Link {
        resolver,
        records,
        subscriber,
        closing,
        thread,
    })
}

impl Link {
    /// Ends the thread: records pushed so far are written, look-ups under way fail, and the summary of denials is given.
    /// Records pushed from now on are counted as lost.
    pub fn close(self) -> Summary {
        // Why ignored: the thread is gone already, which the join tells.
        _ = self.closing.send(true);
        self.thread.join().unwrap_or_default()
    }
}

/// Why the link did not start.
#[derive(Debug)]
pub enum LinkError {
    /// The record file cannot be opened for appending.
    RecordFile {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        error: io::Error,
    },
    /// The thread or its event loop cannot be had; descriptors or processes are used up.
    Runtime(io::Error),
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkError::RecordFile { path, error } => {
                write!(f, "cannot write records to {}: {error}", path.display())
            }
            LinkError::Runtime(error) => {
                write!(
                    f,
                    "cannot start the link thread: {error}; are descriptors or processes used up?"
                )
            }
        }
    }
}

impl std::error::Error for LinkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LinkError::RecordFile { error, .. } | LinkError::Runtime(error) => Some(error),
        }
    }
}

#[cfg(test)]
mod tests;
