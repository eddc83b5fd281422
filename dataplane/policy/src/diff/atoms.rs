//! The pieces on which neither policy changes its mind.
//!
//! Apart from the comparison because these are patterns and nothing else. Invariant: two members of one
//! piece are matched by the same patterns of both policies.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wire::{Host, Port};

use crate::address::Block;
use crate::document::{Endpoint, PolicyDocument};
use crate::lint::cover;
use crate::pattern::{Glob, HostPattern};
use crate::witness::{self, Domain, Extent};

/// One member of a piece, and the pattern people know it by.
#[derive(Clone, Debug)]
pub(super) struct Piece<T> {
    pub(super) label: String,
    pub(super) member: T,
}

/// The pieces of some globs, without the one that none of them matches.
pub(super) fn globs(domain: Domain, globs: &[&Glob]) -> (Vec<Piece<Vec<u8>>>, Extent) {
    let mut unique: Vec<&Glob> = globs.to_vec();
    unique.sort();
    unique.dedup();
    let found = witness::classes(domain, &unique);
    let piece = |member: Vec<u8>| {
        let matching: Vec<&Glob> = unique
            .iter()
            .copied()
            .filter(|glob| glob.matches(&member))
            .collect();
        let label = narrowest(domain, &matching)?;
        Some(Piece { label, member })
    };
    (
        found.witnesses.into_iter().filter_map(piece).collect(),
        found.extent,
    )
}

/// Of patterns that match the same text, those that no narrower one stands for.
fn narrowest(domain: Domain, matching: &[&Glob]) -> Option<String> {
    let within = |inner: &Glob, outer: &Glob| witness::covered(domain, &[inner], &[outer]);
    let beaten = |outer: &&&Glob| {
        matching
            .iter()
            .any(|inner| inner != *outer && within(inner, outer) && !within(outer, inner))
    };
    let labels: Vec<&str> = matching
        .iter()
        .filter(|glob| !beaten(glob))
        .map(|glob| glob.as_str())
        .collect();
    (!labels.is_empty()).then(|| labels.join(" and "))
}

/// Hosts of one port: every exact one, and for every wildcard a name of one label more and of two.
pub(super) fn hosts(endpoints: &[&Endpoint], port: Port) -> Vec<Piece<Host>> {
    let endpoints = endpoints.iter().filter(|endpoint| endpoint.port == port);
    let mut patterns: Vec<&HostPattern> = Vec::new();
    let mut hostless = false;
    for endpoint in endpoints {
        match endpoint.destination.host() {
            Some(pattern) => patterns.push(pattern),
            None => hostless = true,
        }
    }
    let mut members: BTreeSet<Host> = BTreeSet::new();
    let known: BTreeSet<&str> = patterns
        .iter()
        .map(|pattern| match pattern {
            HostPattern::Exact(host)
            | HostPattern::OneLabel(host)
            | HostPattern::AnyLabels(host) => host.as_str(),
        })
        .collect();
    for pattern in &patterns {
        match pattern {
            HostPattern::Exact(host) => {
                members.insert(host.clone());
            }
            HostPattern::OneLabel(suffix) | HostPattern::AnyLabels(suffix) => {
                let fresh = (1..).map(|count| "x".repeat(count));
                let unused = |label: &String| !known.contains(&*format!("{label}.{suffix}"));
                let label = fresh.take(LABEL_BYTES_MAX).find(unused).unwrap_or_default();
                let names = [format!("{label}.{suffix}"), format!("x.{label}.{suffix}")];
                members.extend(
                    names
                        .iter()
                        .filter_map(|name| Host::parse(name.as_bytes()).ok()),
                );
            }
        }
    }
    if hostless {
        // `.invalid` is nobody's (RFC 6761 §6.4).
        let names = (1..).map(|count| format!("{}.invalid", "x".repeat(count)));
        let mut hosts = names
            .take(LABEL_BYTES_MAX)
            .filter_map(|name| Host::parse(name.as_bytes()).ok());
        members.extend(hosts.find(|host| !patterns.iter().any(|pattern| pattern.matches(host))));
    }
    let piece = |member: Host| {
        let matching: Vec<&HostPattern> = patterns
            .iter()
            .copied()
            .filter(|pattern| pattern.matches(&member))
            .collect();
        let beaten = |outer: &&&HostPattern| {
            matching
                .iter()
                .any(|inner| cover::host(outer, inner) && !cover::host(inner, outer))
        };
        let narrowest = matching.iter().find(|pattern| !beaten(pattern));
        let label = match narrowest {
            Some(pattern) => pattern.to_string(),
            None if hostless => "any other host".to_owned(),
            None => return None,
        };
        Some(Piece { label, member })
    };
    let mut pieces: Vec<Piece<Host>> = members.into_iter().filter_map(piece).collect();
    pieces.sort_by(|one, other| one.label.cmp(&other.label));
    pieces
}

/// The endpoints of a document.
pub(super) fn endpoints(document: &PolicyDocument) -> impl Iterator<Item = &Endpoint> {
    document
        .network_policies
        .values()
        .flat_map(|policy| &policy.endpoints)
}

/// Addresses: the first of every stretch in which the same blocks hold, and two public ones.
pub(super) fn addresses(blocks: &[&Block]) -> Vec<Piece<IpAddr>> {
    let mut starts: BTreeMap<IpAddr, ()> = BTreeMap::new();
    starts.extend(PUBLIC.iter().map(|addr| (*addr, ())));
    for block in blocks {
        starts.insert(block.base(), ());
        starts.extend(behind(block).map(|addr| (addr, ())));
    }
    let label = |addr: IpAddr| {
        let holding = blocks.iter().filter(|block| block.contains(addr));
        match holding.max_by_key(|block| block.len_bits()) {
            Some(block) => block.to_string(),
            None => "public addresses".to_owned(),
        }
    };
    let addresses = starts.into_keys();
    addresses
        .map(|member| Piece {
            label: label(member),
            member,
        })
        .collect()
}

/// The address behind the last of a block.
fn behind(block: &Block) -> Option<IpAddr> {
    let len = u32::from(block.len_bits());
    match block.base() {
        IpAddr::V4(base) => {
            let size = 1_u32.checked_shl(32 - len)?;
            base.to_bits()
                .checked_add(size)
                .map(|bits| Ipv4Addr::from_bits(bits).into())
        }
        IpAddr::V6(base) => {
            let size = 1_u128.checked_shl(128 - len)?;
            base.to_bits()
                .checked_add(size)
                .map(|bits| Ipv6Addr::from_bits(bits).into())
        }
    }
}

/// Addresses every host could have.
const PUBLIC: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8888)),
];

const LABEL_BYTES_MAX: usize = 60;
