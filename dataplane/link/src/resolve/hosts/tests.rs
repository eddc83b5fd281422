//! Lines of hosts files.

use super::*;

fn found(content: &str, name: &str) -> Option<String> {
    let names = parse(content.as_bytes());
    let addresses = names.get(&Host::parse(name.as_bytes()).unwrap())?;
    Some(
        addresses
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" "),
    )
}

/// hosts(5): address, names, comments, any white space, in any case of letters.
#[test]
fn lines_are_read_as_the_manual_says() {
    let content = "127.0.0.1\tlocalhost  LOOP\r\n::1 localhost\n#10.0.0.1 off\n\n10.0.0.2 x # y\n10.0.0.3 x\n10.0.0.2 x\n";
    assert_eq!(
        found(content, "localhost").as_deref(),
        Some("127.0.0.1 ::1")
    );
    assert_eq!(found(content, "loop").as_deref(), Some("127.0.0.1"));
    assert_eq!(found(content, "off"), None);
    assert_eq!(found(content, "y"), None);
    assert_eq!(found(content, "x").as_deref(), Some("10.0.0.2 10.0.0.3"));
}

/// TR-040: what is no address in canonical form, or no host, is passed over, and the rest of the file is used.
#[test]
fn broken_lines_are_passed_over() {
    let content = "010.0.0.1 a\n0x7f.1 a\nfe80::1%lo a\nname a\n10.0.0.1\n\u{0} \u{0}\n10.0.0.4 bad_\u{1}name a\n";
    assert_eq!(found(content, "a").as_deref(), Some("10.0.0.4"));
    assert!(parse(&[0xff; 10_000]).is_empty());
}
