//! From a resolved answer to addresses that may be dialled.
//!
//! Apart from `class` because a verdict needs more than a class: the endpoints that admitted the
//! connection, the route of a backend, and where ringfence itself listens. Invariant: the answer is
//! judged whole; one bad address rejects it (DST-5, TR-035).

use std::net::{IpAddr, SocketAddr};

use wire::{Code, Host, Port};

use super::class::{Class, classify};
use super::nat64::Nat64Prefix;
use crate::decision::{Admitted, Denial};
use crate::route::{BaseUrl, Reach, Route, Scheme};

/// This address was judged under an admission. Made by `verify` and `verify_backend` alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub struct VerifiedAddr(SocketAddr);

impl VerifiedAddr {
    /// What to dial.
    pub fn socket_addr(&self) -> SocketAddr {
        self.0
    }
}

/// What the place of the data plane adds to the judgement.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// `--nat64-prefix`: addresses in it have the class of the IPv4 address they carry (DST-3).
    pub nat64_prefix: Option<Nat64Prefix>,
    /// Where ringfence itself listens or is governed from (DST-12): one entry for each address, so
    /// whoever binds 0.0.0.0 lists the addresses of the host.
    pub own: Vec<SocketAddr>,
}

impl Site {
    /// The class of an address, with the NAT64 prefix of this site taken into account.
    pub fn classify(&self, addr: IpAddr) -> Class {
        classify(self.translated(addr))
    }

    /// The IPv4 address behind the site's NAT64 prefix, or the address itself in canonical form.
    fn translated(&self, addr: IpAddr) -> IpAddr {
        match (self.nat64_prefix, addr) {
            (Some(prefix), IpAddr::V6(v6)) => {
                prefix.translate(v6).map_or(addr.to_canonical(), IpAddr::V4)
            }
            (Some(_), IpAddr::V4(_)) | (None, _) => addr.to_canonical(),
        }
    }

    /// Whether the backend of a base URL may be at this address (RTE-8, TR-038). Metadata never; the inside by the
    /// operator's word.
    pub fn admits_backend(&self, base: &BaseUrl, reach: Reach, addr: IpAddr) -> bool {
        let inside = || {
            let addr = self.translated(addr);
            reach == Reach::Private && (classify(addr) == Class::Internal || addr.is_loopback())
        };
        match base.scheme {
            // A backend behind our own listener would call itself for ever.
            _ if self.is_own(addr, base.authority.port) => false,
            Scheme::Https => self.classify(addr) == Class::Public || inside(),
            // Why: a key in plain text may cross the inside only, and only by the operator's word.
            Scheme::Http => inside(),
            // A mock answers by itself; whoever wants to dial it has no address to dial (RTE-13).
            Scheme::Mock => false,
        }
    }

    fn is_own(&self, addr: IpAddr, port: Port) -> bool {
        self.own.iter().any(|own| {
            own.ip().to_canonical() == addr.to_canonical() && own.port() == port.number()
        })
    }
}

/// Judges the answer for an admitted target (DST-4, DST-5) at a site without particulars.
///
/// # Errors
/// As `verify_at`.
pub fn verify(admitted: &Admitted, answer: &[IpAddr]) -> Result<Vec<VerifiedAddr>, Denial> {
    verify_at(&Site::default(), admitted, answer)
}

/// Judges the answer for an admitted target (DST-4, DST-5, DST-12).
///
/// # Errors
/// `destination_denied` with its reason; `dns_failure` for an empty answer.
pub fn verify_at(
    site: &Site,
    admitted: &Admitted,
    answer: &[IpAddr],
) -> Result<Vec<VerifiedAddr>, Denial> {
    let port = admitted.target().port;
    let denied = |reason| Err(Denial::destination(reason, admitted.policy_name()));
    if answer.is_empty() {
        return Err(Denial::code(Code::DnsFailure));
    }
    if answer.iter().any(|addr| site.classify(*addr).is_blocked()) {
        return denied(ALWAYS_BLOCKED);
    }
    if answer.iter().any(|addr| site.is_own(*addr, port)) {
        return denied(OWN_ADDRESS);
    }
    let public = || {
        answer
            .iter()
            .all(|addr| site.classify(*addr) == Class::Public)
    };
    let listed = |list: &super::AllowedIps| {
        answer
            .iter()
            .all(|addr| list.contains(site.translated(*addr)))
    };
    if admitted.permits_public() && public() || admitted.lists().any(listed) {
        return Ok(answer
            .iter()
            .map(|addr| VerifiedAddr(SocketAddr::new(*addr, port.number())))
            .collect());
    }
    match admitted.lists().next() {
        Some(_) => denied(NOT_IN_ALLOWED_IPS),
        None => denied(INTERNAL_ADDRESS),
    }
}

