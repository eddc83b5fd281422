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
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    match line.iter().position(|byte| !is_token(byte)) {
        Some(at) if at > 0 && line.get(at) == Some(&b' ') => First::Request,
        Some(_) => First::Foreign,
        None if line.len() > METHOD_BYTES_MAX => First::Foreign,
        None => First::More,
    }
}

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
            (b"SSH-2.0-x", First::More),
            (b"\0\0", First::Foreign),
            (b" GET / HTTP/1.1\r\n", First::Foreign),
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
            b"\x16\x03\x01\x00\x05",
        ] {
            for end in 0..whole.len() {
                let part = look(&whole[..end]);
                assert!(part == First::More || part == look(whole), "{end}");
            }
        }
    }
}
