//! Which files are read again, and when.

use std::thread;
use std::time::{Duration, SystemTime};

use harness::play;
use harness::policy::{private, text};

use crate::{api, connect, count, echo, file, reload, run, started, until};

/// SECURITY: a policy that the command may write would be the command's own.
#[test]
fn a_file_that_the_command_may_write_is_not_read_again() {
    play(|scene| {
        let own = scene.work().join("policy.yaml");
        std::fs::write(&own, text("", "")).unwrap();
        let link = scene.private().join("link.yaml");
        std::os::unix::fs::symlink(&own, &link).unwrap();
        let fence = run(scene, &link).fence();
        let running = started(fence.running());
        std::fs::write(&own, api()).unwrap();
        reload(running, "POLICY_FAILED");
        assert!(
            running
                .said()
                .contains("the command may write in /mnt/work"),
            "{}",
            running.said()
        );
        assert_eq!(connect(&fence, "api.test:7000").0, 403);
        fence.end();
        let watched = run(scene, &link).flag("--watch").sh("true").end();
        assert_eq!(watched.code(), Some(125), "{}", watched.story());
        assert!(
            watched.err().contains("--watch: /mnt/private/link.yaml:"),
            "{}",
            watched.err()
        );
    });
}

/// Item 7: editors write in place, or rename another file over the old one, or turn a link.
#[test]
fn with_watch_a_change_is_put_in_force_without_being_asked() {
    play(|scene| {
        echo(7000);
        let real = file(scene, "one.yaml", &text("", ""));
        let policy = scene.private().join("link.yaml");
        std::os::unix::fs::symlink(&real, &policy).unwrap();
        let fence = run(scene, &policy).flag("--watch").fence();
        let running = started(fence.running());
        let answers = |expected: u16| {
            until("the policy is in force", running, || {
                connect(&fence, "api.test:7000").0 == expected
            });
        };
        answers(403);
        std::fs::write(&real, api()).unwrap();
        answers(200);
        let new = file(scene, "new.yaml", &text("", ""));
        std::fs::rename(&new, &real).unwrap();
        answers(403);
        let second = file(scene, "two.yaml", &api());
        let turned = scene.private().join("turned");
        std::os::unix::fs::symlink(&second, &turned).unwrap();
        std::fs::rename(&turned, &policy).unwrap();
        answers(200);
        // Gone: the last good stays. Back: it counts again.
        std::fs::remove_file(&second).unwrap();
        until("the error is said", running, || {
            running.said().contains("cannot read")
        });
        assert_eq!(connect(&fence, "api.test:7000").0, 200);
        std::fs::write(&second, text("", "")).unwrap();
        answers(403);
        // Touched, with the same contents: nothing happens.
        until("the last change is recorded", running, || {
            count(running, "POLICY_LOADED") == 5
        });
        let touched = std::fs::File::options().append(true).open(&second);
        touched.unwrap().set_modified(SystemTime::now()).unwrap();
        thread::sleep(Duration::from_millis(500));
        assert_eq!(count(running, "POLICY_LOADED"), 5);
        fence.end();
    });
}

/// IDN-8: a binary that is a symbolic link stands for the target it has when the policy is loaded.
#[test]
fn a_link_among_the_binaries_is_resolved_again() {
    play(|scene| {
        echo(7000);
        let link = scene.work().join("agent");
        std::os::unix::fs::symlink("/usr/bin/true", &link).unwrap();
        let linked = text(&private("api", "api.test", 7000, &["/mnt/work/agent"]), "");
        let policy = file(scene, "policy.yaml", &linked);
        let fence = run(scene, &policy).fence();
        let running = started(fence.running());
        assert_eq!(connect(&fence, "api.test:7000").0, 403);
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink("/mnt/bin/inside", &link).unwrap();
        reload(running, "POLICY_LOADED");
        assert_eq!(connect(&fence, "api.test:7000").0, 200);
        let ended = fence.end();
        let last = ended.records_of("POLICY_LOADED")[1];
        assert_eq!(last["policy_version"], 1, "the policy itself is the same");
    });
}
