//! What is said of a request when it has ended: plain data, made by a worker, written by the link thread (LOG-1, LOG-2).
//!
//! It exists apart from `ship.rs`, which knows files, and from `spelling`, which knows keys. Whoever makes a record
//! decides what happened.
//!
//! Invariant: every value that a sandbox wrote is a [`Text`], cut and escaped (LOG-3). It must never hold a query
//! string, a body, a header value or a credential: there is no field for them.

mod json;
mod spelling;
mod text;
mod time;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use text::{TEXT_BYTES_MAX, Text};
use wire::RequestId;

/// A moment as records spell it.
pub fn rfc3339(at: SystemTime) -> String {
    let mut text = String::new();
    time::write_rfc3339(at, &mut text);
    text
}

/// One record.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// When it was made.
    pub at: SystemTime,
    /// The sandbox it is about.
    pub sandbox_id: Text,
    /// The request it is about, as a refusal names it; a tunnel's end has the number of its CONNECT. A load is about
    /// none.
    pub request_id: Option<RequestId>,
    /// How far the request came.
    pub stage: Stage,
    /// What happened.
    pub event: Event,
}

/// The last stage of the walk that a request reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// The connection was taken from the listener.
    Accept,
    /// The caller was being identified.
    Identify,
    /// The request head was being read.
    Head,
    /// The policy was asked.
    Decide,
    /// The name was being resolved.
    Resolve,
    /// The addresses were judged or the upstream was being dialled.
    Dial,
    /// TLS with the client or the upstream was being set up.
    Handshake,
    /// The request was under way to the upstream.
    Send,
    /// The answer or the tunnel was flowing, or had ended.
    Relay,
    /// No request: policy and routes were being loaded.
    Load,
}

/// What a record is about. The variants are the values of `msg`.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A CONNECT was judged.
    Connect(Access),
    /// A plain forward request was judged and, when allowed, answered.
    Forward(Access),
    /// A request inside an inspected tunnel was judged and, when allowed, answered.
    L7Request(L7Request),
    /// A request to `inference.local` ended.
    Inference(Inference),
    /// An open tunnel ended.
    TunnelClosed(TunnelClosed),
    /// Something ended before one of the others applied.
    Refused(Refused),
    /// A policy came into force.
    PolicyLoaded(PolicyVersion),
    /// Policy or routes could not be loaded, and what is named stays in force.
    PolicyFailed(PolicyVersion, Text),
    /// The workers judge by new policies and routes.
    SnapshotApplied(Applied),
    /// The gateway's stream was lost, or the first one could not be opened.
    StreamLost(StreamLost),
    /// A policy lacked these paths of the baseline, and they were added (BAS-3).
    BaselineAdded(Vec<Text>),
    /// The kernel enforces less of the file rules than is written (LLK-4).
    LandlockDegraded(Landlock),
    /// The provider behind a route was deleted by force (PRV-8).
    ProviderRevoked(Revoked),
}

/// The program that asked; made once a connection and shared by its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Path of the executable.
    pub binary: Text,
    /// Process id, as the host's /proc view of the sandbox shows it.
    pub pid: u32,
    /// SHA-256 of the executable.
    pub sha256: [u8; 32],
    /// Paths of the ancestors' executables, parent first.
    pub ancestors: Vec<Text>,
    /// Arguments, for diagnosis only (IDN-1).
    pub cmdline: Text,
}

/// Whether the policy let something through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It was let through.
    Allow,
    /// No rule allows it and nobody enforces: it was let through (L7-9).
    Audit,
    /// It was refused.
    Deny,
}

/// A judged CONNECT or forward request.
#[derive(Debug, Clone, PartialEq)]
pub struct Access {
    /// The client's address inside the sandbox.
    pub source: Option<SocketAddr>,
    /// The address it had connected to.
    pub proxy: Option<SocketAddr>,
    /// The host asked for.
    pub host: Option<Text>,
    /// The port asked for.
    pub port: Option<u16>,
    /// Who asked; absent when it could not be found out.
    pub program: Option<Arc<Program>>,
    /// The verdict.
    pub action: Action,
    /// The policy entry that decided.
    pub policy: Option<Text>,
    /// The hash of the policy that was in force.
    pub policy_version: Option<Text>,
    /// Why it was refused, a stable word.
    pub reason: Option<Cow<'static, str>>,
    /// The code of the refusal.
    pub code: Option<&'static str>,
    /// Method and path, for a forward request only.
    pub request: Option<RequestLine>,
    /// Body bytes toward the upstream.
    pub bytes_up: Option<u64>,
    /// Body bytes toward the sandbox.
    pub bytes_down: Option<u64>,
    /// From the end of the head to the record.
    pub took: Option<Duration>,
}

/// Method and path of a request; never its query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLine {
    /// The method.
    pub method: Text,
    /// The path, made with [`Text::path`].
    pub path: Text,
}

