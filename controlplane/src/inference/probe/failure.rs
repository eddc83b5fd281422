//! Why a probe got no answer, in words.
//!
//! Apart from `outcome`, which judges answers. Invariant: an error of the resolver, of TLS or of HTTP is sorted by its kind
//! and never by its text.

use std::error::Error;
use std::fmt;
use std::io;

use rustls::CertificateError;
use wire::Host;

use super::outcome::Class;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The request cannot be written.
    Request,
    /// The name has no address.
    Name(Host),
    /// The resolver took too long.
    NameTime(Host),
    /// An address of the inside, without the operator's word.
    Inside(Host),
    /// Plain `http` to the Internet.
    PlainOutside(Host),
    /// An address that is never dialled.
    Never(Host),
    /// No connection.
    Connect(io::ErrorKind),
    /// No connection in time.
    ConnectTime,
    /// No TLS.
    Tls(TlsFault),
    /// The connection ended before its answer.
    Cut,
    /// The answer is no HTTP.
    Malformed,
    /// No answer in time.
    AnswerTime,
}

/// What a handshake failed of.
#[derive(Debug)]
pub(super) enum TlsFault {
    /// No authority that is trusted here.
    Unknown,
    /// Valid at another time.
    Time,
    /// For another name.
    OtherName,
    /// Something else of TLS.
    Other(rustls::Error),
    /// The connection ended.
    Ended,
}

impl Failure {
    pub(super) fn of_handshake(error: &io::Error) -> Failure {
        let cause = error.get_ref();
        let Some(cause) = cause.and_then(|cause| cause.downcast_ref::<rustls::Error>()) else {
            return Failure::Tls(TlsFault::Ended);
        };
        let fault = if let rustls::Error::InvalidCertificate(certificate) = cause {
            TlsFault::of_certificate(certificate).unwrap_or(TlsFault::Other(cause.clone()))
        } else {
            TlsFault::Other(cause.clone())
        };
        Failure::Tls(fault)
    }

    /// Parsing is the provider's fault, everything else the connection's.
    pub(super) fn of_exchange(error: &hyper::Error) -> Failure {
        let tls = error
            .source()
            .and_then(|cause| cause.downcast_ref::<io::Error>())
            .and_then(io::Error::get_ref)
            .is_some_and(|cause| cause.is::<rustls::Error>());
        if error.is_parse() || error.is_parse_too_large() {
            Failure::Malformed
        } else if tls {
            Failure::Tls(TlsFault::Ended)
        } else {
            Failure::Cut
        }
    }

    /// What kind of trouble it is.
    pub(super) fn class(&self) -> Class {
        match self {
            Failure::Name(_) | Failure::NameTime(_) => Class::Name,
            Failure::Inside(_)
            | Failure::PlainOutside(_)
            | Failure::Never(_)
            | Failure::Connect(_)
            | Failure::ConnectTime
            | Failure::Cut
            | Failure::AnswerTime => Class::Connectivity,
            Failure::Tls(_) => Class::Tls,
            Failure::Request | Failure::Malformed => Class::RequestShape,
        }
    }
}

impl TlsFault {
    fn of_certificate(error: &CertificateError) -> Option<TlsFault> {
        // A bad signature is that of an authority which has only the name of a trusted one.
        if matches!(
            error,
            CertificateError::UnknownIssuer | CertificateError::BadSignature
        ) {
            Some(TlsFault::Unknown)
        } else if matches!(
            error,
            CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. }
        ) {
            Some(TlsFault::Time)
        } else if matches!(
            error,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        ) {
            Some(TlsFault::OtherName)
        } else {
            None
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Request => f.write_str(
                "the request cannot be written; check the credential and the base URL",
            ),
            Failure::Name(host) => write!(
                f,
                "the name `{host}` does not resolve; check the base URL and this host's resolver"
            ),
            Failure::NameTime(host) => write!(
                f,
                "the name `{host}` was not resolved in time; check this host's resolver"
            ),
            Failure::Inside(host) => write!(
                f,
                "`{host}` is at a private or loopback address; if that is meant, say so with \
                 `--allow-private-endpoint`"
            ),
            Failure::PlainOutside(host) => write!(
                f,
                "`{host}` is on the Internet, where plain `http` is not spoken; use `https` in the base URL"
            ),
            Failure::Never(host) => write!(
                f,
                "`{host}` leads to an address that is never dialled, such as a metadata service; use another base URL"
            ),
            Failure::Connect(kind) => write!(
                f,
                "no connection ({kind}); check host and port of the base URL and this host's way out"
            ),
            Failure::ConnectTime => f.write_str(
                "no connection in time; check host and port of the base URL and this host's way out",
            ),
            Failure::Tls(fault) => write!(f, "{fault}"),
            Failure::Cut => f.write_str(
                "the connection ended before the answer; check that the base URL leads to the provider, and try again",
            ),
            Failure::Malformed => {
                f.write_str("what answered does not speak HTTP/1.1; check the base URL")
            }
            Failure::AnswerTime => f.write_str(
                "the provider did not answer in time; try again later, or look at its status page",
            ),
        }
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsFault::Unknown => f.write_str(
                "nobody trusted here vouches for the provider's certificate; if its authority is your own, add it to \
                 this host's roots",
            ),
            TlsFault::Time => f.write_str(
                "the provider's certificate is not valid now; check this host's clock, then the provider",
            ),
            TlsFault::OtherName => f.write_str(
                "the provider's certificate is for another name; check the host of the base URL",
            ),
            TlsFault::Other(error) => write!(
                f,
                "no TLS with the provider ({error}); check that the base URL leads to it"
            ),
            TlsFault::Ended => f.write_str(
                "the connection ended during TLS; check that port and scheme of the base URL are right",
            ),
        }
    }
}
