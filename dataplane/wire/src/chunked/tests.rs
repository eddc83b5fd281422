//! Rows H-6 to H-9 and RF-5, each at every split position.

use super::*;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Decoded {
    body: Vec<u8>,
    used: usize,
    trailers: Vec<u8>,
}

/// Feeds the pieces as a connection would: unread bytes stay at the front.
fn feed(mut decoder: ChunkDecoder, pieces: &[&[u8]]) -> Result<Option<Decoded>, ChunkError> {
    let (mut body, mut used) = (Vec::new(), 0);
    for piece in pieces {
        let mut rest = *piece;
        loop {
            match decoder.step(rest)? {
                ChunkStep::Data { skip, len } => {
                    assert!(len > 0);
                    body.extend_from_slice(rest.get(skip..skip + len).unwrap());
                    used += skip + len;
                    rest = rest.get(skip + len..).unwrap();
                }
                ChunkStep::More { used: all } => {
                    assert_eq!(all, rest.len());
                    used += all;
                    break;
                }
                ChunkStep::End { used: last } => {
                    assert_eq!(decoder.step(&[]), Ok(ChunkStep::End { used: 0 }));
                    let trailers = decoder.trailers().to_vec();
                    return Ok(Some(Decoded {
                        body,
                        used: used + last,
                        trailers,
                    }));
                }
            }
        }
    }
    Ok(None)
}

/// The outcome, the same at once, byte by byte and cut at every position.
fn decode(new: fn() -> ChunkDecoder, bytes: &[u8]) -> Result<Option<Decoded>, ChunkError> {
    let whole = feed(new(), &[bytes]);
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(
        feed(new(), &single),
        whole,
        "byte by byte: {}",
        bytes.escape_ascii()
    );
    for cut in 0..bytes.len().min(4_096) {
        let (first, second) = bytes.split_at(cut);
        assert_eq!(
            feed(new(), &[first, second]),
            whole,
            "cut at {cut}: {}",
            bytes.escape_ascii()
        );
    }
    whole
}

fn body(bytes: &[u8]) -> Vec<u8> {
    decode(ChunkDecoder::request, bytes).unwrap().unwrap().body
}

/// H-9, H1-5
#[test]
fn a_body_is_put_together_and_all_of_it_consumed() {
    let bytes = b"A\r\n{\"a\":true}\r\n0\r\n\r\n";
    let decoded = decode(ChunkDecoder::request, bytes).unwrap().unwrap();
    assert_eq!(
        (decoded.body.as_slice(), decoded.used),
        (b"{\"a\":true}".as_slice(), bytes.len())
    );
    assert_eq!(body(b"0\r\n\r\n"), b"");
    assert_eq!(
        body(b"5\r\nhello\r\n0000000000000001\r\n!\r\n00\r\n\r\n"),
        b"hello!"
    );
}

/// H1-8
#[test]
fn bytes_after_the_body_are_left_alone() {
    let bytes = b"1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\n";
    assert_eq!(
        decode(ChunkDecoder::request, bytes).unwrap().unwrap().used,
        11
    );
}

/// H-6, H1-5, TR-008
#[test]
fn a_malformed_size_line_is_refused() {
    for bytes in [
        "+5\r\nhello",
        "-0\r\n",
        "5 x\r\nhello",
        "0x5\r\nhello",
        "00000000000000005\r\nhello",
        "5\nhello",
        "\r\n",
        ";a\r\n",
        " 5\r\n",
        "\t5\r\n",
        "5 \r\nhello",
        "5\t\r\nhello",
        "5,5\r\nhello",
        "5\r\r\nhello",
        "5\u{665}\r\n",
        "g\r\n",
        "5\0\r\n",
        "zz\r\n",
        "10000000000000005\r\n",
        "FFFFFFFFFFFFFFFF\r\n",
        "8000000000000000\r\n",
    ] {
        assert!(
            decode(ChunkDecoder::request, bytes.as_bytes()).is_err(),
            "{}",
            bytes.escape_debug()
        );
    }
}

/// H-6, TR-008
#[test]
fn data_and_lines_end_in_crlf_and_nothing_else() {
    for bytes in [
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhellox\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\n\r\n",
        "5\r\nhello\r\n0\r\n\n",
        "5\r\nhello\r\n\r\n0\r\n\r\n",
        "5\r\nhello\rX",
        "5\r\nhello\r\n0\r\n\rX",
    ] {
        assert!(
            decode(ChunkDecoder::request, bytes.as_bytes()).is_err(),
            "{}",
            bytes.escape_debug()
        );
    }
}

/// H-7, TR-008
#[test]
fn the_largest_size_is_announced_before_its_bytes() {
    let mut decoder = ChunkDecoder::request();
    assert_eq!(
        decoder.step(b"7FFFFFFFFFFFFFFF\r\n"),
        Ok(ChunkStep::More { used: 18 })
    );
    assert_eq!(decoder.announced(), Some(i64::MAX as u64));
    assert_eq!(
        decoder.step(b"hello"),
        Ok(ChunkStep::Data { skip: 0, len: 5 })
    );
    assert_eq!(decoder.announced(), Some(i64::MAX as u64 - 5));
}

