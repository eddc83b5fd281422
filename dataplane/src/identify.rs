//! Who calls: known at accept where connect(2) is observed, looked for by a helper thread where it is not.

mod call;
mod descriptors;
mod diag;
mod exe;
mod filed;
mod lineage;
mod observed;
mod owner;
mod process;
mod watch;
mod watched;

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;

use link::record::Program;
use policy::{Caller, IdentityError};

pub use owner::Lookup;
pub(crate) use watch::Watch;

use crate::deadline;
use crate::io::Socket;
use crate::limits::Limits;
use crate::offload::Answer;
use crate::record;
use crate::worker::{Sandbox, Worker};
use observed::Observed;
use watch::Watched;

/// Who calls, and the same as records show it.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) caller: Arc<Caller>,
    pub(crate) program: Arc<Program>,
}

impl Identity {
    fn new(caller: Caller) -> Identity {
        Identity {
            program: record::program(&caller),
            caller: Arc::new(caller),
        }
    }
}

/// How the callers of a sandbox become known. Chosen when it is attached, for its whole life.
pub(crate) enum Callers {
    /// Each was seen when it called connect(2) (IDN-2).
    Observed(RefCell<Observed>),
    /// They are looked for after the fact (IDN-3).
    LookedFor(Arc<Lookup>),
}

impl Callers {
    /// Has `watch` see the calls of a sandbox, whose gate listens at `doors`.
    ///
    /// # Errors
    /// When the calls cannot be seen.
    pub(crate) fn observe(
        watch: &Watch,
        lookup: Lookup,
        calls: OwnedFd,
        doors: Vec<SocketAddrV4>,
        limits: &Limits,
    ) -> io::Result<Callers> {
        let (diag, proc, executables) = lookup.into_parts();
        let (filer, filed) = filed::pair(
            limits.callers_filed_per_sandbox_max,
            limits.caller_filed_time,
        );
        watch.add(Watched {
            calls,
            proc,
            doors,
            filer,
            executables,
        })?;
        Ok(Callers::Observed(RefCell::new(Observed { diag, filed })))
    }

    /// Forgets callers whose connections never came.
    pub(crate) fn sweep(&self) {
        match self {
            Callers::Observed(observed) => observed.borrow_mut().filed.sweep(),
            Callers::LookedFor(_) => {}
        }
    }
}

/// An identity that is known, or on its way.
pub(crate) enum Pending {
    /// It was seen at the call, or never.
    Known(Result<Identity, IdentityError>),
    /// A helper thread looks for it.
    Asked {
        answer: Answer<Result<Caller, IdentityError>>,
        time: std::time::Duration,
    },
}

/// Starts to find out who is behind a connection: `source` is its end, `proxy` is ours.
pub(crate) fn begin(
    worker: &Worker,
    sandbox: &Sandbox,
    socket: &Socket,
    source: Option<SocketAddr>,
    proxy: Option<SocketAddr>,
) -> Pending {
    let (Some(SocketAddr::V4(source)), Some(SocketAddr::V4(proxy))) = (source, proxy) else {
        // A sandbox has IPv4 loopback listeners only; anything else cannot be a connection of it.
        return Pending::Known(Err(IdentityError::Unavailable));
    };
    match &sandbox.callers {
        Callers::Observed(observed) => {
            let who = observed
                .borrow_mut()
                .take(source, proxy, || socket.peer().is_ok());
            Pending::Known(who.unwrap_or(Err(IdentityError::Unavailable)))
        }
        Callers::LookedFor(lookup) => {
            let lookup = Arc::clone(lookup);
            Pending::Asked {
                answer: worker
                    .offload
                    .submit(move || lookup.identify(source, proxy)),
                time: worker.limits.identify_time,
            }
        }
    }
}

impl Pending {
    /// The caller, or why it is not known. Unknown is not anyone (TR-051).
    pub(crate) async fn wait(self) -> Result<Identity, IdentityError> {
        match self {
            Pending::Known(who) => who,
            Pending::Asked { answer, time } => deadline::within(time, pin!(answer.wait()))
                .await
                .flatten()
                .unwrap_or(Err(IdentityError::Unavailable))
                .map(Identity::new),
        }
    }
}
