//! Request-target forms (RFC 9112 §3.2): authority-form for CONNECT, absolute-form for the forward proxy.
//!
//! Apart from `request` because a target is judged by the surface it arrived on, after the head is complete.
//! Invariant: what these functions accept names exactly one authority; nothing is decoded or normalised.
//! Must never know: which authorities are allowed.

use std::fmt;

use crate::{
    host::{Authority, Host, HostField, Port, split_port},
    refusal::Code,
};

/// The `host:port` of a CONNECT (CON-1, CON-2).
///
/// # Errors
/// [`TargetError::Invalid`] for everything else: no port, a path, userinfo, a scheme.
pub fn connect(target: &[u8]) -> Result<Authority, TargetError> {
    let (host, port) = split_port(target);
    let port = port.and_then(Port::parse).ok_or(TargetError::Invalid)?;
    let host = Host::parse(host).map_err(|_| TargetError::Invalid)?;
    Ok(Authority { host, port })
}

/// The two schemes an absolute-form target may name and still be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `http`, default port 80.
    Http,
    /// `https`, default port 443; refused by the forward path, reduced to its path on inference.local.
    Https,
}

/// An absolute-form target in its parts (FWD-1, FWD-2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absolute<'a> {
    /// Compared without case.
    pub scheme: Scheme,
    /// With the default port of the scheme where none is written.
    pub authority: Authority,
    /// The port as written, if one is.
    pub explicit_port: Option<Port>,
    /// As received, from the `/` or `?` after the authority on; empty when the target ends there.
    pub path_and_query: &'a [u8],
}

impl<'a> Absolute<'a> {
    /// The path as received; `/` when there is none.
    #[must_use]
    pub fn path(&self) -> &'a [u8] {
        match split_query(self.path_and_query).0 {
            [] => b"/",
            path => path,
        }
    }

    /// What follows the first `?`, without it.
    #[must_use]
    pub fn query(&self) -> Option<&'a [u8]> {
        split_query(self.path_and_query).1
    }

    /// The origin-form target in pieces, ready to be written: path, then `?` and the query where there is one.
    #[must_use]
    pub fn origin_form(&self) -> [&'a [u8]; 3] {
        match self.query() {
            None => [self.path(), b"", b""],
            Some(query) => [self.path(), b"?", query],
        }
    }
}

/// A path and its query, cut at the first `?`, which belongs to neither.
#[must_use]
pub fn split_query(path_and_query: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'?', path_and_query) {
        None => (path_and_query, None),
        Some(at) => (
            path_and_query.get(..at).unwrap_or(&[]),
            path_and_query.get(at + 1..),
        ),
    }
}

/// Reads an absolute-form target (FWD-1, FWD-2).
///
/// # Errors
/// [`TargetError::UnsupportedScheme`] for `scheme:/…` with another scheme, else [`TargetError::Invalid`].
pub fn absolute(target: &[u8]) -> Result<Absolute<'_>, TargetError> {
    let colon = memchr::memchr(b':', target).ok_or(TargetError::Invalid)?;
    let (scheme, rest) = target.split_at_checked(colon).ok_or(TargetError::Invalid)?;
    let is_scheme = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    if !is_scheme || !rest.starts_with(b":/") {
        return Err(TargetError::Invalid);
    }
    let scheme = if scheme.eq_ignore_ascii_case(b"http") {
        Scheme::Http
    } else if scheme.eq_ignore_ascii_case(b"https") {
        Scheme::Https
    } else {
        return Err(TargetError::UnsupportedScheme);
    };
    let rest = rest.strip_prefix(b"://").ok_or(TargetError::Invalid)?;
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?'))
        .unwrap_or(rest.len());
    let (authority, path_and_query) = rest.split_at_checked(end).ok_or(TargetError::Invalid)?;
    if !path_and_query
        .iter()
        .all(|byte| byte.is_ascii_graphic() && *byte != b'#')
    {
        return Err(TargetError::Invalid);
    }
    let named = HostField::parse(authority).map_err(|_| TargetError::Invalid)?;
    let port = named
        .port
        .or_else(|| scheme.default_port())
        .ok_or(TargetError::Invalid)?;
    Ok(Absolute {
        scheme,
        authority: Authority {
            host: named.host,
            port,
        },
        explicit_port: named.port,
        path_and_query,
    })
}

impl Scheme {
    /// The port that goes without saying.
    #[must_use]
    pub fn default_port(self) -> Option<Port> {
        Port::new(match self {
            Self::Http => 80,
            Self::Https => 443,
        })
    }

    /// What a Host field says of `authority`: its port only where it is not the scheme's own (RFC 9110 §7.2).
    #[must_use]
    pub fn host_field(self, authority: &Authority) -> String {
        let whole = authority.to_string();
        if self.default_port() != Some(authority.port) {
            return whole;
        }
        match whole.strip_suffix(&format!(":{}", authority.port)) {
            Some(host) => host.to_owned(),
            None => whole,
        }
    }
}

/// Why a target is not acceptable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// Not of the form, or host or port not acceptable.
    Invalid,
    /// A well-formed start with a scheme that is neither http nor https.
    UnsupportedScheme,
}

impl TargetError {
    /// The code of the refusal.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            Self::Invalid => Code::InvalidRequestTarget,
            Self::UnsupportedScheme => Code::UnsupportedScheme,
        }
    }
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code().detail())
    }
}

impl std::error::Error for TargetError {}

#[cfg(test)]
mod tests;
