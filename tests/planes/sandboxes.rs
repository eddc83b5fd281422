//! Sandboxes and their policies, from the command line to what a program inside may do.

use std::io::Write;

use harness::origin::Origin;
use harness::play;
use harness::policy::{ANY, private, text};
use harness::run::Run;
use harness::scene::PRIVATE;

use crate::plane::{Plane, private_file, until};

/// LIV-1, LIV-6, LIV-10, PD-11, PD-13, PD-14, CLI-14, CLI-15: a policy of a running sandbox changes, and the next question
/// is answered by it.
#[test]
fn a_policy_that_is_set_is_in_force_when_the_wait_is_over() {
    play(|scene| {
        let _origin = Origin::greeting(&format!("{PRIVATE}:8080"), None, "hello\n");
        let plane = Plane::start(scene);
        let closed = text("", "");
        let open = text(&private("local", "origin.test", 8080, ANY), "");
        let inside = plane.inside(plane.run("worker").policy(&closed));
        let status = || {
            let mut raw = inside.fence.proxy();
            raw.write_all(
                b"GET http://origin.test:8080/ HTTP/1.1\r\nHost: origin.test:8080\r\n\r\n",
            )
            .unwrap();
            harness::http::Reader::new(raw)
                .final_answer("GET")
                .map_or(0, |answer| answer.message.status())
        };
        assert_eq!(status(), 403);
        let file = private_file(scene, "open.yaml", &open);
        let set = ["policy", "set", "worker", "--policy", &file, "--wait"];
        plane.done(&set);
        assert_eq!(status(), 200);
        plane.done(&set);
        let list = plane.json(&["policy", "list", "worker"]);
        let list = list["revisions"].as_array().unwrap();
        let statuses: Vec<_> = list
            .iter()
            .map(|revision| (revision["version"].clone(), revision["status"].clone()))
            .collect();
        assert_eq!(
            statuses.len(),
            2,
            "setting it again stores nothing: {list:?}"
        );
        assert!(
            statuses.contains(&(2.into(), "loaded".into()))
                && statuses.contains(&(1.into(), "superseded".into())),
            "{list:?}"
        );
        let shown = plane.done(&["policy", "get", "worker", "--full"]);
        assert!(
            shown.contains("origin.test") && shown.contains("/var/log"),
            "{shown}"
        );

        let smaller = open.replace(", /mnt/work]", "]");
        let file = private_file(scene, "smaller.yaml", &smaller);
        let refused = plane.cli(&["policy", "set", "worker", "--policy", &file]);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(
            refused.stderr.contains("filesystem_policy")
                && refused
                    .stderr
                    .contains("cannot be removed on a live sandbox"),
            "{refused:?}"
        );
        assert_eq!(status(), 200);
        let wrong = open.replace("port: 8080", "port: 0");
        let file = private_file(scene, "wrong.yaml", &wrong);
        let refused = plane.cli(&["policy", "set", "worker", "--policy", &file]);
        assert!(refused.code == 1 || refused.code == 2, "{refused:?}");
        assert!(refused.stderr.contains("port"), "{refused:?}");
        assert_eq!(status(), 200);
    });
}

/// PV-10, PRV-10, ENV-1, TR-080: credentials of attached providers, and of no other.
#[test]
fn an_attached_providers_credentials_are_variables_and_the_routes_are_not() {
    play(|scene| {
        let plane = Plane::start(scene);
        for (name, kind, credential) in [
            ("hub", "github", "GITHUB_TOKEN=token-of-hub"),
            ("lab", "gitlab", "GITHUB_TOKEN=token-of-lab"),
            ("model", "openai", "OPENAI_API_KEY=key-of-model"),
        ] {
            plane.done(&[
                "provider",
                "create",
                "--name",
                name,
                "--type",
                kind,
                "--credential",
                credential,
                "--config",
                "SETTING=1",
            ]);
        }
        plane.route("model", "m");
        let ended = plane
            .run("worker")
            .flag("--provider")
            .flag("hub")
            .flag("--provider")
            .flag("lab")
            .policy(&text("", ""))
            .sh("env")
            .end();
        let env = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert!(env.contains("GITHUB_TOKEN=token-of-hub\n"), "{ended:?}");
        for absent in ["token-of-lab", "key-of-model", "SETTING"] {
            assert!(!env.contains(absent), "{absent} in {env}");
        }
        // ENV-3: a vendor's hint goes where the vendor's credential came.
        let script =
            "printf '%s|%s|%s' \"$OPENAI_API_KEY\" \"$OPENAI_BASE_URL\" \"$ANTHROPIC_BASE_URL\"";
        let hints = |name: &str, providers: &[&str]| {
            let run = plane.run(name).policy(&text("", ""));
            let flag = |run: Run, provider: &&str| run.flag("--provider").flag(provider);
            let ended = providers.iter().fold(run, flag).sh(script).end();
            String::from_utf8_lossy(&ended.stdout).into_owned()
        };
        assert_eq!(
            hints("without", &[]),
            "|https://inference.local/v1|https://inference.local"
        );
        assert_eq!(
            hints("with", &["model"]),
            "key-of-model||https://inference.local"
        );
        let unknown = plane
            .run("other")
            .flag("--provider")
            .flag("nobody")
            .policy(&text("", ""))
            .sh("true")
            .end();
        assert_eq!(unknown.status.code(), Some(125), "{unknown:?}");
        assert!(
            String::from_utf8_lossy(&unknown.stderr).contains("nobody"),
            "{unknown:?}"
        );
    });
}

/// GEN-7, SBX-8, CLI-18, PRV-7
#[test]
fn a_sandbox_that_is_deleted_ends_with_all_its_processes() {
    play(|scene| {
        let plane = Plane::start(scene);
        let running = plane
            .run("worker")
            .policy(&text("", ""))
            .sh("echo up; sleep 300")
            .start();
        until("it is ready", || {
            let shown = plane.cli(&["sandbox", "get", "worker", "--output", "json"]);
            shown.stdout.contains("ready")
        });
        plane.done(&["sandbox", "delete", "worker", "--yes"]);
        let ended = running.wait();
        assert_eq!(ended.status.code(), Some(143), "{ended:?}");
        assert_eq!(plane.cli(&["sandbox", "get", "worker"]).code, 1);
    });
}

/// CLI-1a, POL-10, RPC-8: the record of a named sandbox stays, with the policy that was set last; of an unnamed one nothing
/// stays.
#[test]
fn a_named_sandbox_stays_known_after_its_run_and_its_policy_wins() {
    play(|scene| {
        let plane = Plane::start(scene);
        let first = text("", "inference: {max_concurrent: 3}");
        let run = |name: &str| plane.run(name).policy(&text("", "")).sh("true").end();
        let ended = plane.run("kept").policy(&first).sh("true").end();
        assert!(ended.status.success(), "{ended:?}");
        let ended = run("kept");
        assert!(ended.status.success(), "{ended:?}");
        let shown = plane.done(&["policy", "get", "kept", "--full"]);
        assert!(shown.contains("max_concurrent: 3"), "{shown}");
        let list = plane.json(&["policy", "list", "kept"]);
        assert_eq!(
            list["revisions"].as_array().map(Vec::len),
            Some(1),
            "{list}"
        );
        let unnamed = plane.unnamed().policy(&text("", "")).sh("true").end();
        assert!(unnamed.status.success(), "{unnamed:?}");
        assert_eq!(plane.done(&["sandbox", "list", "--names"]), "kept\n");
    });
}
