//! Message → YAML for people, who may edit it and give it back.
//!
//! Apart from `shape` because data has no looks. What is written is the part of YAML that needs no second thought: blocks,
//! and texts in quotes wherever a reader of any version might take them for something else. Invariant: `policy::parse`
//! reads it as the data it was, as long as it is short enough for a document.

use proto::v1;
use serde_json::{Map, Value};

use crate::shape;

/// The policy as a file, in the order of the reference. Own rules are no part of it.
pub fn yaml(message: &v1::SandboxPolicy) -> String {
    let mut out = String::new();
    block(&shape::policy(message), 0, &mut out);
    out
}

/// Lines of a map or a list, each behind `indent` spaces.
fn block(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(entries) => {
            for (key, value) in in_order(entries) {
                out.extend(std::iter::repeat_n(' ', indent));
                let key = scalar_text(key);
                if key.len() > KEY_BYTES_MAX {
                    out.push_str("? ");
                    out.push_str(&key);
                    out.push('\n');
                    out.extend(std::iter::repeat_n(' ', indent));
                } else {
                    out.push_str(&key);
                }
                out.push(':');
                behind(value, indent, out);
            }
        }
        Value::Array(items) => {
            for item in items {
                out.extend(std::iter::repeat_n(' ', indent));
                out.push('-');
                match item {
                    Value::Object(entries) if !entries.is_empty() => {
                        let mut lines = String::new();
                        block(item, indent + 2, &mut lines);
                        out.push(' ');
                        out.push_str(lines.trim_start_matches(' '));
                    }
                    Value::Object(_)
                    | Value::Array(_)
                    | Value::Null
                    | Value::Bool(_)
                    | Value::Number(_)
                    | Value::String(_) => behind(item, indent, out),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What stands behind a `:` or a `-`, and the rest of its lines.
fn behind(value: &Value, indent: usize, out: &mut String) {
    let text = match value {
        Value::Object(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Array(items) if items.is_empty() => "[]".to_owned(),
        Value::Object(_) | Value::Array(_) => {
            out.push('\n');
            return block(value, indent + 2, out);
        }
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => scalar_text(text),
    };
    out.push(' ');
    out.push_str(&text);
    out.push('\n');
}

/// Known keys in the order of the reference, others behind them by their names.
fn in_order(entries: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut sorted: Vec<_> = entries.iter().collect();
    let rank = |key: &str| ORDER.iter().position(|known| *known == key);
    sorted.sort_by_key(|(key, _)| (rank(key).unwrap_or(ORDER.len()), *key));
    sorted
}

fn scalar_text(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let mut quoted = "\"".to_owned();
    for c in text.chars() {
        let code = u32::from(c);
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            _ if c.is_alphanumeric() => quoted.push(c),
            _ if code <= 0xff => quoted.push_str(&format!("\\x{code:02x}")),
            _ if code <= 0xffff => quoted.push_str(&format!("\\u{code:04x}")),
            _ => quoted.push_str(&format!("\\U{code:08x}")),
        }
    }
    quoted.push('"');
    quoted
}

/// Whether every reader takes it for text as it stands.
fn is_plain(text: &str) -> bool {
    let mut chars = text.chars();
    let first = chars.next();
    let starts = first.is_some_and(|c| c.is_ascii_alphabetic() || c == '/' || c == '_');
    let goes_on = |c: char| c.is_ascii_alphanumeric() || "/_.-+".contains(c);
    starts && chars.all(goes_on) && !WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// What a reader of some version takes for a truth value or for nothing.
const WORDS: &[&str] = &["null", "true", "false", "yes", "no", "on", "off", "y", "n"];

/// A key that is longer is written apart: YAML ends the search for its colon after 1,024 characters.
const KEY_BYTES_MAX: usize = 512;

/// The keys of POL-1 as a reader expects them.
const ORDER: &[&str] = &[
    "version",
    "filesystem_policy",
    "landlock",
    "process",
    "network_policies",
    "inference",
    "include_workdir",
    "read_only",
    "read_write",
    "name",
    "host",
    "port",
    "allowed_ips",
    "protocol",
    "tls",
    "enforcement",
    "access",
    "rules",
    "deny_rules",
    "allow_encoded_slash",
    "endpoints",
    "binaries",
    "models",
    "requests_per_minute",
    "tokens_per_minute",
    "max_concurrent",
    "method",
    "path",
    "query",
];
