//! smuggling.dev, the rows for inference.local.

use std::time::Duration;

use harness::http::Message;
use harness::model::key;
use harness::play_within;
use harness::scene::PRIVATE;
use harness::smuggling::{TlsLine, cases, report, run};

use super::{fence, ok_server};

/// TR-081: the credential upstream is the route's alone.
fn paid_by_the_route(request: &Message) -> Option<String> {
    let credential = request.field("authorization");
    (credential != Some(format!("Bearer {}", key())) || request.count("authorization") != 1)
        .then(|| "credential not the route's alone".to_owned())
}

/// SECURITY.md 11–14, TRAPS area 1
#[test]
fn no_smuggling_row_confuses_inference_local() {
    play_within(Duration::from_secs(400), |scene| {
        let origin = ok_server(&format!("{PRIVATE}:8000"));
        let fence = fence(scene, &origin);
        let trust = fence.trust();
        let cases = cases("inference");
        assert!(cases.len() > 100);
        let open = || TlsLine(fence.inference(&trust, 65_536).stream);
        let scores = run(&cases, &origin, open, paid_by_the_route);
        report("smuggling/inference", &scores, 97);
        drop(fence.end());
    });
}