/// Whether plain HTTP may go to all of these addresses (FWD-5): RFC 1918 and fc00::/7, and
/// 100.64.0.0/10 where an entry of `allowed_ips` lies inside that block itself (TR-041).
///
/// # Errors
/// `forward_private_only`, naming the policy.
pub fn require_private(admitted: &Admitted, addresses: &[VerifiedAddr]) -> Result<(), Denial> {
    let listed_shared = |addr: IpAddr| {
        let mut blocks = admitted.lists().flat_map(super::AllowedIps::blocks);
        blocks.any(|block| {
            block.contains(addr) && is_shared(block.base()) && block.len_bits() >= SHARED_BITS
        })
    };
    let private = |addr: IpAddr| match addr.to_canonical() {
        IpAddr::V4(v4) => v4.is_private() || is_shared(addr) && listed_shared(addr),
        IpAddr::V6(v6) => v6.is_unique_local(),
    };
    if addresses.iter().all(|addr| private(addr.0.ip())) {
        return Ok(());
    }
    Err(Denial {
        policy: Some(std::sync::Arc::clone(admitted.policy_name())),
        ..Denial::code(Code::ForwardPrivateOnly)
    })
}

/// 100.64.0.0/10, shared address space (RFC 6598).
fn is_shared(addr: IpAddr) -> bool {
    match addr.to_canonical() {
        IpAddr::V4(v4) => v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64,
        IpAddr::V6(_) => false,
    }
}

const SHARED_BITS: u8 = 10;

/// Judges the answer for the backend of a route (RTE-8) at a site without particulars.
///
/// # Errors
/// As `verify_backend_at`.
pub fn verify_backend(route: &Route, answer: &[IpAddr]) -> Result<Vec<VerifiedAddr>, Denial> {
    verify_backend_at(&Site::default(), route, answer)
}

/// Judges the answer for the backend of a route (RTE-8, TR-038).
///
/// # Errors
/// `route_broken` when some address may not be dialled; `dns_failure` for an empty answer.
pub fn verify_backend_at(
    site: &Site,
    route: &Route,
    answer: &[IpAddr],
) -> Result<Vec<VerifiedAddr>, Denial> {
    if answer.is_empty() {
        return Err(Denial::code(Code::DnsFailure));
    }
    let port = route.base.authority.port.number();
    let dialable = |addr: &IpAddr| site.admits_backend(&route.base, route.reach(), *addr);
    if !answer.iter().all(dialable) {
        return Err(Denial::code(Code::RouteBroken));
    }
    Ok(answer
        .iter()
        .map(|addr| VerifiedAddr(SocketAddr::new(*addr, port)))
        .collect())
}

/// Names that are never looked up (DST-11).
pub fn special_name(host: &Host) -> bool {
    let name = host.as_str();
    let under = |root: &str| {
        name.strip_suffix(root)
            .is_some_and(|front| front.is_empty() || front.ends_with('.'))
    };
    under("localhost") || under("onion") || under("inference.local")
}

/// Reasons of `destination_denied` (ERR-5).
pub(crate) const ALWAYS_BLOCKED: &str = "always_blocked";
pub(crate) const INTERNAL_ADDRESS: &str = "internal_address";
pub(crate) const NOT_IN_ALLOWED_IPS: &str = "not_in_allowed_ips";
pub(crate) const OWN_ADDRESS: &str = "own_address";
pub(crate) const SPECIAL_NAME: &str = "special_name";
