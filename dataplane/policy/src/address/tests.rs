//! Classes, lists and verdicts, by the rows of VECTORS 3 and the SSRF corpus.

mod corpus;
mod lists;
mod verdicts;

use std::net::IpAddr;

use super::{Class, Nat64Prefix, Nat64PrefixError, Site, classify};

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn assert_class(class: Class, addresses: &[&str]) {
    for text in addresses {
        assert_eq!(classify(ip(text)), class, "{text}");
    }
}

/// AD-1
#[test]
fn loopback_and_link_local_are_always_blocked() {
    let rest = [
        "127.0.0.1",
        "127.0.0.2",
        "::1",
        "::ffff:127.0.0.1",
        "169.254.0.1",
        "fe80::1",
    ];
    assert_class(Class::AlwaysBlocked, &rest);
    assert_class(
        Class::Metadata,
        &["169.254.169.254", "::ffff:169.254.169.254"],
    );
    assert!(Class::Metadata.is_blocked());
}

/// AD-2
#[test]
fn rfc_1918_is_internal_to_its_edges() {
    let edges = [
        "10.0.0.1",
        "10.255.255.255",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "192.168.255.255",
        "::ffff:10.0.0.1",
    ];
    assert_class(Class::Internal, &edges);
}

/// AD-3
#[test]
fn shared_benchmark_and_unique_local_space_is_internal() {
    assert_class(
        Class::Internal,
        &[
            "100.64.0.1",
            "100.127.255.255",
            "198.18.0.1",
            "fc00::1",
            "fd00::1",
        ],
    );
}

/// AD-4
#[test]
fn neighbours_of_special_ipv4_ranges_are_public() {
    let neighbours = [
        "172.32.0.1",
        "8.8.8.8",
        "1.1.1.1",
        "93.184.216.34",
        "100.63.255.255",
        "100.128.0.0",
        "198.17.255.255",
        "192.0.3.0",
        "223.255.255.255",
    ];
    assert_class(Class::Public, &neighbours);
}

/// AD-5
#[test]
fn ordinary_ipv6_and_mapped_public_ipv4_are_public() {
    let public = [
        "2001:4860:4860::8888",
        "2606:4700:4700::1111",
        "::ffff:8.8.8.8",
        "2001:db9::1",
        "3ffe::1",
    ];
    assert_class(Class::Public, &public);
}

/// AD-6
#[test]
fn unspecified_multicast_and_reserved_are_always_blocked() {
    let blocked = [
        "0.0.0.0",
        "0.1.2.3",
        "::",
        "224.0.0.1",
        "ff02::1",
        "240.0.0.1",
        "255.255.255.255",
        "::ffff:0.0.0.0",
    ];
    assert_class(Class::AlwaysBlocked, &blocked);
}

/// AD-7, TR-032
#[test]
fn the_special_purpose_registries_are_always_blocked() {
    let blocked = [
        "192.0.0.1",
        "192.0.2.1",
        "198.51.100.7",
        "203.0.113.9",
        "192.88.99.1",
        "2001:db8::1",
        "3fff::1",
        "100::1",
        "100:0:0:1::1",
        "5f00::1",
        "2001:20::1",
        "fec0::1",
        "e000::1",
    ];
    assert_class(Class::AlwaysBlocked, &blocked);
}

/// AD-8, TR-033
#[test]
fn metadata_services_have_a_class_of_their_own() {
    let metadata = [
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd20:ce::254",
        "::ffff:168.63.129.16",
    ];
    assert_class(Class::Metadata, &metadata);
}

/// AD-9
#[test]
fn the_neighbour_of_a_metadata_address_is_judged_by_its_range() {
    assert_class(Class::Public, &["168.63.129.17"]);
    assert_class(Class::Internal, &["100.100.100.201"]);
}

/// AD-10, TR-032
#[test]
fn an_embedded_blocked_address_blocks_the_whole() {
    // Teredo: client 127.0.0.1 is written inverted as 80ff:fffe.
    let blocked = [
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "::7f00:1",
        "2001:0:808:808:0:0:80ff:fffe",
    ];
    assert_class(Class::AlwaysBlocked, &blocked);
}

/// AD-10: Teredo carries a server as well (DST-2).
#[test]
fn a_blocked_teredo_server_blocks_the_whole() {
    // Client 8.8.8.8 is written inverted as f7f7:f7f7.
    assert_class(Class::AlwaysBlocked, &["2001:0:7f00:1:0:0:f7f7:f7f7"]);
    assert_class(Class::Internal, &["2001:0:808:808:0:0:f7f7:f7f7"]);
}

/// AD-11
#[test]
fn embedding_prefixes_are_internal_at_best() {
    assert_class(
        Class::Internal,
        &[
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ],
    );
}

/// DST-3: both layouts of RFC 6052 are read in the local-use prefix.
#[test]
fn local_use_nat64_is_judged_in_both_layouts() {
    assert_class(
        Class::AlwaysBlocked,
        &["64:ff9b:1::7f00:1", "64:ff9b:1:7f00:0:100::", "64:ff9b:1::"],
    );
    assert_class(
        Class::Internal,
        &["64:ff9b:1::a00:1", "64:ff9b:1:a00:0:100::"],
    );
}

/// AD-12
#[test]
fn a_configured_nat64_prefix_behaves_like_v4_mapped() {
    let site = Site {
        nat64_prefix: Nat64Prefix::parse("64:ff9b::/96").ok(),
        own: Vec::new(),
    };
    assert_eq!(site.classify(ip("64:ff9b::808:808")), Class::Public);
    assert_eq!(site.classify(ip("64:ff9b::a00:1")), Class::Internal);
    assert_eq!(site.classify(ip("64:ff9b::a9fe:a9fe")), Class::Metadata);
    assert_eq!(site.classify(ip("2002:808:808::1")), Class::Internal);
}

/// RFC 6052 §2.4, the examples for 192.0.2.33.
#[test]
fn every_prefix_length_of_rfc_6052_is_read_as_its_table_says() {
    let rows = [
        ("2001:db8:c000:221::", 32),
        ("2001:db8:1c0:2:21::", 40),
        ("2001:db8:122:c000:2:2100::", 48),
        ("2001:db8:122:3c0:0:221::", 56),
        ("2001:db8:122:344:c0:2:2100::", 64),
        ("2001:db8:122:344::c000:221", 96),
    ];
    for (text, len) in rows {
        let embedded = super::class::embedded(text.parse().unwrap(), len);
        assert_eq!(embedded.to_string(), "192.0.2.33", "{text}/{len}");
    }
}

/// RFC 6052 §2.2: other lengths have no layout.
#[test]
fn a_nat64_prefix_has_one_of_six_lengths() {
    for text in [
        "64:ff9b::/96",
        "2001:db8::/32",
        "2001:db8:100::/40",
        "2001:db8:1::/48",
    ] {
        assert!(Nat64Prefix::parse(text).is_ok(), "{text}");
    }
    for text in ["64:ff9b::/95", "64:ff9b::1", "10.0.0.0/8", "::/0"] {
        assert_eq!(
            Nat64Prefix::parse(text),
            Err(Nat64PrefixError::Length),
            "{text}"
        );
    }
    assert!(matches!(
        Nat64Prefix::parse("x"),
        Err(Nat64PrefixError::Block(_))
    ));
}
