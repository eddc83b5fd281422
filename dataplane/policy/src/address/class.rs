//! The class of one address, from tables in the order of DST-2.
//!
//! Apart from `block`, which asks the same tables about whole ranges. Invariant: first match wins,
//! metadata before everything, and what no row of the IPv6 table names is blocked outside 2000::/3.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What may be dialled, and with whose word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Ordinary address of the Internet.
    Public,
    /// Inside somebody's network: dialled only where `allowed_ips` says so.
    Internal,
    /// Never dialled for a sandbox.
    AlwaysBlocked,
    /// A metadata service: never dialled, whoever asks.
    Metadata,
}

impl Class {
    /// True for the two classes no policy can open.
    pub fn is_blocked(self) -> bool {
        matches!(self, Class::AlwaysBlocked | Class::Metadata)
    }
}

/// Judges one address (DST-2, DST-3).
pub fn classify(addr: IpAddr) -> Class {
    match addr {
        IpAddr::V4(v4) => classify_v4(v4),
        IpAddr::V6(v6) => classify_v6(v6),
    }
}

fn classify_v4(addr: Ipv4Addr) -> Class {
    let within = |rows: &[V4Range]| rows.iter().any(|row| row.holds(addr));
    if METADATA_V4.contains(&addr) {
        Class::Metadata
    } else if within(BLOCKED_V4) {
        Class::AlwaysBlocked
    } else if within(INTERNAL_V4) {
        Class::Internal
    } else {
        Class::Public
    }
}

fn classify_v6(addr: Ipv6Addr) -> Class {
    if METADATA_V6.contains(&addr) {
        return Class::Metadata;
    }
    if let Some(v4) = addr.to_ipv4_mapped() {
        return classify_v4(v4);
    }
    if let Some(embedding) = Embedding::ALL
        .into_iter()
        .find(|embedding| embedding.range().holds(addr))
    {
        return embedding.class(addr);
    }
    if BLOCKED_V6.iter().any(|row| row.holds(addr)) {
        Class::AlwaysBlocked
    } else if INTERNAL_V6.holds(addr) {
        Class::Internal
    } else if GLOBAL_V6.holds(addr) {
        Class::Public
    } else {
        Class::AlwaysBlocked
    }
}

/// A prefix whose addresses carry IPv4 addresses, other than the v4-mapped one (DST-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Embedding {
    /// ::/96, RFC 4291 §2.5.5.1.
    Compatible,
    /// 64:ff9b::/96, RFC 6052 §2.1.
    Nat64,
    /// 64:ff9b:1::/48, RFC 8215; operators use the /48 and the /96 layout of RFC 6052 in it.
    Nat64Local,
    /// 2002::/16, RFC 3056.
    SixToFour,
    /// 2001::/32, RFC 4380: a server, and a client with its bits inverted.
    Teredo,
}

impl Embedding {
    pub(crate) const ALL: [Embedding; 5] = [
        Embedding::Compatible,
        Embedding::Nat64,
        Embedding::Nat64Local,
        Embedding::SixToFour,
        Embedding::Teredo,
    ];

