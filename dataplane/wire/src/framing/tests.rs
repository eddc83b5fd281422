//! The rules as rows: every way to spell a length or a coding.

use super::*;

enum Seen {
    Length(&'static str),
    Coding(&'static str),
}
use Seen::{Coding, Length};

fn request(seen: &[Seen]) -> Result<RequestFraming, HeadErrorKind> {
    let mut framing = FramingFields::default();
    for field in seen {
        match field {
            Length(value) => framing.request_length(value.as_bytes())?,
            Coding(value) => framing.transfer_encoding(value.as_bytes(), Version::Http11)?,
        }
    }
    Ok(framing.request())
}

fn response(seen: &[Seen]) -> Result<ResponseFraming, HeadErrorKind> {
    let mut framing = FramingFields::default();
    for field in seen {
        match field {
            Length(value) => framing.response_length(value.as_bytes())?,
            Coding(value) => framing.transfer_encoding(value.as_bytes(), Version::Http11)?,
        }
    }
    Ok(framing.response())
}

/// H-1, TR-003
#[test]
fn a_length_that_is_not_plain_digits_is_refused() {
    for value in [
        "",
        "+5",
        "-0",
        "-5",
        "0x5",
        "5.0",
        "5x",
        "5 5",
        "5;a=b",
        ",5",
        "5,",
        "5, 5",
        "5, 6",
        "\u{a0}5",
        "٥",
        "1e3",
        "_5",
        "18446744073709551615",
        "18446744073709551616",
        "9223372036854775808",
        "00000000000000000005",
    ] {
        assert_eq!(
            request(&[Length(value)]),
            Err(HeadErrorKind::ContentLength),
            "{value}"
        );
    }
    for (value, length) in [
        ("0", 0),
        ("5", 5),
        ("0005", 5),
        ("010", 10),
        ("9223372036854775807", 9_223_372_036_854_775_807),
    ] {
        assert_eq!(
            request(&[Length(value)]),
            Ok(RequestFraming::Length(length)),
            "{value}"
        );
    }
}

/// H-1, TR-003
#[test]
fn two_lengths_in_a_request_are_refused_equal_or_not() {
    for second in ["5", "6", "05"] {
        assert_eq!(
            request(&[Length("5"), Length(second)]),
            Err(HeadErrorKind::ContentLengthRepeated)
        );
    }
}

/// H-3, TR-002
#[test]
fn a_length_with_a_coding_is_refused_in_either_order() {
    let both = Err(HeadErrorKind::LengthAndTransferEncoding);
    assert_eq!(request(&[Length("5"), Coding("chunked")]), both);
    assert_eq!(request(&[Coding("chunked"), Length("5")]), both);
    assert_eq!(
        response(&[Coding("chunked"), Length("5")]).err(),
        both.err()
    );
    assert_eq!(
        response(&[Length("5"), Coding("chunked")]).err(),
        both.err()
    );
}

/// H-4, TR-004
#[test]
fn only_one_chunked_is_a_coding() {
    for value in [
        "xchunked",
        "chunkedx",
        "chunkedchunked",
        "gzip, chunked",
        "chunked, chunked",
        "chunked;q=1",
        "chunked; a=b",
        "identity",
        "",
        "\"chunked\"",
        "chunked,",
        "chun\u{212a}ed",
        "chunked\u{200b}",
        "\u{85}chunked",
        "cow",
    ] {
        assert_eq!(
            request(&[Coding(value)]),
            Err(HeadErrorKind::TransferEncoding),
            "{value}"
        );
    }
    assert_eq!(
        request(&[Coding("chunked"), Coding("chunked")]),
        Err(HeadErrorKind::TransferEncoding)
    );
    assert_eq!(request(&[Coding("Chunked")]), Ok(RequestFraming::Chunked));
    let mut old = FramingFields::default();
    let refused = old.transfer_encoding(b"chunked", Version::Http10);
    assert_eq!(refused, Err(HeadErrorKind::TransferEncodingInHttp10));
}

/// H1-13, RF-7
#[test]
fn equal_lengths_in_a_response_are_one_and_differing_ones_are_refused() {
    assert_eq!(
        response(&[Length("5"), Length("5")]),
        Ok(ResponseFraming::Length(5))
    );
    assert_eq!(response(&[Length("5, 05")]), Ok(ResponseFraming::Length(5)));
    assert_eq!(
        response(&[Length("3"), Length("5")]),
        Err(HeadErrorKind::ContentLengthRepeated)
    );
    assert_eq!(
        response(&[Length("3, 5")]),
        Err(HeadErrorKind::ContentLengthRepeated)
    );
    assert_eq!(response(&[Length("5,")]), Err(HeadErrorKind::ContentLength));
    assert_eq!(response(&[]), Ok(ResponseFraming::UntilClose));
    assert_eq!(request(&[]), Ok(RequestFraming::None));
}
