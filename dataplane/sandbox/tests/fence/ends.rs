//! How a command ends, and who else does with it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use ringfence_sandbox::{Outcome, Terminal, launch_with};

use crate::scene::{self, PERSON, Scene, Starter, is_root, options, processes_with, starters};
use crate::wait_for;

/// CLI-6
#[test]
fn the_exit_code_is_the_commands_or_says_why_there_was_none() {
    for starter in starters() {
        let scene = Scene::new(starter);
        std::fs::write(scene.path("work/script"), "#!/no/such/interpreter\n").unwrap();
        std::fs::set_permissions(
            scene.path("work/script"),
            std::fs::Permissions::from_mode(0o755),
        )
        .unwrap();
        for (command, code) in [
            (&["sh", "-c", "exit 7"][..], 7),
            (&["true"], 0),
            (&["sh", "-c", "kill -9 $$"], 137),
            (&["sh", "-c", "kill -TERM $$"], 143),
            (&["/etc/passwd"], 126),
            (&["/usr"], 126),
            (&["./script"], 126),
            (&["nosuchcommand"], 127),
            (&["/no/such/command"], 127),
            (&[""], 127),
        ] {
            assert_eq!(
                scene.run(&scene.spec(command)).code(),
                code,
                "{starter:?} {command:?}"
            );
        }
        let mut spec = scene.spec(&["true"]);
        spec.run_as_user = Some("nosuchuser".to_owned());
        let run = scene.run(&spec);
        assert!(
            run.code() == 125 && run.error().contains("not found"),
            "{}",
            run.told
        );
        spec.run_as_user = Some("root".to_owned());
        assert_eq!(scene.run(&spec).code(), 125);
        let mut spec = scene.spec(&["true"]);
        spec.workdir = scene.path("no-such-directory");
        let run = scene.run(&spec);
        assert!(
            run.code() == 125 && run.error().contains("no-such-directory"),
            "{}",
            run.told
        );
    }
}

/// SBX-8, CLI-6
#[test]
fn a_time_out_ends_the_whole_tree_politely_or_not() {
    for starter in starters() {
        let scene = Scene::new(starter);
        let mark = format!("{}.25", 70_000 + std::process::id());
        let polite = format!("sleep {mark} & sleep {mark}");
        let began = Instant::now();
        let output = scene
            .driver(&scene.spec(&["sh", "-c", &polite]), &["300"])
            .output()
            .unwrap();
        assert_eq!(scene.told(output).code(), 124, "{starter:?}");
        // The impolite end comes five seconds after the polite one.
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
        let rude = format!(
            "trap '' TERM; setsid sh -c \"trap '' TERM; sleep {mark}; sleep {mark}\" & sleep {mark}; sleep {mark}"
        );
        let began = Instant::now();
        // Long enough for both to have said that they are deaf.
        let output = scene
            .driver(&scene.spec(&["sh", "-c", &rude]), &["2000"])
            .output()
            .unwrap();
        assert_eq!(scene.told(output).code(), 124, "{starter:?}");
        let took = began.elapsed();
        assert!(
            took > Duration::from_secs(7) && took < Duration::from_secs(60),
            "{took:?}"
        );
        assert_eq!(processes_with(&mark), 0);
    }
}

/// SBX-8, TR-120
#[test]
fn no_process_outlives_the_command_or_the_launcher() {
    for starter in starters() {
        let scene = Scene::new(starter);
        let mark = format!("{}.5", 80_000 + std::process::id());
        let run = scene.run(&scene.spec(&["sh", "-c", &format!("setsid sleep {mark} & exit 3")]));
        assert_eq!((run.code(), processes_with(&mark)), (3, 0), "{starter:?}");

        let command = format!("setsid sleep {mark} & echo up; exec sleep {mark}");
        let mut launcher = scene
            .driver(&scene.spec(&["sh", "-c", &command]), &[])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(launcher.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "up\n");
        assert!(processes_with(&mark) >= 1);
        launcher.kill().unwrap();
        launcher.wait().unwrap();
        let began = Instant::now();
        while processes_with(&mark) > 0 {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "{starter:?}: left over"
            );
            std::thread::yield_now();
        }
    }
}

