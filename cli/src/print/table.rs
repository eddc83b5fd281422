//! Columns for people.
//!
//! Invariant: no cell moves the cursor: what is not printable is replaced before it is measured.

use serde_json::Value;

/// Rows in aligned columns, two spaces between them.
pub(crate) fn align(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut widths = vec![0; columns];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let line: String = cells
            .map(|(cell, &width)| format!("{cell:width$}  "))
            .collect();
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// A table of objects: a heading and the cell it has for each.
pub(crate) fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut all = vec![head.iter().map(|&cell| cell.to_owned()).collect()];
    let cells = |row: Vec<String>| row.iter().map(|cell| cell_of(cell)).collect();
    all.extend(rows.into_iter().map(cells));
    align(&all).join("\n")
}

/// One `key: value` a line; what is null or empty is left out.
pub(crate) fn facts<'a>(facts: impl IntoIterator<Item = (&'a str, &'a Value)>) -> String {
    let said = facts
        .into_iter()
        .map(|(key, value)| (key, words(value)))
        .filter(|(_, words)| !words.is_empty());
    said.map(|(key, words)| format!("{key}: {words}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// What became of each of several objects, one a line.
pub(crate) fn fates(fates: &[(&str, &[&String])]) -> String {
    let lines = fates.iter().flat_map(|(fate, names)| {
        let line = move |name: &&String| format!("{}: {fate}", printable(name));
        names.iter().map(line)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// One text a line.
pub(crate) fn lines<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let texts: Vec<String> = texts.into_iter().map(printable).collect();
    texts.join("\n")
}

/// A value in one line: the members of a list, the keys and values of a mapping.
pub(crate) fn words(value: &Value) -> String {
    let joined = |parts: Vec<String>| parts.join(", ");
    match value {
        Value::Null => String::new(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(text) => printable(text),
        Value::Array(values) => joined(values.iter().map(words).collect()),
        Value::Object(entries) => joined(
            entries
                .iter()
                .map(|(key, value)| format!("{}={}", printable(key), words(value)))
                .collect(),
        ),
    }
}

/// Names may hold anything; a terminal should not.
pub(crate) fn printable(text: &str) -> String {
    let visible = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(visible).collect()
}

fn cell_of(text: &str) -> String {
    match printable(text) {
        text if text.is_empty() => "-".to_owned(),
        text => text,
    }
}
