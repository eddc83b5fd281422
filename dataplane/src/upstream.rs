//! Connections to the world: resolve, verify, dial, and keep for the next request.
//!
//! Invariant: no address is dialled that was not made a `VerifiedAddr` for this very request.

pub(crate) mod dial;
pub(crate) mod pool;
pub(crate) mod tls;

use wire::Code;

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum UpstreamError {
    /// The name gave no address.
    Dns,
    /// The resolver did not answer in time.
    DnsTimeout,
    /// The address classes forbid it.
    Address(policy::Denial),
    /// Refused or unreachable.
    Unreachable,
    /// No connection within the dial time.
    ConnectTimeout,
    /// Certificate or handshake.
    Tls,
}

impl UpstreamError {
    /// The code a tunnel or a forwarded request is refused with.
    pub(crate) fn code(&self) -> Code {
        match self {
            UpstreamError::Dns => Code::DnsFailure,
            UpstreamError::DnsTimeout => Code::DnsTimeout,
            UpstreamError::Address(denial) => denial.code,
            UpstreamError::Unreachable => Code::UpstreamUnreachable,
            UpstreamError::ConnectTimeout => Code::ConnectTimeout,
            UpstreamError::Tls => Code::UpstreamTlsFailed,
        }
    }

    /// The same as a denial, whose reason an address class has.
    pub(crate) fn into_denial(self) -> policy::Denial {
        let code = self.code();
        match self {
            UpstreamError::Address(denial) => denial,
            UpstreamError::Dns
            | UpstreamError::DnsTimeout
            | UpstreamError::Unreachable
            | UpstreamError::ConnectTimeout
            | UpstreamError::Tls => policy::Denial::code(code),
        }
    }
}
