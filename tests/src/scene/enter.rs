//! The outer half of a scene: start the test again inside namespaces, wait, report.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::binary;

/// Holds the test's name in the inner half.
const SCENE_VARIABLE: &str = "RINGFENCE_SCENE";

/// Whether this process is the inner half of the scene of `test`.
pub(super) fn is_inside(test: &str) -> bool {
    std::env::var_os(SCENE_VARIABLE).is_some_and(|name| name.as_os_str() == test)
}

/// Runs `test` again in namespaces of its own and fails as it fails.
#[expect(clippy::panic, reason = "a failing scene is a failing test")]
pub(super) fn enter(test: &str, limit: Duration) {
    assert!(
        std::env::var_os(SCENE_VARIABLE).is_none(),
        "{test}: a scene cannot contain another"
    );
    let ringfence = binary::ringfence();
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        // Why the caps are kept: the scene mounts and configures before it drops to what a plain user has.
        command.args(["--user", "--map-current-user", "--keep-caps"]);
    }
    command
        .args([
            "--mount",
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--",
        ])
        // Why a shell: process 1 of a sandbox is ringfence's own and never a caller, so a test that calls from
        // this process must not be process 1 here.
        .args(["sh", "-c", "\"$@\"; exit $?", "scene"])
        .arg(std::env::current_exe().expect("/proc/self/exe is readable"))
        .args(["--exact", test, "--nocapture", "--test-threads", "1"])
        .env(SCENE_VARIABLE, test)
        .env(binary::BINARY_VARIABLE, ringfence)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("unshare (util-linux) starts");
    let printed = drain(&mut child);
    let ended = wait(&mut child, limit);
    let mut text = String::new();
    while let Ok(piece) = printed.recv_timeout(Duration::from_secs(5)) {
        text.push_str(&String::from_utf8_lossy(&piece));
    }
    eprint!("{text}");
    match ended {
        None => panic!("{test}: the scene did not end within {} s", limit.as_secs()),
        Some(status) if !status.success() => {
            panic!("{test}: the scene failed ({status}); see above")
        }
        Some(_) => assert!(
            text.contains("1 passed"),
            "{test}: the scene ran no test; is its name right?"
        ),
    }
}

/// Collects both outputs, in the order of arrival, until both are closed.
fn drain(child: &mut Child) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    let stdout: Box<dyn Read + Send> = Box::new(child.stdout.take().expect("stdout is piped"));
    let stderr: Box<dyn Read + Send> = Box::new(child.stderr.take().expect("stderr is piped"));
    for mut stream in [stdout, stderr] {
        let sender = sender.clone();
        thread::spawn(move || {
            let mut buf = vec![0; 16_384];
            while let Ok(read @ 1..) = stream.read(&mut buf) {
                if sender.send(buf[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

fn wait(child: &mut Child, limit: Duration) -> Option<std::process::ExitStatus> {
    let end = Instant::now() + limit;
    while Instant::now() < end {
        if let Some(status) = child.try_wait().expect("the scene can be waited for") {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(5));
    }
    // `--kill-child` passes this on to the scene's first process, and the kernel to the rest of the namespace.
    child.kill().expect("the scene can be killed");
    child.wait().expect("the killed scene can be reaped");
    None
}
