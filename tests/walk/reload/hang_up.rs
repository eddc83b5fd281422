//! Whose a hang-up is: the launcher's, or the command's.

use std::process::Command;
use std::thread;
use std::time::Duration;

use harness::clients::Client;
use harness::policy::text;
use harness::run::Run;
use harness::{clients, play};
use rustix::process::Signal;

use crate::{count, file, reload, run, until};

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