/// A request inside an inspected tunnel.
#[derive(Debug, Clone, PartialEq)]
pub struct L7Request {
    /// The host of the tunnel.
    pub host: Text,
    /// The port of the tunnel.
    pub port: u16,
    /// The policy entry that decided.
    pub policy: Option<Text>,
    /// The hash of the policy that was in force.
    pub policy_version: Option<Text>,
    /// Method and canonical path; absent when the bytes were no request.
    pub request: Option<RequestLine>,
    /// The verdict.
    pub decision: Action,
    /// Why it was refused: the reason of the refusal, or its code where that has none.
    pub deny_reason: Option<Cow<'static, str>>,
    /// The code of the refusal.
    pub code: Option<&'static str>,
    /// Status sent to the client.
    pub status: Option<u16>,
    /// Body bytes toward the upstream.
    pub bytes_up: Option<u64>,
    /// Body bytes toward the sandbox.
    pub bytes_down: Option<u64>,
    /// From the end of the head to the record.
    pub took: Option<Duration>,
    /// Who asked.
    pub program: Option<Arc<Program>>,
}

/// How an inference answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The upstream's answer arrived whole.
    Complete,
    /// The upstream broke off or a deadline passed.
    Cut,
    /// The client went away first.
    ClientGone,
}

/// A request to `inference.local`.
#[derive(Debug, Clone, PartialEq)]
pub struct Inference {
    /// Method and path.
    pub request: Option<RequestLine>,
    /// The protocol the path belongs to, a stable word.
    pub protocol: Option<&'static str>,
    /// What was asked for within the protocol, a stable word.
    pub kind: Option<&'static str>,
    /// The verdict.
    pub action: Action,
    /// The code of the refusal.
    pub code: Option<&'static str>,
    /// Why it was refused, a stable word.
    pub reason: Option<Cow<'static, str>>,
    /// Version of the route that answered.
    pub route_version: Option<u64>,
    /// The model that the route put in.
    pub model: Option<Text>,
    /// Status sent to the client.
    pub status: Option<u16>,
    /// Whether the answer was an event stream.
    pub stream: Option<Delivery>,
    /// From the end of the head to the first byte of the answer's body.
    pub first_byte: Option<Duration>,
    /// From the end of the head to the end of the answer.
    pub total: Option<Duration>,
    /// Body bytes from the client.
    pub bytes_in: u64,
    /// Body bytes to the client.
    pub bytes_out: u64,
    /// Tokens read from the answer.
    pub input_tokens: Option<u64>,
    /// Tokens read from the answer.
    pub output_tokens: Option<u64>,
    /// How the answer ended.
    pub end: Option<End>,
    /// Who asked.
    pub program: Option<Arc<Program>>,
    /// The policy entry that decided, when one did.
    pub policy: Option<Text>,
}

/// How an answer was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// As an event stream.
    Stream,
    /// In one piece.
    Whole,
}

/// How a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TunnelEnd {
    /// Both sides had said their last.
    Normal,
    /// Nothing moved for the idle deadline.
    Idle,
    /// A new policy no longer allows it.
    Revoked,
    /// A side broke.
    Error,
}

/// A tunnel that ended.
#[derive(Debug, Clone, PartialEq)]
pub struct TunnelClosed {
    /// The host it led to.
    pub host: Text,
    /// The port it led to.
    pub port: u16,
    /// Bytes toward the upstream.
    pub bytes_up: u64,
    /// Bytes toward the sandbox.
    pub bytes_down: u64,
    /// How long it was open.
    pub open: Duration,
    /// How it ended.
    pub end: TunnelEnd,
    /// Who had opened it.
    pub program: Option<Arc<Program>>,
}

/// The way in on which something was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// The proxy listener, before a CONNECT or forward request was understood.
    Proxy,
    /// The listener for clients that connect to `inference.local` directly.
    Direct,
    /// Inside a CONNECT to `inference.local`.
    Inference,
    /// Inside an inspected tunnel.
    Inspected,
}

/// What ended before one of the other events applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    /// The code of the refusal.
    pub code: &'static str,
    /// Why, a stable word.
    pub reason: Option<Cow<'static, str>>,
    /// Where.
    pub surface: Surface,
    /// Who asked, when that was known.
    pub program: Option<Arc<Program>>,
}

/// One version of a sandbox's policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyVersion {
    /// Counted from 1 for each sandbox; an equal policy keeps its number (LIV-6).
    pub version: u64,
    /// Its hash (LIV-5).
    pub hash: Text,
}

/// New policies and routes, in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// The number of the snapshot.
    pub generation: u64,
    /// How many inference routes it has.
    pub routes: usize,
    /// How many sandboxes it has a policy for.
    pub sandboxes: usize,
}

/// A stream of a gateway that was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamLost {
    /// What ended it.
    pub error: Text,
    /// Until it is tried again; later attempts are not recorded.
    pub retry: Duration,
}

/// File rules that are enforced in part, or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landlock {
    /// `partial` or `none`.
    pub state: &'static str,
    /// Paths of the policy that have no rule.
    pub paths: Vec<Text>,
}

/// A provider whose credential is used no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// Its type: its name is no host's to know. Absent when this host never used it.
    pub provider: Option<Text>,
    /// The generation that says so.
    pub generation: u64,
}

#[cfg(test)]
mod tests;
