//! The only builder of answers we author (ERR-1 to ERR-5).
//!
//! Apart from `write` because a refusal has a fixed shape, an exact length and a closed set of codes; what the log keeps
//! of the same event is built elsewhere.
//! Invariants: Content-Length is computed from the body; texts are fixed per code and filled only with names the client
//! sent or a policy author chose; the body is one JSON object whose members stand in a fixed order.
//! Must never know: addresses, upstream URLs, credentials, request bodies.

use std::borrow::Cow;
use std::fmt;

use crate::{json::json_string, write::HeadWriter};

mod code;

pub use code::Code;

/// What a refusal and its record have in common, so that one leads to the other.
///
/// Unique within a host for all practical purposes: a random start and a counter. It says nothing of either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(pub u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// An answer of our own, ready to be filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    code: Code,
    detail: Option<String>,
    reason: Option<Cow<'static, str>>,
    hint: Option<String>,
    policy: Option<String>,
    rule: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    model: Option<String>,
    retry_after_s: Option<u32>,
}

impl Refusal {
    /// The answer for this code, with its fixed text.
    #[must_use]
    pub fn new(code: Code) -> Self {
        Self {
            code,
            detail: None,
            reason: None,
            hint: None,
            policy: None,
            rule: None,
            host: None,
            port: None,
            model: None,
            retry_after_s: code.retry_after_s(),
        }
    }

    /// The code it was made for.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// The finer cause: from the closed list of ERR-5, or the words of a policy author's own rules.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<Cow<'static, str>>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// What the reader can do about it.
    #[must_use]
    pub fn hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_owned());
        self
    }

    /// The key of the matched policy; also the value of `x-ringfence-policy`.
    #[must_use]
    pub fn policy(mut self, policy: &str) -> Self {
        self.policy = Some(policy.to_owned());
        self
    }

    /// `METHOD path` of an inspected request.
    #[must_use]
    pub fn rule(mut self, rule: &str) -> Self {
        self.rule = Some(rule.to_owned());
        self
    }

    /// The host the client named.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    /// The port the client named.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// The model the request was about.
    #[must_use]
    pub fn model(mut self, model: &str) -> Self {
        self.model = Some(model.to_owned());
        self
    }

    /// A sentence in place of the fixed one, for the codes whose text names a protocol or a variable.
    #[must_use]
    pub fn detail(mut self, detail: String) -> Self {
        self.detail = Some(detail);
        self
    }

    /// Seconds after which another try makes sense, in place of the code's own.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The whole answer to the request `id`. In answer to HEAD the body is left out and its length is still told (RFC 9110 §9.3.2).
    #[must_use]
    pub fn to_bytes(&self, id: RequestId, method: &[u8], after: AfterRefusal) -> Vec<u8> {
        let body = self.body(id);
        let mut head = HeadWriter::response(self.code.status(), reason_phrase(self.code.status()));
        head.own_field("Content-Type", "application/json");
        head.number_field(
            "Content-Length",
            u64::try_from(body.len()).unwrap_or(u64::MAX),
        );
        match after {
            AfterRefusal::Close => head.own_field("Connection", "close"),
            AfterRefusal::KeepOpen => {}
        }
        let policy = self.policy.as_deref().unwrap_or("-");
        if head
            .field(b"x-ringfence-policy", policy.as_bytes())
            .is_err()
        {
            // Why: a policy key has no control bytes (POL-1); if one comes here all the same, the answer still goes out.
            head.own_field("x-ringfence-policy", "-");
        }
        if let Some(seconds) = self.retry_after_s {
            head.number_field("Retry-After", u64::from(seconds));
        }
        let mut out = head.finish();
        if method != b"HEAD" {
            out.extend_from_slice(&body);
        }
        out
    }

    fn body(&self, id: RequestId) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(b"{\"error\":");
        json_string(self.code.as_str(), &mut out);
        member(
            &mut out,
            "detail",
            Some(self.detail.as_deref().unwrap_or(self.code.detail())),
        );
        member(&mut out, "reason", self.reason.as_deref());
        member(&mut out, "hint", self.hint.as_deref());
        member(&mut out, "policy", self.policy.as_deref());
        member(&mut out, "rule", self.rule.as_deref());
        member(&mut out, "host", self.host.as_deref());
        if let Some(port) = self.port {
            out.extend_from_slice(b",\"port\":");
            out.extend_from_slice(port.to_string().as_bytes());
        }
        member(&mut out, "model", self.model.as_deref());
        member(&mut out, "request_id", Some(&id.to_string()));
        out.push(b'}');
        out
    }
}

/// What happens to the connection (ERR-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterRefusal {
    /// It is closed, and the answer says so.
    Close,
    /// It stays open for the next request.
    KeepOpen,
}

/// `100 Continue`, sent before the body of an inference request is read (H1-10).
#[must_use]
pub fn interim_continue() -> &'static [u8] {
    b"HTTP/1.1 100 Continue\r\n\r\n"
}

fn member(out: &mut Vec<u8>, name: &'static str, text: Option<&str>) {
    if let Some(text) = text {
        out.push(b',');
        json_string(name, out);
        out.push(b':');
        json_string(text, out);
    }
}

/// Reason phrases of RFC 9110 §15 for the statuses of ERR-5.
fn reason_phrase(status: u16) -> &'static [u8] {
    match status {
        400 => b"Bad Request",
        403 => b"Forbidden",
        408 => b"Request Timeout",
        413 => b"Content Too Large",
        414 => b"URI Too Long",
        415 => b"Unsupported Media Type",
        417 => b"Expectation Failed",
        429 => b"Too Many Requests",
        431 => b"Request Header Fields Too Large",
        502 => b"Bad Gateway",
        503 => b"Service Unavailable",
        504 => b"Gateway Timeout",
        505 => b"HTTP Version Not Supported",
        _ => b"",
    }
}

#[cfg(test)]
mod tests;
