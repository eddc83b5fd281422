//! The corpora in `tests/corpora`, read as they are.

use std::fs;

use serde_json::Value;

use crate::binary;

/// The rows of a `.jsonl` corpus.
///
/// # Panics
/// When the file is missing or a line is no JSON.
pub fn rows(name: &str) -> Vec<Value> {
    let path = binary::workspace().join("tests/corpora").join(name);
    let text = fs::read_to_string(&path)
        .unwrap_or_else(|error| unreachable!("{}: {error}", path.display()));
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a JSON line"))
        .collect()
}

/// The bytes of `<stem>_b64`, or of the repeated parts in `parts`.
pub fn bytes(row: &Value, single: &str, parts: &str) -> Option<Vec<u8>> {
    if let Some(text) = row[single].as_str() {
        return Some(decode(text));
    }
    let mut out = Vec::new();
    for part in row[parts].as_array()? {
        let piece = decode(part["b64"].as_str()?);
        for _ in 0..part["repeat"].as_u64().unwrap_or(1) {
            out.extend_from_slice(&piece);
        }
    }
    Some(out)
}

/// Base64 with or without padding (RFC 4648 §4).
///
/// # Panics
/// At a byte outside the alphabet.
pub fn decode(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            other => unreachable!("byte {other} in base64"),
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    out
}
