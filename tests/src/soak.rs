//! A mixed load that knows every right answer: both of its ends.
//!
//! [`inside`] is the body of `ringfence-soak`, hundreds of clients in one sandboxed program; [`outside`] is what they talk
//! to. Apart from the bench's load generator because nothing here is measured: what counts is that each answer is whole and
//! is the right one, and that the rest is told apart by kind.
//!
//! Invariant: whatever a client reads is checked against what it asked for; there is no answer that is merely counted.

pub mod inside;
pub mod outside;

use std::fmt;

/// What a client does, over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Echoes through a raw tunnel.
    Tunnel,
    /// Plain HTTP by the proxy, several requests a connection.
    Forward,
    /// HTTP/1 inside a tunnel to an inspected endpoint.
    InspectedPlain,
    /// The same inside TLS that ringfence ends.
    InspectedTls,
    /// Streamed completions.
    Inference,
    /// Destinations that no policy ever allows.
    Denied,
    /// A destination that every other policy allows: its tunnels are ended, its requests are answered or refused.
    Turning,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 7] = [
        Kind::Tunnel,
        Kind::Forward,
        Kind::InspectedPlain,
        Kind::InspectedTls,
        Kind::Inference,
        Kind::Denied,
        Kind::Turning,
    ];

    /// As it is written in a summary.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Tunnel => "tunnel",
            Kind::Forward => "forward",
            Kind::InspectedPlain => "inspected",
            Kind::InspectedTls => "inspected_tls",
            Kind::Inference => "inference",
            Kind::Denied => "denied",
            Kind::Turning => "turning",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where the kinds go: ports of the scene's private address.
pub const ECHO: u16 = 7000;
/// An echo that every other policy allows.
pub const TURNING: u16 = 7001;
/// Plain HTTP, forwarded.
pub const FORWARD: u16 = 8080;
/// Plain HTTP, inspected.
pub const INSPECTED: u16 = 8081;
/// HTTP over TLS, inspected.
pub const INSPECTED_TLS: u16 = 8443;
/// The model server.
pub const MODEL: u16 = 8000;
/// The host of all of them but [`TURNING`].
pub const HOST: &str = "api.test";
/// The host of [`TURNING`].
pub const TURNING_HOST: &str = "origin2.test";

/// Bytes that differ from seed to seed and do not repeat within a body.
pub fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// A sum of bytes that sees their order (FNV-1a).
pub fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}
