//! Bytes ⇄ meaning: what ringfence reads from a sandbox or an upstream, and what it writes.
//!
//! The crate is pure: no I/O, no clock, no thread, no `unsafe`. Every parser takes bytes that an attacker chose and
//! gives the same verdict however those bytes were split into reads, in time linear in their number.
//!
//! Map, in the order a request meets it: [`request`] reads a head (its parts: [`fields`], [`framing`]), [`target`] and
//! [`host`] say where it wants to go, [`path`] gives a path its one spelling, [`chunked`] frames its body,
//! [`model_field`] finds the model in it, [`response`] reads the answer, [`sse`] follows an event stream, [`mod@write`]
//! serialises heads, [`json`] strings, [`refusal`] builds what we author, and [`mod@client_hello`] looks at the first bytes
//! of TLS.
//!
//! Invariant: nothing here knows a policy, a route, a socket or a secret.
#![forbid(unsafe_code)]

pub mod chunked;
pub mod client_hello;
pub mod fields;
pub mod framing;
pub mod host;
pub mod json;
pub mod model_field;
pub mod path;
pub mod refusal;
pub mod request;
pub mod response;
pub mod sse;
pub mod target;
pub mod write;

pub use chunked::{CHUNK_END, ChunkDecoder, ChunkError, ChunkStep, LAST_CHUNK, chunk_head};
pub use client_hello::{ClientHello, HelloError, client_hello};
pub use fields::{Field, HeadError, HeadErrorKind, HeadLimits, Persistence, Version};
pub use framing::{RequestFraming, ResponseFraming};
pub use host::{Authority, Host, HostError, HostField, Port};
pub use json::json_string;
pub use model_field::{Edit, Following, ModelError, ModelField, ModelScanner};
pub use path::{CanonicalPath, PathError, Slashes};
pub use refusal::{AfterRefusal, Code, Refusal, RequestId, interim_continue};
pub use request::{Expectation, RequestHead, RequestParser, Upgrade};
pub use response::{ResponseHead, ResponseParser};
pub use sse::EventScanner;
pub use target::{Absolute, Scheme, TargetError};
pub use write::{HeadWriter, WriteError};

/// What a parser says of the bytes it was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Parse<T, E> {
    /// Complete: the value, and how many bytes from the front of the buffer belong to it.
    Done(T, usize),
    /// Everything so far is acceptable and more is needed.
    More,
    /// No continuation can make this acceptable.
    Bad(E),
}
