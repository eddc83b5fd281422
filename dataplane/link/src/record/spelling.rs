//! How records are spelled: their keys, and the stable words of what they say (LOG-1, LOG-2).
//!
//! Apart from `record`, which is what is said. Invariants: one line per record, ending in the only raw line feed of it;
//! the same keys in the same order for every record of one `msg`; `-` for what is absent.

use super::json::Line;
use super::{
    Access, Action, Applied, Delivery, End, Event, Inference, L7Request, Landlock, PolicyVersion,
    Program, Record, Refused, Revoked, Stage, StreamLost, Surface, Text, TunnelClosed, TunnelEnd,
    time,
};

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
            Event::StreamLost(lost) => lost.write(&mut line),
            Event::BaselineAdded(paths) => line.list("paths", paths.iter().map(Text::as_str)),
            Event::LandlockDegraded(landlock) => landlock.write(&mut line),
            Event::ProviderRevoked(revoked) => revoked.write(&mut line),
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
            Event::StreamLost(_) => "STREAM_LOST",
            Event::BaselineAdded(_) => "BASELINE_ADDED",
            Event::LandlockDegraded(_) => "LANDLOCK_DEGRADED",
            Event::ProviderRevoked(_) => "PROVIDER_REVOKED",
        }
    }

    fn level(&self) -> &'static str {
        match self {
            Event::PolicyFailed(..)
            | Event::StreamLost(_)
            | Event::LandlockDegraded(_)
            | Event::ProviderRevoked(_) => "warn",
            Event::Connect(_)
            | Event::Forward(_)
            | Event::L7Request(_)
            | Event::Inference(_)
            | Event::TunnelClosed(_)
            | Event::Refused(_)
            | Event::PolicyLoaded(_)
            | Event::SnapshotApplied(_)
            | Event::BaselineAdded(_) => "info",
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
        line.text("binary", binary(self.program.as_deref()));
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
        line.text("binary", binary(self.program.as_deref()));
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
        line.text("binary", binary(self.program.as_deref()));
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
        line.text("binary", binary(self.program.as_deref()));
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

impl StreamLost {
    fn write(&self, line: &mut Line<'_>) {
        line.text("error", Some(self.error.as_str()));
        line.number("retry_ms", Some(self.retry.as_millis()));
    }
}

impl Landlock {
    fn write(&self, line: &mut Line<'_>) {
        line.text("state", Some(self.state));
        line.list("paths", self.paths.iter().map(Text::as_str));
    }
}

impl Revoked {
    fn write(&self, line: &mut Line<'_>) {
        line.text("provider", self.provider.as_ref().map(Text::as_str));
        line.number("generation", Some(self.generation));
    }
}

fn binary(program: Option<&Program>) -> Option<&str> {
    program.map(|program| program.binary.as_str())
}

fn write_program(program: Option<&Program>, line: &mut Line<'_>) {
    use std::fmt::Write as _;
    line.text("binary", binary(program));
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
