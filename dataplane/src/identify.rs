//! Who calls: asked for at accept, answered by a helper thread, needed when the head is complete.

mod exe;
mod owner;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use policy::{Caller, IdentityError};

pub use owner::Lookup;

use crate::deadline;
use crate::offload::Answer;
use crate::worker::{Sandbox, Worker};

/// An identity on its way.
pub(crate) struct Pending {
    answer: Option<Answer<Result<Caller, IdentityError>>>,
    time: std::time::Duration,
}

/// Starts the look-up of the process behind a connection: `source` is its end, `proxy` is ours.
pub(crate) fn begin(
    worker: &Worker,
    sandbox: &Sandbox,
    source: Option<SocketAddr>,
    proxy: Option<SocketAddr>,
) -> Pending {
    let answer = match (source, proxy) {
        (Some(SocketAddr::V4(source)), Some(SocketAddr::V4(proxy))) => {
            let lookup = Arc::clone(&sandbox.lookup);
            Some(
                worker
                    .offload
                    .submit(move || lookup.identify(source, proxy)),
            )
        }
        // A sandbox has IPv4 loopback listeners only; anything else cannot be a connection of it.
        _ => None,
    };
    Pending {
        answer,
        time: worker.limits.identify_time,
    }
}

impl Pending {
    /// The caller, or why it is not known. Unknown is not anyone (TR-051).
    pub(crate) async fn wait(self) -> Result<Caller, IdentityError> {
        let Some(answer) = self.answer else {
            return Err(IdentityError::Unavailable);
        };
        deadline::within(self.time, pin!(answer.wait()))
            .await
            .flatten()
            .unwrap_or(Err(IdentityError::Unavailable))
    }
}
