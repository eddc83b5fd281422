//! Chunk extensions (RFC 9112 §7.1.1): checked to the byte, then forgotten.
//!
//! Apart from the decoder because nobody needs what they say, yet a reader behind us may trip over how they say it.

use crate::fields::{is_blank, is_token_byte, is_value_byte};

/// Where in `*( BWS ";" BWS name [ BWS "=" BWS value ] )` (RFC 9112 §7.1.1) the next byte stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Extension {
    /// After the size or a value and a blank: only `;` or more blanks.
    Gap,
    /// After `;`.
    BeforeName,
    /// In a name.
    Name,
    /// After a name and a blank: `=`, `;` or more blanks.
    AfterName,
    /// After `=`.
    BeforeValue,
    /// In a token value.
    Value,
    /// In a quoted value.
    Quoted,
    /// After a backslash in a quoted value.
    QuotedPair,
    /// After the closing quote.
    Closed,
}

/// What a byte does to an extension.
#[derive(Clone, Copy, Debug)]
pub(super) enum Extended {
    /// It belongs to it.
    By(Extension),
    /// It is the CR of the size line.
    LineEnd,
}

impl Extension {
    /// `None` when the byte may not stand here.
    pub(super) fn after(self, byte: u8) -> Option<Extended> {
        let blank = is_blank(byte);
        let token = is_token_byte(byte);
        let next = match (self, byte) {
            (Self::Name | Self::Value | Self::Closed, b'\r') => {
                return Some(Extended::LineEnd);
            }
            (Self::Gap | Self::Name | Self::AfterName | Self::Value | Self::Closed, b';') => {
                Self::BeforeName
            }
            (Self::Name | Self::AfterName, b'=') => Self::BeforeValue,
            (Self::BeforeValue, b'"') => Self::Quoted,
            (Self::Quoted, b'"') => Self::Closed,
            (Self::Quoted, b'\\') => Self::QuotedPair,
            (Self::Quoted | Self::QuotedPair, byte) if is_value_byte(byte) => Self::Quoted,
            (Self::Gap | Self::Value | Self::Closed, _) if blank => Self::Gap,
            (Self::BeforeName | Self::BeforeValue, _) if blank => self,
            (Self::Name | Self::AfterName, _) if blank => Self::AfterName,
            (Self::BeforeName | Self::Name, _) if token => Self::Name,
            (Self::BeforeValue | Self::Value, _) if token => Self::Value,
            _ => return None,
        };
        Some(Extended::By(next))
    }
}
