//! The model of a request body: scan, and write the body with the route's model in its place.

use std::hint::black_box;

use wire::ModelScanner;

use crate::time::Case;

pub(crate) fn cases() -> Vec<Case> {
    let prose =
        "The quick brown fox jumps over the lazy dog, and nothing in here needs an escape. ";
    let code = "    let x = y;\\n\\tif (a \\\"b\\\") { c(); }\\n";
    vec![
        scan("model: scan, chat of 300 B", body(300, &prose[..60])),
        scan(
            "model: scan, chat of 64 KiB",
            body(64 << 10, &prose.repeat(12)),
        ),
        scan(
            "model: scan, chat of 1 MiB",
            body(1 << 20, &prose.repeat(700)),
        ),
        scan(
            "model: scan, 1 MiB with escapes",
            body(1 << 20, &code.repeat(500)),
        ),
        scan(
            "model: scan, 1 MiB of Chinese",
            body(1 << 20, &"模型的名字在哪里".repeat(900)),
        ),
        splice(
            "model: scan and splice, chat of 300 B",
            body(300, &prose[..60]),
        ),
        splice(
            "model: scan and splice, chat of 1 MiB",
            body(1 << 20, &prose.repeat(700)),
        ),
    ]
}

fn scan(name: &'static str, body: Vec<u8>) -> Case {
    Case::new(name, body.len(), move || {
        black_box(scanned(&body)).expect("a model");
    })
}

fn scanned(body: &[u8]) -> Result<wire::ModelField, wire::ModelError> {
    let mut scanner = ModelScanner::new();
    for read in black_box(body).chunks(READ_BYTES) {
        scanner.push(read)?;
    }
    scanner.finish()
}

/// The data plane writes three pieces one after the other; so does this.
fn splice(name: &'static str, body: Vec<u8>) -> Case {
    let mut out = Vec::with_capacity(body.len() + 1024);
    Case::new(name, body.len(), move || {
        let found = scanned(&body).expect("a model");
        let edit = found.edit();
        out.clear();
        out.extend_from_slice(&body[..edit.range.start as usize]);
        out.extend_from_slice(edit.before);
        wire::json_string(black_box("route-model-1"), &mut out);
        out.extend_from_slice(edit.after);
        out.extend_from_slice(&body[edit.range.end as usize..]);
        black_box(&out);
    })
}

/// A chat request of about `len` bytes, a message for every `content`.
fn body(len: usize, content: &str) -> Vec<u8> {
    let mut out = br#"{"model":"gpt-4.1-mini","temperature":0.2,"messages":["#.to_vec();
    loop {
        out.extend_from_slice(br#"{"role":"user","content":""#);
        out.extend_from_slice(content.as_bytes());
        out.extend_from_slice(br#""}"#);
        if out.len() >= len {
            break;
        }
        out.push(b',');
    }
    out.extend_from_slice(b"]}");
    out
}

/// As a connection reads that fills its reads.
const READ_BYTES: usize = 65_536;
