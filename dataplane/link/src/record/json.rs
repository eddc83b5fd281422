//! One JSON object on one line, written field by field.
//!
//! Why our own writer: keys are ours, the order is part of the format, and escaping is stricter than JSON asks for: every
//! control character, DEL, the C1 range, U+2028, U+2029 and the marks that reorder text are escaped (LOG-3, TR-101).
//! `-` stands for what is absent, for numbers too (LOG-1).

use super::text::is_dangerous;
use std::fmt::{Display, Write as _};

/// A line under construction; `finish` closes the object.
pub(super) struct Line<'a> {
    out: &'a mut String,
    separator: char,
}

impl<'a> Line<'a> {
    pub(super) fn new(out: &'a mut String) -> Line<'a> {
        Line {
            out,
            separator: '{',
        }
    }

    /// `key` is one of ours and needs no escaping.
    pub(super) fn text(&mut self, key: &str, value: Option<&str>) {
        self.key(key);
        quote(value.unwrap_or(ABSENT), self.out);
    }

    pub(super) fn number(&mut self, key: &str, value: Option<impl Display>) {
        self.key(key);
        match value {
            // Why ignored: writing to a String cannot fail.
            Some(number) => _ = write!(self.out, "{number}"),
            None => quote(ABSENT, self.out),
        }
    }

    /// An array of texts; absent and empty look alike.
    pub(super) fn list<'t>(&mut self, key: &str, values: impl Iterator<Item = &'t str>) {
        self.key(key);
        let mut separator = '[';
        for value in values {
            self.out.push(separator);
            quote(value, self.out);
            separator = ',';
        }
        if separator == '[' {
            quote(ABSENT, self.out);
        } else {
            self.out.push(']');
        }
    }

    /// A string whose content is written by `write` and is known to need no escaping.
    pub(super) fn plain(&mut self, key: &str, write: impl FnOnce(&mut String)) {
        self.key(key);
        self.out.push('"');
        write(self.out);
        self.out.push('"');
    }

    /// A displayed value that is known to need no escaping, such as an address.
    pub(super) fn plain_or_absent(&mut self, key: &str, value: Option<impl Display>) {
        match value {
            // Why ignored: writing to a String cannot fail.
            Some(value) => self.plain(key, |out| _ = write!(out, "{value}")),
            None => self.text(key, None),
        }
    }

    pub(super) fn finish(self) {
        self.out.push_str("}\n");
    }

    fn key(&mut self, key: &str) {
        self.out.push(self.separator);
        self.separator = ',';
        self.out.push('"');
        self.out.push_str(key);
        self.out.push_str("\":");
    }
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Every dangerous character lies in the basic plane, so one unit is enough.
            other if is_dangerous(other) => _ = write!(out, "\\u{:04x}", u32::from(other)),
            other => out.push(other),
        }
    }
    out.push('"');
}

const ABSENT: &str = "-";
