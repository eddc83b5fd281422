//! What the first bytes of an inspected tunnel are (L7-2).
//!
//! Pure, and apart from `door` for that. Invariant: the verdict does not depend on how the bytes were split; fewer
//! than tell are waited for, never judged (TR-025).

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// Not enough to tell.
    More,
    /// The start of a request line; whether it is a good one is the parser's to say.
    Request,
    /// A TLS handshake record.
    Tls,
    /// The HTTP/2 preface, or nothing of HTTP at all.
    Foreign,
}

/// Looks at the front of a connection.
pub(super) fn look(bytes: &[u8]) -> First {
    // One empty line may stand before a request line (H1-1).
    let line = match bytes {
        [] | [b'\r'] => return First::More,
        [22, ..] => return First::Tls,
        [b'\r', b'\n', rest @ ..] => rest,
        [b'\r', ..] => return First::Request,
        rest => rest,
    };
    if PREFACE.starts_with(line) {
        return First::More;
    }
    if line.starts_with(PREFACE) {
        return First::Foreign;
    }
    if line.starts_with(b"SSH-") {
        // A token as far as it goes, and nobody's method.
        return First::Foreign;
    }
    match line.iter().position(|byte| !is_token(*byte)) {
        Some(at) if at > METHOD_BYTES_MAX => First::Foreign,
        Some(at) if at > 0 && line.get(at) == Some(&b' ') => First::Request,
        Some(_) => look_at_line(line),
        None if line.len() > METHOD_BYTES_MAX => First::Foreign,
        None => First::More,
    }
}

/// A first line that no good request has: a bad one says its version all the same, and gets the verdict that it gets
/// everywhere (H1-1).
fn look_at_line(line: &[u8]) -> First {
    let text = |byte: &u8| *byte == b'\t' || *byte == b'\r' || (b' '..=b'~').contains(byte);
    if !line.first().is_some_and(text) {
        return First::Foreign;
    }
    let window = line.get(..LINE_BYTES_MAX).unwrap_or(line);
    match window.iter().position(|byte| *byte == b'\n') {
        Some(end) => {
            let line = window.get(..end).unwrap_or(window);
            match line.windows(VERSION.len()).any(|part| part == VERSION) {
                true => First::Request,
                false => First::Foreign,
            }
        }
        None if line.len() > LINE_BYTES_MAX => First::Foreign,
        None => First::More,
    }
}

/// Whether more of these bytes could still become a request line: then their time is up like a head's.
pub(super) fn may_become_request(bytes: &[u8]) -> bool {
    let line = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    line.iter().all(|byte| is_token(*byte)) || PREFACE.starts_with(line) || line == b"\r"
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// How a request line ends.
const VERSION: &[u8] = b" HTTP/1.";

/// As long as a target may be; a line without an end is no line by then.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// RFC 9113 §3.4, as far as it differs from every HTTP/1 request.
const PREFACE: &[u8] = b"PRI * HTTP/2";

/// No method is longer; what has no blank by then is no request.
const METHOD_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// L7-2, LR-16, LR-17, LR-18, TR-025
    #[test]
    fn the_first_bytes_tell_a_request_from_tls_and_from_the_rest() {
        for (bytes, expected) in [
            (&b""[..], First::More),
            (b"G", First::More),
            (b"GE", First::More),
            (b"GET ", First::Request),
            (b"GET / HTTP/1.1\r\n", First::Request),
            (b"get /", First::Request),
            (b"\r", First::More),
            (b"\r\n", First::More),
            (b"\r\nGET /", First::Request),
            (b"\rX", First::Request),
            (b"PRI ", First::More),
            (b"PRI / HTTP/1.1", First::Request),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", First::Foreign),
            (b"PRI * HTTP/1.1\r\n", First::Request),
            (b"\x16", First::Tls),
            (b"\x16\x03\x01", First::Tls),
            (b"SSH-2.0-x\r\n", First::Foreign),
            (b"SSH-2.0-x", First::Foreign),
            (b"\0\0", First::Foreign),
            (b" GET / HTTP/1.1\r\n", First::Request),
            (b"GE(T / HTTP/1.1\r\n", First::Request),
            (b"GE(T", First::More),
            (b"*1\r\n$4\r\nPING\r\n", First::Foreign),
            (b"{\"a\":1}\n", First::Foreign),
            (&[b'A'; 65], First::Foreign),
        ] {
            assert_eq!(look(bytes), expected, "{}", bytes.escape_ascii());
        }
    }

    /// TR-025: whatever a whole message is, its beginnings are the same or not yet anything.
    #[test]
    fn a_beginning_is_never_judged_otherwise_than_the_whole() {
        for whole in [
            &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
            b"\r\nGET / HTTP/1.1\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.9\r\n",
            b"GE(T / HTTP/1.1\r\n",
            b"\0 / HTTP/1.1\r\n",
            &[b"A".repeat(70), b" / HTTP/1.1\r\n".to_vec()].concat(),
            &[b"(".repeat(9_000), b" / HTTP/1.1\r\n".to_vec()].concat(),
            b"\x16\x03\x01\x00\x05",
        ] {
            for end in 0..whole.len() {
                let part = look(&whole[..end]);
                assert!(part == First::More || part == look(whole), "{end}");
            }
        }
    }
}
