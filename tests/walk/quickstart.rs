//! The README's first command does what the README says, on this machine as it is: no scene, no network.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use harness::binary;
use harness::clients::{Client, present};

/// The README's command, from `run` on.
const WORDS: &[&str] = &[
    "run",
    "--policy",
    "docs/quickstart/policy.yaml",
    "--routes",
    "docs/quickstart/routes.yaml",
    "--",
    "sh",
    "docs/quickstart/hello.sh",
];

#[test]
fn the_first_command_streams_an_answer_shows_a_refusal_and_ends_with_zero() {
    if !present(&[Client::Program("curl")]) {
        return;
    }
    let mut child = Command::new(binary::ringfence())
        .args(WORDS)
        .current_dir(binary::workspace())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    let started = Instant::now();
    let watch = thread::spawn(move || {
        while started.elapsed() < Duration::from_secs(60) {
            thread::sleep(Duration::from_millis(50));
            if rustix::process::test_kill_process(pid).is_err() {
                return;
            }
        }
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap_or_default();
    });
    let mut stdout = child.stdout.take().unwrap();
    let out = thread::spawn(move || std::io::read_to_string(&mut stdout).unwrap_or_default());
    let err = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    let out = out.join().unwrap();
    let status = child.wait().unwrap();
    watch.join().unwrap();
    assert!(status.success(), "{status}\n{out}\n{err}");
    assert!(
        out.contains("data: ") && out.contains("[DONE]"),
        "a streamed completion is shown: {out}"
    );
    let spoken: String = out
        .lines()
        .filter_map(|line| {
            serde_json::from_str::<serde_json::Value>(line.strip_prefix("data: ")?).ok()
        })
        .filter_map(|event| Some(event["choices"][0]["delta"]["content"].as_str()?.to_owned()))
        .collect();
    assert_eq!(spoken, "Hello from ringfence mock backend", "{out}");
    assert!(
        out.contains("policy_denied"),
        "a denied request is shown with its reason: {out}"
    );
}

#[test]
fn the_readme_shows_that_command_on_its_first_screen() {
    let readme = std::fs::read_to_string(binary::workspace().join("README.md")).unwrap();
    let screen = readme
        .lines()
        .take(60)
        .collect::<Vec<_>>()
        .join("\n")
        .replace("\\\n", " ");
    let words: Vec<_> = screen.split_whitespace().collect();
    let command = [&["cargo", "run", "--release", "--"], WORDS].concat();
    assert!(
        words.windows(command.len()).any(|window| window == command),
        "{}",
        command.join(" ")
    );
}
