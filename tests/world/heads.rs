//! Heads as they arrive: slowly, in pieces, too large, too late, or not at all.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use harness::http::Message;
use harness::play;

use crate::world::client::{Ending, connect_head, drain, established, verdict};
use crate::world::upstream::Upstream;
use crate::world::{Setup, World};

const PEER: &str = "10.99.0.7:7000";

pub(crate) fn quick() -> World {
    Setup::new()
        .allow_port(7000)
        .limit(|limits| {
            limits.head_time = Duration::from_millis(1_500);
            limits.keep_alive_time = Duration::from_secs(2);
            limits.body_idle_time = Duration::from_millis(1_500);
        })
        .backend("")
        .open()
}

/// Reads a refusal that was not asked for by a whole head.
pub(crate) fn refusal(stream: TcpStream) -> Message {
    established(stream).expect_err("a refusal")
}

/// H-13, CT-1
#[test]
fn a_head_in_single_bytes_is_read_like_one_in_one_piece() {
    play(|_| {
        let world = Setup::new().allow_port(7000).open();
        let upstream = Upstream::bind(PEER);
        let mut head = b"\r\n".to_vec();
        head.extend_from_slice(&connect_head(PEER));
        let mut client = world.proxy();
        for byte in &head {
            client.write_all(&[*byte]).unwrap();
        }
        established(client).unwrap();
        drop(upstream.accept());
        // A boundary inside each CRLF.
        for at in (1..head.len()).filter(|at| head[at - 1] == b'\r') {
            let mut client = world.proxy();
            client.write_all(&head[..at]).unwrap();
            thread::sleep(Duration::from_millis(20));
            client.write_all(&head[at..]).unwrap();
            established(client).unwrap();
            drop(upstream.accept());
        }
    });
}

/// H-10, TR-091, ERR-4
#[test]
fn a_head_that_is_not_complete_in_time_is_408_however_it_drips() {
    play(|_| {
        let world = quick();
        let mut dripping = world.proxy();
        let silent = world.proxy();
        let mut half = world.proxy();
        half.write_all(b"CONNECT 10.99.0.7:7000 HTTP/1.1\r\nHos")
            .unwrap();
        let head = connect_head(PEER);
        for byte in &head[..head.len() - 4] {
            // Each byte comes long before the limit, all of them do not.
            if dripping.write_all(&[*byte]).is_err() {
                break;
            }
            thread::sleep(Duration::from_millis(40));
        }
        for (name, stream) in [("dripping", dripping), ("silent", silent), ("half", half)] {
            let refusal = refusal(stream);
            assert_eq!(verdict(&refusal), "408 request_timeout", "{name}");
        }
        assert_eq!(
            world.end().outline(),
            vec!["REFUSED head - request_timeout -"; 3]
        );
    });
}

/// H-10: an end before the head is complete asked for nothing.
#[test]
fn a_client_that_leaves_before_its_head_is_complete_gets_no_answer() {
    play(|_| {
        let world = Setup::new().open();
        for bytes in [&b""[..], b"CONNECT x:1 HT"] {
            let mut client = world.proxy();
            client.write_all(bytes).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!(drain(&mut client), (Vec::new(), Ending::Clean));
        }
        assert_eq!(world.end().outline(), Vec::<String>::new());
    });
}

/// H-11, H1-7, TR-010
#[test]
fn a_limit_that_is_crossed_is_answered_before_the_head_ends() {
    play(|_| {
        let world = Setup::new().open();
        let long_target = vec![b'a'; 8_193];
        let many_fields = b"a: b\r\n".repeat(129);
        let long_field = [b"a: ".to_vec(), vec![b'x'; 65_536]].concat();
        for (name, start, more, wanted) in [
            (
                "target",
                &b"CONNECT "[..],
                long_target,
                "414 target_too_long",
            ),
            (
                "fields",
                b"CONNECT h:1 HTTP/1.1\r\n",
                many_fields,
                "431 header_too_large",
            ),
            (
                "bytes",
                b"CONNECT h:1 HTTP/1.1\r\n",
                long_field,
                "431 header_too_large",
            ),
        ] {
            let mut client = world.proxy();
            client.write_all(start).unwrap();
            client.write_all(&more).unwrap();
            // No empty line was sent, and none is waited for: that would be 408.
            assert_eq!(verdict(&refusal(client)), wanted, "{name}");
        }
        assert_eq!(world.end().of("REFUSED").len(), 3);
    });
}

/// H-11: exactly 65,536 bytes are a head, one more is none.
#[test]
fn a_head_of_exactly_the_limit_is_accepted() {
    play(|_| {
        let world = Setup::new().open();
        for (size, wanted) in [
            (65_536, "403 policy_denied no_network_policies"),
            (65_537, "431 header_too_large"),
        ] {
            let start = b"CONNECT h.test:1 HTTP/1.1\r\nHost: h.test:1\r\na: ";
            let mut head = start.to_vec();
            head.resize(size - 4, b'x');
            head.extend_from_slice(b"\r\n\r\n");
            let mut client = world.proxy();
            client.write_all(&head).unwrap();
            assert_eq!(verdict(&refusal(client)), wanted, "{size}");
        }
    });
}

/// H-5, H-12, H1-1
#[test]
fn a_malformed_head_is_refused_at_its_fault_with_one_record() {
    play(|_| {
        let world = Setup::new().open();
        let cases: [(&[u8], &str); 9] = [
            (b"CONNECT  h:1 HTTP/1.1\r\n", "400 bad_request"),
            (b"CONNECT h:1 HTTP/1.1\n", "400 bad_request"),
            (b"CONNECT h:1 HTTP/2.0\r\n", "505 unsupported_http_version"),
            (b"CONNECT h:1 HTTP/1\r\n", "400 bad_request"),
            (b"CONNECT h:1 HTTP/1.1\r\nHost : h\r\n", "400 bad_request"),
            (
                b"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n b\r\n",
                "400 bad_request",
            ),
            (b"CONNECT h:1 HTTP/1.1\r\nHost: h\0\r\n", "400 bad_request"),
            (b"\x16\x03\x01\x02\x00\x01", "400 bad_request"),
            (
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                "505 unsupported_http_version",
            ),
        ];
        for (bytes, wanted) in cases {
            let mut client = world.proxy();
            client.write_all(bytes).unwrap();
            let refusal = refusal(client);
            assert_eq!(
                verdict(&refusal),
                wanted,
                "{:?}",
                String::from_utf8_lossy(bytes)
            );
            assert!(!refusal.json()["detail"].as_str().unwrap().is_empty());
        }
        assert_eq!(world.end().of("REFUSED").len(), cases.len());
    });
}
