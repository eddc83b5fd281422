//! The base URL of a backend (RTE-6).
//!
//! Apart from `route` because files, flags and providers write one. Invariant: userinfo, query,
//! fragment and other schemes do not come through; the prefix has no trailing slash and only bytes
//! a path may hold (RFC 3986 §3.3).

use std::fmt;
use std::net::IpAddr;

use wire::{Authority, HostField, Port};

use crate::address::{Class, classify};

/// Scheme, authority and path prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    /// How to speak to it.
    pub scheme: Scheme,
    /// Who it is.
    pub authority: Authority,
    /// Path without trailing slashes; empty for the root.
    pub prefix: Box<str>,
    /// The port was written: a Host field then names it too (RFC 9110 §7.2).
    explicit_port: Option<Port>,
}

/// How a backend is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// TLS, certificates verified.
    Https,
    /// Plain text, to private and loopback addresses only.
    Http,
    /// Answered by ringfence itself (RTE-13).
    Mock,
}

/// Why a base URL was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseUrlError {
    /// Not `https://`, `http://` or `mock://`.
    Scheme,
    /// Userinfo, query or fragment.
    Forbidden,
    /// Host or port not acceptable.
    Authority,
    /// A path with bytes that must be escaped, or with dot segments.
    Path,
    /// `http://` to an address not known to be private.
    PlainHttp,
}

impl BaseUrl {
    /// Reads a base URL.
    ///
    /// # Errors
    /// As listed at `BaseUrlError`, `PlainHttp` aside.
    pub fn parse(text: &str) -> Result<BaseUrl, BaseUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(BaseUrlError::Scheme)?;
        let (scheme, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "https" => (Scheme::Https, 443),
            "http" => (Scheme::Http, 80),
            "mock" => (Scheme::Mock, 443),
            _ => return Err(BaseUrlError::Scheme),
        };
        if rest.contains(['?', '#', '@']) {
            return Err(BaseUrlError::Forbidden);
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let HostField {
            host,
            port: explicit_port,
        } = HostField::parse(authority.as_bytes()).map_err(|_| BaseUrlError::Authority)?;
        let port = explicit_port
            .or(Port::new(default_port))
            .ok_or(BaseUrlError::Authority)?;
        if host.is_inference() {
            return Err(BaseUrlError::Authority);
        }
        Ok(BaseUrl {
            scheme,
            authority: Authority { host, port },
            prefix: prefix(path)?,
            explicit_port,
        })
    }

    /// Whether the text itself is the operator's word for private addresses (RTE-8): `localhost`, or
    /// a literal private or loopback address.
    pub fn names_private_endpoint(&self) -> bool {
        match self.authority.host.literal() {
            Some(addr) => is_private(addr),
            None => self.authority.host.as_str() == "localhost",
        }
    }

    /// What the Host field says: the port only where it was written and is not the scheme's own.
    pub fn host_field(&self) -> String {
        let own = match self.scheme {
            Scheme::Https | Scheme::Mock => 443,
            Scheme::Http => 80,
        };
        let authority = self.authority.to_string();
        match self.explicit_port {
            Some(port) if port.number() != own => authority,
            Some(_) | None => authority
                .strip_suffix(&format!(":{}", self.authority.port))
                .unwrap_or(&authority)
                .into(),
        }
    }
}

fn is_private(addr: IpAddr) -> bool {
    addr.to_canonical().is_loopback() || classify(addr) == Class::Internal
}

fn prefix(path: &str) -> Result<Box<str>, BaseUrlError> {
    let path = path.trim_end_matches('/');
    let pchar = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&byte);
    let dots = path.split('/').any(|segment| matches!(segment, "." | ".."));
    if dots || !path.bytes().all(pchar) || !escapes_are_whole(path.as_bytes()) {
        return Err(BaseUrlError::Path);
    }
    Ok(path.into())
}

fn escapes_are_whole(path: &[u8]) -> bool {
    let hex = |at: usize| path.get(at).is_some_and(u8::is_ascii_hexdigit);
    path.iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'%')
        .all(|(at, _)| hex(at + 1) && hex(at + 2))
}

impl fmt::Display for BaseUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BaseUrlError::Scheme => "must begin with `https://`, `http://` or `mock://`",
            BaseUrlError::Forbidden => "must have no userinfo, query or fragment",
            BaseUrlError::Authority => "its host or port is not acceptable",
            BaseUrlError::Path => "its path is not acceptable",
            BaseUrlError::PlainHttp => "plain `http` needs `allow_private_endpoint: true`",
        })
    }
}

impl std::error::Error for BaseUrlError {}
