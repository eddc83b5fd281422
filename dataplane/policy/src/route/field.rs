//! Header fields that a route adds, checked before anything is sent with them.
//!
//! Apart from `wire`, which writes any field that can be written: these names may come from a gateway, and a field that
//! frames a message or belongs to one hop is nobody's to add. Invariant: a name is a token in lower case.

use std::borrow::Cow;
use std::fmt;

/// The name of a field that a route may add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldName(Cow<'static, str>);

/// Why a text is no name for a route's field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldNameError {
    /// Empty, too long, or with bytes no token has (RFC 9110 §5.6.2).
    NotToken,
    /// It frames the message or belongs to one hop; ringfence writes those itself.
    Reserved,
}

impl FieldName {
    /// A name of our own tables.
    pub(super) const fn known(name: &'static str) -> FieldName {
        FieldName(Cow::Borrowed(name))
    }

    /// Reads a name; letter case is not kept.
    ///
    /// # Errors
    /// As listed at [`FieldNameError`].
    pub fn parse(text: &str) -> Result<FieldName, FieldNameError> {
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.bytes().all(is_token) {
            return Err(FieldNameError::NotToken);
        }
        let name = text.to_ascii_lowercase();
        if RESERVED.contains(&&*name) {
            return Err(FieldNameError::Reserved);
        }
        Ok(FieldName(name.into()))
    }

    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for FieldNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FieldNameError::NotToken => "not the name of a header field",
            FieldNameError::Reserved => "a header field that is not a route's to add",
        })
    }
}

impl std::error::Error for FieldNameError {}

/// The value of a field that a route adds. Not for secrets: it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldValue(Cow<'static, str>);

/// A text that cannot stand in a header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldValueError;

impl FieldValue {
    /// A value of our own tables.
    pub(super) const fn known(value: &'static str) -> FieldValue {
        FieldValue(Cow::Borrowed(value))
    }

    /// Reads a value.
    ///
    /// # Errors
    /// It is too long, or holds a byte that is neither visible ASCII nor a blank.
    pub fn parse(text: &str) -> Result<FieldValue, FieldValueError> {
        let is_allowed = |byte: u8| byte == b'\t' || (b' '..=b'~').contains(&byte);
        if text.len() > VALUE_BYTES_MAX || !text.bytes().all(is_allowed) {
            return Err(FieldValueError);
        }
        Ok(FieldValue(text.to_owned().into()))
    }

    /// The value.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FieldValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not the value of a header field")
    }
}

impl std::error::Error for FieldValueError {}

/// Fields of framing and of one hop (RFC 9110 §7.6.1, §8.6; RFC 9112 §6), and the one that says whose the request is.
const RESERVED: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Longest name and value: PRV-4's bounds on a key and its value.
const NAME_BYTES_MAX: usize = 256;
const VALUE_BYTES_MAX: usize = 8_192;
