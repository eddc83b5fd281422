//! The insides of JSON strings: runs without meaning, the comparison with `model`, and decoding.
//!
//! Apart from the scanner because these work on text and it works on structure.

/// Bytes from the front that are neither `"` nor `\` nor a control byte.
///
/// Eight bytes at a time: subtracting from each byte sets its high bit when it was below the subtrahend and had none. A
/// borrow can only mark bytes above one that is marked rightly, so the lowest mark is exact.
pub(super) fn plain_run(text: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let (words, rest) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quote = word ^ (ONES * b'"' as u64);
        let slash = word ^ (ONES * b'\\' as u64);
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let marks =
            (quote.wrapping_sub(ONES) & !quote | slash.wrapping_sub(ONES) & !slash | control)
                & HIGH;
        if marks != 0 {
            return index * 8 + marks.trailing_zeros() as usize / 8;
        }
    }
    let run = rest
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
    text.len() - rest.len() + run.unwrap_or(rest.len())
}

/// How much of a member name agrees with `model`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeyMatch {
    /// Letters that agreed when case is ignored; beyond the length of the name when something did not.
    agreed: usize,
    /// Letters that agreed only so.
    folded: usize,
}

impl KeyMatch {
    pub(super) fn push(&mut self, run: &[u8]) {
        // Why: a longer run cannot agree, and need not be looked at.
        for byte in run.iter().take(MODEL.len() + 1) {
            self.push_unit(u16::from(*byte));
        }
    }

    /// One UTF-16 unit, or one byte of a character that agrees with nothing anyway.
    pub(super) fn push_unit(&mut self, unit: u16) {
        let letter = u8::try_from(unit).unwrap_or(0);
        match MODEL.get(self.agreed) {
            Some(expected) if letter.eq_ignore_ascii_case(expected) => {
                self.agreed += 1;
                self.folded += usize::from(letter != *expected);
            }
            Some(_) | None => self.agreed = MODEL.len() + 1,
        }
    }

    pub(super) fn is_model(self) -> bool {
        self.agreed == MODEL.len() && self.folded == 0
    }

    pub(super) fn is_look_alike(self) -> bool {
        self.agreed == MODEL.len() && self.folded > 0
    }
}

/// The text of a string literal whose grammar was checked. `None` for a lone surrogate or more than 1 KiB.
pub(super) fn decode(literal: &[u8]) -> Option<String> {
    let mut text = String::new();
    let mut rest = literal;
    loop {
        let run = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
        text.push_str(std::str::from_utf8(rest.get(..run)?).ok()?);
        let (escape, after) = match rest.get(run..)? {
            [] => break,
            [b'\\', escape, after @ ..] => (*escape, after),
            _ => return None,
        };
        rest = after;
        text.push(match escape {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let (character, after) = decode_unicode(after)?;
                rest = after;
                character
            }
            other => char::from(other),
        });
    }
    (text.len() <= ASKED_BYTES_MAX).then_some(text)
}

fn decode_unicode(digits: &[u8]) -> Option<(char, &[u8])> {
    let (first, rest) = hex4(digits)?;
    let (units, rest) = match rest {
        [b'\\', b'u', low @ ..] if (0xD800..0xDC00).contains(&first) => {
            let (second, rest) = hex4(low)?;
            ([first, second], rest)
        }
        rest => ([first, 0], rest),
    };
    let count = if units[1] == 0 { 1 } else { 2 };
    let character = char::decode_utf16(units.into_iter().take(count))
        .next()?
        .ok()?;
    Some((character, rest))
}

fn hex4(text: &[u8]) -> Option<(u16, &[u8])> {
    let (digits, rest) = text.split_at_checked(4)?;
    let code = digits.iter().try_fold(0_u32, |code, digit| {
        Some(code << 4 | char::from(*digit).to_digit(16)?)
    })?;
    Some((u16::try_from(code).ok()?, rest))
}

const MODEL: &[u8] = b"model";
/// The longest model name that is kept, decoded.
pub(super) const ASKED_BYTES_MAX: usize = 1_024;
