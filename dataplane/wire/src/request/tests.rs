//! Request heads: rows H-1 to H-5, H-11 to H-14, CT-6 and RW-6, each at every split position.

use super::*;
use crate::Code;

/// The verdict on these bytes, the same at once, byte by byte and cut at every position.
fn verdict(bytes: &[u8]) -> Result<Option<RequestHead>, Code> {
    let whole = outcome(RequestParser::new(HeadLimits::default()).advance(bytes));
    let mut bytewise = RequestParser::new(HeadLimits::default());
    let mut last = Ok(None);
    for end in 1..=bytes.len() {
        last = outcome(bytewise.advance(bytes.get(..end).unwrap()));
        if !matches!(last, Ok(None)) {
            break;
        }
    }
    assert_eq!(
        summary(&last),
        summary(&whole),
        "byte by byte: {}",
        bytes.escape_ascii()
    );
    for cut in 0..bytes.len().min(4_096) {
        let mut parser = RequestParser::new(HeadLimits::default());
        let first = outcome(parser.advance(bytes.get(..cut).unwrap()));
        let then = if matches!(first, Ok(None)) {
            outcome(parser.advance(bytes))
        } else {
            first
        };
        assert_eq!(
            summary(&then),
            summary(&whole),
            "cut at {cut}: {}",
            bytes.escape_ascii()
        );
    }
    whole
}

fn outcome(parse: Parse<RequestHead, HeadError>) -> Result<Option<RequestHead>, Code> {
    match parse {
        Parse::Done(head, used) => {
            assert_eq!(used, head.head_len());
            Ok(Some(head))
        }
        Parse::More => Ok(None),
        Parse::Bad(error) => Err(error.code()),
    }
}

fn summary(
    outcome: &Result<Option<RequestHead>, Code>,
) -> Result<Option<(Vec<u8>, RequestFraming)>, Code> {
    outcome
        .clone()
        .map(|head| head.map(|head| (head.bytes.to_vec(), head.framing())))
}

fn accepted(bytes: &[u8]) -> RequestHead {
    verdict(bytes).unwrap().unwrap()
}

/// A GET with these further field lines.
fn with(lines: &str) -> Vec<u8> {
    format!("GET http://h/ HTTP/1.1\r\nHost: h\r\n{lines}\r\n").into_bytes()
}

/// H1-1
#[test]
fn a_request_line_and_its_fields_are_read_as_sent() {
    let head = accepted(b"POST http://h/p?q HTTP/1.1\r\nhOST: h:80\r\nX: a\r\nx: \xE9b \r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(
        (head.method(), head.target()),
        (b"POST".as_slice(), b"http://h/p?q".as_slice())
    );
    assert_eq!(head.version(), Version::Http11);
    assert_eq!(head.framing(), RequestFraming::Length(5));
    assert_eq!(head.host().unwrap().port.map(crate::Port::number), Some(80));
    assert_eq!(head.field("X"), Some(b"a".as_slice()));
    let all: Vec<&[u8]> = head
        .fields()
        .filter(|field| field.is("x"))
        .map(|field| field.value)
        .collect();
    assert_eq!(all, [b"a".as_slice(), b"\xE9b"]);
}

