//! New connections: taken while there is a slot, named by the kernel or by a certificate, and served apart.
//!
//! Apart from `connection` because it ends with the listener and not with a peer. Invariants: a peer in its handshake holds
//! a slot as every other and is given up after a while; running out of descriptors slows accepting down and never ends it.

mod peer;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::connection::Door;
use crate::api::auth::Caller;
use crate::config::Limits;
use crate::pki::role::caller_of;

/// What accepts, and what it accepts into.
pub(super) struct Connections {
    pub(super) door: Door,
    pub(super) slots: Arc<Semaphore>,
    pub(super) limits: Limits,
    pub(super) notice: fn(&str),
}

impl Connections {
    /// Accepts at the Unix socket for ever.
    pub(super) async fn accept_unix(&self, listener: &UnixListener) -> Infallible {
        loop {
            let slot = self.slot().await;
            let (stream, _) = self.patiently(|| listener.accept()).await;
            let door = self.door.clone();
            tokio::spawn(async move {
                let caller = peer::caller_of(&stream);
                door.serve(stream, caller).await;
                drop(slot);
            });
        }
    }

    /// Accepts at the TCP port for ever.
    pub(super) async fn accept_tcp(
        &self,
        listener: &TcpListener,
        tls: watch::Receiver<Arc<ServerConfig>>,
    ) -> Infallible {
        loop {
            let slot = self.slot().await;
            let (stream, _) = self.patiently(|| listener.accept()).await;
            let acceptor = TlsAcceptor::from(Arc::clone(&tls.borrow()));
            let (door, deadline) = (self.door.clone(), self.limits.handshake);
            tokio::spawn(async move {
                remote(stream, acceptor, deadline, door).await;
                drop(slot);
            });
        }
    }

    async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        // Why: the semaphore is never closed; without one there would be no bound, and that is all.
        Arc::clone(&self.slots).acquire_owned().await.ok()
    }

    async fn patiently<T, F: Future<Output = io::Result<T>>>(&self, accept: impl Fn() -> F) -> T {
        let mut pause = FIRST_PAUSE;
        loop {
            match accept().await {
                Ok(accepted) => return accepted,
                // The peer gave up while it waited.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => (),
                Err(error) => {
                    (self.notice)(&format!("no connection can be accepted: {error}"));
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LAST_PAUSE);
                }
            }
        }
    }
}

async fn remote(stream: TcpStream, acceptor: TlsAcceptor, deadline: Duration, door: Door) {
    // A socket that cannot be told so is slower, and no worse.
    _ = stream.set_nodelay(true);
    let handshake = tokio::time::timeout(deadline, acceptor.accept(stream)).await;
    // Plaintext, no certificate, or one of another authority: TLS has told the peer what it needs to know.
    let Ok(Ok(stream)) = handshake else { return };
    let (_, session) = stream.get_ref();
    let certs = session.peer_certificates().unwrap_or_default();
    let caller = certs.first().map_or(Caller::Stranger, caller_of);
    door.serve(stream, caller).await;
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);
