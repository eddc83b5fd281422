//! The alphabet of the scanner: where the next byte stands, and what numbers and words look like (RFC 8259 §3, §6).
//!
//! Apart from the scanner because these are tables; they fit two bytes, since every byte of a body may change them.

/// What the next byte may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// Blanks before the object.
    #[default]
    Start,
    /// After `{`.
    FirstKey,
    /// After a comma in an object.
    Key,
    /// After a key.
    Colon,
    /// After a colon, or a comma in an array.
    Value,
    /// After `[`.
    FirstItem,
    /// After a value.
    AfterValue,
    /// Inside a string.
    Text(Role),
    /// After a backslash.
    Escape(Role),
    /// In the hex digits of `\u`.
    Unicode(Role),
    /// In `true`, `false` or `null`.
    Word(Word),
    /// In a number.
    Number(Number),
    /// After the object.
    End,
}

/// What a string stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A member name of the top-level object.
    TopKey,
    /// A member name further down.
    InnerKey,
    /// The value of the model member.
    Model,
    /// Any other value.
    Value,
}

impl Role {
    /// Whether the text matters, not only its end.
    pub(super) fn is_read(self) -> bool {
        match self {
            Self::TopKey | Self::Model => true,
            Self::InnerKey | Self::Value => false,
        }
    }
}

/// What of `true`, `false` or `null` is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Rue,
    Ue,
    Alse,
    Lse,
    Se,
    Ull,
    Ll,
    /// The last letter of `true` or `false`.
    E,
    /// The last letter of `null`.
    L,
}

/// What a letter does to a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelled {
    More(Word),
    Whole,
}

impl Word {
    pub(super) fn after(self, byte: u8) -> Option<Spelled> {
        Some(match (self, byte) {
            (Self::Rue, b'r') => Spelled::More(Self::Ue),
            (Self::Ue, b'u') => Spelled::More(Self::E),
            (Self::Alse, b'a') => Spelled::More(Self::Lse),
            (Self::Lse, b'l') => Spelled::More(Self::Se),
            (Self::Se, b's') => Spelled::More(Self::E),
            (Self::Ull, b'u') => Spelled::More(Self::Ll),
            (Self::Ll, b'l') => Spelled::More(Self::L),
            (Self::E, b'e') | (Self::L, b'l') => Spelled::Whole,
            _ => return None,
        })
    }
}

/// Where in a number the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    ExponentMark,
    ExponentSign,
    Exponent,
}

impl Number {
    pub(super) fn after(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Minus, b'0') => Some(Self::Zero),
            (Self::Minus, b'1'..=b'9') | (Self::Integer, b'0'..=b'9') => Some(Self::Integer),
            (Self::Zero | Self::Integer, b'.') => Some(Self::Point),
            (Self::Point | Self::Fraction, b'0'..=b'9') => Some(Self::Fraction),
            (Self::Zero | Self::Integer | Self::Fraction, b'e' | b'E') => Some(Self::ExponentMark),
            (Self::ExponentMark, b'+' | b'-') => Some(Self::ExponentSign),
            (Self::ExponentMark | Self::ExponentSign | Self::Exponent, b'0'..=b'9') => {
                Some(Self::Exponent)
            }
            _ => None,
        }
    }

    pub(super) fn is_whole(self) -> bool {
        match self {
            Self::Zero | Self::Integer | Self::Fraction | Self::Exponent => true,
            Self::Minus | Self::Point | Self::ExponentMark | Self::ExponentSign => false,
        }
    }
}
