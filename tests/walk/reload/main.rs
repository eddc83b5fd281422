//! A running sandbox whose policy and routes change: SIGHUP, `--watch`, and what `status` says (VECTORS.md 9 and 11).

mod files;
mod hang_up;
mod routes;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use harness::http::{End, Reader};
use harness::play;
use harness::policy::{ANY, private, text};
use harness::raw::{Fence, Raw};
use harness::run::{Run, Running};
use harness::scene::{PRIVATE, Scene};
use rustix::process::Signal;
use serde_json::Value;

/// How long anything may take to come about. Never what a test waits for.
const LIMIT: Duration = Duration::from_secs(10);

/// A file that only the launcher may read.
fn file(scene: &Scene, name: &str, text: &str) -> PathBuf {
    let path = scene.private().join(name);
    std::fs::write(&path, text).expect("as the harness made it");
    path
}

/// Waits until the files were read for the first time.
fn started(running: &Running) -> &Running {
    until("it runs", running, || count(running, "POLICY_LOADED") > 0);
    running
}

fn run(scene: &Scene, policy: &Path) -> Run {
    scene.run().flag("--policy").flag(policy)
}

fn until(what: &str, running: &Running, met: impl Fn() -> bool) {
    let end = Instant::now() + LIMIT;
    while !met() {
        assert!(
            Instant::now() < end,
            "{what}; said: {}; recorded: {}",
            running.said(),
            running.recorded()
        );
        thread::sleep(Duration::from_millis(5));
    }
}

