//! The query of a request as the rules see it: names and values, decoded (RGO-1, L7-10).
//!
//! Apart from the one in `request`, which compares a query where it stands, so that the two readings
//! can be held against each other. Invariant: a piece that servers read in more than one way stands
//! under the empty name, as received, and under no other (decision 0010).

use std::collections::BTreeMap;

/// Reads what follows `?` in a target.
///
/// Pieces stand between `&` and split at their first `=`; `+` is a space and `%XX` a byte. A piece
/// with `;`, a broken escape, a NUL or bytes that are no UTF-8 is kept whole under the empty name; a
/// name that is empty otherwise says nothing.
pub fn query_values(query: &[u8]) -> BTreeMap<String, Vec<String>> {
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for piece in query.split(|byte| *byte == b'&') {
        let (name, value) = match read(piece) {
            Some((name, _)) if name.is_empty() => continue,
            Some(pair) => pair,
            None => (String::new(), String::from_utf8_lossy(piece).into_owned()),
        };
        values.entry(name).or_default().push(value);
    }
    values
}

/// Name and value of a piece; `None` when servers do not agree on them.
fn read(piece: &[u8]) -> Option<(String, String)> {
    let mut halves = piece.splitn(2, |byte| *byte == b'=');
    let name = unescaped(halves.next().unwrap_or_default())?;
    let value = unescaped(halves.next().unwrap_or_default())?;
    Some((name, value))
}

fn unescaped(text: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied();
    while let Some(byte) = rest.next() {
        match byte {
            b';' => return None,
            b'+' => bytes.push(b' '),
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                bytes.push(u8::try_from(high * 16 + low).ok()?);
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\0'))
}
