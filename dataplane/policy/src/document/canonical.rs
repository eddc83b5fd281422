//! The hash of a document (LIV-5).
//!
//! Apart from `serialise` because a hash needs one encoding with no two readings: every value is
//! written with its kind and its length. Invariant: map entries go in byte order of their keys,
//! whatever order the serialiser gave them.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::PolicyDocument;

/// Lower-case hex SHA-256 over the canonical encoding.
pub(crate) fn hash(document: &PolicyDocument) -> String {
    let mut bytes = Vec::new();
    match serde_json::to_value(document) {
        Ok(value) => encode(&value, &mut bytes),
        // Maps have text keys and numbers are integers, so there is nothing that could fail; should
        // it ever, the error text still tells documents apart from valid ones.
        Err(error) => bytes.extend_from_slice(error.to_string().as_bytes()),
    }
    let nibble = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    Sha256::digest(&bytes)
        .iter()
        .flat_map(|byte| [nibble(byte >> 4), nibble(byte & 0xf)])
        .collect()
}

fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(b'z'),
        Value::Bool(false) => out.push(b'f'),
        Value::Bool(true) => out.push(b't'),
        Value::Number(number) => sized(b'n', number.to_string().as_bytes(), out),
        Value::String(text) => sized(b's', text.as_bytes(), out),
        Value::Array(items) => {
            length(b'l', items.len(), out);
            items.iter().for_each(|item| encode(item, out));
        }
        Value::Object(entries) => {
            length(b'm', entries.len(), out);
            let mut sorted: Vec<_> = entries.iter().collect();
            sorted.sort_by_key(|(key, _)| key.as_bytes());
            for (key, value) in sorted {
                sized(b's', key.as_bytes(), out);
                encode(value, out);
            }
        }
    }
}

fn sized(kind: u8, bytes: &[u8], out: &mut Vec<u8>) {
    length(kind, bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn length(kind: u8, len: usize, out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(&(len as u64).to_be_bytes());
}
