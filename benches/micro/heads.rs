//! Heads in, heads out: `wire`.

use std::hint::black_box;

use wire::{HeadLimits, HeadWriter, Parse, RequestParser, ResponseParser};

use crate::time::Case;

pub(crate) fn cases() -> Vec<Case> {
    let response_head = response();
    vec![
        request("head: CONNECT, 2 fields", CONNECT),
        request("head: chat request, 9 fields", CHAT),
        request("head: browser request, 14 fields", BROWSER),
        Case::new(
            "head: chat answer, 8 fields",
            response_head.len(),
            move || {
                let mut parser = ResponseParser::new(HeadLimits::upstream());
                let Parse::Done(head, _) = parser.advance(black_box(&response_head)) else {
                    unreachable!("a whole head")
                };
                black_box(head);
            },
        ),
        Case::new("target: CONNECT authority", 0, || {
            black_box(wire::target::connect(black_box(b"api.example.com:443")))
                .expect("an authority");
        }),
        Case::new("write: request head, 7 fields", 0, || {
            let mut writer =
                HeadWriter::request(b"POST", &[b"/v1/chat/completions"]).expect("a request line");
            for (name, value) in FIELDS {
                writer.field(name, value).expect("a field");
            }
            writer.number_field("Content-Length", 300);
            black_box(writer.finish());
        }),
    ]
}

fn request(name: &'static str, head: &'static [u8]) -> Case {
    Case::new(name, head.len(), move || {
        let mut parser = RequestParser::new(HeadLimits::default());
        let Parse::Done(head, _) = parser.advance(black_box(head)) else {
            unreachable!("a whole head")
        };
        black_box(head);
    })
}

const CONNECT: &[u8] =
    b"CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\nUser-Agent: git/2.47.1\r\n\r\n";

const CHAT: &[u8] = b"POST /v1/chat/completions HTTP/1.1\r\nHost: inference.local\r\nAccept: application/json\r\n\
Content-Type: application/json\r\nUser-Agent: OpenAI/Python 1.99.1\r\nX-Stainless-Lang: python\r\nX-Stainless-Async: false\r\n\
X-Stainless-Runtime: CPython\r\nAuthorization: Bearer unused\r\nContent-Length: 300\r\n\r\n";

const BROWSER: &[u8] = b"GET /index.html?query=a+few+words HTTP/1.1\r\nHost: www.example.com\r\nConnection: keep-alive\r\n\
Cache-Control: max-age=0\r\nUpgrade-Insecure-Requests: 1\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\
Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\nIf-None-Match: W/\"5f3c-190\"\r\n\r\n";

fn response() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 21:00:00 GMT\r\nContent-Type: text/event-stream\r\n\
Transfer-Encoding: chunked\r\nConnection: keep-alive\r\nopenai-processing-ms: 412\r\nopenai-version: 2020-10-01\r\n\
x-ratelimit-remaining-requests: 9999\r\nx-request-id: req_0123456789abcdef\r\n\r\n"
        .to_vec()
}

const FIELDS: [(&[u8], &[u8]); 6] = [
    (b"Host", b"api.example.com"),
    (b"Accept", b"application/json"),
    (b"Content-Type", b"application/json"),
    (b"User-Agent", b"OpenAI/Python 1.99.1"),
    (b"X-Stainless-Lang", b"python"),
    (
        b"Authorization",
        b"Bearer sk-0123456789abcdef0123456789abcdef",
    ),
];
