//! Response heads: rows RF-1 to RF-7 as far as they are a matter of reading.

use super::*;

fn verdict(bytes: &[u8]) -> Result<Option<ResponseHead>, HeadErrorKind> {
    let run = |parser: &mut ResponseParser, bytes: &[u8]| match parser.advance(bytes) {
        Parse::Done(head, used) => {
            assert_eq!(used, head.head_len());
            Ok(Some(head))
        }
        Parse::More => Ok(None),
        Parse::Bad(error) => Err(error.kind),
    };
    let shape = |outcome: &Result<Option<ResponseHead>, HeadErrorKind>| {
        outcome
            .clone()
            .map(|head| head.map(|head| head.bytes.to_vec()))
    };
    let new = || ResponseParser::new(HeadLimits::upstream());
    let whole = run(&mut new(), bytes);
    for cut in 0..bytes.len().min(4_096) {
        let mut parser = new();
        let first = run(&mut parser, bytes.get(..cut).unwrap());
        let then = if matches!(first, Ok(None)) {
            run(&mut parser, bytes)
        } else {
            first
        };
        assert_eq!(
            shape(&then),
            shape(&whole),
            "cut at {cut}: {}",
            bytes.escape_ascii()
        );
    }
    let mut bytewise = new();
    let last = (0..=bytes.len())
        .map(|end| run(&mut bytewise, bytes.get(..end).unwrap()))
        .find(|seen| !matches!(seen, Ok(None)));
    assert_eq!(
        shape(&last.unwrap_or(Ok(None))),
        shape(&whole),
        "byte by byte"
    );
    whole
}

fn accepted(text: &str) -> ResponseHead {
    verdict(text.as_bytes()).unwrap().unwrap()
}

/// RFC 9112 §4
#[test]
fn a_status_line_is_read_with_or_without_a_reason() {
    for (line, status, reason) in [
        ("HTTP/1.1 200 OK", 200, "OK"),
        ("HTTP/1.1 404 Not  Found", 404, "Not  Found"),
        ("HTTP/1.1 200 ", 200, ""),
        ("HTTP/1.0 299", 299, ""),
        ("HTTP/1.1 999 caf\u{e9}", 999, "caf\u{e9}"),
    ] {
        let head = accepted(&format!("{line}\r\nX: y\r\n\r\n"));
        assert_eq!(
            (head.status(), head.reason()),
            (status, reason.as_bytes()),
            "{line}"
        );
        assert_eq!(head.field("x"), Some(b"y".as_slice()));
    }
}

/// H1-13, RF-7, TR-019
#[test]
fn a_malformed_head_is_refused() {
    for head in [
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.2 200 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 200\tOK\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\n\n",
        "HTTP/1.1 200 O\0K\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX : a\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        assert!(verdict(head.as_bytes()).is_err(), "{head}");
    }
}

/// H1-13, RF-7
#[test]
fn a_head_over_64_kib_is_refused_before_it_ends() {
    let endless = "HTTP/1.1 200 OK\r\nX: ".to_owned() + &"a".repeat(256 * 1_024);
    let mut parser = ResponseParser::new(HeadLimits::upstream());
    let bytes = endless.as_bytes();
    assert!(matches!(
        parser.advance(bytes.get(..65_536).unwrap()),
        Parse::More
    ));
    let Parse::Bad(error) = parser.advance(bytes.get(..65_537).unwrap()) else {
        panic!("refused")
    };
    assert_eq!(
        (error.kind, error.at),
        (HeadErrorKind::HeadTooLarge, 65_536)
    );
}

/// H1-13, RF-1, RF-2, RF-3, RF-5, RF-6, TR-018, TR-020
#[test]
fn the_body_length_follows_from_method_status_and_fields() {
    let framing = |status: u16, lines: &str, method: &str| {
        accepted(&format!("HTTP/1.1 {status} X\r\n{lines}\r\n")).framing(method.as_bytes())
    };
    let length = "Content-Length: 1000\r\n";
    assert_eq!(framing(200, length, "GET"), ResponseFraming::Length(1_000));
    assert_eq!(framing(200, length, "HEAD"), ResponseFraming::None);
    assert_eq!(framing(200, length, "head"), ResponseFraming::Length(1_000));
    for status in [100, 103, 199, 204, 304] {
        assert_eq!(
            framing(status, length, "GET"),
            ResponseFraming::None,
            "{status}"
        );
    }
    assert_eq!(
        framing(200, "Transfer-Encoding: chunked\r\n", "GET"),
        ResponseFraming::Chunked
    );
    assert_eq!(framing(200, "", "GET"), ResponseFraming::UntilClose);
    assert_eq!(
        framing(200, "Connection: close\r\n", "GET"),
        ResponseFraming::UntilClose
    );
}

/// H1-9, RF-1, RF-6
#[test]
fn an_upstream_that_closes_says_so() {
    assert_eq!(
        accepted("HTTP/1.1 200 OK\r\n\r\n").persistence(),
        Persistence::KeepAlive
    );
    assert_eq!(
        accepted("HTTP/1.1 200 OK\r\nConnection: x, CLOSE\r\n\r\n").persistence(),
        Persistence::Close
    );
    assert_eq!(
        accepted("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n").persistence(),
        Persistence::Close
    );
}

/// H1-11, RF-4, RF-7
#[test]
fn interim_answers_are_told_from_a_switch_of_protocols() {
    for (status, interim) in [
        (100, true),
        (101, false),
        (103, true),
        (199, true),
        (200, false),
    ] {
        assert_eq!(
            accepted(&format!("HTTP/1.1 {status} X\r\n\r\n")).is_interim(),
            interim,
            "{status}"
        );
    }
}

/// INF-17, INF-21
#[test]
fn an_event_stream_is_one_only_without_a_content_coding() {
    for (lines, stream) in [
        ("Content-Type: text/event-stream\r\n", true),
        ("Content-Type: Text/Event-Stream; charset=utf-8\r\n", true),
        (
            "Content-Type: text/event-stream ;x\r\nContent-Encoding: identity\r\n",
            true,
        ),
        (
            "Content-Type: text/event-stream\r\nContent-Encoding: gzip\r\n",
            false,
        ),
        ("Content-Type: text/event-streams\r\n", false),
        ("Content-Type: application/json\r\n", false),
        ("", false),
    ] {
        assert_eq!(
            accepted(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n")).is_event_stream(),
            stream,
            "{lines}"
        );
    }
}

/// H1-15
#[test]
fn what_connection_names_ends_here() {
    let head = accepted(
        "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\n\r\n",
    );
    let kept: Vec<_> = head
        .fields()
        .filter(|field| !head.is_hop_by_hop(field.name))
        .collect();
    assert!(kept.is_empty());
}
