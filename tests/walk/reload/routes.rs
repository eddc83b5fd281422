//! Routes that change with the policy.

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use harness::http::{End, Reader};
use harness::policy::text;
use harness::raw::{Fence, TlsRaw};
use harness::scene::PRIVATE;
use harness::{model, play};
use rustls::ClientConfig;
use serde_json::Value;

use crate::{LIMIT, api, connect, echo, file, reload, run, started};

fn stream(fence: &Fence, trust: &Arc<ClientConfig>, words: &str) -> Reader<TlsRaw> {
    let mut reader = fence.inference(trust, 65_536);
    let body = format!(r#"{{"model":"any","stream":true,"messages":"{words}"}}"#);
    write!(
        reader.stream,
        "POST /v1/chat/completions HTTP/1.1\r\nHost: inference.local\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("sent");
    reader
}

/// SF-10, TR-061, RTE-11, ENV-4
#[test]
fn ten_running_streams_are_not_cut_by_new_routes_that_hold_from_the_next_request() {
    play(|scene| {
        let first = model::start(&format!("{PRIVATE}:8000"), None);
        let second = model::start(&format!("{PRIVATE}:8001"), None);
        let at = |port: u16| model::routes(&format!("http://{PRIVATE}:{port}/v1"));
        let routes = file(scene, "routes.yaml", &at(8000));
        let policy = file(scene, "policy.yaml", &text("", ""));
        let fence = run(scene, &policy).flag("--routes").flag(&routes).fence();
        let (running, trust) = (started(fence.running()), fence.trust());
        let mut streams: Vec<_> = (0..10)
            .map(|_| {
                let mut reader = stream(&fence, &trust, "do:gate=go do:events=3");
                reader.head().unwrap();
                reader.chunk().unwrap();
                reader
            })
            .collect();
        let ask = || {
            let since = Instant::now();
            let answer = stream(&fence, &trust, "hello")
                .final_answer("POST")
                .unwrap();
            assert_eq!((answer.message.status(), answer.end), (200, End::Complete));
            since.elapsed()
        };
        let before = ask();
        let calls = (first.requests().len(), second.requests().len());
        assert_eq!(calls, (11, 0));
        std::fs::write(&routes, at(8001)).unwrap();
        reload(running, "SNAPSHOT_APPLIED");
        let after = ask();
        println!("a request took {before:?} before and {after:?} after the change");
        assert!(after < before + LIMIT / 2);
        assert_eq!((first.requests().len(), second.requests().len()), (11, 1));
        // Broken routes: those in force stay.
        std::fs::write(&routes, at(8001).replace("api_key:", "api_kee:")).unwrap();
        reload(running, "POLICY_FAILED");
        assert!(
            !running.said().contains(model::key()),
            "no message repeats a key"
        );
        ask();
        let directory = fence.variable("RINGFENCE_RUNTIME_DIR");
        let inside = || -> Value {
            let text = fence.file(&format!("{directory}/inference.json"));
            serde_json::from_slice(&text).unwrap()
        };
        assert_eq!(inside()["available"], true);
        std::fs::write(&routes, "routes: []\n").unwrap();
        reload(running, "SNAPSHOT_APPLIED");
        let none = stream(&fence, &trust, "hello")
            .final_answer("POST")
            .unwrap();
        assert_eq!(none.message.status(), 503);
        assert_eq!(inside()["available"], false);
        std::fs::write(scene.work().join("go"), "").unwrap();
        for stream in &mut streams {
            let mut last = Vec::new();
            while let Ok(chunk) = stream.chunk() {
                if chunk.is_empty() {
                    break;
                }
                last = chunk;
            }
            assert!(String::from_utf8(last).unwrap().contains("[DONE]"));
        }
        drop(streams);
        let ended = fence.end();
        let cut = ended
            .records_of("INFERENCE")
            .iter()
            .filter(|record| record["end"] == "cut" || record["end"] == "client_gone")
            .count();
        assert_eq!(cut, 0, "{}", ended.story());
    });
}

/// TR-073 and item 7: whole or not at all; one broken file keeps the other from being put in force alone.
#[test]
fn a_good_policy_beside_broken_routes_is_not_put_in_force() {
    play(|scene| {
        echo(7000);
        let policy = file(scene, "policy.yaml", &text("", ""));
        let routes = file(scene, "routes.yaml", "routes: []\n");
        let fence = run(scene, &policy).flag("--routes").flag(&routes).fence();
        let running = started(fence.running());
        std::fs::write(&policy, api()).unwrap();
        std::fs::write(&routes, "routes: {}\n").unwrap();
        reload(running, "POLICY_FAILED");
        assert!(
            running.said().contains("routes.yaml:1:"),
            "{}",
            running.said()
        );
        assert_eq!(connect(&fence, "api.test:7000").0, 403);
        std::fs::write(&routes, "routes: []\n").unwrap();
        reload(running, "POLICY_LOADED");
        assert_eq!(connect(&fence, "api.test:7000").0, 200);
        fence.end();
    });
}
