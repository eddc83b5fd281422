//! The fence from outside and from inside: what a hostile command tries, and how starts and ends go.

mod attempts;
mod ends;
mod hidden;
mod paths;
mod scene;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use ringfence_sandbox::{Connects, Listed, Observe, Outcome, launch_with};

use scene::{Scene, Starter, is_root, options, starters};

/// SBX-5, TR-116
#[test]
fn the_command_is_the_named_user_with_no_other_group() {
    for starter in starters() {
        let scene = Scene::new(starter);
        let mut spec = scene.spec(&["sh", "-c", "id -u; id -g; id -G"]);
        spec.run_as_user = Some("daemon".to_owned());
        assert_eq!(scene.run(&spec).stdout(), "1\n1\n1", "{starter:?}");
        spec.run_as_group = Some("4321".to_owned());
        assert_eq!(scene.run(&spec).stdout(), "1\n4321\n4321", "{starter:?}");
    }
    if is_root() {
        let scene = Scene::new(Starter::Root);
        let mut spec = scene.spec(&["true"]);
        spec.run_as_user = None;
        let run = scene.run(&spec);
        assert!(
            run.code() == 125 && run.error().contains("--user"),
            "{}",
            run.told
        );
    }
}

/// ENV-1, TR-117
#[test]
fn the_environment_is_what_was_ordered_and_nothing_else() {
    for starter in starters() {
        let scene = Scene::new(starter);
        let mut spec = scene.spec(&["env"]);
        spec.env = vec![
            ("PATH".into(), "/usr/bin".into()),
            ("A".into(), "b=c\n".into()),
        ];
        assert_eq!(
            scene.run(&spec).stdout(),
            "A=b=c\n\nPATH=/usr/bin",
            "{starter:?}"
        );
        let run = scene.run(&scene.spec(&[
            "sh",
            "-c",
            "cat /proc/*/environ /proc/*/cmdline 2>/dev/null",
        ]));
        assert!(!run.stdout().contains("sk-launcher"));
    }
}

/// SBX-4: what the launcher's own parent left open does not get in.
#[test]
fn a_descriptor_the_launcher_inherited_stays_outside() {
    let scene = Scene::new(starters()[0]);
    drop(scene.driver(&scene.spec(&["sh", "-c", "ls /proc/self/fd | wc -l"]), &[]));
    let script = format!(
        "exec 9< /etc/passwd 23< /dev/null; exec {} drive {} {}",
        scene::PROBE,
        scene.path("order.json").display(),
        scene.path("told.json").display()
    );
    let output = std::process::Command::new("bash")
        .args(["-c", &script])
        .output()
        .unwrap();
    // Three, and the one of `ls`.
    assert_eq!(scene.told(output).stdout(), "4");
}

/// GEN-5, SBX-1
#[test]
fn nothing_is_executed_without_the_word() {
    let scene = Scene::new(starters()[0]);
    let fence = launch_with(&scene.spec(&["sh", "-c", "echo ran > ran"]), options()).unwrap();
    drop(fence);
    assert!(!scene.path("work/ran").exists());
    let mut fence = launch_with(&scene.spec(&["sh", "-c", "echo ran > ran"]), options()).unwrap();
    assert_eq!(fence.go().unwrap().entry_pid_inside, 2);
    assert_eq!(fence.wait(), Outcome::Exited(0));
    assert!(scene.path("work/ran").exists());
}

/// IDN-2: a call waits for whoever holds the descriptor, and fails when nobody does.
#[test]
fn a_connect_that_nobody_sees_fails() {
    for starter in starters() {
        // A launcher of another user is a process of its own, which has no data plane.
        if is_root() && starter == Starter::Person {
            continue;
        }
        let scene = Scene::new(starter);
        let script = "exec 3<>/dev/tcp/127.0.0.1/3128 || echo refused > answer";
        let mut spec = scene.spec(&["bash", "-c", script]);
        spec.observe = Observe::Connects;
        let mut fence = launch_with(&spec, options()).unwrap();
        let handed = fence.listeners.hand_over().unwrap();
        assert!(handed.calls.is_some() && fence.listeners.calls.is_none());
        drop(handed);
        assert_eq!(fence.go().unwrap().connects, Connects::Observed);
        assert_eq!(fence.wait(), Outcome::Exited(0));
        assert_eq!(
            std::fs::read(scene.path("work/answer")).unwrap(),
            b"refused\n"
        );
    }
}

