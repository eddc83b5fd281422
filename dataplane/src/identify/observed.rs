//! The worker's side of `watch.rs`: from an accepted connection to the caller that was filed for it.
//!
//! The kernel says which socket is at the other end of the connection, and that socket's number says who called
//! connect(2) for it. Invariant: the answer is about this connection and no other that had the same ports: it was alive
//! after the question, and as long as it is no other can have them.

use std::net::SocketAddrV4;

use super::diag::Diag;
use super::filed::{Filed, Who};

/// What a worker has of one sandbox.
pub(crate) struct Observed {
    pub(super) diag: Diag,
    pub(super) filed: Filed,
}

impl Observed {
    /// Who connected from `client` to `proxy`; `is_alive` looks at the accepted socket.
    pub(super) fn take(
        &mut self,
        client: SocketAddrV4,
        proxy: SocketAddrV4,
        is_alive: impl FnOnce() -> bool,
    ) -> Option<Who> {
        let cookie = self.diag.find(client, proxy)?.cookie_of_connected()?;
        // Why after the question: a connection that was reset can still be read, and its ports may be another's by now.
        if is_alive() {
            self.filed.take(cookie)
        } else {
            None
        }
    }
}
