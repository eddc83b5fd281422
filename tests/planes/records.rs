//! What a sandbox's record says of its gateway, its provider and its file rules.

use harness::play;
use harness::policy::text;
use serde_json::Value;

use crate::plane::{Inside, Plane, backends, until};

/// The first record of this kind, once it is there.
fn record(inside: &Inside, kind: &str) -> Value {
    let mut found = Value::Null;
    until(kind, || {
        let text = inside.fence.running().recorded();
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let mut of_kind = lines.filter(|line: &Value| line["msg"] == kind);
        found = of_kind.next().unwrap_or_default();
        !found.is_null()
    });
    found
}

/// LOG-1, PRV-8: what came of the gateway is recorded beside what came of requests.
#[test]
fn policies_a_revoked_provider_and_a_lost_stream_are_in_the_record() {
    play(|scene| {
        let _provider = backends(scene);
        let mut plane = Plane::start(scene);
        let key = "OPENAI_API_KEY=key-of-one";
        plane.provider("one", "openai", key);
        plane.done(&["inference", "set", "--provider", "one", "--model", "m"]);
        let inside = plane.fence("worker");
        inside.ready();
        assert_eq!(record(&inside, "POLICY_LOADED")["policy_version"], 1);
        assert_eq!(record(&inside, "SNAPSHOT_APPLIED")["routes"], 1);
        plane.done(&["provider", "delete", "one", "--force", "--yes"]);
        let revoked = record(&inside, "PROVIDER_REVOKED");
        assert_eq!(revoked["level"], "warn", "{revoked}");
        assert_eq!(revoked["provider"], "openai", "{revoked}");
        assert!(revoked["generation"].is_u64(), "{revoked}");
        plane.kill_gateway();
        let lost = record(&inside, "STREAM_LOST");
        assert_eq!(lost["level"], "warn", "{lost}");
        assert!(lost["retry_ms"].is_u64() && lost["error"] != "-", "{lost}");
    });
}

/// LOG-1, BAS-1, LLK-4: without a gateway too.
#[test]
fn what_was_added_to_the_file_rules_and_what_is_not_enforced_is_in_the_record() {
    play(|scene| {
        let policy = text("", "").replace("/mnt/clients]", "/mnt/clients, /mnt/no-such-place]");
        let ended = scene.run().policy(&policy).sh("true").end();
        assert!(ended.status.success(), "{ended:?}");
        let of = |kind: &str| ended.records_of(kind).into_iter().next().cloned();
        let added = of("BASELINE_ADDED").expect("the policy has not all of the baseline");
        assert!(added["paths"].to_string().contains("/var/log"), "{added}");
        let degraded = of("LANDLOCK_DEGRADED").expect("a path without a rule");
        match degraded["state"].as_str() {
            Some("partial") => assert_eq!(degraded["paths"][0], "/mnt/no-such-place"),
            other => assert_eq!(other, Some("none"), "{degraded}"),
        }
    });
}
