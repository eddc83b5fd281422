//! Where a stream stands, and that a read's size does not matter.

use super::*;

fn closing(stream: &[u8]) -> &'static [u8] {
    let mut scanner = EventScanner::new();
    scanner.push(stream);
    scanner.closing()
}

/// INF-21, SF-5, SF-6
#[test]
fn an_unfinished_line_or_event_is_ended() {
    for (stream, expected) in [
        ("", ""),
        ("data: x\n\n", ""),
        ("data: x\r\n\r\n", ""),
        ("data: x\r\r", "\n"),
        (": ping\n\n", ""),
        ("data: x\n", "\n"),
        ("data: x\r\n", "\n"),
        ("event: y\ndata: x\n", "\n"),
        ("data: x\r", "\n\n"),
        ("data: x", "\n\n"),
        ("d", "\n\n"),
        ("\u{feff}", "\n\n"),
        ("data: x\n\ndata: y", "\n\n"),
        ("data: x\n\n\n", ""),
    ] {
        assert_eq!(
            closing(stream.as_bytes()),
            expected.as_bytes(),
            "{}",
            stream.escape_debug()
        );
    }
}

/// A reader of WHATWG HTML §9.2.6 that knows all three line ends: the data of each complete event.
fn events(stream: &[u8]) -> Vec<Vec<u8>> {
    let text = stream
        .escape_ascii()
        .to_string()
        .replace("\\r\\n", "\\n")
        .replace("\\r", "\\n");
    let (mut events, mut data) = (Vec::new(), Vec::new());
    for line in text
        .split("\\n")
        .collect::<Vec<_>>()
        .split_last()
        .map_or(&[] as &[&str], |(_, lines)| lines)
    {
        if line.is_empty() && !data.is_empty() {
            events.push(std::mem::take(&mut data));
        } else if !line.is_empty() {
            data.extend_from_slice(line.as_bytes());
        }
    }
    events
}

/// INF-21, TR-057
#[test]
fn after_every_short_stream_an_event_of_ours_stands_alone() {
    for number in 0..3_usize.pow(7) {
        let mut rest = number;
        let mut stream = Vec::new();
        for _ in 0..7 {
            stream.push([b'x', b'\n', b'\r'][rest % 3]);
            rest /= 3;
        }
        for len in 0..=stream.len() {
            let stream = stream.get(..len).unwrap();
            let mut bytewise = EventScanner::new();
            stream.iter().for_each(|byte| bytewise.push(&[*byte]));
            assert_eq!(
                bytewise.closing(),
                closing(stream),
                "{}",
                stream.escape_ascii()
            );
            let (first, second) = stream.split_at(len / 2);
            let mut halved = EventScanner::new();
            halved.push(first);
            halved.push(second);
            assert_eq!(
                halved.closing(),
                closing(stream),
                "{}",
                stream.escape_ascii()
            );
            let all = [stream, closing(stream), b"ours\n\n"].concat();
            let ours = events(&all).pop();
            assert_eq!(
                ours.as_deref(),
                Some(b"ours".as_slice()),
                "{}",
                stream.escape_ascii()
            );
        }
    }
}