    pub(crate) const fn range(self) -> V6Range {
        match self {
            Embedding::Compatible => V6Range::new([0, 0, 0, 0, 0, 0, 0, 0], 96),
            Embedding::Nat64 => V6Range::new([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96),
            Embedding::Nat64Local => V6Range::new([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48),
            Embedding::SixToFour => V6Range::new([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
            Embedding::Teredo => V6Range::new([0x2001, 0, 0, 0, 0, 0, 0, 0], 32),
        }
    }

    fn class(self, addr: Ipv6Addr) -> Class {
        let blocked = |v4: Ipv4Addr| classify_v4(v4).is_blocked();
        let bad = match self {
            Embedding::Compatible | Embedding::Nat64 => blocked(low(addr)),
            Embedding::SixToFour => blocked(six_to_four(addr)),
            Embedding::Teredo => blocked(teredo_server(addr)) || blocked(teredo_client(addr)),
            Embedding::Nat64Local => {
                // A layout that is not in use reads as 0.0.0.0; it condemns only when both do.
                let layouts = [low(addr), embedded(addr, 48)];
                let used = |v4: &&Ipv4Addr| !v4.is_unspecified();
                layouts.iter().all(Ipv4Addr::is_unspecified)
                    || layouts.iter().filter(used).any(|v4| blocked(*v4))
            }
        };
        if bad {
            Class::AlwaysBlocked
        } else {
            Class::Internal
        }
    }
}

/// The last 32 bits.
pub(crate) fn low(addr: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = addr.octets();
    Ipv4Addr::new(a, b, c, d)
}

/// RFC 3056 §2: the 32 bits behind 2002::/16.
pub(crate) fn six_to_four(addr: Ipv6Addr) -> Ipv4Addr {
    let [_, _, a, b, c, d, ..] = addr.octets();
    Ipv4Addr::new(a, b, c, d)
}

/// RFC 4380 §4: the server behind 2001::/32.
pub(crate) fn teredo_server(addr: Ipv6Addr) -> Ipv4Addr {
    let [_, _, _, _, a, b, c, d, ..] = addr.octets();
    Ipv4Addr::new(a, b, c, d)
}

fn teredo_client(addr: Ipv6Addr) -> Ipv4Addr {
    Ipv4Addr::from_bits(!low(addr).to_bits())
}

/// RFC 6052 §2.2: the IPv4 address behind a prefix of `len` bits; octet 8 is never part of it.
pub(crate) fn embedded(addr: Ipv6Addr, prefix_len_bits: u8) -> Ipv4Addr {
    let octets = addr.octets();
    let start = usize::from(prefix_len_bits / 8);
    let mut bytes = (start..16)
        .filter(|at| prefix_len_bits == 96 || *at != 8)
        .map(|at| octets[at]);
    let mut next = || bytes.next().unwrap_or(0);
    Ipv4Addr::new(next(), next(), next(), next())
}

/// One IPv4 row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct V4Range {
    pub(crate) base: Ipv4Addr,
    pub(crate) len: u8,
}

impl V4Range {
    const fn new(base: [u8; 4], len: u8) -> V4Range {
        let [a, b, c, d] = base;
        V4Range {
            base: Ipv4Addr::new(a, b, c, d),
            len,
        }
    }

    pub(crate) fn holds(self, addr: Ipv4Addr) -> bool {
        (addr.to_bits() ^ self.base.to_bits()).leading_zeros() >= u32::from(self.len)
    }
}

/// One IPv6 row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct V6Range {
    pub(crate) base: Ipv6Addr,
    pub(crate) len: u8,
}

impl V6Range {
    const fn new(base: [u16; 8], len: u8) -> V6Range {
        let [a, b, c, d, e, f, g, h] = base;
        V6Range {
            base: Ipv6Addr::new(a, b, c, d, e, f, g, h),
            len,
        }
    }

    pub(crate) fn holds(self, addr: Ipv6Addr) -> bool {
        (addr.to_bits() ^ self.base.to_bits()).leading_zeros() >= u32::from(self.len)
    }
}

/// Metadata services reached over IPv4.
pub(crate) const METADATA_V4: &[Ipv4Addr] = &[
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// Metadata services reached over IPv6.
pub(crate) const METADATA_V6: &[Ipv6Addr] = &[
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// IANA IPv4 special-purpose registry, the rows that are never a destination.
pub(crate) const BLOCKED_V4: &[V4Range] = &[
    V4Range::new([0, 0, 0, 0], 8),
    V4Range::new([127, 0, 0, 0], 8),
    V4Range::new([169, 254, 0, 0], 16),
    V4Range::new([192, 0, 0, 0], 24),
    V4Range::new([192, 0, 2, 0], 24),
    V4Range::new([192, 88, 99, 0], 24),
    V4Range::new([198, 51, 100, 0], 24),
    V4Range::new([203, 0, 113, 0], 24),
    V4Range::new([224, 0, 0, 0], 4),
    V4Range::new([240, 0, 0, 0], 4),
];

/// Somebody's inside, over IPv4.
pub(crate) const INTERNAL_V4: &[V4Range] = &[
    V4Range::new([10, 0, 0, 0], 8),
    V4Range::new([172, 16, 0, 0], 12),
    V4Range::new([192, 168, 0, 0], 16),
    V4Range::new([100, 64, 0, 0], 10),
    V4Range::new([198, 18, 0, 0], 15),
];

/// IPv6 rows that are never a destination. Teredo lies inside 2001::/23 and is judged before it.
pub(crate) const BLOCKED_V6: &[V6Range] = &[
    V6Range::new([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
    V6Range::new([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10),
    V6Range::new([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
    V6Range::new([0x100, 0, 0, 0, 0, 0, 0, 0], 64),
    V6Range::new([0x100, 0, 0, 1, 0, 0, 0, 0], 64),
    V6Range::new([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    V6Range::new([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    V6Range::new([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
    V6Range::new([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16),
];

/// ::ffff:0:0/96: judged as the IPv4 address it names.
pub(crate) const MAPPED_V6: V6Range = V6Range::new([0, 0, 0, 0, 0, 0xffff, 0, 0], 96);

/// fc00::/7, unique local addresses.
pub(crate) const INTERNAL_V6: V6Range = V6Range::new([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7);

/// 2000::/3, the only space from which global addresses are given out.
pub(crate) const GLOBAL_V6: V6Range = V6Range::new([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);