/// H1-1, H-12, TR-005
#[test]
fn a_request_line_of_another_shape_is_refused() {
    for (line, code) in [
        ("GET  http://h/ HTTP/1.1", Code::BadRequest),
        ("GET http://h/  HTTP/1.1", Code::BadRequest),
        (" GET http://h/ HTTP/1.1", Code::BadRequest),
        ("GET http://h/ HTTP/1.1 ", Code::BadRequest),
        ("GET http://h/ HTTP/1.1\t", Code::BadRequest),
        ("GET\thttp://h/\tHTTP/1.1", Code::BadRequest),
        ("GET http://h/", Code::BadRequest),
        ("GET", Code::BadRequest),
        ("", Code::BadRequest),
        ("GET http://h/ x HTTP/1.1", Code::BadRequest),
        ("G(ET) http://h/ HTTP/1.1", Code::BadRequest),
        ("GET http://h/\u{7f} HTTP/1.1", Code::BadRequest),
        ("GET http://h/\u{e9} HTTP/1.1", Code::InvalidRequestTarget),
        ("GET http://h/ HTTP/1", Code::BadRequest),
        ("GET http://h/ http/1.1", Code::BadRequest),
        ("GET http://h/ HTTP/1.1x", Code::BadRequest),
        ("GET http://h/ HTTP/11.1", Code::BadRequest),
        ("GET http://h/ HTTP/1.11", Code::BadRequest),
        ("GET http://h/ HTTP/ 1.1", Code::BadRequest),
        ("GET http://h/ ICE/1.0", Code::BadRequest),
        ("GET http://h/ HTTP/1.2", Code::UnsupportedHttpVersion),
        ("GET http://h/ HTTP/2.0", Code::UnsupportedHttpVersion),
        ("GET http://h/ HTTP/0.9", Code::UnsupportedHttpVersion),
        ("PRI * HTTP/2.0", Code::UnsupportedHttpVersion),
    ] {
        let request = format!("{line}\r\nHost: h\r\n\r\n");
        let shifted = format!("\r\n{request}");
        assert_eq!(verdict(request.as_bytes()).err(), Some(code), "{line}");
        assert_eq!(
            verdict(shifted.as_bytes()).err(),
            Some(code),
            "{line} after an empty line"
        );
    }
}

/// H-5, TR-005
#[test]
fn a_malformed_line_is_refused_without_the_end_of_the_head() {
    for start in [
        "GET http://h/ HTTP/1.1\n",
        "GET http://h/ HTTP/1.1\rX",
        "G\r",
        "GET\n",
        "\rG",
        "\n",
        "\r\n\r",
        "\x16",
        "GET http://h/ HTTP/1.1\r\nContent-Length ",
        "GET http://h/ HTTP/1.1\r\n ",
        "GET http://h/ HTTP/1.1\r\nX: a\r\n\t",
        "GET http://h/ HTTP/1.1\r\nX: a\n",
        "GET http://h/ HTTP/1.1\r\nX: a\rb",
        "GET http://h/ HTTP/1.1\r\nX: \0",
        "GET http://h/ HTTP/1.1\r\nX: \x1b",
        "GET http://h/ HTTP/1.1\r\n:",
        "GET http://h/ HTTP/1.1\r\nX\r",
        "GET http://h/ HTTP/1.1\r\nContent-Length: +5\r\n",
        "GET http://h/ HTTP/1.1\r\nHost: a, b\r\n",
    ] {
        assert_eq!(
            verdict(start.as_bytes()).err(),
            Some(Code::BadRequest),
            "{}",
            start.escape_debug()
        );
        let short = start.get(..start.len() - 1).unwrap();
        assert!(
            matches!(verdict(short.as_bytes()), Ok(None)),
            "{} could still become good",
            short.escape_debug()
        );
    }
}

/// H1-4, H-1, H-3, H-4, TR-002, TR-003, TR-004
#[test]
fn a_head_with_two_readings_of_its_length_is_refused() {
    for lines in [
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: \r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "transfer-encoding:\r\n",
    ] {
        assert_eq!(
            verdict(&with(lines)).err(),
            Some(Code::BadRequest),
            "{lines}"
        );
    }
    let old = b"POST http://h/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(verdict(old).err(), Some(Code::BadRequest));
    assert_eq!(
        accepted(&with("Transfer-Encoding: chunked\r\n")).framing(),
        RequestFraming::Chunked
    );
    assert_eq!(
        accepted(&with("Transfer_Encoding: chunked\r\n")).framing(),
        RequestFraming::None
    );
}

/// H1-6, RW-6, TR-022
#[test]
fn http_1_1_needs_one_valid_host_that_connection_does_not_name() {
    for head in [
        "GET http://h/ HTTP/1.1\r\n\r\n",
        "GET http://h/ HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
        "GET http://h/ HTTP/1.1\r\nHost: a, b\r\n\r\n",
        "GET http://h/ HTTP/1.1\r\nHost: h:99999\r\n\r\n",
        "GET http://h/ HTTP/1.1\r\nHost:\r\n\r\n",
        "GET http://h/ HTTP/1.1\r\nHost: u@h\r\n\r\n",
        "GET http://h/ HTTP/1.1\r\nHost: [::1\r\n\r\n",
        "GET http://h/ HTTP/1.1\r\nHost: h\r\nConnection: Host\r\n\r\n",
        "GET http://h/ HTTP/1.1\r\nHost: h\r\nConnection: x, Content-Length\r\n\r\n",
        "GET http://h/ HTTP/1.1\r\nHost: h\r\nConnection: transfer-encoding\r\n\r\n",
        "GET http://h/ HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n",
    ] {
        assert_eq!(
            verdict(head.as_bytes()).err(),
            Some(Code::BadRequest),
            "{head}"
        );
    }
    assert!(accepted(b"GET http://h/ HTTP/1.0\r\n\r\n").host().is_none());
}

