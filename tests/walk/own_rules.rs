//! `run --policy-rules`: an operator's own Rego in place of the built-in rules.

use std::io::Write;
use std::time::{Duration, Instant};

use harness::http::{Message, Reader};
use harness::origin::Origin;
use harness::play;
use harness::policy::{ANY, private, text};
use harness::raw::Fence;
use harness::scene::PRIVATE;

/// Allows what the data names, with the endpoint that names it.
const RULES: &str = r#"
default network_action := "deny"

network_action := "allow" if matched_endpoint_config

matched_endpoint_config := endpoint if {
	some endpoint in data.network_policies.inside.endpoints
	endpoint.host == input.network.host
	endpoint.port == input.network.port
}

matched_network_policy := "own" if network_action == "allow"

deny_reason := sprintf("not for %s", [input.exec.path])
"#;

fn connect(fence: &Fence, authority: &str) -> Message {
    let mut reader = Reader::new(fence.proxy());
    write!(
        reader.stream,
        "CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n"
    )
    .expect("the request is sent");
    let message = Message {
        head: reader.head().expect("an answer"),
        ..Message::default()
    };
    if message.status() == 200 {
        return message;
    }
    reader.rest_of("CONNECT", message).message
}

/// The same, and again where the rules did not come to an answer: they have a millisecond of processor time, which an
/// evaluator that is not optimised can need for itself on a busy machine, and such an answer is not kept.
fn judged(fence: &Fence, authority: &str) -> Message {
    let started = Instant::now();
    loop {
        let answer = connect(fence, authority);
        if answer.status() == 200 || answer.json()["reason"] != "policy_evaluation_failed" {
            return answer;
        }
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "{}",
            answer.text()
        );
    }
}

/// RGO-1, RGO-2, RGO-3, RGO-6, CLI-19
#[test]
fn a_run_is_judged_by_its_own_rules_over_the_data_of_its_policy() {
    play(|scene| {
        let _inside = Origin::greeting(&format!("{PRIVATE}:8080"), None, "hello");
        let fence = scene
            .run()
            .policy(&text(&private("inside", "api.test", 8080, ANY), ""))
            .rules(RULES)
            .fence();
        for _ in 0..2 {
            assert_eq!(judged(&fence, "api.test:8080").status(), 200);
            let refusal = judged(&fence, "api.test:8081");
            assert_eq!(refusal.status(), 403, "{}", refusal.text());
            assert_eq!(refusal.json()["reason"], "not for /mnt/bin/inside");
        }
        let ended = fence.end();
        let mut records = ended.records_of("CONNECT");
        records.retain(|record| record["reason"] != "policy_evaluation_failed");
        assert_eq!(records.len(), 4, "{}", ended.story());
        assert_eq!(records[0]["policy"], "own");
        assert_eq!(records[1]["reason"], "not for /mnt/bin/inside");
        assert!(
            ended.err().contains("not for /mnt/bin/inside"),
            "{}",
            ended.story()
        );
        rules_are_gone();
    });
}

/// RGO-6: a data file replaces the policy as data, and nothing else of it.
#[test]
fn a_data_file_stands_in_place_of_the_policy() {
    play(|scene| {
        let _inside = Origin::greeting(&format!("{PRIVATE}:8080"), None, "hello");
        let fence = scene
            .run()
            .policy(&text("", ""))
            .rules(RULES)
            .data("network_policies:\n  inside:\n    endpoints: [{host: api.test, port: 8080, allowed_ips: [10.99.0.0/24]}]\n")
            .fence();
        assert_eq!(judged(&fence, "api.test:8080").status(), 200);
        drop(fence.end());
    });
}

