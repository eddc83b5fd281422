//! A sandbox's way to its worker: listeners and the sight of its calls, handed over and confirmed (GEN-5).
//!
//! Both ends of the way, because they must agree: the thread that attaches, and the worker that serves from then on.

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use link::record::Text;
use monoio::net::TcpListener;
use policy::SandboxId;
use rustls::ServerConfig;

use super::DataPlane;
use super::ring::Order;
use crate::budget::Budget;
use crate::identify::{Callers, Lookup};
use crate::listener;
use crate::revoke::Tunnels;
use crate::session::Door;
use crate::worker::{Count, Sandbox, Worker};

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

impl DataPlane {
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
}

/// A sandbox on its way to its worker's thread.
pub(super) struct Placed {
    id: SandboxId,
    proxy: OwnedFd,
    direct: Option<OwnedFd>,
    callers: Callers,
    server_config: Option<Arc<ServerConfig>>,
    pub(super) confirm: flume::Sender<io::Result<()>>,
}

impl Placed {
    /// Serves the sandbox on this worker from now on.
    pub(super) fn attach(self, worker: &Rc<Worker>) -> io::Result<Rc<Sandbox>> {
        let Placed {
            id,
            proxy,
            direct,
            callers,
            server_config,
            confirm: _,
        } = self;
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

/// GEN-5.
const CONFIRM_TIME: Duration = Duration::from_secs(10);
