//! `allowed_ips` entries, and the range check against the point check.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::super::class::{self, Embedding, V6Range};
use super::super::{Block, BlockError, BlockWarning, Class, classify};
use super::ip;

fn block(text: &str) -> Block {
    Block::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// AL-1
#[test]
fn an_entry_holds_its_block_or_its_one_address() {
    assert!(block("10.0.5.0/24").contains(ip("10.0.5.1")));
    assert!(!block("10.0.5.0/24").contains(ip("10.0.6.1")));
    assert!(block("10.0.5.20").contains(ip("10.0.5.20")));
    assert!(!block("10.0.5.20").contains(ip("10.0.5.21")));
    assert!(block("10.0.5.20").contains(ip("::ffff:10.0.5.20")));
}

/// AL-3
#[test]
fn what_is_no_canonical_block_is_refused() {
    for text in [
        "not-an-ip",
        "garbage",
        "",
        "10.0.5.0/",
        "10.0.5.0/33",
        "10.0.5.0/+8",
        "fd00::/129",
        "[fd00::1]",
    ] {
        assert_eq!(Block::parse(text), Err(BlockError::Malformed), "{text}");
    }
    assert_eq!(
        Block::parse("10.0.5.1/24"),
        Err(BlockError::HostBits {
            block: "10.0.5.0/24".into()
        })
    );
    assert_eq!(Block::parse("010.0.0.0/8"), Err(BlockError::Malformed));
    assert_eq!(
        Block::parse("10.0.0.0/08"),
        Err(BlockError::NotCanonical {
            canonical: "10.0.0.0/8".into()
        })
    );
    assert_eq!(
        Block::parse("FD00::/8"),
        Err(BlockError::NotCanonical {
            canonical: "fd00::/8".into()
        })
    );
}

/// AL-4
#[test]
fn an_entry_that_overlaps_an_always_blocked_range_is_refused() {
    for text in [
        "127.0.0.0/8",
        "169.254.0.0/16",
        "0.0.0.0/0",
        "::/0",
        "224.0.0.0/4",
        "::ffff:0:0/96",
        "::1",
    ] {
        assert_eq!(
            Block::parse(text),
            Err(BlockError::OverlapsBlocked),
            "{text}"
        );
    }
}

/// DST-7: also in an embedded form.
#[test]
fn an_entry_that_embeds_an_always_blocked_range_is_refused() {
    let embedding = [
        "64:ff9b::/96",
        "64:ff9b::7f00:0/104",
        "64:ff9b::6464:64c8",
        "2002::/16",
        "2002:7f00::/24",
        "2001::/32",
        "2001:0:808:808::/64",
        "64:ff9b:1::/48",
        "2000::/3",
        "168.0.0.0/8",
    ];
    for text in embedding {
        assert_eq!(
            Block::parse(text),
            Err(BlockError::OverlapsBlocked),
            "{text}"
        );
    }
    for text in [
        "64:ff9b::a00:0/104",
        "2002:a00::/24",
        "2001:0:808:808::f500:0/104",
        "8.8.8.0/24",
        "2606:4700::/32",
    ] {
        assert!(Block::parse(text).is_ok(), "{text}");
    }
}

/// AL-5
#[test]
fn a_metadata_address_is_refused() {
    for text in [
        "100.100.100.200/32",
        "168.63.129.16",
        "fd00:ec2::254",
        "::ffff:100.100.100.200",
    ] {
        assert_eq!(Block::parse(text), Err(BlockError::Metadata), "{text}");
    }
}

/// AL-6
#[test]
fn enclosing_a_metadata_address_in_an_internal_range_is_a_warning() {
    let metadata = [
        ("100.64.0.0/10", "100.100.100.200"),
        ("fd00::/8", "fd00:ec2::254"),
    ];
    for (text, addr) in metadata {
        assert!(
            block(text)
                .warnings()
                .contains(&BlockWarning::EnclosesMetadata(ip(addr))),
            "{text}"
        );
    }
    assert!(block("10.0.0.0/8").warnings().contains(&BlockWarning::Wide));
    assert!(block("10.0.0.0/16").warnings().is_empty());
}

fn corner_addresses() -> Vec<IpAddr> {
    let v4_rows = || class::BLOCKED_V4.iter().chain(class::INTERNAL_V4);
    let mut v4: Vec<Ipv4Addr> = class::METADATA_V4.to_vec();
    for row in v4_rows() {
        let first = row.base.to_bits();
        let last = first | u32::MAX.checked_shr(u32::from(row.len)).unwrap_or(0);
        v4.extend([first, last].map(Ipv4Addr::from_bits));
        v4.extend([first.wrapping_sub(1), last.wrapping_add(1)].map(Ipv4Addr::from_bits));
    }
    let mut v6: Vec<Ipv6Addr> = class::METADATA_V6.to_vec();
    let embeddings = Embedding::ALL.map(Embedding::range);
    let rows: Vec<V6Range> = class::BLOCKED_V6
        .iter()
        .copied()
        .chain(embeddings)
        .chain([class::MAPPED_V6, class::INTERNAL_V6, class::GLOBAL_V6])
        .collect();
    for row in rows {
        let first = row.base.to_bits();
        let last = first | u128::MAX.checked_shr(u32::from(row.len)).unwrap_or(0);
        v6.extend(
            [first, last, first.wrapping_sub(1), last.wrapping_add(1)].map(Ipv6Addr::from_bits),
        );
    }
    for addr in &v4 {
        let bits = u128::from(addr.to_bits());
        let inverted = u128::from(!addr.to_bits());
        let eight = 0x0808_0808_u128;
        v6.push(Ipv6Addr::from_bits(0xffff << 32 | bits));
        v6.push(Ipv6Addr::from_bits(bits));
        v6.push(Ipv6Addr::from_bits(0x0064_ff9b << 96 | bits));
        v6.push(Ipv6Addr::from_bits(0x0064_ff9b_0001 << 80 | bits));
        v6.push(Ipv6Addr::from_bits(0x2002 << 112 | bits << 80));
        v6.push(Ipv6Addr::from_bits(
            0x2001 << 112 | bits << 64 | (eight ^ 0xffff_ffff),
        ));
        v6.push(Ipv6Addr::from_bits(0x2001 << 112 | eight << 64 | inverted));
    }
    v4.into_iter()
        .map(IpAddr::V4)
        .chain(v6.into_iter().map(IpAddr::V6))
        .collect()
}

/// Blocks around, inside and beside everything the tables speak of.
fn any_block() -> impl Strategy<Value = String> {
    let corner = prop::sample::select(corner_addresses());
    let random = prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        corner
    ];
    (random, 0_u8..=128, any::<u32>()).prop_map(|(addr, len, noise)| match addr {
        IpAddr::V4(addr) => {
            let len = len % 33;
            let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
            format!(
                "{}/{len}",
                Ipv4Addr::from_bits((addr.to_bits() ^ (noise & 0xff)) & mask)
            )
        }
        IpAddr::V6(addr) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
            format!(
                "{}/{len}",
                Ipv6Addr::from_bits((addr.to_bits() ^ u128::from(noise & 0xff)) & mask)
            )
        }
    })
}

