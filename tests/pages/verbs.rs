//! `ringfence policy check`, `explain`, `diff` and `test`, as CI calls them (CLI-2, CLI-3).

use std::process::{Command, Output};

use harness::binary;
use serde_json::Value;

fn policy(arguments: &[&str]) -> Output {
    Command::new(binary::ringfence())
        .arg("policy")
        .args(arguments)
        .current_dir(binary::workspace().join("docs/cookbook"))
        .output()
        .unwrap()
}

fn code(arguments: &[&str]) -> Option<i32> {
    policy(arguments).status.code()
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_slice(&policy(arguments).stdout).unwrap()
}

/// A file for one test, gone with it.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str, text: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("ringfence-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Scratch(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap_or_default();
    }
}

const WIDE: &str = "version: 1\nnetwork_policies:\n  p: {endpoints: [{host: a.test, port: 443}], binaries: [{path: '/**'}]}\n";

/// CLI-16, CLI-2
#[test]
fn check_ends_with_one_for_errors_and_for_warnings_only_when_strict() {
    let wide = Scratch::new("wide.yaml", WIDE);
    let bad = Scratch::new("bad.yaml", "version: 2\n");
    assert_eq!(
        code(&["check", "git.yaml", "npm.yaml", "--strict"]),
        Some(0)
    );
    assert_eq!(code(&["check", wide.path()]), Some(0));
    assert_eq!(code(&["check", "--strict", wide.path()]), Some(1));
    assert_eq!(code(&["check", "git.yaml", bad.path()]), Some(1));
    assert_eq!(code(&["check", "absent.yaml"]), Some(1));
    assert_eq!(code(&["check"]), Some(2));
    let found = json(&["check", "--output", "json", wide.path(), bad.path()]);
    assert_eq!(found[0]["warnings"][0]["line"], 3);
    assert_eq!(found[1]["errors"][0]["path"], "version");
}

/// CLI-17, CLI-3
#[test]
fn explain_ends_with_three_for_a_denial_and_names_what_was_missing() {
    let ask = |binary: &str, more: &[&str]| {
        let question = [
            "explain",
            "--policy",
            "git.yaml",
            "--binary",
            binary,
            "--host",
            "github.com",
            "--port",
            "443",
        ];
        [&question[..], more]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let run =
        |question: Vec<String>| policy(&question.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(run(ask("/usr/bin/git", &[])).status.code(), Some(0));
    let denied = run(ask("/usr/bin/curl", &["--output", "json"]));
    assert_eq!(denied.status.code(), Some(3));
    let denied: Value = serde_json::from_slice(&denied.stdout).unwrap();
    assert_eq!(denied["reason"], "binary_not_allowed");
    assert_eq!(
        denied["near"][0]["path"],
        "network_policies.git_read.binaries"
    );
    let push = run(ask(
        "/usr/bin/git",
        &["--method", "POST", "--path", "/o/r/git-receive-pack"],
    ));
    assert_eq!(push.status.code(), Some(3));
    let text = String::from_utf8(push.stdout).unwrap();
    assert!(
        text.contains("would allow it:") && text.contains("/o/r/git-receive-pack"),
        "{text}"
    );
    assert_eq!(
        run(ask("/usr/bin/git", &["--method", "GET"])).status.code(),
        Some(2)
    );
}

/// The issue: exit codes of diff(1).
#[test]
fn diff_ends_as_diff_does() {
    assert_eq!(code(&["diff", "git.yaml", "git.yaml"]), Some(0));
    assert_eq!(code(&["diff", "git.yaml", "npm.yaml"]), Some(1));
    assert_eq!(code(&["diff", "git.yaml", "absent.yaml"]), Some(2));
    let found = json(&["diff", "git.yaml", "npm.yaml", "--output", "json"]);
    let differences = found["differences"].as_array().unwrap();
    let network = differences
        .iter()
        .filter(|difference| difference["programs"].is_array());
    assert!(
        network.clone().count() > 0
            && network
                .clone()
                .all(|difference| difference["witness"]["host"].is_string())
    );
}

#[test]
fn test_ends_with_one_when_a_case_fails_and_with_two_when_it_cannot_be_asked() {
    assert_eq!(code(&["test", "git.cases.yaml", "npm.cases.yaml"]), Some(0));
    let beside = binary::workspace().join("docs/cookbook/git.yaml");
    let text = format!(
        "policy: {}\ncases:\n  - {{name: all, binary: /usr/bin/curl, host: github.com, port: 443, expect: allow}}\n",
        beside.display()
    );
    let failing = Scratch::new("failing.cases.yaml", &text);
    let out = policy(&["test", failing.path()]);
    assert_eq!(out.status.code(), Some(1));
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(
        text.contains("expected: allow")
            && text.contains("got:      deny binary_not_allowed by `git_read`"),
        "{text}"
    );
    let broken = Scratch::new(
        "broken.cases.yaml",
        "policy: git.yaml\ncases: [{name: x}]\n",
    );
    let out = policy(&["test", broken.path()]);
    assert_eq!(out.status.code(), Some(2));
    assert!(
        String::from_utf8(out.stderr)
            .unwrap()
            .contains(":2:9: cases[0].binary: required, but missing")
    );
}
