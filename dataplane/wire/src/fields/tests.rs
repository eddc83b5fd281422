//! Field lines: classes of bytes, white space, lists.

use super::*;

/// The values of a whole section.
fn read(section: &[u8]) -> Result<Vec<Vec<u8>>, HeadErrorKind> {
    let mut lines = FieldLines::new(0, 8);
    let mut values = Vec::new();
    loop {
        match lines.next(section).map_err(|error| error.kind)? {
            Step::Line(line) => values.push(line.value.of(section).to_vec()),
            Step::End(end) => {
                assert_eq!(end, section.len());
                return Ok(values);
            }
            Step::More => panic!("a whole section was given"),
        }
    }
}

/// H1-2, TR-006
#[test]
fn blanks_around_a_value_are_removed_and_its_bytes_are_kept() {
    let values = read(b"A:1\r\nB: \t 2 3 \t \r\nC:\r\nD:  \r\nE: \xE9\xFF\r\n\r\n").unwrap();
    assert_eq!(values, [b"1".as_slice(), b"2 3", b"", b"", b"\xE9\xFF"]);
}

/// H1-2, H-5, TR-005
#[test]
fn every_byte_value_has_the_class_the_grammar_gives_it() {
    for byte in 0..=255_u8 {
        let token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        assert_eq!(
            read(&[b'a', byte, b':', b'\r', b'\n', b'\r', b'\n']).is_ok(),
            token || byte == b':',
            "name {byte:#x}"
        );
        let value = byte == b'\t' || (byte >= b' ' && byte != 0x7F);
        assert_eq!(
            read(&[b'a', b':', b'x', byte, b'x', b'\r', b'\n', b'\r', b'\n']).is_ok(),
            value,
            "value {byte:#x}"
        );
    }
}

/// H1-2, H-5, TR-005
#[test]
fn a_malformed_line_names_its_fault() {
    for (section, kind) in [
        (b"A : 1\r\n\r\n".as_slice(), HeadErrorKind::FieldName),
        (b" A: 1\r\n\r\n", HeadErrorKind::LeadingBlank),
        (b"A: 1\r\n\t2\r\n\r\n", HeadErrorKind::LeadingBlank),
        (b"A: 1\n\r\n", HeadErrorKind::BareLf),
        (b"A: 1\r\r\n\r\n", HeadErrorKind::BareCr),
        (b"A: 1\rB: 2\r\n\r\n", HeadErrorKind::BareCr),
        (b"A: 1\r\n\n", HeadErrorKind::BareLf),
        (b"A: 1\r\n\rB", HeadErrorKind::BareCr),
        (b"A: \x00\r\n\r\n", HeadErrorKind::FieldValue),
        (b"A: \x1b[31m\r\n\r\n", HeadErrorKind::FieldValue),
        (b": 1\r\n\r\n", HeadErrorKind::FieldName),
        (b"A\r\n\r\n", HeadErrorKind::FieldName),
        (b"A\x85: 1\r\n\r\n", HeadErrorKind::FieldName),
        (
            b"a:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na",
            HeadErrorKind::TooManyFields,
        ),
    ] {
        assert_eq!(read(section), Err(kind), "{}", section.escape_ascii());
    }
}

/// RFC 9110 §5.6.1
#[test]
fn a_list_is_cut_at_commas_and_empty_elements_are_left_out() {
    let text = b", a ,\tb,, c d ,";
    let elements: Vec<&[u8]> = Span::new(0, text.len())
        .elements(text)
        .map(|element| element.of(text))
        .collect();
    assert_eq!(elements, [b"a".as_slice(), b"b", b"c d"]);
    assert_eq!(Span::new(0, 0).elements(b"").count(), 0);
}

/// H1-15
#[test]
fn the_hop_by_hop_set_ignores_letter_case() {
    for name in [
        "Connection",
        "KEEP-ALIVE",
        "te",
        "Trailer",
        "transfer-encoding",
        "Upgrade",
        "proxy-Connection",
    ] {
        assert!(is_hop_by_hop(name.as_bytes()), "{name}");
    }
    for name in ["host", "content-length", "via", "tea", "", "x-te"] {
        assert!(!is_hop_by_hop(name.as_bytes()), "{name}");
    }
}