/// CON-3, CT-6, FWD-7
#[test]
fn connect_and_trace_carry_no_content() {
    for method in ["CONNECT", "TRACE"] {
        for (line, good) in [
            ("Content-Length: 0\r\n", true),
            ("", true),
            ("Content-Length: 5\r\n", false),
            ("Transfer-Encoding: chunked\r\n", false),
        ] {
            let head = format!("{method} h:80 HTTP/1.1\r\nHost: h\r\n{line}\r\n");
            assert_eq!(verdict(head.as_bytes()).is_ok(), good, "{method} {line}");
        }
    }
    assert!(
        verdict(b"connect h:80 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n").is_ok(),
        "another method (H1-3)"
    );
}

/// H1-7, H-11, TR-010
#[test]
fn a_limit_is_answered_at_the_byte_that_passes_it() {
    let start = "GET http://h/ HTTP/1.1\r\nHost: h\r\nX: ";
    let fill = |total: usize| format!("{start}{}\r\n\r\n", "v".repeat(total - start.len() - 4));
    let run = |bytes: &[u8]| outcome(RequestParser::new(HeadLimits::default()).advance(bytes));
    assert_eq!(
        run(fill(65_536).as_bytes()).unwrap().unwrap().head_len(),
        65_536
    );
    assert_eq!(
        run(fill(65_537).as_bytes()).err(),
        Some(Code::HeaderTooLarge)
    );
    assert_eq!(
        run(format!("\r\n{}", fill(65_536)).as_bytes())
            .unwrap()
            .unwrap()
            .head_len(),
        65_538
    );
    let endless = start.to_owned() + &"v".repeat(70_000);
    assert!(matches!(
        run(endless.as_bytes().get(..65_536).unwrap()),
        Ok(None)
    ));
    assert_eq!(
        run(endless.as_bytes().get(..65_537).unwrap()).err(),
        Some(Code::HeaderTooLarge)
    );

    let lines = |count: usize| with(&"a:\r\n".repeat(count - 1));
    assert_eq!(accepted(&lines(128)).fields().count(), 128);
    let mut many = lines(129);
    assert_eq!(verdict(&many).err(), Some(Code::HeaderTooLarge));
    many.truncate(many.len() - 5);
    assert_eq!(
        verdict(&many).err(),
        Some(Code::HeaderTooLarge),
        "at the first byte of the line"
    );

    let target = |len: usize| format!("GET /{}", "a".repeat(len - 1));
    assert!(matches!(run(target(8_192).as_bytes()), Ok(None)));
    assert_eq!(
        run(target(8_193).as_bytes()).err(),
        Some(Code::TargetTooLong)
    );
    assert!(
        run(format!("{} HTTP/1.1\r\nHost: h\r\n\r\n", target(8_192)).as_bytes())
            .unwrap()
            .is_some()
    );
}

/// H-13
#[test]
fn one_empty_line_before_the_request_line_is_ignored_and_a_second_is_not() {
    let head = accepted(b"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(
        (head.method(), head.field("host")),
        (b"GET".as_slice(), Some(b"h".as_slice()))
    );
    assert_eq!(
        verdict(b"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n").err(),
        Some(Code::BadRequest)
    );
}

