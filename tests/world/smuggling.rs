//! smuggling.dev on the surfaces that need no fence to be reached. inference.local has its turn in `hostile/`.
//!
//! One corpus, one runner (`harness::smuggling`); what differs is how a connection is opened and, inside a tunnel, which
//! verdicts the tunnel itself changes.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use harness::http::Message;
use harness::origin::{After, Origin};
use harness::play_within;
use harness::smuggling::{Case, TlsLine, cases, report, run};

use crate::world::client::{session, tunnel};
use crate::world::{Setup, World};

const ORIGIN: &str = "10.99.0.80";

/// Answers as the rows want: 101 where a client switches to WebSocket, else 200.
fn origin(tls: Option<Arc<rustls::ServerConfig>>) -> Origin {
    let port = if tls.is_some() { 443 } else { 80 };
    Origin::start(&format!("{ORIGIN}:{port}"), tls, |request, wire| {
        if request.target() == "/ws" {
            wire.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")?;
            return Ok(After::Close);
        }
        let body: &[u8] = if request.method() == "HEAD" {
            b""
        } else {
            b"ok"
        };
        wire.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")?;
        wire.write_all(body)?;
        Ok(After::KeepOpen)
    })
}

fn world(endpoint: &str) -> World {
    Setup::new()
        .host("10.99.0.80 origin.test origin2.test denied.test evil.test")
        .allow("origin", &format!("{{host: origin.test, {endpoint}}}"))
        .allow("origin2", &format!("{{host: origin2.test, {endpoint}}}"))
        .open()
}

const PRIVATE: &str = "port: 80, allowed_ips: [10.99.0.0/24]";

/// FWD-7: what every forwarded request looks like.
fn forwarded(request: &Message) -> Option<String> {
    let via = request.field("via");
    let close = request
        .field("connection")
        .map(|value| value.to_ascii_lowercase());
    let closes = matches!(close.as_deref(), Some("close" | "upgrade"));
    (via.as_deref() != Some("1.1 ringfence") || !closes || request.count("connection") != 1).then(
        || {
            format!(
                "not rewritten: {:?}",
                String::from_utf8_lossy(&request.head)
            )
        },
    )
}

/// SECURITY.md 11–14, TR-001 to TR-010, H-1 to H-7, H-12, H-13, H-16
#[test]
fn no_smuggling_row_confuses_the_forward_proxy() {
    play_within(Duration::from_secs(400), |_| {
        let world = world(PRIVATE);
        let origin = origin(None);
        let cases = cases("forward");
        assert!(cases.len() > 200);
        let scores = run(&cases, &origin, || world.proxy(), forwarded);
        report("smuggling/forward", &scores, 98);
    });
}

/// The forward rows inside a tunnel to their origin: origin form, one authority. What a tunnel judges otherwise, or what is
/// about the proxy's own door, is told or left out.
fn inside_a_tunnel() -> Vec<Case> {
    let mut inside = Vec::new();
    for mut case in cases("forward") {
        let name = case.name().to_owned();
        if ["connect-", "rl-origin-form", "opt-star"]
            .iter()
            .any(|front| name.starts_with(front))
        {
            continue;
        }
        for absolute in [b"http://origin.test/", b"http://ORIGIN.test/"] {
            while let Some(at) = harness::http::find(&case.data, absolute) {
                case.data.splice(at..at + absolute.len(), *b"/");
            }
        }
        // L7-15: in a tunnel fields stay as they came.
        case.row["strip"] = serde_json::Value::Null;
        case.row["upstream_host"] = serde_json::Value::Null;
        inside.push(match name.as_str() {
            // L7-4, LR-15: another authority than the tunnel's.
            "host-mismatch" | "host-mismatch-imds" | "expect-denied" => case.refused_with(&[403]),
            // L7-2: first bytes that are no request are another protocol.
            "proto-ssh" | "proto-proxyv2" | "proto-redis" | "rl-notoken" | "rl-tab"
            | "rl-only-method" => case.refused_with(&[403]),
            // L7-14, LR-16.
            "upg-ws-101" => case.refused_with(&[403]),
            "seq-other-origin" | "seq-allowed-denied-allowed" => {
                case.row["responses"] = serde_json::json!([[200], [403]]);
                case.row["upstream_requests"] = 1.into();
                case
            }
            _ => case,
        });
    }
    inside
}

const INSPECTED: &str =
    "protocol: rest, access: full, enforcement: enforce, allowed_ips: [10.99.0.0/24]";

/// SECURITY.md 11–14, TR-007, TR-011, L7-4, L7-14, LR-13, LR-15, H-1 to H-7, H-12, H-13, H-16
#[test]
fn no_smuggling_row_confuses_an_inspected_tunnel() {
    play_within(Duration::from_secs(400), |_| {
        let world = world(&format!("port: 80, {INSPECTED}"));
        let origin = origin(None);
        let open = || tunnel(&world, "origin.test:80").unwrap();
        let scores = run(&inside_a_tunnel(), &origin, open, |_| None);
        report("smuggling/inspected", &scores, 98);
    });
}

/// The same inside TLS that ringfence ends.
#[test]
fn no_smuggling_row_confuses_an_inspected_tls_tunnel() {
    play_within(Duration::from_secs(400), |scene| {
        let world = world(&format!("port: 443, tls: terminate, {INSPECTED}"));
        let origin = origin(Some(scene.authority().server(&["origin.test"])));
        let trust = world.trust();
        let open = || {
            let stream = tunnel(&world, "origin.test:443").unwrap();
            TlsLine(session(stream, trust.clone(), "origin.test"))
        };
        let scores = run(&inside_a_tunnel(), &origin, open, |_| None);
        report("smuggling/inspected TLS", &scores, 98);
    });
}
