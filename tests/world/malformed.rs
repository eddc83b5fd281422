//! Fields that no head may have, on whichever way in (H-1, H-3, H-4, H-5, TR-002 to TR-005).

/// Lines that make a head malformed, each row by itself.
pub(crate) fn fields() -> Vec<String> {
    let lengths = LENGTHS.map(|value| format!("Content-Length: {value}\r\n"));
    let codings = CODINGS.map(|value| format!("Transfer-Encoding: {value}\r\n"));
    let lines = LINES.map(str::to_owned);
    [&lengths[..], &codings, &lines].concat()
}

const LENGTHS: [&str; 11] = [
    "5, 5",
    "5, 6",
    "+5",
    "-0",
    "0x5",
    "5.0",
    "5x",
    "",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
];

const CODINGS: [&str; 7] = [
    "xchunked",
    "chunkedx",
    "gzip, chunked",
    "chunked, chunked",
    "chunked;q=1",
    "identity",
    "",
];

const LINES: [&str; 13] = [
    "Content-Length: 5\r\nContent-Length: 5\r\n",
    "Content-Length: 5\r\nContent-Length: 6\r\n",
    "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "Content-Length : 5\r\n",
    " X: 1\r\n",
    "X: 1\r\n\tfolded\r\n",
    "X: 1\r\n folded\r\nContent-Length: 5\r\n",
    "X: 1\nContent-Length: 5\r\n",
    "X: 1\rContent-Length: 5\r\n",
    "X: \0\r\n",
    "X: \x1b[31m\r\nContent-Length: 5\r\n",
];
