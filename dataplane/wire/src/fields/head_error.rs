//! Why a head is refused, as a closed list of rules.
//!
//! Apart from the reader of field lines because request line, status line and framing break rules of the same list.
//! Invariant: an error names a rule and an offset, never a byte of the head.

use std::fmt;

use crate::refusal::Code;

/// Where and why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadError {
    /// Offset of the byte that settled it.
    pub at: usize,
    /// The rule it broke.
    pub kind: HeadErrorKind,
}

impl HeadError {
    pub(crate) fn new(at: usize, kind: HeadErrorKind) -> Self {
        Self { at, kind }
    }

    /// The code for a request head. A response head is always `upstream_protocol_error`.
    #[must_use]
    pub fn code(&self) -> Code {
        match self.kind {
            HeadErrorKind::TargetByte => Code::InvalidRequestTarget,
            HeadErrorKind::TargetTooLong => Code::TargetTooLong,
            HeadErrorKind::HeadTooLarge | HeadErrorKind::TooManyFields => Code::HeaderTooLarge,
            HeadErrorKind::VersionUnsupported => Code::UnsupportedHttpVersion,
            HeadErrorKind::StatusLine => Code::UpstreamProtocolError,
            HeadErrorKind::RequestLine
            | HeadErrorKind::Version
            | HeadErrorKind::BareCr
            | HeadErrorKind::BareLf
            | HeadErrorKind::LeadingBlank
            | HeadErrorKind::FieldName
            | HeadErrorKind::FieldValue
            | HeadErrorKind::ContentLength
            | HeadErrorKind::ContentLengthRepeated
            | HeadErrorKind::TransferEncoding
            | HeadErrorKind::TransferEncodingInHttp10
            | HeadErrorKind::LengthAndTransferEncoding
            | HeadErrorKind::HostMissing
            | HeadErrorKind::HostRepeated
            | HeadErrorKind::HostInvalid
            | HeadErrorKind::ConnectionNamesFraming
            | HeadErrorKind::ContentNotAllowed => Code::BadRequest,
        }
    }
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.kind.as_str(), self.at)
    }
}

impl std::error::Error for HeadError {}

/// The rules a head can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadErrorKind {
    /// Not method, space, target, space, version (RFC 9112 §3).
    RequestLine,
    /// A non-ASCII byte in the target.
    TargetByte,
    /// The target passes its limit.
    TargetTooLong,
    /// Not `HTTP/` digit `.` digit (RFC 9112 §2.3).
    Version,
    /// A well-formed version other than 1.0 and 1.1.
    VersionUnsupported,
    /// Not version, space, three digits (RFC 9112 §4).
    StatusLine,
    /// CR without LF.
    BareCr,
    /// LF without CR.
    BareLf,
    /// White space at the start of a line: obs-fold or a hidden field (RFC 9112 §2.2, §5.2).
    LeadingBlank,
    /// A field name that is no token directly followed by `:` (RFC 9112 §5.1).
    FieldName,
    /// A control byte in a field value or reason phrase.
    FieldValue,
    /// The head passes its limit of bytes.
    HeadTooLarge,
    /// The head passes its limit of fields.
    TooManyFields,
    /// Not one to nineteen digits of at most 2^63−1.
    ContentLength,
    /// A second Content-Length; in a response, a differing one.
    ContentLengthRepeated,
    /// Anything but exactly one `chunked`.
    TransferEncoding,
    /// Any Transfer-Encoding in HTTP/1.0.
    TransferEncodingInHttp10,
    /// Both framings in one message (RFC 9112 §6.3).
    LengthAndTransferEncoding,
    /// HTTP/1.1 without Host.
    HostMissing,
    /// A second Host.
    HostRepeated,
    /// A Host that is no host with an optional port.
    HostInvalid,
    /// `Connection` names host, content-length or transfer-encoding.
    ConnectionNamesFraming,
    /// CONNECT or TRACE that announces content (RFC 9110 §9.3.6, §9.3.8).
    ContentNotAllowed,
}

impl HeadErrorKind {
    /// The rule in a few words, for records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequestLine => "malformed request line",
            Self::TargetByte => "non-ASCII byte in the target",
            Self::TargetTooLong => "target too long",
            Self::Version => "malformed version",
            Self::VersionUnsupported => "unsupported version",
            Self::StatusLine => "malformed status line",
            Self::BareCr => "bare CR",
            Self::BareLf => "bare LF",
            Self::LeadingBlank => "white space at the start of a line",
            Self::FieldName => "malformed field name",
            Self::FieldValue => "control byte in a field value",
            Self::HeadTooLarge => "head too large",
            Self::TooManyFields => "too many fields",
            Self::ContentLength => "malformed Content-Length",
            Self::ContentLengthRepeated => "repeated Content-Length",
            Self::TransferEncoding => "Transfer-Encoding other than chunked",
            Self::TransferEncodingInHttp10 => "Transfer-Encoding in HTTP/1.0",
            Self::LengthAndTransferEncoding => "Content-Length with Transfer-Encoding",
            Self::HostMissing => "no Host",
            Self::HostRepeated => "repeated Host",
            Self::HostInvalid => "malformed Host",
            Self::ConnectionNamesFraming => "Connection names a field it may not",
            Self::ContentNotAllowed => "content with a method that has none",
        }
    }
}
