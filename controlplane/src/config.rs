//! What a gateway is told at its start, as typed values.
//!
//! Apart from the command line, which reads flags and variables into this. Invariant: every default runs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use policy::Site;

use crate::inference::Settings;
use crate::model::State;
use crate::secrets::{KeyError, Keyring};

/// A gateway's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where its socket, its certificates and, by default, its database lie. Made 0700 when it is missing.
    pub state_dir: PathBuf,
    /// The TCP address of the mutual-TLS listener; none without one.
    pub listen: Option<SocketAddr>,
    /// `sqlite:PATH` or `postgres://…`; none for `gateway.db` in the state directory.
    pub db: Option<String>,
    /// The keys that seal credentials (`RINGFENCE_KEY`); none for the file `secrets.key` in the state directory.
    pub keys: Option<Arc<Keyring>>,
    /// What INF-27 says of the NVIDIA default.
    pub inference: Settings,
    /// The operator's own certificates in place of those of the state directory.
    pub tls: Option<TlsFiles>,
    /// Bounds and deadlines.
    pub limits: Limits,
    /// Where a sentence for the operator goes.
    pub notice: fn(&str),
}

/// Certificates that were not made here. They are read again when they change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, its issuers after it.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// Whose clients are admitted.
    pub client_ca: Option<PathBuf>,
}

/// Every bound of a gateway.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time; more are not accepted until one ends. With a host or two a connection, thousands of hosts.
    pub connections_max: usize,
    /// Streams of one connection.
    pub streams_per_connection_max: u32,
    /// Calls of one connection that are worked on at a time; more wait.
    pub calls_per_connection_max: usize,
    /// How long a call may take until its answer begins.
    pub call: Duration,
    /// How long a TLS handshake, or the head of an HTTP/1 request, may take.
    pub handshake: Duration,
    /// An HTTP/2 connection is asked for a sign of life this often,
    pub keep_alive: Duration,
    /// and given up without one after this.
    pub keep_alive_timeout: Duration,
    /// How long calls may go on after a shutdown was asked for.
    pub drain: Duration,
    /// What a stream to a host carries at least this often (DPL-4).
    pub heartbeat: Duration,
    /// The bytes of one pushed message, about; what is larger comes in parts.
    pub push_bytes_max: usize,
    /// How often certificates are looked at.
    pub reload: Duration,
    /// How often it is asked which certificates are about to end.
    pub expiry: Duration,
    /// A host without a stream that was not heard for this long is silent: how its sandboxes fare is not known (CLI-18).
    pub silent: Duration,
    /// How long a forced delete waits for hosts to confirm (PRV-8).
    pub confirm: Duration,
}

/// No call has a message above this (RPC-1).
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

impl Config {
    /// The defaults over a state directory.
    pub fn new(state_dir: impl Into<PathBuf>) -> Config {
        Config {
            state_dir: state_dir.into(),
            listen: None,
            db: None,
            keys: None,
            inference: Settings::default(),
            tls: None,
            limits: Limits::default(),
            notice: |notice| eprintln!("ringfence gateway: {notice}"),
        }
    }

    /// The Unix socket.
    pub fn socket(&self) -> PathBuf {
        socket_in(&self.state_dir)
    }

    /// The URL of the database.
    pub fn db_url(&self) -> String {
        let own = || format!("sqlite:{}", self.state_dir.join("gateway.db").display());
        self.db.clone().unwrap_or_else(own)
    }

    /// The file of the keys that seal credentials, where no others are given.
    pub fn key_file(&self) -> PathBuf {
        self.state_dir.join("secrets.key")
    }

    /// The keys for what `state` holds.
    pub(crate) fn keys_for(&self, state: &State) -> Result<Arc<Keyring>, KeyError> {
        match &self.keys {
            Some(keys) => Ok(Arc::clone(keys)),
            None => Keyring::from_file_for(&self.key_file(), state).map(Arc::new),
        }
    }

    /// Where this gateway is in the network, for what it asks of providers itself.
    pub(crate) fn site(&self) -> Site {
        Site {
            nat64_prefix: None,
            own: self.listen.into_iter().collect(),
        }
    }
}

/// The Unix socket of a state directory.
pub fn socket_in(state_dir: &Path) -> PathBuf {
    state_dir.join("gateway.sock")
}

/// The file in a state directory that a running gateway has locked.
pub fn lock_in(state_dir: &Path) -> PathBuf {
    state_dir.join("gateway.lock")
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections_max: 8_192,
            streams_per_connection_max: 256,
            calls_per_connection_max: 64,
            call: Duration::from_secs(30),
            handshake: Duration::from_secs(10),
            keep_alive: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(20),
            drain: Duration::from_secs(5),
            heartbeat: Duration::from_secs(5),
            push_bytes_max: 512 * 1024,
            reload: Duration::from_secs(1),
            expiry: Duration::from_secs(24 * 60 * 60),
            silent: Duration::from_secs(15),
            confirm: Duration::from_secs(1),
        }
    }
}
