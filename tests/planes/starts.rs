//! How a run begins and ends beside a gateway that answers, does not answer, or knows something else.

use std::io::Write;
use std::path::Path;

use harness::http::Reader;
use harness::origin::Origin;
use harness::play;
use harness::policy::{ANY, private, text};
use harness::run::Ended;
use harness::scene::PRIVATE;

use crate::plane::{Inside, Plane, until};
use crate::rpc::Operator;

fn said(ended: &Ended) -> String {
    String::from_utf8_lossy(&ended.stderr).into_owned()
}

/// The status of a plain request to the origin at port 8080.
fn status(inside: &Inside) -> u16 {
    let mut raw = inside.fence.proxy();
    raw.write_all(b"GET http://origin.test:8080/ HTTP/1.1\r\nHost: origin.test:8080\r\n\r\n")
        .expect("the request is sent");
    Reader::new(raw)
        .final_answer("GET")
        .map_or(0, |answer| answer.message.status())
}

/// Sets the policy of `worker` and waits for so many seconds.
fn set_and_wait(plane: &Plane<'_>, policy: &str, seconds: &str) -> crate::plane::Ended {
    let file = Path::new("/mnt/private/next.yaml");
    std::fs::write(file, policy).expect("a file");
    let file = file.display().to_string();
    let words = ["policy", "set", "worker", "--policy", &file, "--wait"];
    plane.cli(&[&words[..], &["--timeout", seconds]].concat())
}

/// CLI-1a: a socket that a crash left behind stops no quick start, and whoever needs the gateway is told.
#[test]
fn the_socket_of_a_gateway_that_crashed_keeps_no_run_from_its_files() {
    play(|scene| {
        let mut plane = Plane::start(scene);
        plane.kill_gateway();
        assert!(plane.socket().exists(), "the socket is left");
        let ended = plane.unnamed().policy(&text("", "")).sh("true").end();
        assert!(ended.status.success(), "{ended:?}");
        let path = plane.socket();
        let warning = format!(
            "warning: no gateway answers at unix:{}; running from files",
            path.display()
        );
        assert_eq!(said(&ended).matches(&warning).count(), 1, "{ended:?}");

        let needs = plane.unnamed().flag("--provider").flag("hub");
        let ended = needs.policy(&text("", "")).sh("true").end();
        assert_eq!(ended.status.code(), Some(125), "{ended:?}");
        assert!(said(&ended).contains("does not answer"), "{ended:?}");

        // Who names a gateway means its policy, and a default could be weaker.
        let socket = format!("unix:{}", path.display());
        let named = plane.run("kept").flag("--gateway").flag(socket);
        let ended = named.sh("true").end();
        assert_eq!(ended.status.code(), Some(125), "{ended:?}");
        assert!(said(&ended).contains("--policy"), "{ended:?}");
    });
}

/// POL-10, DL-1: what was stored before wins over what a run began with, as soon as there is a gateway.
#[test]
fn the_stored_policy_is_put_in_force_when_the_gateway_is_back() {
    play(|scene| {
        let _origin = Origin::greeting(&format!("{PRIVATE}:8080"), None, "hello\n");
        let mut plane = Plane::start(scene);
        let closed = text("", "");
        let open = text(&private("local", "origin.test", 8080, ANY), "");
        let first = plane.run("worker").policy(&closed).sh("true").end();
        assert!(first.status.success(), "{first:?}");
        plane.kill_gateway();
        let socket = format!("unix:{}", plane.socket().display());
        let run = plane.run("worker").flag("--gateway").flag(socket);
        let inside = plane.inside(run.policy(&open));
        assert_eq!(status(&inside), 200, "by its own policy");
        plane.start_gateway();
        until("the stored policy is in force", || status(&inside) == 403);
        let list = plane.json(&["policy", "list", "worker"]);
        assert_eq!(
            list["revisions"].as_array().map(Vec::len),
            Some(1),
            "nothing of the run's own was stored: {list}"
        );
    });
}