/// H-7, TR-009
#[test]
fn a_hundred_thousand_chunks_of_one_byte_are_one_body() {
    let mut bytes = b"1\r\na\r\n".repeat(100_000);
    bytes.extend_from_slice(LAST_CHUNK);
    let decoded = feed(ChunkDecoder::request(), &[&bytes]).unwrap().unwrap();
    assert_eq!((decoded.body.len(), decoded.used), (100_000, bytes.len()));
}

/// H-8, H1-5
#[test]
fn valid_extensions_are_dropped() {
    for extension in [
        ";a=b",
        ";a",
        " ; a = b",
        ";a=1;b=2;c=3",
        ";a=\"x;\\\"\r",
        ";a=\"\"",
        ";a=\"q\" ;b",
        "\t;\ta",
    ] {
        let extension = extension.replace('\r', "\"");
        let bytes = format!("5{extension}\r\nhello\r\n0;x=y\r\n\r\n");
        assert_eq!(body(bytes.as_bytes()), b"hello", "{extension}");
    }
}

/// H1-5, TR-008
#[test]
fn malformed_extensions_are_refused() {
    for extension in [
        ";",
        ";;a",
        ";a=",
        ";a=\"b",
        ";a=\"b\\",
        ";a\nb",
        ";a=\0",
        ";a=\"\0\"",
        ";a b",
        ";=b",
        ";a=b c",
        ";a=\"b\"c",
        ";a ",
        ";a=b ",
        ";a\rb",
        ";\u{e9}",
    ] {
        let bytes = format!("5{extension}\r\nhello\r\n0\r\n\r\n");
        assert!(
            decode(ChunkDecoder::request, bytes.as_bytes()).is_err(),
            "{}",
            extension.escape_debug()
        );
    }
    let endless = [b"5;".to_vec(), vec![b'a'; 20_000]].concat();
    assert_eq!(
        feed(ChunkDecoder::request(), &[&endless]),
        Err(ChunkError::Extension)
    );
}

/// H-8, H1-14, RF-5
#[test]
fn trailers_are_checked_dropped_from_requests_and_filtered_in_responses() {
    let bytes = b"5\r\nhello\r\n0\r\nx-checksum:  1 \r\nContent-Length: 99\r\nAuthorization: x\r\nTE: y\r\nHost: z\r\nX: \xE9\r\n\r\n";
    let request = decode(ChunkDecoder::request, bytes).unwrap().unwrap();
    assert_eq!(
        (
            request.body.as_slice(),
            request.trailers.len(),
            request.used
        ),
        (b"hello".as_slice(), 0, bytes.len())
    );
    let response = decode(ChunkDecoder::response, bytes).unwrap().unwrap();
    assert_eq!(response.trailers, b"x-checksum: 1\r\nX: \xE9\r\n");
}

/// H1-5, TR-008
#[test]
fn a_malformed_or_endless_trailer_section_is_refused() {
    for trailer in [
        " X: y\r\n\r\n",
        "X: y\nZ: w\r\n\r\n",
        "X : y\r\n\r\n",
        "X: a\0\r\n\r\n",
        "X: a\r\n b\r\n\r\n",
        ":\r\n\r\n",
    ] {
        let bytes = format!("0\r\n{trailer}");
        assert_eq!(
            decode(ChunkDecoder::response, bytes.as_bytes()),
            Err(ChunkError::Trailer),
            "{}",
            trailer.escape_debug()
        );
    }
    for (total, good) in [(16_384, true), (16_385, false)] {
        let bytes = format!("0\r\nX:{}\r\n\r\n", "a".repeat(total - 6));
        let whole = feed(ChunkDecoder::request(), &[bytes.as_bytes()]);
        let bytewise: Vec<&[u8]> = bytes.as_bytes().chunks(1).collect();
        assert_eq!(feed(ChunkDecoder::request(), &bytewise), whole);
        assert_eq!(whole.is_ok(), good, "a section of {total} bytes");
    }
    let endless = [b"0\r\n".to_vec(), b"a:b\r\n".repeat(4_000)].concat();
    assert_eq!(
        feed(ChunkDecoder::request(), &[&endless]),
        Err(ChunkError::TrailerTooLarge)
    );
}

/// H1-14
#[test]
fn a_body_without_its_last_chunk_never_ends() {
    for bytes in [
        "",
        "5",
        "5\r\nhello\r\n",
        "5\r\nhello\r\n0\r\n",
        "5\r\nhello\r\n0\r\nX: y\r\n",
        "5\r\nhello\r\n0\r\n\r",
    ] {
        assert_eq!(
            decode(ChunkDecoder::response, bytes.as_bytes()),
            Ok(None),
            "{}",
            bytes.escape_debug()
        );
    }
}

/// H1-14
#[test]
fn what_is_written_is_read_back() {
    let mut out = Vec::new();
    for len in [1, 15, 16, 70_000] {
        chunk_head(len, &mut out);
        out.extend(std::iter::repeat_n(b'x', len));
        out.extend_from_slice(CHUNK_END);
    }
    chunk_head(0, &mut out);
    out.extend_from_slice(LAST_CHUNK);
    assert_eq!(
        feed(ChunkDecoder::request(), &[&out])
            .unwrap()
            .unwrap()
            .body
            .len(),
        70_032
    );
}
