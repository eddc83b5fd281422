//! Which texts a pattern is ever compared with: canonical paths, paths of programs, or anything.
//!
//! Apart from the search because this is what other code promises: `wire::CanonicalPath` never
//! yields `/a//b`, and the kernel never names a program `/usr/bin/`. Invariant: for paths the same
//! texts are accepted that `CanonicalPath::parse` returns; `tests` compares the two.

use wire::Slashes;

use crate::pattern::Glob;

/// A set of texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Domain {
    /// Any bytes: query values, models.
    Text,
    /// Absolute paths as the kernel gives them for a running program.
    Program,
    /// Canonical request paths; `Escaped` includes those with `%2F`.
    Path(Slashes),
}

/// Where in a text of the domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Spot {
    /// Before the first byte.
    Start,
    /// Behind a slash.
    Open,
    /// Behind `%2F`.
    Piece,
    /// Behind a single dot that begins a segment.
    Dot,
    /// Behind two of them.
    Dots,
    /// Within a segment, or anywhere in a text.
    Inside,
    /// Behind `%`.
    Escape(Before),
    /// Behind `%` and its first digit.
    Half(Before, u8),
}

/// What stood before an escape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Before {
    /// Nothing but dots.
    Dots,
    /// Anything else.
    Bytes,
}

impl Domain {
    pub(crate) fn start(self) -> Spot {
        match self {
            Domain::Text => Spot::Inside,
            Domain::Program | Domain::Path(_) => Spot::Start,
        }
    }

    /// Whether a text may end here.
    pub(crate) fn accepts(self, spot: Spot) -> bool {
        match spot {
            Spot::Inside | Spot::Piece => true,
            Spot::Open => matches!(self, Domain::Path(_)),
            Spot::Start | Spot::Dot | Spot::Dots | Spot::Escape(_) | Spot::Half(..) => false,
        }
    }

    /// One byte further; `None` where no text of the domain goes on like that.
    pub(crate) fn step(self, spot: Spot, byte: u8) -> Option<Spot> {
        match self {
            Domain::Text => Some(spot),
            Domain::Program => program(spot, byte),
            Domain::Path(slashes) => path(slashes, spot, byte),
        }
    }

    /// The bytes worth trying: those of the globs, what the domain treats apart, and one that stands
    /// for all others. That one comes first, so that witnesses show where a wildcard was.
    pub(crate) fn alphabet(self, globs: &[&Glob]) -> Vec<u8> {
        let mut used = [false; 256];
        for byte in globs.iter().flat_map(|glob| glob.as_str().bytes()) {
            used[usize::from(byte)] = byte != b'*';
        }
        used[usize::from(b'/')] = true;
        let escapes = used[usize::from(b'%')] && matches!(self, Domain::Path(_));
        if escapes {
            // Why: the second digit of an escape may lie behind a wildcard.
            for digit in b"0123456789ABCDEF" {
                used[usize::from(*digit)] = true;
            }
        }
        let other = OTHERS.iter().find(|byte| !used[usize::from(**byte)]);
        let used = (0..=u8::MAX).filter(|byte| used[usize::from(*byte)]);
        other.copied().into_iter().chain(used).collect()
    }
}

fn program(spot: Spot, byte: u8) -> Option<Spot> {
    match (spot, byte) {
        (_, 0) => None,
        (Spot::Start, b'/') => Some(Spot::Open),
        (Spot::Start, _) | (Spot::Open | Spot::Dot | Spot::Dots, b'/') => None,
        (Spot::Open, b'.') => Some(Spot::Dot),
        (Spot::Dot, b'.') => Some(Spot::Dots),
        (Spot::Inside, b'/') => Some(Spot::Open),
        (Spot::Open | Spot::Dot | Spot::Dots | Spot::Inside, _) => Some(Spot::Inside),
        (Spot::Piece | Spot::Escape(_) | Spot::Half(..), _) => None,
    }
}

fn path(slashes: Slashes, spot: Spot, byte: u8) -> Option<Spot> {
    match (spot, byte) {
        (Spot::Start, b'/') => Some(Spot::Open),
        (Spot::Start, _) | (Spot::Open | Spot::Dot | Spot::Dots, b'/') => None,
        (Spot::Inside | Spot::Piece, b'/') => Some(Spot::Open),
        (Spot::Dot | Spot::Dots, b';') => None,
        (Spot::Open | Spot::Piece, b'.') => Some(Spot::Dot),
        (Spot::Dot, b'.') => Some(Spot::Dots),
        (Spot::Dot | Spot::Dots, b'%') => Some(Spot::Escape(Before::Dots)),
        (Spot::Open | Spot::Piece | Spot::Inside, b'%') => Some(Spot::Escape(Before::Bytes)),
        (Spot::Open | Spot::Piece | Spot::Dot | Spot::Dots | Spot::Inside, byte) => {
            is_path_byte(byte).then_some(Spot::Inside)
        }
        (Spot::Escape(before), digit) => upper_hex(digit).map(|high| Spot::Half(before, high)),
        (Spot::Half(before, high), digit) => escape(slashes, before, high << 4 | upper_hex(digit)?),
    }
}

/// Behind an escape of this byte.
fn escape(slashes: Slashes, before: Before, byte: u8) -> Option<Spot> {
    match byte {
        b'/' => (slashes == Slashes::Escaped && before == Before::Bytes).then_some(Spot::Piece),
        0..=0x1F | 0x7F | b'\\' => None,
        byte if is_unreserved(byte) => None,
        _ => Some(Spot::Inside),
    }
}

fn upper_hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn is_path_byte(byte: u8) -> bool {
    is_unreserved(byte) || b"!$&'()*+,;=:@".contains(&byte)
}

/// Candidates for the byte that no pattern names.
const OTHERS: &[u8] =
    b"xyzwvutsrqponmlkjihgxXYZWVUTSRQPONMLKJIHG_~abcdefABCDEF0123456789-!$&'()+,=:@";
