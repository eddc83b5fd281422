//! A JSON value as YAML: block style, every key JSON has, in its order.
//!
//! Invariant: a YAML 1.2 reader gets the same value back, and a YAML 1.1 reader too: what either takes for something else
//! than text is quoted.

use std::fmt::Write;

use serde_json::Value;

/// The value, without a line end behind it.
pub(super) fn text(value: &Value) -> String {
    let mut out = String::new();
    node(value, 0, Place::Start, &mut out);
    out.truncate(out.trim_end().len());
    out
}

/// What stands before a node on its line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing, or the dash of its list.
    Start,
    /// Its key and a colon.
    Key,
}

fn node(value: &Value, depth: usize, place: Place, out: &mut String) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            open(place, out);
            for (index, (key, value)) in entries.iter().enumerate() {
                // The first key of a mapping in a list stands behind the dash.
                if index > 0 || place == Place::Key {
                    indent(depth, out);
                }
                if key.len() > KEY_BYTES_MAX {
                    out.push_str("? ");
                    scalar(key, out);
                    out.push('\n');
                    indent(depth, out);
                } else {
                    scalar(key, out);
                }
                out.push(':');
                node(value, depth + 1, Place::Key, out);
            }
        }
        Value::Array(values) if !values.is_empty() => {
            open(place, out);
            for (index, value) in values.iter().enumerate() {
                if index > 0 || place == Place::Key {
                    indent(depth, out);
                }
                out.push_str("- ");
                node(value, depth + 1, Place::Start, out);
            }
        }
        Value::String(text) => {
            gap(place, out);
            scalar(text, out);
            out.push('\n');
        }
        // Null, numbers, `[]` and `{}` are written alike in both.
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            gap(place, out);
            // Writing to a String cannot fail.
            _ = writeln!(out, "{value}");
        }
    }
}

/// Between a colon and what stands on the same line.
fn gap(place: Place, out: &mut String) {
    if place == Place::Key {
        out.push(' ');
    }
}

/// Between a colon and what begins on the next line.
fn open(place: Place, out: &mut String) {
    if place == Place::Key {
        out.push('\n');
    }
}

fn indent(depth: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("  ", depth));
}

fn scalar(text: &str, out: &mut String) {
    if is_plain(text) {
        return out.push_str(text);
    }
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            // Also what some readers take for the end of a line, and the byte order mark.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                // Writing to a String cannot fail.
                _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Whether every reader takes the text for text, and for this one.
fn is_plain(text: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '_');
    let rest = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '.' | '+');
    let word = text.to_ascii_lowercase();
    text.starts_with(first) && text.chars().all(rest) && !RESERVED.contains(&word.as_str())
}

/// Words of YAML 1.1 and 1.2 that are no text.
const RESERVED: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
/// A reader looks no further for the colon (YAML 1.2.2 §7.4.2); every byte may be six when it is quoted.
const KEY_BYTES_MAX: usize = 1_000 / 6;
