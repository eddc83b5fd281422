//! Heads are read back by the parsers, and no piece can end its line.

use super::*;
use crate::{HeadLimits, Parse, RequestParser, ResponseParser};

/// TR-006, FWD-7
#[test]
fn a_written_request_head_is_read_back() {
    let mut head = HeadWriter::request(b"GET", &[b"/p", b"?", b"q"]).unwrap();
    head.field(b"Host", b"h").unwrap();
    head.field(b"X", b"\xE9 \xFF").unwrap();
    head.field_parts(b"Authorization", &[b"Bearer ", b"token"])
        .unwrap();
    head.own_field("Connection", "close");
    head.number_field("Content-Length", 7);
    let bytes = head.finish();
    let Parse::Done(read, used) = RequestParser::new(HeadLimits::default()).advance(&bytes) else {
        panic!("well-formed")
    };
    assert_eq!((used, read.target()), (bytes.len(), b"/p?q".as_slice()));
    assert_eq!(read.field("x"), Some(b"\xE9 \xFF".as_slice()));
    assert_eq!(
        read.field("authorization"),
        Some(b"Bearer token".as_slice())
    );
    assert_eq!(read.framing(), crate::RequestFraming::Length(7));
}

/// TR-085
#[test]
fn a_control_byte_never_enters_a_head() {
    let mut head = HeadWriter::response(200, b"OK");
    for value in [
        b"a\rb".as_slice(),
        b"a\nb",
        b"a\0b",
        b"\x1b",
        b"\x7f",
        b"a\r\nEvil: 1",
    ] {
        assert_eq!(head.field(b"X", value), Err(WriteError::Value));
        assert_eq!(
            head.field_parts(b"X", &[b"a", value]),
            Err(WriteError::Value)
        );
    }
    for name in [b"".as_slice(), b"a b", b"a:", b"a\r", b"\xE9"] {
        assert_eq!(head.field(name, b"v"), Err(WriteError::Name));
    }
    assert_eq!(head.finish(), b"HTTP/1.1 200 OK\r\n\r\n");
    for target in [
        [b"".as_slice(), b""],
        [b"/ ", b""],
        [b"/", b"\r\n"],
        [b"/", b"\xE9"],
    ] {
        assert_eq!(
            HeadWriter::request(b"GET", &target).err(),
            Some(WriteError::Target)
        );
    }
    assert_eq!(
        HeadWriter::request(b"G T", &[b"/"]).err(),
        Some(WriteError::Name)
    );
}

/// INF-17
#[test]
fn a_written_response_head_is_read_back() {
    for (status, reason, expected) in [
        (200, b"OK".as_slice(), 200),
        (404, b"", 404),
        (7, b"x\r\ny", 502),
    ] {
        let bytes = HeadWriter::response(status, reason).finish();
        let Parse::Done(read, _) = ResponseParser::new(HeadLimits::upstream()).advance(&bytes)
        else {
            panic!("well-formed")
        };
        assert_eq!(read.status(), expected);
    }
}
