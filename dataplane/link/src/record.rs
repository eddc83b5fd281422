//! What is said of a request when it has ended: plain data, made by a worker, written by the link thread (LOG-1, LOG-2).
//!
//! It exists apart from `ship.rs` because it knows keys and nothing of files. Whoever makes a record decides what
//! happened; this file decides only how it is spelled.
//!
//! Invariants: one line per record, ending in the only raw line feed of it; the same keys in the same order for every
//! record of one `msg`; `-` for what is absent; every value that a sandbox wrote is a [`Text`], cut and escaped (LOG-3).
//! It must never hold a query string, a body, a header value or a credential: there is no field for them.

mod json;
mod text;
mod time;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use json::Line;
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

impl Record {
    /// Appends the record as one JSON line.
    pub fn write_line(&self, out: &mut String) {
        let mut line = Line::new(out);
        line.plain("ts", |text| time::write_rfc3339(self.at, text));
        line.text("level", Some(self.event.level()));
        line.text("msg", Some(self.event.msg()));
        line.text("sandbox_id", Some(self.sandbox_id.as_str()));
        line.plain_or_absent("request_id", self.request_id);
        line.text("stage", Some(self.stage.as_str()));
        match &self.event {
            Event::Connect(access) | Event::Forward(access) => access.write(&mut line),
            Event::L7Request(request) => request.write(&mut line),
            Event::Inference(inference) => inference.write(&mut line),
            Event::TunnelClosed(closed) => closed.write(&mut line),
            Event::Refused(refused) => refused.write(&mut line),
            Event::PolicyLoaded(version) => version.write(&mut line),
            Event::PolicyFailed(in_force, error) => {
                in_force.write(&mut line);
                line.text("error", Some(error.as_str()));
            }
            Event::SnapshotApplied(applied) => applied.write(&mut line),
        }
        line.finish();
    }
}

impl Event {
    /// The value of `msg`.
    pub fn msg(&self) -> &'static str {
        match self {
            Event::Connect(_) => "CONNECT",
            Event::Forward(_) => "FORWARD",
            Event::L7Request(_) => "L7_REQUEST",
            Event::Inference(_) => "INFERENCE",
            Event::TunnelClosed(_) => "TUNNEL_CLOSED",
            Event::Refused(_) => "REFUSED",
            Event::PolicyLoaded(_) => "POLICY_LOADED",
            Event::PolicyFailed(..) => "POLICY_FAILED",
            Event::SnapshotApplied(_) => "SNAPSHOT_APPLIED",
        }
    }

    fn level(&self) -> &'static str {
        match self {
            Event::PolicyFailed(..) => "warn",
            Event::Connect(_)
            | Event::Forward(_)
            | Event::L7Request(_)
            | Event::Inference(_)
            | Event::TunnelClosed(_)
            | Event::Refused(_)
            | Event::PolicyLoaded(_)
            | Event::SnapshotApplied(_) => "info",
        }
    }
}

impl Stage {
    /// The value of `stage`.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Accept => "accept",
            Stage::Identify => "identify",
            Stage::Head => "head",
            Stage::Decide => "decide",
            Stage::Resolve => "resolve",
            Stage::Dial => "dial",
            Stage::Handshake => "handshake",
            Stage::Send => "send",
            Stage::Relay => "relay",
            Stage::Load => "load",
        }
    }
}

impl Action {
    fn as_str(self) -> &'static str {
        match self {
            Action::Allow => "allow",
            Action::Audit => "audit",
            Action::Deny => "deny",
        }
    }
}

impl Access {
    fn write(&self, line: &mut Line<'_>) {
        line.plain_or_absent("src_addr", self.source.map(|addr| addr.ip()));
        line.number("src_port", self.source.map(|addr| addr.port()));
        line.plain_or_absent("proxy_addr", self.proxy);
        line.text("dst_host", self.host.as_ref().map(Text::as_str));
        line.number("dst_port", self.port);
        write_program(self.program.as_deref(), line);
        line.text("action", Some(self.action.as_str()));
        line.text("engine", Some("rego"));
        line.text("policy", self.policy.as_ref().map(Text::as_str));
        line.text(
            "policy_version",
            self.policy_version.as_ref().map(Text::as_str),
        );
        line.text("reason", self.reason.as_deref());
        line.text("code", self.code);
        if let Some(request) = &self.request {
            line.text("method", Some(request.method.as_str()));
            line.text("path", Some(request.path.as_str()));
        }
        line.number("bytes_up", self.bytes_up);
        line.number("bytes_down", self.bytes_down);
        line.number("total_ms", self.took.map(|took| took.as_millis()));
    }
}

