//! Answers that are not for the tuple asked.

use super::*;
use std::net::Ipv4Addr;

const CLIENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 40_000);
const PROXY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 3_128);

fn answer(family: u8, state: u8, client: SocketAddrV4, proxy: SocketAddrV4, inode: u32) -> Vec<u8> {
    let mut out = vec![0; 88];
    out[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    out[16] = family;
    out[17] = state;
    out[20..22].copy_from_slice(&client.port().to_be_bytes());
    out[22..24].copy_from_slice(&proxy.port().to_be_bytes());
    for (at, addr) in [(24, client), (40, proxy)] {
        if family == AF_INET6 {
            out[at..at + 16].copy_from_slice(&addr.ip().to_ipv6_mapped().octets());
        } else {
            out[at..at + 4].copy_from_slice(&addr.ip().octets());
        }
    }
    out[84..88].copy_from_slice(&inode.to_ne_bytes());
    out
}

/// IDN-3, TR-046: the full tuple, an open socket, both families.
#[test]
fn only_the_exact_tuple_is_an_answer() {
    let elsewhere = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 2), 40_000);
    let table = [
        (answer(AF_INET, 1, CLIENT, PROXY, 7), Some(7)),
        (answer(AF_INET6, 1, CLIENT, PROXY, 7), Some(7)),
        (answer(AF_INET, 8, CLIENT, PROXY, 7), Some(7)),
        (answer(AF_INET, TCP_LISTEN, CLIENT, PROXY, 7), None),
        (answer(AF_INET, 1, CLIENT, PROXY, 0), None),
        (answer(AF_INET, 1, PROXY, CLIENT, 7), None),
        (answer(AF_INET, 1, elsewhere, PROXY, 7), None),
        (answer(1, 1, CLIENT, PROXY, 7), None),
    ];
    for (message, expected) in table {
        let found = found(&message, CLIENT, PROXY);
        assert_eq!(found.and_then(Found::inode), expected);
    }
}

/// E5: a short or foreign message is no answer.
#[test]
fn a_cut_answer_is_none() {
    let whole = answer(AF_INET, 1, CLIENT, PROXY, 7);
    for len in 0..whole.len() {
        assert_eq!(found(&whole[..len], CLIENT, PROXY), None);
    }
    let mut error = whole;
    error[4] = 2;
    assert_eq!(found(&error, CLIENT, PROXY), None);
}

/// TR-046: a socket that is still trying made no connection, and one that was closed after it did.
#[test]
fn only_a_socket_that_connected_has_a_cookie() {
    for (state, connected) in [
        (1, true),
        (2, false),
        (3, false),
        (4, true),
        (6, true),
        (7, false),
    ] {
        let mut message = answer(AF_INET, state, CLIENT, PROXY, 0);
        message[60..68].copy_from_slice(&9_u64.to_ne_bytes());
        let cookie = found(&message, CLIENT, PROXY).and_then(Found::cookie_of_connected);
        assert_eq!(cookie, connected.then_some(9), "state {state}");
    }
}
