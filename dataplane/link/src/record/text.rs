//! A value of a record: text that a sandbox may have written, made harmless once and shared afterwards.
//!
//! It exists apart from `json.rs` because cutting happens where the value is made, on a worker, so that the queue holds
//! bounded values; JSON escaping happens later, on the link thread.
//!
//! Invariants: at most `TEXT_BYTES_MAX` bytes of UTF-8, cut between characters and never inside a `\xNN`; bytes that are
//! not UTF-8 are shown as `\xNN`, and a backslash that was followed by `x` is shown as `\x5c`, so the two cannot be
//! confused. A query string never gets in through [`Text::path`] or [`Text::cmdline`].

use std::fmt;
use std::sync::Arc;

/// Text of a record, cut and free of invalid UTF-8. Cloning shares it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(Arc<str>);

impl Text {
    /// The value as it will be shown (LOG-3).
    pub fn new(bytes: &[u8]) -> Text {
        let head = bytes.get(..TEXT_BYTES_MAX).unwrap_or(bytes);
        // Most values are short plain ASCII and need one copy only.
        if bytes.len() <= TEXT_BYTES_MAX
            && head.iter().all(|byte| byte.is_ascii() && *byte != b'\\')
        {
            return Text(str::from_utf8(head).unwrap_or_default().into());
        }
        let mut shown = Shown::new();
        let mut rest = bytes;
        while !rest.is_empty() && !shown.full {
            let valid = match str::from_utf8(rest) {
                Ok(text) => text,
                Err(error) => str::from_utf8(rest.get(..error.valid_up_to()).unwrap_or_default())
                    .unwrap_or_default(),
            };
            shown.text(valid);
            rest = rest.get(valid.len()..).unwrap_or_default();
            if let Some((byte, after)) = rest.split_first() {
                shown.byte(*byte);
                rest = after;
            }
        }
        Text(shown.out.into())
    }

    /// A request path. What follows the first `?` or `#` is left out: query strings hold tokens (TR-101).
    pub fn path(path: &[u8]) -> Text {
        Text::new(without_query(path))
    }

    /// A command line as `/proc/PID/cmdline` gives it: arguments end in NUL and are shown with a space between.
    /// In an argument that holds `://` the query is left out.
    pub fn cmdline(cmdline: &[u8]) -> Text {
        let mut joined = Vec::with_capacity(cmdline.len().min(2 * TEXT_BYTES_MAX));
        let arguments = cmdline.strip_suffix(b"\0").unwrap_or(cmdline);
        for (index, argument) in arguments.split(|byte| *byte == 0).enumerate() {
            if joined.len() > TEXT_BYTES_MAX {
                break;
            }
            if index > 0 {
                joined.push(b' ');
            }
            let is_url = argument.windows(3).any(|window| window == b"://");
            joined.extend_from_slice(if is_url {
                without_query(argument)
            } else {
                argument
            });
        }
        Text::new(&joined)
    }

    /// The text, not yet escaped for JSON or a terminal.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for Text {
    /// For a terminal: control characters and those that reorder text are shown as `\u{…}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for character in self.0.chars() {
            if is_dangerous(character) {
                write!(f, "{}", character.escape_unicode())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// Characters that no log line or terminal may get raw: C0 and C1 controls, DEL, the line and paragraph separators, and
/// the marks that reorder or hide text.
pub(super) fn is_dangerous(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

/// The text being built, with room counted.
struct Shown {
    out: String,
    full: bool,
}

impl Shown {
    fn new() -> Shown {
        Shown {
            out: String::with_capacity(TEXT_BYTES_MAX),
            full: false,
        }
    }

    fn text(&mut self, text: &str) {
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            if character == '\\' && characters.peek() == Some(&'x') {
                self.push("\\x5c");
            } else {
                self.push(character.encode_utf8(&mut [0; 4]));
            }
            if self.full {
                return;
            }
        }
    }

    fn byte(&mut self, byte: u8) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let digit = |nibble: u8| char::from(HEX[usize::from(nibble & 15)]);
        let mut escaped = String::from("\\x");
        escaped.push(digit(byte >> 4));
        escaped.push(digit(byte));
        self.push(&escaped);
    }

    /// Appends all of `piece` or nothing.
    fn push(&mut self, piece: &str) {
        if self.full || self.out.len() + piece.len() > TEXT_BYTES_MAX {
            self.full = true;
        } else {
            self.out.push_str(piece);
        }
    }
}

fn without_query(path: &[u8]) -> &[u8] {
    let end = path
        .iter()
        .position(|byte| matches!(byte, b'?' | b'#'))
        .unwrap_or(path.len());
    path.get(..end).unwrap_or(path)
}

/// Bytes of UTF-8 of one value (LOG-3).
pub const TEXT_BYTES_MAX: usize = 1_024;

#[cfg(test)]
mod tests;
