//! A running sandbox whose policy and routes change: SIGHUP, `--watch`, and what `status` says (VECTORS.md 9 and 11).

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use harness::clients::Client;
use harness::http::{End, Reader};
use harness::policy::{ANY, private, text};
use harness::raw::{Fence, Raw, TlsRaw};
use harness::run::{Run, Running};
use harness::scene::{PRIVATE, Scene};
use harness::{clients, model, play};
use rustix::process::Signal;
use rustls::ClientConfig;
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

fn stream(fence: &Fence, trust: &Arc<ClientConfig>, words: &str) -> Reader<TlsRaw> {
    let mut reader = fence.inference(trust, 65_536);
    let body = format!(r#"{{"model":"any","stream":true,"messages":"{words}"}}"#);
    write!(
        reader.stream,
        "POST /v1/chat/completions HTTP/1.1\r\nHost: inference.local\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("sent");
    reader
}

/// SF-10, TR-061, RTE-11, ENV-4
#[test]
fn ten_running_streams_are_not_cut_by_new_routes_that_hold_from_the_next_request() {
    play(|scene| {
        let first = model::start(&format!("{PRIVATE}:8000"), None);
        let second = model::start(&format!("{PRIVATE}:8001"), None);
        let at = |port: u16| model::routes(&format!("http://{PRIVATE}:{port}/v1"));
        let routes = file(scene, "routes.yaml", &at(8000));
        let policy = file(scene, "policy.yaml", &text("", ""));
        let fence = run(scene, &policy).flag("--routes").flag(&routes).fence();
        let (running, trust) = (started(fence.running()), fence.trust());
        let mut streams: Vec<_> = (0..10)
            .map(|_| {
                let mut reader = stream(&fence, &trust, "do:gate=go do:events=3");
                reader.head().unwrap();
                reader.chunk().unwrap();
                reader
            })
            .collect();
        let ask = || {
            let since = Instant::now();
            let answer = stream(&fence, &trust, "hello")
                .final_answer("POST")
                .unwrap();
            assert_eq!((answer.message.status(), answer.end), (200, End::Complete));
            since.elapsed()
        };
        let before = ask();
        let calls = (first.requests().len(), second.requests().len());
        assert_eq!(calls, (11, 0));
        std::fs::write(&routes, at(8001)).unwrap();
        reload(running, "SNAPSHOT_APPLIED");
        let after = ask();
        println!("a request took {before:?} before and {after:?} after the change");
        assert!(after < before + LIMIT / 2);
        assert_eq!((first.requests().len(), second.requests().len()), (11, 1));
        // Broken routes: those in force stay.
        std::fs::write(&routes, at(8001).replace("api_key:", "api_kee:")).unwrap();
        reload(running, "POLICY_FAILED");
        assert!(
            !running.said().contains(model::key()),
            "no message repeats a key"
        );
        ask();
        let directory = fence.variable("RINGFENCE_RUNTIME_DIR");
        let inside = || -> Value {
            let text = fence.file(&format!("{directory}/inference.json"));
            serde_json::from_slice(&text).unwrap()
        };
        assert_eq!(inside()["available"], true);
        std::fs::write(&routes, "routes: []\n").unwrap();
        reload(running, "SNAPSHOT_APPLIED");
        let none = stream(&fence, &trust, "hello")
            .final_answer("POST")
            .unwrap();
        assert_eq!(none.message.status(), 503);
        assert_eq!(inside()["available"], false);
        std::fs::write(scene.work().join("go"), "").unwrap();
        for stream in &mut streams {
            let mut last = Vec::new();
            while let Ok(chunk) = stream.chunk() {
                if chunk.is_empty() {
                    break;
                }
                last = chunk;
            }
            assert!(String::from_utf8(last).unwrap().contains("[DONE]"));
        }
        drop(streams);
        let ended = fence.end();
        let cut = ended
            .records_of("INFERENCE")
            .iter()
            .filter(|record| record["end"] == "cut" || record["end"] == "client_gone")
            .count();
        assert_eq!(cut, 0, "{}", ended.story());
    });
}

/// TR-073 and item 7: whole or not at all; one broken file keeps the other from being put in force alone.
#[test]
fn a_good_policy_beside_broken_routes_is_not_put_in_force() {
    play(|scene| {
        echo(7000);
        let policy = file(scene, "policy.yaml", &text("", ""));
        let routes = file(scene, "routes.yaml", "routes: []\n");
        let fence = run(scene, &policy).flag("--routes").flag(&routes).fence();
        let running = started(fence.running());
        std::fs::write(&policy, api()).unwrap();
        std::fs::write(&routes, "routes: {}\n").unwrap();
        reload(running, "POLICY_FAILED");
        assert!(
            running.said().contains("routes.yaml:1:"),
            "{}",
            running.said()
        );
        assert_eq!(connect(&fence, "api.test:7000").0, 403);
        std::fs::write(&routes, "routes: []\n").unwrap();
        reload(running, "POLICY_LOADED");
        assert_eq!(connect(&fence, "api.test:7000").0, 200);
        fence.end();
    });
}

/// LIV-11, decision 0014
#[test]
fn a_hang_up_signal_is_the_commands_only_when_there_is_nothing_to_reload() {
    play(|scene| {
        let script =
            "trap 'exit 6' HUP; trap 'exit 5' TERM; : >/mnt/work/up; while :; do sleep 0.05; done";
        let up = scene.work().join("up");
        let start = |run: Run| {
            drop(std::fs::remove_file(&up));
            let running = run.sh(script).start();
            until("the command is up", &running, || up.exists());
            running
        };
        let policy = file(scene, "policy.yaml", &text("", ""));
        let running = start(run(scene, &policy));
        reload(&running, "POLICY_LOADED");
        thread::sleep(Duration::from_millis(200));
        running.signal(Signal::TERM);
        let ended = running.wait();
        assert_eq!(ended.code(), Some(5), "{}", ended.story());
        // The restrictive default is no file.
        let bare = scene.run().flag("--user").flag("agent:agent").command([
            "sh",
            "-c",
            "kill -s HUP $$; exit 3",
        ]);
        assert_eq!(bare.end().code(), Some(128 + 1));
        let running = scene
            .run()
            .flag("--user")
            .flag("agent:agent")
            .command(["sleep", "60"])
            .start();
        until("it runs", &running, || {
            count(&running, "POLICY_LOADED") == 1
        });
        running.signal(Signal::HUP);
        assert_eq!(running.wait().code(), Some(128 + 1));
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

/// LIV-11, decision 0014: a terminal that goes away ends the session in it, files or not.
#[test]
fn a_terminal_that_goes_away_reaches_the_command() {
    if !clients::present(&[Client::Program("python3")]) {
        return;
    }
    play(|scene| {
        let policy = file(scene, "policy.yaml", &text("", ""));
        let script = "trap 'echo gone >/mnt/work/gone; exit 7' HUP; trap 'exit 5' TERM; : >/mnt/work/up; while :; do sleep 0.05; done";
        // The launcher leads the session of a terminal that its other end then closes. Whoever runs the tests may ignore
        // the signal, and their children would with them.
        let terminal = "import os, pty, signal, sys, time\n\
            pid, master = pty.fork()\n\
            how = signal.SIG_IGN if sys.argv[1] == 'nohup' else signal.SIG_DFL\n\
            if pid == 0: signal.signal(signal.SIGHUP, how)\n\
            if pid == 0: os.execv(sys.argv[2], sys.argv[2:])\n\
            while not os.path.exists('/mnt/work/up'): time.sleep(0.01)\n\
            os.close(master)\n\
            if sys.argv[1] == 'nohup': time.sleep(0.5); os.kill(pid, signal.SIGTERM)\n\
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n";
        for (how, code, seen) in [("plain", "7", true), ("nohup", "5", false)] {
            for left in ["up", "gone"] {
                drop(std::fs::remove_file(scene.work().join(left)));
            }
            let output = Command::new("python3")
                .args(["-c", terminal, how])
                .arg(scene.ringfence())
                .args(["run", "--policy"])
                .arg(&policy)
                .args(["--", "sh", "-c", script])
                .current_dir(scene.work())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{said}");
            assert_eq!(
                String::from_utf8_lossy(&output.stdout).trim(),
                code,
                "{how}"
            );
            assert_eq!(scene.work().join("gone").exists(), seen, "{how}");
        }
    });
}
