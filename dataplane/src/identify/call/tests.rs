//! Which addresses lead to a door.

use super::*;

const DOORS: [SocketAddrV4; 2] = [
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, 3_128),
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, 443),
];

fn v4(ip: [u8; 4], port: u16) -> Vec<u8> {
    let mut out = AF_INET.to_ne_bytes().to_vec();
    out.extend(port.to_be_bytes());
    out.extend(ip);
    out.extend([0; 8]);
    out
}

fn v6(ip: &str, port: u16) -> Vec<u8> {
    let ip: std::net::Ipv6Addr = ip.parse().unwrap();
    let mut out = AF_INET6.to_ne_bytes().to_vec();
    out.extend(port.to_be_bytes());
    out.extend([0; 4]);
    out.extend(ip.octets());
    out.extend([0; 4]);
    out
}

/// IDN-2: every spelling by which the kernel reaches a door, and nothing that reaches another program of the sandbox.
#[test]
fn all_spellings_of_a_door_and_no_other_address_lead_there() {
    let table = [
        (v4([127, 0, 0, 1], 3_128), true),
        (v4([127, 0, 0, 1], 443), true),
        (v4([0, 0, 0, 0], 3_128), true),
        (v6("::ffff:127.0.0.1", 3_128), true),
        (v6("::", 443), true),
        (v4([127, 0, 0, 1], 8_080), false),
        (v4([127, 0, 0, 2], 3_128), false),
        (v4([1, 1, 1, 1], 443), false),
        (v6("::1", 3_128), false),
        (v6("2606:4700::1111", 443), false),
        (b"\x01\0/run/socket".to_vec(), false),
        (vec![2], false),
        (v4([127, 0, 0, 1], 3_128)[..7].to_vec(), false),
        (vec![], false),
    ];
    for (address, expected) in table {
        let is_door =
            destination(&address).is_some_and(|to| DOORS.iter().any(|door| leads_to(to, *door)));
        assert_eq!(is_door, expected, "{address:?}");
    }
}
