//! What a sandbox's policy decides, asked of the gateway that serves it.

use harness::play;
use harness::policy::{ANY, private, text};

use crate::plane::{Ended, Plane};

/// CLI-17, CLI-3
#[test]
fn the_policy_a_sandbox_is_served_with_is_explained_without_its_file() {
    play(|scene| {
        let plane = Plane::start(scene);
        let open = text(&private("local", "origin.test", 8080, ANY), "");
        let ended = plane.run("demo").policy(&open).sh("true").end();
        assert!(ended.status.success(), "{ended:?}");
        let explain = |name: &[&str], host: &str| -> Ended {
            let question = ["--binary", "/bin/sh", "--host", host, "--port", "8080"];
            plane.cli(&[&["policy", "explain"], name, &question].concat())
        };
        let allowed = explain(&["demo"], "origin.test");
        assert_eq!(allowed.code, 0, "{allowed:?}");
        assert!(allowed.stdout.contains("local"), "{allowed:?}");
        let line = line_of(&plane, "origin.test");
        assert!(
            allowed.stdout.contains(&format!("line {line},")),
            "line {line} of what `policy get --full` shows: {allowed:?}"
        );
        let denied = explain(&[], "elsewhere.test");
        assert_eq!(denied.code, 3, "the last one used: {denied:?}");
        assert_eq!(explain(&["nobody"], "origin.test").code, 1);
        let both = explain(&["demo", "--policy", "/dev/null"], "origin.test");
        assert_eq!(both.code, 2, "{both:?}");
    });
}

/// Where a text stands in the policy of `demo`, counted from the line behind `---`.
fn line_of(plane: &Plane<'_>, text: &str) -> usize {
    let shown = plane.done(&["policy", "get", "demo", "--full"]);
    let policy = shown.split_once("---\n").map_or("", |(_, policy)| policy);
    let found = policy.lines().position(|line| line.contains(text));
    found.map_or(0, |index| index + 1)
}
