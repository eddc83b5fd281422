//! Cutting and showing: tables for what is meant, a seeded sweep for what is hostile.

use super::*;

/// LOG-3: short clean text stays as it is.
#[test]
fn plain_text_is_shown_unchanged() {
    for text in [
        "",
        "a.example",
        "/usr/bin/python3.12",
        "grüße",
        "日本",
        "C:\\dir",
        "\\",
    ] {
        assert_eq!(Text::new(text.as_bytes()).as_str(), text);
    }
}

/// LOG-3, IDN-7: bytes that are no UTF-8 are visible and cannot be confused with text that looks like it.
#[test]
fn bytes_that_are_not_utf8_are_shown_as_hex() {
    let table: [(&[u8], &str); 6] = [
        (b"/bin/\xff", "/bin/\\xff"),
        (b"\xe2\x82", "\\xe2\\x82"),
        (b"\xc0\xaf", "\\xc0\\xaf"),
        (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),
        (b"\\xff", "\\x5cxff"),
        (b"a\xf0b\xf0", "a\\xf0b\\xf0"),
    ];
    for (bytes, shown) in table {
        assert_eq!(Text::new(bytes).as_str(), shown, "{bytes:?}");
    }
}

/// LOG-3: cut at 1,024 bytes on a character boundary.
#[test]
fn a_long_value_is_cut_between_characters() {
    assert_eq!(Text::new(&[b'a'; 1_024]).as_str().len(), 1_024);
    assert_eq!(Text::new(&[b'a'; 1_025]).as_str().len(), 1_024);
    assert_eq!(
        Text::new("€".repeat(400).as_bytes()).as_str(),
        "€".repeat(341)
    );
    assert_eq!(Text::new(&[0xff; 400]).as_str(), "\\xff".repeat(256));
    // 1,023 bytes and then a character of two: it does not fit, and nothing smaller takes its place.
    let mut bytes = vec![b'a'; 1_023];
    bytes.extend_from_slice("éa".as_bytes());
    assert_eq!(Text::new(&bytes).as_str(), "a".repeat(1_023));
}

/// TR-101: query strings hold tokens.
#[test]
fn a_query_never_gets_into_a_path_or_a_command_line() {
    assert_eq!(Text::path(b"/v1/x?token=s").as_str(), "/v1/x");
    assert_eq!(Text::path(b"/v1/x#frag?token=s").as_str(), "/v1/x");
    assert_eq!(Text::path(b"?token=s").as_str(), "");
    let cmdline = Text::cmdline(b"curl\0-s\0https://h/p?token=s\0what?\0");
    assert_eq!(cmdline.as_str(), "curl -s https://h/p what?");
}

/// IDN-1: arguments are data of the process; it may hold anything or nothing.
#[test]
fn a_command_line_is_shown_with_spaces() {
    assert_eq!(Text::cmdline(b"").as_str(), "");
    assert_eq!(Text::cmdline(b"\0").as_str(), "");
    assert_eq!(Text::cmdline(b"a\0\0b\0").as_str(), "a  b");
    assert_eq!(Text::cmdline(b"no-end").as_str(), "no-end");
    assert_eq!(Text::cmdline(&[b'a'; 5_000]).as_str().len(), 1_024);
}

/// LOG-3: what a terminal would obey is spelled out.
#[test]
fn a_terminal_gets_no_raw_control_character() {
    assert_eq!(
        Text::new(b"a\x1b[2J\r\nb").to_string(),
        "a\\u{1b}[2J\\u{d}\\u{a}b"
    );
    assert_eq!(
        Text::new("\u{202e}\u{2028}\u{85}".as_bytes()).to_string(),
        "\\u{202e}\\u{2028}\\u{85}"
    );
}

/// TR-096: any bytes at any length around the cut.
#[test]
fn no_bytes_panic_and_no_value_is_over_long() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let pieces: [&[u8]; 8] = [
        b"a",
        b"\\",
        b"\\x",
        "é".as_bytes(),
        "€".as_bytes(),
        "😀".as_bytes(),
        b"\xff",
        b"\xe2\x82",
    ];
    for round in 0..2_000 {
        let mut bytes = Vec::new();
        let len = if round % 2 == 0 {
            next() % 40
        } else {
            1_000 + next() % 60
        };
        while (bytes.len() as u64) < len {
            bytes.extend_from_slice(pieces[(next() % 8) as usize]);
        }
        let shown = Text::new(&bytes);
        assert!(shown.as_str().len() <= TEXT_BYTES_MAX);
        if bytes.len() * 4 <= TEXT_BYTES_MAX {
            assert_eq!(unshow(shown.as_str()), bytes, "showing loses nothing");
        }
        Text::path(&bytes);
        Text::cmdline(&bytes);
    }
}

/// The inverse of showing.
fn unshow(shown: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = shown.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if rest.starts_with(b"\\x") {
            let hex = str::from_utf8(&rest[2..4]).unwrap();
            out.push(u8::from_str_radix(hex, 16).unwrap());
            rest = &rest[4..];
        } else {
            out.push(*first);
            rest = after;
        }
    }
    out
}