/// How often a record of this kind was written.
fn count(running: &Running, msg: &str) -> usize {
    running
        .recorded()
        .matches(&format!(r#""msg":"{msg}""#))
        .count()
}

/// Asks for a reload and waits until it is answered by one more record of `msg`.
fn reload(running: &Running, msg: &str) {
    let before = count(running, msg);
    running.signal(Signal::HUP);
    until(msg, running, || count(running, msg) > before);
}

/// An echo server of the scene.
fn echo(port: u16) {
    let listener = TcpListener::bind((PRIVATE, port)).expect("as the harness made it");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut buf = [0; 1024];
                while let Ok(read @ 1..) = stream.read(&mut buf) {
                    if stream.write_all(&buf[..read]).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

/// CONNECT; the status, and the connection.
fn connect(fence: &Fence, authority: &str) -> (u16, Reader<Raw>) {
    let mut reader = Reader::new(fence.proxy());
    write!(
        reader.stream,
        "CONNECT {authority} HTTP/1.1\r\nHost: x.test\r\n\r\n"
    )
    .expect("as the harness made it");
    let head = String::from_utf8(reader.head().expect("as the harness made it"))
        .expect("as the harness made it");
    (head[9..12].parse().expect("as the harness made it"), reader)
}

fn flows(tunnel: &mut Reader<Raw>) {
    tunnel
        .stream
        .write_all(b"ping")
        .expect("as the harness made it");
    assert_eq!(tunnel.exactly(4).expect("as the harness made it"), b"ping");
}

/// The facts of the sandbox named `name`, as `ringfence status` tells them.
fn status(scene: &Scene, name: &str) -> Option<Value> {
    let output = Command::new(scene.ringfence())
        .args(["status", "--output", "json"])
        .env_remove("XDG_RUNTIME_DIR")
        .output()
        .expect("as the harness made it");
    assert!(output.status.success());
    let all: Value = serde_json::from_slice(&output.stdout).expect("as the harness made it");
    let sandboxes = all["sandboxes"].as_array().expect("as the harness made it");
    sandboxes
        .iter()
        .find(|facts| facts["name"] == name)
        .cloned()
}

fn table(scene: &Scene) -> String {
    let output = Command::new(scene.ringfence())
        .arg("status")
        .env_remove("XDG_RUNTIME_DIR")
        .output()
        .expect("as the harness made it");
    String::from_utf8(output.stdout).expect("as the harness made it")
}

fn api() -> String {
    text(&private("api", "api.test", 7000, ANY), "")
}

/// LIV-10, LIV-11, PD-16, TR-070, CLI-22
#[test]
fn a_reload_puts_the_policy_in_force_and_one_in_error_leaves_the_last_good() {
    play(|scene| {
        echo(7000);
        let policy = file(scene, "live.yaml", &text("", ""));
        let name = format!("live-{}", std::process::id());
        let fence = run(scene, &policy).flag("--name").flag(&name).fence();
        let running = started(fence.running());
        assert_eq!(connect(&fence, "api.test:7000").0, 403);
        std::fs::write(&policy, api()).unwrap();
        reload(running, "POLICY_LOADED");
        let (allowed, mut tunnel) = connect(&fence, "api.test:7000");
        assert_eq!(allowed, 200);
        flows(&mut tunnel);
        let good = status(scene, &name).unwrap();
        assert_eq!(good["policy"]["version"], 2);
        assert_eq!(good["policy"]["file"], policy.to_str().unwrap());
        assert_eq!(good["reload_error"], Value::Null);
        // Broken: all of it is refused, once, at its place.
        let broken = api().replace("port: 7000", "prot: 7000");
        let line = 1 + broken
            .lines()
            .position(|line| line.contains("prot"))
            .unwrap();
        std::fs::write(&policy, &broken).unwrap();
        reload(running, "POLICY_FAILED");
        running.signal(Signal::HUP);
        running.signal(Signal::HUP);
        flows(&mut tunnel);
        assert_eq!(connect(&fence, "api.test:7000").0, 200);
        let place = format!("{}:{line}:", policy.display());
        let bad = status(scene, &name).unwrap();
        assert!(
            bad["reload_error"]["error"]
                .as_str()
                .unwrap()
                .starts_with(&place),
            "{bad}"
        );
        assert_eq!(bad["policy"], good["policy"]);
        assert!(table(scene).contains(&place), "{}", table(scene));
        // The same error of other contents is news.
        std::fs::write(&policy, format!("{broken}\n")).unwrap();
        reload(running, "POLICY_FAILED");
        assert_eq!(
            running
                .said()
                .matches("not reloaded, what was in force stays:")
                .count(),
            2
        );
        assert_eq!(count(running, "POLICY_FAILED"), 2);
        // Good again, and without the tunnel.
        std::fs::write(&policy, text("", "")).unwrap();
        let since = Instant::now();
        reload(running, "POLICY_LOADED");
        assert_eq!(tunnel.drain(), (Vec::new(), End::Complete));
        assert!(since.elapsed() < LIMIT);
        assert_eq!(connect(&fence, "api.test:7000").0, 403);
        assert_eq!(status(scene, &name).unwrap()["reload_error"], Value::Null);
        drop(tunnel);
        let ended = fence.end();
        assert_eq!(ended.code(), Some(0), "{}", ended.story());
        let versions: Vec<_> = ended
            .records_of("POLICY_LOADED")
            .iter()
            .map(|record| record["policy_version"].as_u64().unwrap())
            .collect();
        assert_eq!(versions, [1, 2, 3]);
        let [failed, _] = ended.records_of("POLICY_FAILED")[..] else {
            unreachable!("{}", ended.story());
        };
        assert_eq!(failed["policy_hash"], good["policy"]["hash"]);
        assert!(
            failed["error"].as_str().unwrap().starts_with(&place),
            "{failed}"
        );
        let revoked = ended.records_of("TUNNEL_CLOSED");
        assert!(
            revoked
                .iter()
                .any(|record| record["end"] == "tunnel_revoked"),
            "{}",
            ended.story()
        );
        assert_eq!(status(scene, &name), None);
    });
}

/// PD-11, PD-12, PD-13, LIV-3, LIV-4
#[test]
fn a_running_sandbox_takes_new_paths_and_refuses_to_lose_any() {
    play(|scene| {
        let policy = file(scene, "live.yaml", &api());
        let fence = run(scene, &policy).fence();
        let running = started(fence.running());
        let removed = api().replace("/mnt/bin, ", "");
        std::fs::write(&policy, removed).unwrap();
        reload(running, "POLICY_FAILED");
        let said = running.said();
        let at = api()
            .lines()
            .position(|line| line.contains("read_only"))
            .unwrap()
            + 1;
        let expected = format!(
            "{}:{at}:3: filesystem_policy.read_only: `/mnt/bin` cannot be removed on a live sandbox",
            policy.display()
        );
        assert!(said.contains(&expected), "{said}");
        std::fs::write(
            &policy,
            api().replace("run_as_group: agent", "run_as_group: '1'"),
        )
        .unwrap();
        reload(running, "POLICY_FAILED");
        assert!(
            running
                .said()
                .contains("process.run_as_group: cannot change from `agent` to `1`")
        );
        std::fs::write(&policy, api().replace("/mnt/bin,", "/mnt/bin, /opt,")).unwrap();
        reload(running, "POLICY_LOADED");
        // Other spaces and another order of keys are the same policy.
        let same = api().replace("/mnt/bin,", "/mnt/bin,   /opt,");
        let (version, rest) = same.split_once('\n').unwrap();
        std::fs::write(&policy, format!("{rest}\n{version}\n")).unwrap();
        reload(running, "POLICY_LOADED");
        let ended = fence.end();
        let loaded = ended.records_of("POLICY_LOADED");
        let [_, second, third] = loaded[..] else {
            unreachable!("{}", ended.story());
        };
        for key in ["policy_version", "policy_hash"] {
            assert_eq!(second[key], third[key], "{}", ended.story());
        }
    });
}
