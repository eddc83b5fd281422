//! The query of a request somebody asks about, as the Rego rules take it: names and values.
//!
//! Apart from `request::query`, which compares without taking apart, so that the two readings check
//! each other.

use std::collections::BTreeMap;

/// Names and values, decoded once as a form is; `None` where servers do not agree on what a query
/// says, which the rules are not asked about (decision 0010).
pub(crate) fn decoded(query: &str) -> Option<BTreeMap<String, Vec<String>>> {
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        values.entry(text(name)?).or_default().push(text(value)?);
    }
    Some(values)
}

fn text(escaped: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let digit = |at: usize| tail.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        rest = match first {
            b'%' => {
                bytes.push(u8::try_from(digit(0)? * 16 + digit(1)?).ok()?);
                tail.get(2..).unwrap_or_default()
            }
            b';' => return None,
            b'+' => {
                bytes.push(b' ');
                tail
            }
            byte => {
                bytes.push(*byte);
                tail
            }
        };
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.contains('\0') && !text.contains(';')).then_some(text)
}
