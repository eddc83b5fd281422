//! What is refused: the answer inside, the record, and the summary on standard error.

use std::io::Write;

use harness::dns::NameServer;
use harness::http::{End, Message, Reader};
use harness::origin::Origin;
use harness::play;
use harness::policy::{ANY, entry, private, public, text};
use harness::raw::Fence;
use harness::scene::{PRIVATE, Scene};

/// One CONNECT and its answer; a refusal must be complete and end the connection (ERR-1, ERR-3).
fn connect(fence: &Fence, authority: &str) -> Message {
    let mut reader = Reader::new(fence.proxy());
    write!(
        reader.stream,
        "CONNECT {authority} HTTP/1.1\r\nHost: x.test\r\n\r\n"
    )
    .expect("the request is sent");
    let answer = reader
        .answer("CONNECT")
        .unwrap_or_else(|| unreachable!("no answer to CONNECT {authority}"));
    if answer.message.status() != 200 {
        assert_eq!(answer.end, End::Complete);
        assert_eq!(
            answer.message.field("content-type").as_deref(),
            Some("application/json")
        );
        assert_eq!(answer.message.field("connection").as_deref(), Some("close"));
        assert!(answer.message.field("x-ringfence-policy").is_some());
        assert_eq!(
            reader.drain(),
            (Vec::new(), End::Complete),
            "a refusal is the last thing on a connection"
        );
    }
    answer.message
}

fn refused(fence: &Fence, authority: &str, error: &str, reason: Option<&str>) -> serde_json::Value {
    let answer = connect(fence, authority);
    let body = answer.json();
    assert_eq!(answer.status(), 403, "{authority}: {}", answer.text());
    assert_eq!(body["error"], error, "{authority}: {body}");
    assert_eq!(body["reason"].as_str(), reason, "{authority}: {body}");
    assert!(
        body["detail"]
            .as_str()
            .is_some_and(|detail| !detail.is_empty()),
        "{body}"
    );
    body
}

/// CON-5, ERR-1, LOG-2
#[test]
fn a_denied_host_is_answered_with_its_reason_and_recorded_once() {
    play(|scene| {
        let names = NameServer::start();
        let denied = Origin::greeting(&format!("{PRIVATE}:443"), None, "never");
        let fence = scene
            .run()
            .policy(&text(&private("api", "api.test", 8443, ANY), ""))
            .fence();
        let body = refused(
            &fence,
            "denied.test:443",
            "policy_denied",
            Some("endpoint_not_allowed"),
        );
        assert_eq!(
            (&body["host"], &body["port"]),
            (&"denied.test".into(), &443.into()),
            "{body}"
        );
        refused(
            &fence,
            "unknown-name.example:443",
            "policy_denied",
            Some("endpoint_not_allowed"),
        );
        refused(
            &fence,
            "api.test:8444",
            "policy_denied",
            Some("endpoint_not_allowed"),
        );
        let ended = fence.end();
        assert_eq!(denied.connections(), 0, "a denied host is never dialled");
        assert_eq!(
            names.asked(),
            Vec::<String>::new(),
            "a denied name is never looked up"
        );
        let records = ended.records_of("CONNECT");
        assert_eq!(records.len(), 3, "{}", ended.story());
        let first = records[0];
        for (key, value) in [
            ("action", "deny"),
            ("dst_host", "denied.test"),
            ("code", "policy_denied"),
            ("reason", "endpoint_not_allowed"),
            ("binary", "/mnt/bin/inside"),
        ] {
            assert_eq!(first[key], value, "{first}");
        }
        assert!(
            first["dst_port"] == 443 || first["dst_port"] == "443",
            "{first}"
        );
        assert!(
            first["ts"].is_string()
                && first["level"].is_string()
                && first["sandbox_id"].is_string(),
            "{first}"
        );
    });
}

/// POL-3…6, ERR-5
#[test]
fn each_refusal_of_the_policy_names_its_own_reason() {
    play(|scene| {
        let fence = scene.run().policy(&text("", "")).fence();
        refused(
            &fence,
            "api.test:443",
            "policy_denied",
            Some("no_network_policies"),
        );
        let policy = [
            private("api", "api.test", 443, &["/usr/bin/curl"]),
            private("other", "origin.test", 443, ANY),
        ]
        .concat();
        let fence = scene.run().policy(&text(&policy, "")).fence();
        refused(
            &fence,
            "api.test:443",
            "policy_denied",
            Some("binary_not_allowed"),
        );
    });
}

/// DST-4, MX-3, CT-10
#[test]
fn each_refusal_of_an_address_names_its_own_reason() {
    play(|scene| {
        let policy = [
            public("private", "api.test", 443, ANY),
            entry(
                "elsewhere",
                "{host: origin.test, port: 443, allowed_ips: [10.98.0.0/24]}",
                ANY,
            ),
            entry("metadata", "{host: 169.254.169.254, port: 80}", ANY),
            public("sub", "x.inference.local", 443, ANY),
        ]
        .concat();
        let fence = scene.run().policy(&text(&policy, "")).fence();
        refused(
            &fence,
            "api.test:443",
            "destination_denied",
            Some("internal_address"),
        );
        refused(
            &fence,
            "origin.test:443",
            "destination_denied",
            Some("not_in_allowed_ips"),
        );
        refused(
            &fence,
            "169.254.169.254:80",
            "destination_denied",
            Some("always_blocked"),
        );
        refused(
            &fence,
            "x.inference.local:443",
            "destination_denied",
            Some("special_name"),
        );
    });
}