impl L7Request {
    fn write(&self, line: &mut Line<'_>) {
        line.text("dst_host", Some(self.host.as_str()));
        line.number("dst_port", Some(self.port));
        line.text("policy", self.policy.as_ref().map(Text::as_str));
        line.text(
            "policy_version",
            self.policy_version.as_ref().map(Text::as_str),
        );
        line.text("l7_protocol", Some("rest"));
        let request = self.request.as_ref();
        line.text("l7_action", request.map(|request| request.method.as_str()));
        line.text("l7_target", request.map(|request| request.path.as_str()));
        line.text("l7_decision", Some(self.decision.as_str()));
        line.text("l7_deny_reason", self.deny_reason.as_deref());
        line.text("code", self.code);
        line.number("status", self.status);
        line.number("bytes_up", self.bytes_up);
        line.number("bytes_down", self.bytes_down);
        line.number("total_ms", self.took.map(|took| took.as_millis()));
        line.text(
            "binary",
            self.program.as_ref().map(|program| program.binary.as_str()),
        );
    }
}

impl Inference {
    fn write(&self, line: &mut Line<'_>) {
        line.text(
            "method",
            self.request.as_ref().map(|request| request.method.as_str()),
        );
        line.text(
            "path",
            self.request.as_ref().map(|request| request.path.as_str()),
        );
        line.text("protocol", self.protocol);
        line.text("kind", self.kind);
        line.text("action", Some(self.action.as_str()));
        line.text("code", self.code);
        line.text("reason", self.reason.as_deref());
        line.number("route_version", self.route_version);
        line.text("model", self.model.as_ref().map(Text::as_str));
        line.number("status", self.status);
        line.number(
            "stream",
            self.stream.map(|delivery| delivery == Delivery::Stream),
        );
        line.number(
            "first_byte_ms",
            self.first_byte.map(|took| took.as_millis()),
        );
        line.number("total_ms", self.total.map(|took| took.as_millis()));
        line.number("bytes_in", Some(self.bytes_in));
        line.number("bytes_out", Some(self.bytes_out));
        line.number("input_tokens", self.input_tokens);
        line.number("output_tokens", self.output_tokens);
        let end = self.end.map(|end| match end {
            End::Complete => "complete",
            End::Cut => "cut",
            End::ClientGone => "client_gone",
        });
        line.text("end", end);
        line.text(
            "binary",
            self.program.as_ref().map(|program| program.binary.as_str()),
        );
        line.text("policy", self.policy.as_ref().map(Text::as_str));
    }
}

impl TunnelClosed {
    fn write(&self, line: &mut Line<'_>) {
        line.text("dst_host", Some(self.host.as_str()));
        line.number("dst_port", Some(self.port));
        line.number("bytes_up", Some(self.bytes_up));
        line.number("bytes_down", Some(self.bytes_down));
        line.number(
            "seconds",
            Some(format_args!(
                "{}.{:03}",
                self.open.as_secs(),
                self.open.subsec_millis()
            )),
        );
        line.text(
            "end",
            Some(match self.end {
                TunnelEnd::Normal => "normal",
                TunnelEnd::Idle => "idle",
                TunnelEnd::Revoked => "tunnel_revoked",
                TunnelEnd::Error => "error",
            }),
        );
        line.text(
            "binary",
            self.program.as_ref().map(|program| program.binary.as_str()),
        );
    }
}

impl Refused {
    fn write(&self, line: &mut Line<'_>) {
        line.text("code", Some(self.code));
        line.text("reason", self.reason.as_deref());
        line.text(
            "surface",
            Some(match self.surface {
                Surface::Proxy => "proxy",
                Surface::Direct => "direct",
                Surface::Inference => "inference",
                Surface::Inspected => "inspected",
            }),
        );
        line.text(
            "binary",
            self.program.as_ref().map(|program| program.binary.as_str()),
        );
    }
}

impl PolicyVersion {
    fn write(&self, line: &mut Line<'_>) {
        line.number("policy_version", Some(self.version));
        line.text("policy_hash", Some(self.hash.as_str()));
    }
}

impl Applied {
    fn write(&self, line: &mut Line<'_>) {
        line.number("generation", Some(self.generation));
        line.number("routes", Some(self.routes));
        line.number("sandboxes", Some(self.sandboxes));
    }
}

fn write_program(program: Option<&Program>, line: &mut Line<'_>) {
    use std::fmt::Write as _;
    line.text("binary", program.map(|program| program.binary.as_str()));
    line.number("binary_pid", program.map(|program| program.pid));
    match program {
        Some(program) => line.plain("binary_sha256", |out| {
            for byte in program.sha256 {
                // Why ignored: writing to a String cannot fail.
                _ = write!(out, "{byte:02x}");
            }
        }),
        None => line.text("binary_sha256", None),
    }
    line.list(
        "ancestors",
        program
            .iter()
            .flat_map(|program| &program.ancestors)
            .map(Text::as_str),
    );
    line.text("cmdline", program.map(|program| program.cmdline.as_str()));
}

#[cfg(test)]
mod tests;