/// LIV-3, LLK-1, POL-10: a command that was started by files which say otherwise than the stored policy of what is fixed at
/// a start does not go on under it.
#[test]
fn a_command_that_the_stored_policy_would_not_have_started_ends_when_the_gateway_is_back() {
    play(|scene| {
        let mut plane = Plane::start(scene);
        let stored = text("", "").replace(", /mnt/clients", "");
        let first = plane.run("worker").policy(&stored).sh("true").end();
        assert!(first.status.success(), "{first:?}");
        plane.kill_gateway();
        let socket = format!("unix:{}", plane.socket().display());
        let run = plane.run("worker").flag("--gateway").flag(socket);
        let running = run
            .policy(&text("", ""))
            .sh("echo it-runs >&2; sleep 300")
            .start();
        until("it runs", || running.said().contains("it-runs"));
        plane.start_gateway();
        let ended = running.wait();
        assert_eq!(ended.status.code(), Some(143), "{ended:?}");
        assert!(said(&ended).contains("filesystem_policy"), "{ended:?}");
        let list = plane.json(&["policy", "list", "worker"]);
        assert_eq!(list["revisions"][0]["status"], "loaded", "{list}");
    });
}

/// CLI-14
#[test]
fn a_wait_for_a_policy_that_nobody_loads_ends_with_its_time() {
    play(|scene| {
        let plane = Plane::start(scene);
        let first = plane.run("worker").policy(&text("", "")).sh("true").end();
        assert!(first.status.success(), "{first:?}");
        let next = text("", "inference: {max_concurrent: 3}");
        let late = set_and_wait(&plane, &next, "1");
        assert_eq!(late.code, 124, "{late:?}");
    });
}

/// LIV-7, LIV-8, PD-14, RGO-6: a version that the data plane cannot take.
#[test]
fn a_policy_that_cannot_be_loaded_fails_and_the_last_good_one_stays() {
    play(|scene| {
        let _origin = Origin::greeting(&format!("{PRIVATE}:8080"), None, "hello\n");
        let plane = Plane::start(scene);
        let open = text(&private("local", "origin.test", 8080, ANY), "");
        let inside = plane.inside(plane.run("worker").policy(&open));
        assert_eq!(status(&inside), 200);
        // The command line looks into rules before it sends them; others may not.
        let mut operator = Operator::connect(plane.socket());
        operator.judge_by("worker", "package ringfence.sandbox\n\nnetwork_action := (");
        let newest = || plane.json(&["policy", "list", "worker"])["revisions"][0].clone();
        until("the version has failed", || newest()["status"] == "failed");
        assert!(newest()["load_error"].is_string(), "{}", newest());
        assert_eq!(status(&inside), 200, "what was in force stays");
    });
}

/// CLI-3, CLI-18, DPL-8: the last word of a run, and the name that is meant afterwards.
#[test]
fn a_run_that_ended_is_shown_as_ended_and_is_the_sandbox_that_is_meant() {
    play(|scene| {
        let plane = Plane::start(scene);
        let ended = plane.run("demo").policy(&text("", "")).sh("true").end();
        assert!(ended.status.success(), "{ended:?}");
        let shown = plane.json(&["sandbox", "get"]);
        assert_eq!(shown["name"], "demo", "{shown}");
        assert_eq!(shown["phase"], "unknown", "{shown}");
        assert_eq!(shown["message"], "the command has ended", "{shown}");
    });
}

/// CLI-1a, DPL-8: a start that fails behind the record says so there, and leaves nothing of a run without a name.
#[test]
fn a_start_that_failed_is_shown_with_its_reason_or_leaves_no_record() {
    play(|scene| {
        let plane = Plane::start(scene);
        let fails = |run: harness::run::Run| {
            let run = run.policy(&text("", "")).flag("--workdir").flag("/mnt/no");
            let ended = run.sh("true").end();
            assert_eq!(ended.status.code(), Some(125), "{ended:?}");
        };
        fails(plane.run("demo"));
        let shown = plane.json(&["sandbox", "get", "demo"]);
        assert_eq!(shown["phase"], "error", "{shown}");
        let message = shown["message"].as_str().unwrap_or_default();
        assert!(message.contains("/mnt/no"), "{shown}");
        fails(plane.unnamed());
        assert_eq!(plane.done(&["sandbox", "list", "--names"]), "demo\n");
    });
}

/// POL-10: a policy that is given and not used is not passed over in silence.
#[test]
fn a_given_policy_that_is_not_the_stored_one_is_named_with_the_way_to_store_it() {
    play(|scene| {
        let plane = Plane::start(scene);
        let run = |policy: &str| {
            let ended = plane.run("demo").policy(policy).sh("true").end();
            assert!(ended.status.success(), "{ended:?}");
            said(&ended)
        };
        let way = "`ringfence policy set demo --policy /";
        let first = text("", "");
        assert!(!run(&first).contains(way), "it was stored just now");
        assert!(!run(&first).contains(way), "it is the same");
        let other = run(&text("", "inference: {max_concurrent: 3}"));
        assert_eq!(other.matches(way).count(), 1, "{other}");
    });
}