/// CON-10, CT-2, CT-3
#[test]
fn inference_local_on_another_port_and_malformed_targets_are_refused() {
    play(|scene| {
        let names = NameServer::start();
        let fence = scene.run().policy(&text("", "")).fence();
        for authority in ["inference.local:80", "inference.local:8443"] {
            assert_eq!(
                connect(&fence, authority).json()["error"],
                "policy_denied",
                "{authority}"
            );
        }
        for authority in [
            "example.com",
            "example.com:0",
            "u@h:443",
            "127.1:80",
            "*.a:443",
            "[::1%eth0]:80",
        ] {
            let answer = connect(&fence, authority);
            assert_eq!(
                (answer.status(), answer.json()["error"].as_str()),
                (400, Some("invalid_request_target")),
                "{authority}"
            );
        }
        assert_eq!(names.asked(), Vec::<String>::new());
    });
}

/// CT-8
#[test]
fn bytes_after_a_refused_connect_are_never_a_request() {
    play(|scene| {
        let fence = scene.run().policy(&text("", "")).fence();
        let mut reader = Reader::new(fence.proxy());
        let bytes = "CONNECT denied.test:443 HTTP/1.1\r\nHost: denied.test:443\r\n\r\nGET http://denied.test/ HTTP/1.1\r\nHost: denied.test\r\n\r\n";
        reader.stream.write_all(bytes.as_bytes()).unwrap();
        assert_eq!(reader.answer("CONNECT").unwrap().message.status(), 403);
        assert_eq!(reader.drain(), (Vec::new(), End::Complete));
        assert_eq!(
            fence
                .end()
                .records
                .iter()
                .filter(|record| record["action"] == "deny")
                .count(),
            1
        );
    });
}

/// CON-6, MX-8
#[test]
fn a_dead_allowed_host_is_502_and_not_a_tunnel() {
    play(|scene| {
        let fence = scene
            .run()
            .policy(&text(&private("api", "api.test", 9, ANY), ""))
            .fence();
        let answer = connect(&fence, "api.test:9");
        assert_eq!(
            (answer.status(), answer.json()["error"].as_str()),
            (502, Some("upstream_unreachable"))
        );
    });
}

/// DST-10: allowed, looked up, not found.
#[test]
fn an_allowed_name_without_an_address_is_502() {
    play(|scene| {
        let names = NameServer::start();
        let fence = scene
            .run()
            .policy(&text(&public("gone", "gone.example", 443, ANY), ""))
            .fence();
        let answer = connect(&fence, "gone.example:443");
        assert_eq!(
            (answer.status(), answer.json()["error"].as_str()),
            (502, Some("dns_failure"))
        );
        assert!(
            names.asked().iter().all(|name| name == "gone.example"),
            "no search list: {:?}",
            names.asked()
        );
        assert!(!names.asked().is_empty());
    });
}

/// INF-6, RTE-2
#[test]
fn inference_without_a_route_is_503_and_other_paths_are_403() {
    play(|scene| {
        let fence = scene
            .run()
            .policy(&text("", ""))
            .routes("routes: []\n")
            .fence();
        let trust = fence.trust();
        for (path, status, error) in [
            ("/v1/chat/completions", 503, "inference_not_configured"),
            ("/v1/embeddings", 403, "inference_request_not_recognised"),
        ] {
            let mut reader = fence.inference(&trust, 65_536);
            write!(
                reader.stream,
                "POST {path} HTTP/1.1\r\nHost: inference.local\r\nContent-Length: 2\r\n\r\n{{}}"
            )
            .unwrap();
            let answer = reader.final_answer("POST").unwrap().message;
            assert_eq!(
                (answer.status(), answer.json()["error"].as_str()),
                (status, Some(error)),
                "{}",
                answer.text()
            );
        }
    });
}

fn three_attempts(scene: &Scene) -> harness::run::Run {
    let script = "for try in 1 2 3; do curl -sS https://denied.test/ 2>/dev/null; done; echo done; echo own >&2";
    scene
        .run()
        .policy(&text(&private("api", "api.test", 443, ANY), ""))
        .sh(script)
}

/// LOG-1: what was denied, once a group, with the lines that would allow it.
#[test]
fn the_summary_shows_what_was_denied_and_the_lines_that_would_allow_it() {
    play(|scene| {
        let ended = three_attempts(scene).end().success();
        assert_eq!(ended.out(), "done\n", "the child's output stays its own");
        let said = ended.err();
        assert!(
            said.starts_with("own\n"),
            "nothing is printed while the command runs: {said}"
        );
        for piece in [
            "denied.test",
            "443",
            "endpoint_not_allowed",
            "network_policies",
            "endpoints",
            "binaries",
            "curl",
        ] {
            assert!(
                said.contains(piece),
                "{piece} is not in the summary: {said}"
            );
        }
        assert_eq!(
            said.matches("host:").count(),
            1,
            "three refusals of one kind are one group: {said}"
        );
        assert_eq!(ended.records_of("CONNECT").len(), 3);
    });
}

#[test]
fn quiet_says_nothing_of_its_own_and_records_all_the_same() {
    play(|scene| {
        let ended = three_attempts(scene).flag("--quiet").end().success();
        assert_eq!(ended.err(), "own\n");
        assert_eq!(ended.records_of("CONNECT").len(), 3);
    });
}

#[test]
fn a_run_without_refusals_prints_nothing_of_its_own_but_warnings() {
    play(|scene| {
        let ended = scene
            .run()
            .policy(&text("", ""))
            .sh("echo fine")
            .end()
            .success();
        assert_eq!(ended.out(), "fine\n");
        assert!(!ended.err().contains("denied"), "{}", ended.err());
    });
}