/// GEN-3, GEN-4, INF-29
#[test]
fn what_the_command_connects_to_arrives_at_the_listeners_that_were_handed_over() {
    let scene = Scene::new(starters()[0]);
    let script =
        "curl -s --noproxy '*' http://inference.local:443/direct http://127.0.0.1:3128/proxy";
    let mut fence = launch_with(&scene.spec(&["sh", "-c", script]), options()).unwrap();
    fence.go().unwrap();
    let copies = fence.listeners.hand_over().unwrap();
    // Before the command is answered, with which it ends.
    let proc = format!("/proc/self/fd/{}", fence.listeners.proc.as_raw_fd());
    assert_eq!(
        std::fs::read_to_string(format!("{proc}/1/comm"))
            .unwrap()
            .trim(),
        "fence-probe"
    );
    for (listener, path) in [(copies.direct, "/direct"), (copies.proxy, "/proxy")] {
        let listener = TcpListener::from(listener);
        let (mut stream, peer) = listener.accept().unwrap();
        assert!(peer.ip().is_loopback());
        let mut head = [0; 1024];
        let got = stream.read(&mut head).unwrap();
        assert!(head[..got].starts_with(format!("GET {path} ").as_bytes()));
        stream
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .unwrap();
    }
    // The sandbox's listeners are not the host's.
    assert!(TcpStream::connect("127.0.0.1:3128").is_err());
    assert_eq!(fence.wait(), Outcome::Exited(0));
}

/// IDN-1, IDN-4: the handed-over `/proc` shows who the entry process is, by the sandbox's own numbers.
#[test]
fn the_data_plane_reads_the_executable_of_a_process_inside() {
    let scene = Scene::new(starters()[0]);
    let mut fence = launch_with(&scene.spec(&["sleep", "60"]), options()).unwrap();
    let entry = fence.go().unwrap().entry_pid_inside;
    let exe = std::fs::read_link(format!(
        "/proc/self/fd/{}/{entry}/exe",
        fence.listeners.proc.as_raw_fd()
    ))
    .unwrap();
    assert_eq!(exe.file_name().unwrap(), "sleep");
    fence.remote().stop();
    assert_eq!(fence.wait(), Outcome::Signalled(15));
}

/// SBX-6: what the filter refuses does not break ordinary programs.
#[test]
fn ordinary_programs_run() {
    for starter in starters() {
        let scene = Scene::new(starter);
        for (command, answer) in [
            (
                &[
                    "bash",
                    "-c",
                    "cat <(echo one) | tee /dev/fd/1 > /dev/null; echo $((1+1))",
                ][..],
                "2",
            ),
            (
                &[
                    "python3",
                    "-c",
                    "import subprocess,threading,tempfile,os; t=threading.Thread(target=lambda: print(subprocess.check_output(['echo','hi']).decode().strip())); t.start(); t.join()",
                ],
                "hi",
            ),
            (
                &[
                    "sh",
                    "-c",
                    "command -v node > /dev/null || { echo 42; exit; }; node -e 'const{Worker}=require(\"worker_threads\"); new Worker(\"console.log(42)\",{eval:true})'",
                ],
                "42",
            ),
            (
                &["sh", "-c", "getent hosts inference.local"],
                "127.0.0.1       inference.local",
            ),
        ] {
            let mut spec = scene.spec(command);
            let home = Listed::author("/root/.pyenv");
            spec.filesystem.read_only.push(Listed {
                path: home.path,
                origin: ringfence_sandbox::Origin::Baseline,
            });
            let run = scene.run(&spec);
            assert_eq!(
                run.stdout(),
                answer,
                "{starter:?} {command:?} {} {:?}",
                run.told,
                run.output
            );
        }
    }
}

/// Until a file exists, for at most half a minute.
fn wait_for(path: &std::path::Path) {
    let began = Instant::now();
    while !path.exists() {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "{}",
            path.display()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}