/// RGO-6, POL-9, CLI-6: the command never runs.
#[test]
fn rules_that_cannot_be_evaluated_end_the_start_with_their_place() {
    play(|scene| {
        let deep = format!("network_action := {}1{}", "[".repeat(60), "]".repeat(60));
        for (rules, said) in [
            (
                "network_action := \"allow\" if {\n\tx :=\n}",
                "own.rego:6:7: ",
            ),
            (
                "network_action := \"allow\" if http.send({})",
                "own.rego:5:30: there is no function http.send",
            ),
            (
                "allow := true",
                "own.rego:1:1: the module must define network_action",
            ),
            (&*deep, "could not be prepared within the bounds"),
        ] {
            let ended = scene
                .run()
                .policy(&text("", ""))
                .rules(rules)
                .sh("echo ran")
                .end();
            assert_eq!(ended.code(), Some(125), "{}", ended.story());
            assert!(ended.err().contains(said), "{said}: {}", ended.story());
            assert_eq!(ended.out(), "");
        }
        let ended = scene
            .run()
            .flag("--policy-data")
            .flag("/x")
            .sh("true")
            .end();
        assert_eq!(ended.code(), Some(2), "{}", ended.story());
        rules_are_gone();
    });
}

/// TR-079: the whole way, with the product's own bounds.
#[test]
fn a_bomb_is_denied_and_the_run_goes_on() {
    play(|scene| {
        let _inside = Origin::greeting(&format!("{PRIVATE}:8080"), None, "hello");
        let rules = format!(
            "{RULES}\nnetwork_action := \"allow\" if {{\n\tstartswith(input.network.host, \"bomb\")\n\tcount([1 | some i in numbers.range(1, 3000); some j in numbers.range(1, 3000); i == j]) > 0\n}}"
        );
        let fence = scene
            .run()
            .policy(&text(&private("inside", "api.test", 8080, ANY), ""))
            .rules(&rules)
            .fence();
        for round in 0..10 {
            let refusal = connect(&fence, &format!("bomb{round}.test:443"));
            assert_eq!(refusal.json()["reason"], "policy_evaluation_failed");
            assert_eq!(judged(&fence, "api.test:8080").status(), 200);
        }
        drop(fence.end());
    });
}

/// RGO-6, TR-073: rules are read again as a policy is, and what cannot be evaluated changes nothing.
#[test]
fn rules_are_read_again_and_the_last_good_ones_stay() {
    play(|scene| {
        const FILE: &str = "/mnt/private/own.rego";
        let write = |body: &str| {
            let text = format!("package ringfence.sandbox\n\nimport rego.v1\n\n{body}\n");
            // Whole or not at all, as editors do it.
            std::fs::write("/mnt/private/own.new", text).unwrap();
            std::fs::rename("/mnt/private/own.new", FILE).unwrap();
        };
        let denied = |words: &str| {
            write(&format!(
                "network_action := \"deny\"\n\ndeny_reason := \"{words}\""
            ));
        };
        denied("first words");
        let fence = scene
            .run()
            .policy(&text("", ""))
            .flag("--watch")
            .flag("--policy-rules")
            .flag(FILE)
            .fence();
        let reason = || judged(&fence, "any.test:443").json()["reason"].clone();
        let until = |expected: &str| {
            let started = Instant::now();
            while reason() != expected {
                assert!(started.elapsed() < Duration::from_secs(20), "{}", reason());
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        assert_eq!(reason(), "first words");
        denied("second words");
        until("second words");
        write("network_action := \"allow\" if http.send({})");
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(1) {
            assert_eq!(reason(), "second words");
        }
        denied("third words");
        until("third words");
        let ended = fence.end();
        assert!(
            ended
                .record_text
                .contains("own.rego:5:30: there is no function http.send"),
            "{}",
            ended.story()
        );
    });
}

/// A keeper ends when its data plane has, a moment later at most.
fn rules_are_gone() {
    let started = Instant::now();
    while !processes_of_rules().is_empty() {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "{:?}",
            processes_of_rules()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Command lines of processes that evaluate rules.
fn processes_of_rules() -> Vec<String> {
    let entries = std::fs::read_dir("/proc").expect("/proc");
    entries
        .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("cmdline")).ok())
        .filter(|line| line.contains("__rules"))
        .collect()
}
