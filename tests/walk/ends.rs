//! How `run` begins and ends: exit codes, signals, time-outs, standard streams, the environment.

use std::time::{Duration, Instant};

use harness::play;
use harness::policy::text;
use rustix::process::Signal;

/// CLI-6
#[test]
fn run_ends_with_the_codes_of_its_child() {
    play(|scene| {
        let code = |words: &[&str]| {
            let ended = scene.run().policy(&text("", "")).command(words).end();
            ended
                .code()
                .unwrap_or_else(|| unreachable!("{words:?}: {}", ended.story()))
        };
        assert_eq!(code(&["true"]), 0);
        assert_eq!(code(&["sh", "-c", "exit 7"]), 7);
        assert_eq!(code(&["sh", "-c", "kill -TERM $$"]), 143);
        assert_eq!(code(&["sh", "-c", "kill -KILL $$"]), 137);
        assert_eq!(code(&["/usr/bin/no-such-program"]), 127);
        assert_eq!(code(&["no-such-program"]), 127);
        assert_eq!(code(&["/etc/passwd"]), 126);
        // The entry process ends; what it left behind does not keep the run (SBX-8).
        assert_eq!(code(&["sh", "-c", "sleep 60 & exit 3"]), 3);
    });
}

/// LIM-1: a thousand connections take more descriptors than the usual limit; the command keeps what it was given.
#[test]
fn the_gate_has_all_the_descriptors_it_may_and_the_command_those_of_its_caller() {
    play(|scene| {
        let running = scene
            .run()
            .policy(&text("", ""))
            .sh("ulimit -Sn; while [ ! -e up ]; do sleep 0.05; done")
            .start();
        let end = Instant::now() + Duration::from_secs(20);
        let soft_and_hard = || {
            let limits = std::fs::read_to_string(format!("/proc/{}/limits", running.pid()));
            let limits = limits.unwrap();
            let line = limits
                .lines()
                .find(|line| line.starts_with("Max open files"));
            let words = line.unwrap().split_whitespace().skip(3);
            words.take(2).map(str::to_owned).collect::<Vec<_>>()
        };
        while soft_and_hard()[0] != soft_and_hard()[1] {
            assert!(Instant::now() < end, "{:?}", soft_and_hard());
            std::thread::sleep(Duration::from_millis(20));
        }
        std::fs::write(scene.work().join("up"), "").unwrap();
        let ended = running.wait().success();
        let ours = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let ours = ours
            .current
            .map_or("unlimited".to_owned(), |current| current.to_string());
        assert_eq!(ended.out().lines().next(), Some(&*ours));
    });
}

/// CLI-6, SBX-8
#[test]
fn a_time_out_ends_the_whole_tree_with_124() {
    play(|scene| {
        let started = Instant::now();
        let ended = scene
            .run()
            .policy(&text("", ""))
            .flag("--timeout")
            .flag("1")
            .sh("sleep 60 & sleep 60")
            .end();
        assert_eq!(ended.code(), Some(124), "{}", ended.story());
        assert!(started.elapsed() < Duration::from_secs(50));
        // Even one that ignores SIGTERM.
        let deaf = "trap '' TERM; while :; do sleep 1; done";
        let ended = scene
            .run()
            .policy(&text("", ""))
            .flag("--timeout")
            .flag("1")
            .sh(deaf)
            .end();
        assert_eq!(ended.code(), Some(124), "{}", ended.story());
        let left: Vec<_> = processes()
            .into_iter()
            .filter(|line| line.contains("sleep"))
            .collect();
        assert_eq!(
            left,
            Vec::<String>::new(),
            "no process of the sandbox outlives run"
        );
    });
}

/// CLI-6: a start that fails is 125 and says why; the child never runs.
#[test]
fn a_start_that_fails_is_125_and_names_the_cause() {
    play(|scene| {
        let run = || scene.run().sh("touch /mnt/work/ran");
        let broken = run()
            .policy("version: 1\nnetwork_policies:\n  a:\n    endpoint: []\n")
            .end();
        assert_eq!(broken.code(), Some(125), "{}", broken.story());
        assert!(
            broken.err().contains("network_policies.a") && broken.err().contains("policy.yaml"),
            "{}",
            broken.err()
        );
        let hard = text("", "landlock: {compatibility: hard_requirement}\n")
            .replace("/mnt/bin,", "/mnt/no-such-path,");
        let missing = run().policy(&hard).end();
        assert_eq!(missing.code(), Some(125), "{}", missing.story());
        assert!(
            missing.err().contains("/mnt/no-such-path"),
            "{}",
            missing.err()
        );
        let routes = run()
            .policy(&text("", ""))
            .routes("routes: [{endpoint: 'https://h/v1', model: m, protocols: []}]")
            .end();
        assert_eq!(routes.code(), Some(125), "{}", routes.story());
        assert!(!scene.work().join("ran").exists());
    });
}