/// The unmapped text of an address, as a point check sees it.
fn holds(block: &Block, addr: IpAddr) -> bool {
    match (block.base(), addr) {
        (IpAddr::V4(base), IpAddr::V4(addr)) => {
            (base.to_bits() ^ addr.to_bits()).leading_zeros() >= u32::from(block.len_bits())
        }
        (IpAddr::V6(base), IpAddr::V6(addr)) => {
            (base.to_bits() ^ addr.to_bits()).leading_zeros() >= u32::from(block.len_bits())
        }
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_096, ..ProptestConfig::default() })]

    /// TR-037: a range is refused exactly when some point in it is always blocked.
    #[test]
    fn the_range_check_agrees_with_the_point_check(text in any_block(), probes in any::<[u128; 8]>()) {
        let raw = Block::parse_cidr(&text).unwrap();
        let mut points: Vec<IpAddr> = corner_addresses();
        points.push(raw.base());
        for probe in probes {
            points.push(match raw.base() {
                IpAddr::V4(base) => {
                    let free = u32::MAX.checked_shr(u32::from(raw.len_bits())).unwrap_or(0);
                    IpAddr::V4(Ipv4Addr::from_bits(base.to_bits() | (probe as u32 & free)))
                }
                IpAddr::V6(base) => {
                    let free = u128::MAX.checked_shr(u32::from(raw.len_bits())).unwrap_or(0);
                    IpAddr::V6(Ipv6Addr::from_bits(base.to_bits() | (probe & free)))
                }
            });
        }
        // Whatever embeds IPv4 in its last 32 bits is also probed there, as written and inverted.
        if let IpAddr::V6(base) = raw.base() {
            let free = u128::MAX.checked_shr(u32::from(raw.len_bits())).unwrap_or(0);
            for addr in corner_addresses() {
                let IpAddr::V4(v4) = addr else { continue };
                for bits in [v4.to_bits(), !v4.to_bits()] {
                    let low = u128::from(bits) & free;
                    points.push(IpAddr::V6(Ipv6Addr::from_bits(base.to_bits() | low)));
                }
            }
        }
        let inside: Vec<IpAddr> = points.into_iter().filter(|addr| holds(&raw, *addr)).collect();
        match Block::parse(&text) {
            Ok(block) => {
                let warned = |addr: &IpAddr| {
                    block.warnings().contains(&BlockWarning::EnclosesMetadata(addr.to_canonical()))
                };
                for addr in inside {
                    let class = classify(addr);
                    prop_assert!(block.contains(addr), "{text} lost {addr}");
                    prop_assert!(class != Class::AlwaysBlocked, "{text} loads and holds {addr}");
                    prop_assert!(class != Class::Metadata || warned(&addr), "{text} is silent of {addr}");
                }
            }
            Err(BlockError::OverlapsBlocked | BlockError::Metadata) => {
                let witness = inside.iter().any(|addr| classify(*addr).is_blocked());
                prop_assert!(witness, "{text} is refused and nothing in it is blocked");
            }
            Err(error) => prop_assert!(false, "{text}: {error}"),
        }
    }
}
