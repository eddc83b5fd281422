//! The query of a request, compared without being taken apart (L7-10).
//!
//! Apart from the rules because it is syntax, and one that servers do not read alike. Names and values
//! are decoded as a form is: `&` separates, `+` is a space, `%XX` a byte. Invariant: a piece that
//! servers read in more than one way (see `is_readable`) counts against the request: no allow rule
//! with `query` matches then, and every deny rule with `query` does (decision 0010).

use std::cell::Cell;

use crate::pattern::Glob;

/// One entry of `query`: the name, and what its values must match.
#[derive(Debug)]
pub(crate) struct Matcher {
    pub(crate) name: Box<[u8]>,
    pub(crate) value: Glob,
}

/// What follows `?`, as received.
#[derive(Debug)]
pub(crate) struct Query<'r> {
    raw: &'r [u8],
    /// Found out at the first rule that asks.
    readable: Cell<Option<bool>>,
}

impl<'r> Query<'r> {
    pub(crate) fn new(raw: Option<&'r [u8]>) -> Query<'r> {
        Query {
            raw: raw.unwrap_or_default(),
            readable: Cell::new(None),
        }
    }

    /// For an allow rule: every listed name is there, and all its values match.
    pub(crate) fn satisfies(&self, matchers: &[Matcher]) -> bool {
        matchers.is_empty()
            || self.is_readable()
                && matchers.iter().all(|matcher| {
                    let mut values = self.values(&matcher.name).peekable();
                    values.peek().is_some()
                        && values.all(|value| decoded(value, |value| matcher.value.matches(value)))
                })
    }

    /// For a deny rule: of every listed name one value matches.
    pub(crate) fn offends(&self, matchers: &[Matcher]) -> bool {
        matchers.is_empty()
            || !self.is_readable()
            || matchers.iter().all(|matcher| {
                self.values(&matcher.name)
                    .any(|value| decoded(value, |value| matcher.value.matches(value)))
            })
    }

    /// Values of a name, still encoded.
    fn values<'q>(&'q self, name: &'q [u8]) -> impl Iterator<Item = &'r [u8]> + use<'q, 'r> {
        self.pieces().filter_map(move |piece| {
            let equals = memchr::memchr(b'=', piece).unwrap_or(piece.len());
            let (given, value) = piece.split_at_checked(equals)?;
            let is_it =
                given == name || is_encoded(given) && Decoding(given).eq(name.iter().copied());
            is_it.then_some(value.get(1..).unwrap_or_default())
        })
    }

    fn pieces(&self) -> impl Iterator<Item = &'r [u8]> + use<'r> {
        self.raw.split(|byte| *byte == b'&')
    }

    fn is_readable(&self) -> bool {
        self.readable.get().unwrap_or_else(|| {
            let readable = self.pieces().all(is_readable);
            self.readable.set(Some(readable));
            readable
        })
    }
}

/// Whether servers agree on what a piece says. They do not where `;` may separate as well, an escape
/// is broken, a NUL may end the text, or the bytes are no UTF-8.
fn is_readable(piece: &[u8]) -> bool {
    if piece
        .iter()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b';' | b'%'))
    {
        return true;
    }
    let mut rest = piece;
    while let Some(at) = memchr::memchr(b'%', rest) {
        match rest.get(at + 1..) {
            Some([high, low, after @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                rest = after;
            }
            Some(_) | None => return false,
        }
    }
    !piece.contains(&b';')
        && decoded(piece, |text| {
            !text.contains(&0) && std::str::from_utf8(text).is_ok()
        })
}

fn is_encoded(raw: &[u8]) -> bool {
    memchr::memchr2(b'%', b'+', raw).is_some()
}

/// Hands over the decoded bytes: the raw ones where nothing is encoded, a copy on the stack where they fit.
fn decoded<R>(raw: &[u8], judge: impl FnOnce(&[u8]) -> R) -> R {
    if !is_encoded(raw) {
        return judge(raw);
    }
    let mut room = [0; STACK_BYTES];
    if raw.len() > room.len() {
        return judge(&Decoding(raw).collect::<Vec<u8>>());
    }
    let mut len = 0;
    for (to, from) in room.iter_mut().zip(Decoding(raw)) {
        *to = from;
        len += 1;
    }
    judge(room.get(..len).unwrap_or_default())
}

/// Decoded bytes, one by one. A broken escape stands for itself; nobody is asked about one, because
/// `is_readable` comes first.
struct Decoding<'r>(&'r [u8]);

impl Iterator for Decoding<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (&first, after) = self.0.split_first()?;
        self.0 = after;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        match (first, after) {
            (b'+', _) => Some(b' '),
            (b'%', [high, low, rest @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    self.0 = rest;
                    u8::try_from(high << 4 | low).ok()
                }
                (None, _) | (_, None) => Some(first),
            },
            (_, _) => Some(first),
        }
    }
}

/// Longer values are copied to the heap: 8 KiB of target is the most there is (H1-7).
const STACK_BYTES: usize = 512;

#[cfg(test)]
mod tests;