/// CLI-6, RTE-12: usage errors are 2 and name what is wrong.
#[test]
fn a_missing_key_for_the_model_flag_is_a_usage_error_that_names_the_variable() {
    play(|scene| {
        let ended = scene
            .run()
            .policy(&text("", ""))
            .flag("--model")
            .flag("openai/gpt-x")
            .sh("true")
            .end();
        assert_eq!(ended.code(), Some(2), "{}", ended.story());
        assert!(ended.err().contains("OPENAI_API_KEY"), "{}", ended.err());
    });
}

#[test]
fn signals_reach_the_child_and_its_code_comes_back() {
    play(|scene| {
        let script = "trap 'exit 5' TERM; : >/mnt/work/up; while :; do sleep 0.05; done";
        let running = scene.run().policy(&text("", "")).sh(script).start();
        let end = Instant::now() + Duration::from_secs(20);
        while !scene.work().join("up").exists() {
            assert!(
                Instant::now() < end,
                "the child does not start: {}",
                running.said()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        running.signal(Signal::TERM);
        let ended = running.wait();
        assert_eq!(ended.code(), Some(5), "{}", ended.story());
    });
}

#[test]
fn standard_input_and_output_are_the_childs() {
    play(|scene| {
        let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
        let ended = scene
            .run()
            .policy(&text("", ""))
            .stdin(&bytes)
            .command(["cat"])
            .end()
            .success();
        assert!(
            ended.stdout == bytes,
            "{} bytes of {} came back",
            ended.stdout.len(),
            bytes.len()
        );
    });
}

/// ENV-1…3
#[test]
fn the_environment_is_built_from_nothing() {
    play(|scene| {
        let run = || {
            scene
                .run()
                .policy(&text("", ""))
                .outer_env("SECRET_OF_THE_CALLER", "x")
                .env("MINE", "yes")
                .env("OPENAI_BASE_URL", "http://own")
        };
        let out = run()
            .flag("--name")
            .flag("box-1")
            .command(["env"])
            .end()
            .success()
            .out();
        let value = |name: &str| {
            out.lines()
                .find_map(|line| line.strip_prefix(&format!("{name}=")))
                .map(str::to_owned)
        };
        assert_eq!(value("SECRET_OF_THE_CALLER"), None);
        for (name, expected) in [
            ("MINE", "yes"),
            ("OPENAI_BASE_URL", "http://own"),
            ("ANTHROPIC_BASE_URL", "https://inference.local"),
            ("RINGFENCE_INFERENCE_URL", "https://inference.local/v1"),
            ("RINGFENCE_SANDBOX", "1"),
            ("RINGFENCE_SANDBOX_NAME", "box-1"),
            ("HTTPS_PROXY", "http://127.0.0.1:3128"),
            ("https_proxy", "http://127.0.0.1:3128"),
            ("NO_PROXY", "localhost,127.0.0.1,::1"),
            ("NODE_USE_ENV_PROXY", "1"),
        ] {
            assert_eq!(value(name).as_deref(), Some(expected), "{name} in {out}");
        }
        let dir = value("RINGFENCE_RUNTIME_DIR").expect("a runtime directory");
        assert_eq!(value("NODE_EXTRA_CA_CERTS"), Some(format!("{dir}/ca.pem")));
        assert_eq!(value("SSL_CERT_FILE"), Some(format!("{dir}/ca-bundle.pem")));
        let out = run()
            .flag("--no-inference-hints")
            .command(["env"])
            .end()
            .success()
            .out();
        assert!(!out.contains("inference.local"), "{out}");
    });
}

fn processes() -> Vec<String> {
    let entries = std::fs::read_dir("/proc")
        .expect("/proc is readable")
        .flatten();
    entries
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok())
        .collect()
}
