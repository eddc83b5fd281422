//! The gateway process: what listens, who is let in, and how it ends.
//!
//! ```text
//!  listen ─► tls ─► connection: path ─► auth ─► api      (one task a connection, one a call)
//! ```
//!
//! Invariants: one gateway a state directory, by a lock; a request is judged by its path before its message is read; a call
//! that began is worked to its end though its client went away, because half of a change is no change.

mod accept;
mod connection;
mod expiry;
mod listen;
mod tls;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::api::{self, Api};
use crate::config::{Config, Limits};
use crate::pki::{self, PkiError};
use crate::secrets::KeyError;
use crate::store::StoreError;
use accept::Connections;
use connection::Door;
use expiry::Expiry;
use listen::Claim;
use tls::Tls;

/// A gateway that listens, and has not yet answered.
pub struct Server {
    limits: Limits,
    notice: fn(&str),
    unix: UnixListener,
    tcp: Option<(TcpListener, Tls)>,
    expiry: Expiry,
    door: Door,
    api: Arc<Api>,
    draining: watch::Sender<Draining>,
    /// Held until the end: no other gateway starts on this state directory.
    claim: Claim,
}

/// Whether the gateway is about to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Draining {
    /// It serves.
    No,
    /// Streams end, calls finish.
    Yes,
}

/// Why a gateway did not start.
#[derive(Debug)]
pub enum StartError {
    /// A gateway runs on this state directory.
    Running {
        /// Its state directory.
        state_dir: PathBuf,
    },
    /// The state directory is not this user's alone to write.
    Exposed {
        /// It.
        state_dir: PathBuf,
    },
    /// The listener cannot be opened.
    Listen {
        /// Where.
        address: String,
        /// Why.
        error: io::Error,
    },
    /// A file cannot be made or read.
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Certificates cannot be made.
    Pki(PkiError),
    /// Certificates cannot be used; says which file.
    Tls(String),
    /// The store cannot be opened.
    Store(StoreError),
    /// The key that seals credentials cannot be had.
    Key(KeyError),
}

/// Starts a gateway and serves until `shutdown` comes true.
///
/// # Errors
/// It did not start.
pub async fn serve(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), StartError> {
    Server::start(config).await?.serve(shutdown).await;
    Ok(())
}

impl Server {
    /// Takes the state directory, opens the store, and listens.
    ///
    /// # Errors
    /// Another gateway runs there; what is needed cannot be opened.
    pub async fn start(config: Config) -> Result<Server, StartError> {
        let claim = Claim::take(&config.state_dir)?;
        let tcp = match config.listen {
            None => None,
            Some(address) => {
                let listener = TcpListener::bind(address).await;
                let listener = listener.map_err(|error| StartError::Listen {
                    address: address.to_string(),
                    error,
                })?;
                Some(listener)
            }
        };
        // Why: also without a TCP listener, so that `gateway enroll` works before the first host needs it.
        let names: Vec<_> = config.listen.iter().map(SocketAddr::ip).collect();
        let made = pki::prepare(&config.state_dir, &names).map_err(StartError::Pki)?;
        let paths = tls::chosen(made.clone(), config.tls.clone().unwrap_or_default());
        let expiry = Expiry {
            state_dir: config.state_dir.clone(),
            made,
            chosen: paths.clone(),
            names,
        };
        let tcp = match tcp {
            None => None,
            Some(listener) => Some((listener, Tls::load(paths).map_err(StartError::Tls)?)),
        };
        let (draining, drains) = watch::channel(Draining::No);
        let api = Api::start(&config, drains.clone()).await?;
        let unix = claim.listen()?;
        let door = Door {
            routes: api::routes(&api),
            limits: config.limits.clone(),
            draining: drains,
        };
        Ok(Server {
            limits: config.limits,
            notice: config.notice,
            unix,
            tcp,
            expiry,
            door,
            api,
            draining,
            claim,
        })
    }

    /// Where it listens for hosts, with the port the kernel chose.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        let (listener, _) = self.tcp.as_ref()?;
        listener.local_addr().ok()
    }

    /// Serves until `shutdown` comes true; then streams end at once, and calls get a while to finish.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let mut background = JoinSet::new();
        self.api.clone().follow(&mut background);
        let slots = Arc::new(Semaphore::new(self.limits.connections_max));
        let connections = Connections {
            door: self.door,
            slots,
            limits: self.limits.clone(),
            notice: self.notice,
        };
        let tls = self.tcp.as_ref().map(|(_, tls)| tls.newest());
        if let Some((_, tls)) = &self.tcp {
            background.spawn(tls.clone().follow(self.limits.reload, self.notice));
        }
        background.spawn(self.expiry.follow(self.limits.expiry, self.notice));
        let unix = connections.accept_unix(&self.unix);
        let tcp = async {
            match (&self.tcp, tls) {
                (Some((listener, _)), Some(newest)) => {
                    connections.accept_tcp(listener, newest).await
                }
                (Some(_) | None, _) => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shutdown => (),
            never = unix => match never {},
            never = tcp => match never {},
        }
        // Why: the name goes first, so that who connects from now on is told at once and not served half.
        drop(self.unix);
        drop(self.tcp);
        self.claim.release();
        self.draining.send_replace(Draining::Yes);
        // Every connection holds a slot: all of them back means that all have ended.
        let all = u32::try_from(self.limits.connections_max).unwrap_or(u32::MAX);
        let ended = connections.slots.acquire_many(all);
        // A connection closes itself when its calls take too long; this bound is for what it could not foresee.
        if tokio::time::timeout(self.limits.drain * 2, ended)
            .await
            .is_err()
        {
            (self.notice)("some connections did not end in time");
        }
        background.shutdown().await;
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Running { state_dir } => write!(
                f,
                "a gateway runs on {}; stop it, or start this one with another --state-dir",
                state_dir.display()
            ),
            StartError::Exposed { state_dir } => write!(
                f,
                "{} can be written by other users; `chmod go-w` it, or name another --state-dir",
                state_dir.display()
            ),
            StartError::Listen { address, error } => {
                write!(f, "cannot listen at {address}: {error}")
            }
            StartError::File { path, error } => write!(f, "{}: {error}", path.display()),
            StartError::Pki(error) => write!(f, "{error}"),
            StartError::Tls(why) => write!(f, "certificates cannot be used: {why}"),
            StartError::Store(error) => write!(f, "{error}"),
            StartError::Key(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for StartError {}