/// SBX-8, TR-120
#[test]
fn no_process_outlives_a_killed_fence() {
    for starter in starters() {
        let scene = Scene::new(starter);
        let mark = format!("{}.75", 90_000 + std::process::id());
        let command = format!("setsid sleep {mark} & echo up; exec sleep {mark}");
        let mut launcher = scene
            .driver(&scene.spec(&["sh", "-c", &command]), &[])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(launcher.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        wait_for(&scene.path("told.json"));
        let children = format!("/proc/{0}/task", launcher.id());
        let fence = std::fs::read_dir(children)
            .unwrap()
            .flatten()
            .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
            .find_map(|children| {
                children
                    .split_whitespace()
                    .next()
                    .and_then(|pid| pid.parse().ok())
            })
            .unwrap();
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(fence).unwrap(),
            rustix::process::Signal::KILL,
        )
        .unwrap();
        assert_eq!(launcher.wait().unwrap().code(), Some(137), "{starter:?}");
        let began = Instant::now();
        while processes_with(&mark) > 0 {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "{starter:?}: left over"
            );
        }
    }
}

/// SBX-8: the launcher passes signals on, and a group gets them.
#[test]
fn a_signal_reaches_the_commands_group() {
    let scene = Scene::new(starters()[0]);
    let script = "trap 'exit 5' USR1; touch up; while :; do sleep 0.05; done";
    let mut fence = launch_with(&scene.spec(&["sh", "-c", script]), options()).unwrap();
    fence.go().unwrap();
    wait_for(&scene.path("work/up"));
    let remote = fence.remote();
    std::thread::spawn(move || remote.signal(rustix::process::Signal::USR1.as_raw()))
        .join()
        .unwrap();
    // `sleep` dies of it and the shell's trap runs.
    assert_eq!(fence.wait(), Outcome::Exited(5));
}

/// SBX-1: in the foreground the terminal's Ctrl-C reaches the command, although the launcher passes signals on too.
#[test]
fn control_c_reaches_a_command_in_the_foreground_once() {
    for starter in starters() {
        let scene = Scene::new(starter);
        let mut spec = scene.spec(&[
            "sh",
            "-c",
            "trap 'echo got >> got; hit=1' INT; test -t 0 && echo on $(tty) > /dev/tty; echo ready >&2; \
             while [ -z \"$hit\" ]; do sleep 0.05; done; sleep 0.3; trap - INT; touch armed; exec sleep 60",
        ]);
        spec.terminal = Terminal::Foreground;
        let order = scene.path("order.json");
        drop(scene.driver(&spec, &[]));
        let inner = format!(
            "{} drive {} {} 20000",
            scene::PROBE,
            order.display(),
            scene.path("told.json").display()
        );
        let mut script = std::process::Command::new("script");
        script
            .args(["-qec", &inner, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if is_root() && starter == Starter::Person {
            script.uid(PERSON).gid(PERSON);
        }
        let mut terminal = script.spawn().unwrap();
        let mut output = BufReader::new(terminal.stdout.take().unwrap());
        let mut seen = String::new();
        while !seen.contains("ready") && output.read_line(&mut seen).unwrap() > 0 {}
        assert!(seen.contains("on /dev/pts/"), "{starter:?}: {seen}");
        let keys = terminal.stdin.as_mut().unwrap();
        keys.write_all(b"\x03").unwrap();
        wait_for(&scene.path("work/armed"));
        let got = std::fs::read_to_string(scene.path("work/got")).unwrap();
        assert_eq!(got, "got\n", "{starter:?}");
        keys.write_all(b"\x03").unwrap();
        assert_eq!(terminal.wait().unwrap().code(), Some(130), "{starter:?}");
        let told: serde_json::Value =
            serde_json::from_slice(&std::fs::read(scene.path("told.json")).unwrap()).unwrap();
        assert_eq!(told["outcome"], "Signalled(2)");
    }
}
