//! Hosts, ports and Host fields: what is read, what is refused, and that one host has one spelling.

use super::*;

fn text(input: &str) -> Option<String> {
    Host::parse(input.as_bytes())
        .ok()
        .map(|host| host.to_string())
}

/// CON-2, CT-1
#[test]
fn a_name_is_lower_case_and_has_no_trailing_dot() {
    for (input, expected) in [
        ("example.com", "example.com"),
        ("EXAMPLE.Com.", "example.com"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("a_b.example", "a_b.example"),
        ("inference.local", "inference.local"),
        ("1a.0xg", "1a.0xg"),
        ("8.8.8.8", "8.8.8.8"),
        ("[2001:DB8:0::1]", "2001:db8::1"),
        ("[::ffff:1.2.3.4]", "::ffff:1.2.3.4"),
    ] {
        assert_eq!(text(input).as_deref(), Some(expected), "{input}");
    }
}

/// CON-2, CT-3, CT-4, CT-5, URI-10, TR-040
#[test]
fn what_another_reader_could_take_for_another_host_is_refused() {
    for input in [
        "",
        ".",
        "a..b",
        ".a",
        "*.a",
        "a,b",
        "h%2e",
        "bücher.example",
        "u@h",
        "a b",
        "h\0",
        "h\\x",
        "127.1",
        "017700000001",
        "0x7f.0.0.1",
        "0x7f.1",
        "2130706433",
        "1.2.3.256",
        "8.8.8.8.",
        "127.0.0.1.",
        "foo.09",
        "foo.0x",
        "010.0.0.1",
        "1.2.3",
        "1.2.3.4.5",
        "::1",
        "[::1",
        "::1]",
        "[]",
        "[example.com]",
        "[::1%eth0]",
        "[::1%25eth0]",
        "[::ffff:127.1]",
        "[1::2::3]",
        "[00001::]",
        "[::1]]",
        "[[::1]]",
        "[ ::1]",
        "\u{a0}h",
    ] {
        assert_eq!(text(input), None, "{input}");
    }
    for len in [63, 64, 253, 254] {
        let label = "a".repeat(len);
        assert_eq!(text(&label).is_some(), len == 63, "a label of {len} bytes");
        let name = "a.".repeat(len / 2) + if len % 2 == 1 { "a" } else { "" };
        assert_eq!(
            text(&name).is_some(),
            name.trim_end_matches('.').len() <= 253,
            "a name of {len} bytes"
        );
    }
}

/// CON-1
#[test]
fn a_port_is_one_to_five_digits_and_not_zero() {
    for (input, expected) in [("1", 1), ("80", 80), ("00080", 80), ("65535", 65535)] {
        assert_eq!(
            Port::parse(input.as_bytes()).map(Port::number),
            Some(expected),
            "{input}"
        );
    }
    for input in [
        "", "0", "00000", "65536", "65979", "000080", "443.0", "+443", "-1", "443/", " 80", "80a",
        "٤٤٣", "0x50",
    ] {
        assert_eq!(Port::parse(input.as_bytes()), None, "{input}");
    }
}

/// H1-6, RW-6
#[test]
fn a_host_field_is_a_host_with_an_optional_port() {
    for (input, port) in [
        ("h", None),
        ("h:", None),
        ("h:80", Some(80)),
        ("[::1]:8080", Some(8080)),
        ("[::1]", None),
    ] {
        let field = HostField::parse(input.as_bytes()).unwrap();
        assert_eq!(field.port.map(Port::number), port, "{input}");
    }
    for input in [
        "",
        ":80",
        "a, b",
        "h:99999",
        "u@h",
        "[::1",
        "[::1]x",
        "[::1]x:80",
        "h:80:80",
        "h\\evil",
        "h/",
    ] {
        assert!(HostField::parse(input.as_bytes()).is_err(), "{input}");
    }
}

/// CT-1, INF-1
#[test]
fn an_authority_is_written_as_it_is_dialled() {
    let port = Port::new(443).unwrap();
    for (input, expected) in [
        ("A.b.", "a.b:443"),
        ("[::1]", "[::1]:443"),
        ("8.8.8.8", "8.8.8.8:443"),
    ] {
        let authority = Authority {
            host: Host::parse(input.as_bytes()).unwrap(),
            port,
        };
        assert_eq!(authority.to_string(), expected);
    }
    assert!(Host::parse(b"Inference.LOCAL.").unwrap().is_inference());
    assert!(!Host::parse(b"xinference.local").unwrap().is_inference());
}