/// H1-9
#[test]
fn close_and_http_1_0_end_the_connection() {
    assert_eq!(accepted(&with("")).persistence(), Persistence::KeepAlive);
    assert_eq!(
        accepted(&with("Connection: x\r\nConnection: y , Close\r\n")).persistence(),
        Persistence::Close
    );
    let old = accepted(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(old.persistence(), Persistence::Close);
}

/// H1-10, H-14
#[test]
fn an_expectation_is_continue_other_or_none() {
    assert_eq!(accepted(&with("")).expectation(), Expectation::None);
    assert_eq!(
        accepted(&with("Expect: 100-Continue\r\n")).expectation(),
        Expectation::Continue
    );
    assert_eq!(
        accepted(&with("Expect: x\r\n")).expectation(),
        Expectation::Other
    );
    assert_eq!(
        accepted(&with("Expect: 100-continue, x\r\n")).expectation(),
        Expectation::Other
    );
    assert_eq!(
        accepted(&with("Expect: x\r\nExpect: 100-continue\r\n")).expectation(),
        Expectation::Other
    );
    let old = accepted(b"GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(old.expectation(), Expectation::None);
}

/// FWD-10, L7-14, TR-015
#[test]
fn an_upgrade_counts_only_with_its_connection_option_and_in_http_1_1() {
    let upgrade = |lines: &str| accepted(&with(lines)).upgrade();
    assert_eq!(
        upgrade("Connection: Upgrade\r\nUpgrade: WebSocket\r\n"),
        Some(Upgrade::WebSocket)
    );
    assert_eq!(upgrade("Upgrade: h2c\r\n"), None);
    assert_eq!(
        upgrade("Connection: upgrade\r\nUpgrade: websocket, h2c\r\n"),
        Some(Upgrade::H2c)
    );
    assert_eq!(
        upgrade("Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: x\r\n"),
        Some(Upgrade::Other)
    );
    assert_eq!(
        upgrade("Connection: upgrade\r\nUpgrade: websocket/13\r\n"),
        Some(Upgrade::Other)
    );
    assert_eq!(upgrade("Connection: upgrade\r\n"), None);
    let old = accepted(b"GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(old.upgrade(), None);
}

/// H1-15, RW-7, TR-022
#[test]
fn what_connection_names_ends_here() {
    let head = accepted(&with("Connection: X-Foo,zeta\r\nConnection: alpha\r\n"));
    for name in ["x-foo", "Zeta", "ALPHA", "te", "proxy-authorization"] {
        assert!(head.is_hop_by_hop(name.as_bytes()), "{name}");
    }
    for name in ["x-fo", "x-fooo", "", "host", "accept"] {
        assert!(!head.is_hop_by_hop(name.as_bytes()), "{name}");
    }
}

/// H1-7
#[test]
fn connection_options_are_bounded() {
    let options = |count: usize| with(&format!("Connection: {}\r\n", "a,".repeat(count)));
    assert!(accepted(&options(256)).is_hop_by_hop(b"a"));
    assert_eq!(verdict(&options(257)).err(), Some(Code::HeaderTooLarge));
}

/// H1-8, TR-021
#[test]
fn a_parser_reads_one_head_after_another() {
    let mut buf = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n".to_vec();
    let mut parser = RequestParser::new(HeadLimits::default());
    for expected in ["/a", "/b"] {
        let Parse::Done(head, used) = parser.advance(&buf) else {
            panic!("a whole head is there")
        };
        assert_eq!(head.target(), expected.as_bytes());
        buf.drain(..used);
    }
    assert!(buf.is_empty());
}

/// TR-005
#[test]
fn a_refused_parser_never_changes_its_mind() {
    let mut parser = RequestParser::new(HeadLimits::default());
    let first = parser.advance(b"GET / HTTP/1.1\r\nHost: a b\r\n");
    let Parse::Bad(error) = first else {
        panic!("refused")
    };
    assert_eq!(error.kind, HeadErrorKind::HostInvalid);
    assert_eq!(error.at, 16);
    assert!(
        matches!(parser.advance(b"GET / HTTP/1.1\r\nHost: a b\r\nX: y\r\n\r\n"), Parse::Bad(same) if same == error)
    );
}

/// LOG-3, TR-087, TR-101
#[test]
fn debug_output_holds_no_value_and_no_target() {
    let head = accepted(&with("Authorization: Bearer canary\r\n"));
    let all = format!("{head:?} {:?}", head.fields().collect::<Vec<_>>());
    assert!(!all.contains("canary") && !all.contains("http://"), "{all}");
    assert!(all.contains("Authorization: 13 bytes"));
}
