//! One connect(2) that waits: what it is about, and the answer it must get.
//!
//! Apart from `watch.rs`, which decides. Invariant: every call is answered exactly once; one that is dropped without an
//! answer fails, so that no program waits for ever.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use crate::sys::{self, Told};

/// A call that waits.
pub(super) struct Call {
    listener: Arc<OwnedFd>,
    pub(super) told: Told,
    answer: Answer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Missing,
    Given,
}

impl Call {
    /// The next call. `None` when it was withdrawn, by a signal or its program's end.
    pub(super) fn receive(listener: &Arc<OwnedFd>) -> Option<Call> {
        let told = sys::receive_call(listener.as_fd()).ok()?;
        Some(Call {
            listener: Arc::clone(listener),
            told,
            answer: Answer::Missing,
        })
    }

    /// Whether it still waits. Then whoever had the number of the calling thread since the call was received is that
    /// thread.
    pub(super) fn waits(&self) -> bool {
        sys::call_waits(self.listener.as_fd(), self.told.id)
    }

    /// The kernel carries it out.
    ///
    /// It reads the arguments again, and another thread may have changed them: so nothing that was found out about them
    /// may be a reason to let the call do more than it could unseen.
    pub(super) fn go_on(mut self) {
        self.answer = Answer::Given;
        sys::answer_call(self.listener.as_fd(), self.told.id, None);
    }

    /// It is not carried out. What a program sees is what a gate without room looks like.
    pub(super) fn fail(self) {
        drop(self);
    }

    /// Whether it leads to one of the doors, as far as the address in the caller's memory tells.
    pub(super) fn leads_to(&self, doors: &[SocketAddrV4]) -> bool {
        let mut buf = [0; ADDRESS_BYTES];
        let len = usize::try_from(self.told.address_bytes)
            .map_or(ADDRESS_BYTES, |len| len.min(ADDRESS_BYTES));
        let Some(room) = buf.get_mut(..len) else {
            return false;
        };
        sys::read_memory(self.told.thread, self.told.address, room)
            .ok()
            .and_then(|count| destination(room.get(..count)?))
            .is_some_and(|to| doors.iter().any(|door| leads_to(to, *door)))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.answer == Answer::Missing {
            sys::answer_call(
                self.listener.as_fd(),
                self.told.id,
                Some(libc::ECONNREFUSED),
            );
        }
    }
}

/// The kernel takes the unspecified address for its own host.
fn leads_to(to: SocketAddrV4, door: SocketAddrV4) -> bool {
    to.port() == door.port()
        && (to.ip() == door.ip() || to.ip().is_unspecified() || door.ip().is_unspecified())
}

/// Reads a `sockaddr_in`, or a `sockaddr_in6` that leads to an IPv4 listener.
fn destination(address: &[u8]) -> Option<SocketAddrV4> {
    let family = u16::from_ne_bytes(address.get(..2)?.try_into().ok()?);
    let port = u16::from_be_bytes(address.get(2..4)?.try_into().ok()?);
    let ip = match family {
        AF_INET => Ipv4Addr::from(<[u8; 4]>::try_from(address.get(4..8)?).ok()?),
        AF_INET6 => {
            let ip = std::net::Ipv6Addr::from(<[u8; 16]>::try_from(address.get(8..24)?).ok()?);
            if ip.is_unspecified() {
                Ipv4Addr::UNSPECIFIED
            } else {
                ip.to_ipv4_mapped()?
            }
        }
        _ => return None,
    };
    Some(SocketAddrV4::new(ip, port))
}

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// A `sockaddr_in6`.
const ADDRESS_BYTES: usize = 28;

#[cfg(test)]
mod tests;
