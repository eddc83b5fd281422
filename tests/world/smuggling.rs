//! smuggling.dev on the surfaces that need no fence to be reached. inference.local has its turn in `hostile/`.
//!
//! One corpus, one runner (`harness::smuggling`); what differs is how a connection is opened and, inside a tunnel, which
//! verdicts the tunnel itself changes.

use std::io::Write;
use std::time::Duration;

use harness::http::Message;
use harness::origin::{After, Origin};
use harness::play_within;
use harness::smuggling::{cases, report, run};

use crate::world::{Setup, World};

const ORIGIN: &str = "10.99.0.80:80";

/// Answers as the rows want: 101 where a client switches to WebSocket, else 200.
fn origin() -> Origin {
    Origin::start(ORIGIN, None, |request, wire| {
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
        let origin = origin();
        let cases = cases("forward");
        assert!(cases.len() > 200);
        let scores = run(&cases, &origin, || world.proxy(), forwarded);
        report("smuggling/forward", &scores, 98);
    });
}
