//! Hosts, ports and authorities (RFC 3986 §3.2, CON-1, CON-2).
//!
//! Apart from `target` because a host also stands in a Host field, a policy, a route and a server name.
//! Invariant: a [`Host`] is lower case, without trailing dot and in one spelling only; an address is canonical text.
//! Must never know: DNS, or what an address means.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU16,
    sync::Arc,
};

/// A DNS name or an IP literal in its one canonical spelling.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host {
    /// Shared: every admission and every record of a connection carries its target.
    text: Arc<str>,
    literal: Option<IpAddr>,
}

impl Host {
    /// Reads a name, a canonical dotted quad, or an IPv6 address in brackets (CON-2).
    ///
    /// # Errors
    /// Whatever a resolver or another parser could read differently: see [`HostError`].
    pub fn parse(text: &[u8]) -> Result<Self, HostError> {
        match text {
            [] => Err(HostError::Empty),
            [b'[', inner @ .., b']'] => Self::parse_v6(inner),
            name => Self::parse_name(name),
        }
    }

    /// The host as text; an IPv6 address stands without brackets.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The address, when the host is one.
    #[must_use]
    pub fn literal(&self) -> Option<IpAddr> {
        self.literal
    }

    /// Whether this is `inference.local`.
    #[must_use]
    pub fn is_inference(&self) -> bool {
        *self.text == *"inference.local"
    }

    fn parse_v6(inner: &[u8]) -> Result<Self, HostError> {
        let text = std::str::from_utf8(inner).map_err(|_| HostError::Address)?;
        // RFC 4291 §2.2. The standard parser takes neither zone ids nor short embedded quads.
        let addr: Ipv6Addr = text.parse().map_err(|_| HostError::Address)?;
        Ok(Self {
            text: addr.to_string().into(),
            literal: Some(IpAddr::V6(addr)),
        })
    }

    fn parse_name(text: &[u8]) -> Result<Self, HostError> {
        let (name, dotted) = match text {
            [name @ .., b'.'] => (name, true),
            name => (name, false),
        };
        if name.is_empty() {
            return Err(HostError::Label);
        }
        if name.len() > NAME_BYTES_MAX {
            return Err(HostError::TooLong);
        }
        let mut last: &[u8] = &[];
        for label in name.split(|byte| *byte == b'.') {
            if label.is_empty() || label.len() > LABEL_BYTES_MAX {
                return Err(HostError::Label);
            }
            if !label
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            {
                return Err(HostError::Byte);
            }
            last = label;
        }
        let mut lower = [0; NAME_BYTES_MAX];
        let lower = lower.get_mut(..name.len()).ok_or(HostError::TooLong)?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        let text = std::str::from_utf8(lower).map_err(|_| HostError::Byte)?;
        let literal = match (is_numeric(last), dotted) {
            (false, _) => None,
            // Why: a resolver reads `127.1`, `0x7f.1` and `8.8.8.8.` as addresses; we read only the canonical form.
            (true, true) => return Err(HostError::Address),
            (true, false) => Some(canonical_v4(text)?),
        };
        Ok(Self {
            text: text.into(),
            literal,
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a text is no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostError {
    /// Nothing there.
    Empty,
    /// More than 253 bytes.
    TooLong,
    /// An empty label, or one of more than 63 bytes.
    Label,
    /// A byte other than an ASCII letter, digit, `-`, `_` or `.`.
    Byte,
    /// Brackets without an IPv6 address, or a numeric name that is no canonical dotted quad.
    Address,
    /// The port after the host is not 1–65535 in one to five digits.
    Port,
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the host is empty",
            Self::TooLong => "the host is longer than 253 bytes",
            Self::Label => "a label of the host is empty or longer than 63 bytes",
            Self::Byte => "the host holds a byte other than letters, digits, `-`, `_` and `.`",
            Self::Address => "the host is not a canonical address",
            Self::Port => "the port is not a number from 1 to 65535",
        })
    }
}

impl std::error::Error for HostError {}

/// A port, 1–65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Port(NonZeroU16);

impl Port {
    /// `None` for 0.
    #[must_use]
    pub fn new(number: u16) -> Option<Self> {
        NonZeroU16::new(number).map(Self)
    }

    /// One to five decimal digits, 1–65535 (CON-1). No sign, no blank.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.is_empty() || text.len() > 5 {
            return None;
        }
        let number = text.iter().try_fold(0_u32, |number, byte| {
            byte.is_ascii_digit()
                .then(|| number * 10 + u32::from(*byte - b'0'))
        })?;
        Self::new(u16::try_from(number).ok()?)
    }

    /// The number, never 0.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A host and a port. Displayed as `host:port`, an IPv6 address in brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Authority {
    /// Who.
    pub host: Host,
    /// Which port there.
    pub port: Port,
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.literal() {
            Some(IpAddr::V6(addr)) => write!(f, "[{addr}]:{}", self.port),
            Some(IpAddr::V4(_)) | None => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// A host with a port that may be left out, as in a Host field (RFC 9110 §7.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostField {
    /// Who.
    pub host: Host,
    /// The port, when one is written. `host:` counts as none (RFC 3986 §3.2.3).
    pub port: Option<Port>,
}

impl HostField {
    /// Reads `host` or `host:port`.
    ///
    /// # Errors
    /// As for [`Host::parse`], and [`HostError::Port`].
    pub fn parse(text: &[u8]) -> Result<Self, HostError> {
        let (host, port) = split_port(text);
        let host = Host::parse(host)?;
        let port = match port {
            None | Some([]) => None,
            Some(digits) => Some(Port::parse(digits).ok_or(HostError::Port)?),
        };
        Ok(Self { host, port })
    }
}

/// The host part and what follows its colon. A colon inside brackets belongs to the address.
pub(crate) fn split_port(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let from = match text {
        [b'[', ..] => memchr::memchr(b']', text).unwrap_or(text.len()),
        _ => 0,
    };
    let rest = text.get(from..).unwrap_or(&[]);
    match memchr::memrchr(b':', rest) {
        None => (text, None),
        Some(colon) => {
            let colon = from + colon;
            (text.get(..colon).unwrap_or(&[]), text.get(colon + 1..))
        }
    }
}

/// A dotted quad in its one canonical spelling.
fn canonical_v4(text: &str) -> Result<IpAddr, HostError> {
    let addr: Ipv4Addr = text.parse().map_err(|_| HostError::Address)?;
    // The standard parser takes no other spelling; should it ever, two texts would mean one address.
    if addr.to_string() != text {
        return Err(HostError::Address);
    }
    Ok(IpAddr::V4(addr))
}

/// Whether a resolver could read this label as a number: decimal, octal, or `0x` and hex digits.
fn is_numeric(label: &[u8]) -> bool {
    match label {
        [b'0', b'x' | b'X', hex @ ..] => hex.iter().all(u8::is_ascii_hexdigit),
        digits => digits.iter().all(u8::is_ascii_digit),
    }
}

/// A whole name, without the trailing dot (RFC 1035 §2.3.4).
const NAME_BYTES_MAX: usize = 253;
/// One label (RFC 1035 §2.3.4).
const LABEL_BYTES_MAX: usize = 63;

#[cfg(test)]
mod tests;
