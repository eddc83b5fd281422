//! Corpus rows: where they are and how their bytes are written.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

/// The text of a corpus file, which is part of this repository.
macro_rules! corpus {
    ($file:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/corpora/",
            $file
        ))
    };
}
pub(crate) use corpus;

/// Every row of a corpus.
pub(crate) fn rows(corpus: &str) -> Vec<Value> {
    corpus
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// `<key>_b64`, or `<key>_parts` with their repetitions; for a key without text the bare names.
pub(crate) fn bytes(row: &Value, key: &str) -> Option<Vec<u8>> {
    if let Some(text) = row.get(format!("{key}_b64")).and_then(Value::as_str) {
        return Some(decode(text));
    }
    let parts = row
        .get(format!("{key}_parts"))
        .or_else(|| row.get("parts").filter(|_| key == "bytes"))?;
    let part =
        |part: &Value| decode(text(part, "b64")).repeat(part.get("repeat").map_or(1, number));
    Some(parts.as_array()?.iter().flat_map(part).collect())
}

pub(crate) fn decode(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap()
}

pub(crate) fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key]
        .as_str()
        .unwrap_or_else(|| panic!("{key} in {row}"))
}

pub(crate) fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

pub(crate) fn list(row: &Value, key: &str) -> Vec<Value> {
    row.get(key)
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default()
}

/// The ways a corpus sends bytes: whole, byte by byte, after every CR, and below 4 kB cut at every position.
pub(crate) fn splits(bytes: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut ways = vec![
        vec![bytes],
        bytes.split_inclusive(|byte| *byte == b'\r').collect(),
    ];
    if bytes.len() < 4_096 {
        ways.push(bytes.chunks(1).collect());
        ways.extend((1..bytes.len()).map(|cut| vec![&bytes[..cut], &bytes[cut..]]));
    }
    ways
}
