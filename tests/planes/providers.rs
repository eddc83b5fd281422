//! Providers, from the command line to the wire.

use harness::play;

use crate::plane::{Plane, backends, last, until};

/// PV-1, PV-2, PV-7, PV-9, CLI-10 to CLI-13
#[test]
fn a_provider_is_made_shown_without_its_key_and_deleted() {
    play(|scene| {
        let plane = Plane::start(scene);
        for (alias, kind) in [("glab", "gitlab"), ("gh", "github")] {
            plane.provider(alias, alias, "A_TOKEN=secret-value-1");
            let shown = plane.json(&["provider", "get", alias]);
            assert_eq!(shown["type"], kind, "{shown}");
            assert_eq!(shown["credentials"]["A_TOKEN"], "<redacted>", "{shown}");
        }
        for format in ["table", "json", "yaml"] {
            for words in [&["provider", "get", "gh"][..], &["provider", "list"]] {
                let words: Vec<&str> = words.iter().copied().chain(["--output", format]).collect();
                let shown = plane.done(&words);
                assert!(!shown.contains("secret-value"), "{words:?}: {shown}");
            }
        }
        let names = plane.done(&["provider", "list", "--names"]);
        assert_eq!(names, "glab\ngh\n");

        let unknown = plane.cli(&[
            "provider",
            "create",
            "--name",
            "x",
            "--type",
            "foo",
            "--credential",
            "A=1",
        ]);
        assert_eq!(unknown.code, 2, "{unknown:?}");
        assert!(
            unknown.stderr.contains("openai"),
            "the types are listed: {unknown:?}"
        );
        let unset = plane.cli(&[
            "provider",
            "create",
            "--name",
            "x",
            "--type",
            "openai",
            "--credential",
            "NOT_SET",
        ]);
        assert_eq!(unset.code, 2, "{unset:?}");
        assert!(unset.stderr.contains("NOT_SET"), "{unset:?}");
        let nothing = plane.cli(&[
            "provider",
            "create",
            "--name",
            "x",
            "--type",
            "openai",
            "--from-existing",
        ]);
        assert_eq!(nothing.code, 1, "{nothing:?}");
        let both = plane.cli(&[
            "provider",
            "create",
            "--name",
            "x",
            "--type",
            "openai",
            "--from-existing",
            "--credential",
            "A=1",
        ]);
        assert_eq!(both.code, 2, "{both:?}");
        assert_eq!(
            plane.done(&["provider", "list", "--names"]),
            names,
            "nothing was created"
        );

        plane.done(&["provider", "delete", "gh", "--yes"]);
        let gone = plane.cli(&["provider", "delete", "gh", "--yes"]);
        let said = format!("{}{}", gone.stdout, gone.stderr);
        assert!(said.contains("gh"), "names not found are listed: {gone:?}");
    });
}

/// PV-8, PRV-7, PRV-8, TR-088
#[test]
fn a_provider_in_use_is_deleted_by_force_alone_and_its_key_is_used_no_more() {
    play(|scene| {
        let provider = backends(scene);
        let plane = Plane::start(scene);
        let create = [
            "provider",
            "create",
            "--name",
            "one",
            "--type",
            "openai",
            "--credential",
            "OPENAI_API_KEY=key-of-one",
        ];
        plane.done(&create);
        plane.route("one", "m");
        let inside = plane.inside(
            plane
                .run("s1")
                .flag("--provider")
                .flag("one")
                .policy(&harness::policy::text("", "")),
        );
        inside.ready();
        let refused = plane.cli(&["provider", "delete", "one", "--yes"]);
        assert_eq!(refused.code, 1, "{refused:?}");
        for reference in ["s1", "inference"] {
            assert!(
                refused.stderr.contains(reference),
                "{reference}: {refused:?}"
            );
        }
        assert_eq!(inside.verdict(), "200");
        plane.done(&["provider", "delete", "one", "--force", "--yes"]);
        // The verb ends when every host has confirmed, or says which did not.
        until("the route is broken", || {
            inside.verdict() == "provider_missing"
        });
        provider.take();
        assert_eq!(inside.verdict(), "provider_missing");
        assert!(provider.take().is_empty(), "nothing was sent");
        plane.done(&create);
        until("the route is ready again", || inside.verdict() == "200");
        assert_eq!(last(&provider).1, "Bearer key-of-one");
    });
}

/// RB-9, INF-27, TR-067
#[test]
fn an_nvidia_provider_answers_while_no_route_is_set() {
    play(|scene| {
        let provider = backends(scene);
        let plane = Plane::start(scene);
        let inside = plane.fence("worker");
        until("the first snapshot is there", || {
            inside.verdict() == "inference_not_configured"
        });
        let nothing = plane.cli(&["cluster", "inference", "get"]);
        assert_eq!(nothing.code, 1, "{nothing:?}");
        assert!(
            nothing.stderr.contains("ringfence cluster inference set"),
            "{nothing:?}"
        );
        plane.provider("nv", "nvidia", "NVIDIA_API_KEY=key-of-nv");
        inside.ready();
        assert_eq!(last(&provider).2, "meta/llama-3.1-8b-instruct");
        let shown = plane.json(&["cluster", "inference", "get"]);
        assert_eq!(shown["version"], 0, "{shown}");
    });
}

/// `provider test` says in words what is wrong; RPC-10
#[test]
fn a_provider_that_is_tested_says_what_is_wrong_with_it() {
    play(|scene| {
        let plane = Plane::start(scene);
        let create = |name: &str, url: &str| {
            let url = format!("OPENAI_BASE_URL={url}");
            plane.done(&[
                "provider",
                "create",
                "--name",
                name,
                "--type",
                "openai",
                "--credential",
                "OPENAI_API_KEY=key-of-test",
                "--config",
                &url,
            ]);
        };
        create("nameless", "https://no-such-name.test/v1");
        create("deaf", "https://public.test:9/v1");
        {
            let provider = backends(scene);
            create("good", "https://api.openai.com/v1");
            let good = plane.cli(&["provider", "test", "good"]);
            assert_eq!(good.code, 0, "{good:?}");
            assert_eq!(last(&provider).1, "Bearer key-of-test");
        }
        for name in ["nameless", "deaf"] {
            let bad = plane.cli(&["provider", "test", name]);
            assert_eq!(bad.code, 1, "{name}: {bad:?}");
            assert!(!bad.stderr.contains("key-of-test"), "{bad:?}");
            assert!(!format!("{}{}", bad.stdout, bad.stderr).is_empty());
        }
    });
}
