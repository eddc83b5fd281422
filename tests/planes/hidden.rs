//! What a sandbox sees of the control plane that it belongs to: nothing.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use harness::clients::{Client, present};
use harness::play;

use crate::plane::Plane;

/// A command that goes through a directory as its owner could, and says what it got.
const ATTEMPTS: &str = r"
import os, socket, sys
for place in sys.argv[1:]:
    for path in [place] + [os.path.join(place, name) for name in
            ('gateway.sock', 'secrets.key', 'credentials.key', 'ca.key', 'config.yaml', 'tls.key',
             'clients/admin/tls.key', 'clusters/prod/mtls/tls.key')]:
        for name, attempt in [
            ('list', lambda: os.listdir(path)),
            ('read', lambda: open(path, 'rb').read()),
            ('write', lambda: open(path, 'r+b').write(b'x')),
            ('make', lambda: open(os.path.join(path, 'made'), 'wb')),
            ('chmod', lambda: os.chmod(path, 0o777)),
            ('move', lambda: os.rename(path, path + '.moved')),
            ('connect', lambda: socket.socket(socket.AF_UNIX).connect(path)),
        ]:
            try:
                attempt()
                print('GOT', name, path)
            except OSError:
                pass
open('beside', 'w').write('x')
print('tried')
";

/// RPC-2, SBX-3, TR-108, SECURITY 29: the working directory is the home that holds all of it.
#[test]
fn a_command_that_starts_in_its_home_reaches_no_key_and_no_socket_of_the_control_plane() {
    if !present(&[Client::Program("python3")]) {
        return;
    }
    play(|scene| {
        let plane = Plane::start(scene);
        let state = plane.state();
        let home = state.parent().expect("a directory above").to_owned();
        let config = home.join("config/ringfence");
        let host = home.join("host");
        fs::create_dir_all(config.join("clusters/prod/mtls")).unwrap();
        for file in ["config.yaml", "clusters/prod/mtls/tls.key"] {
            fs::write(config.join(file), "output: table\n").unwrap();
        }
        plane.done(&[
            "gateway",
            "enroll",
            "worker-1",
            "--out",
            &host.display().to_string(),
        ]);
        // Only the fence may be what refuses.
        open(&home);
        let places = [&state, &config, &host].map(|place| place.display().to_string());
        let run = |name: &str, workdir: &Path, policy: &str| {
            let run = plane.run(name).policy(policy);
            [
                ("XDG_CONFIG_HOME", home.join("config").as_path()),
                ("RINGFENCE_HOST_CERTIFICATE", &host),
                ("RINGFENCE_HOST_ID", Path::new("worker-1")),
                ("RINGFENCE_WORKDIR", workdir),
            ]
            .into_iter()
            .fold(run, |run, (name, path)| {
                run.outer_env(name, &path.display().to_string())
            })
        };
        let attempts = ["python3", "-c", ATTEMPTS].map(str::to_owned);
        let attempts = || attempts.iter().chain(&places);
        let listed = format!(
            "version: 1\nfilesystem_policy: {{include_workdir: true, read_write: [{}]}}\n",
            home.display()
        );
        for (name, policy) in [("first", "version: 1\n"), ("second", &listed)] {
            let run = run(name, &home, policy).command(attempts());
            let ended = run.end().success();
            assert_eq!(ended.out().trim(), "tried", "{}", ended.story());
            fs::remove_file(home.join("beside")).expect("the rest of the home is writable");
        }
        for place in &places {
            let inside = run("inside", Path::new(place), "version: 1\n").command(["true"]);
            let ended = inside.end();
            assert_eq!(ended.code(), Some(125), "{}", ended.story());
            assert!(ended.err().contains(place.as_str()), "{}", ended.story());
        }
    });
}

/// SBX-3: a second name of the socket, in a directory that the policy lists, is of no use in the sandbox. As root the command
/// is another user's too; as a person it is told apart by its namespaces alone.
#[test]
fn a_socket_that_a_sandbox_does_reach_gives_it_no_role() {
    if !present(&[Client::Program("curl")]) {
        return;
    }
    play(|scene| {
        let plane = Plane::start(scene);
        let home = plane.state().parent().expect("one above").to_owned();
        let link = home.join("second-name");
        fs::hard_link(plane.socket(), &link).unwrap();
        open(&home);
        let ask = ["curl", "-sS", "-w", "%{http_code}", "--unix-socket"].map(str::to_owned);
        let ask = ask.iter().cloned().chain([
            link.display().to_string(),
            "http://gateway/health".to_owned(),
        ]);
        let listed = format!(
            "version: 1\nfilesystem_policy: {{include_workdir: false, read_write: [{}]}}\n",
            home.display()
        );
        let ended = plane
            .run("knocks")
            .policy(&listed)
            .command(ask.clone())
            .end();
        assert_eq!(ended.out(), "403", "{}", ended.story());
        let ask: Vec<_> = ask.collect();
        let outside = Command::new(&ask[0]).args(&ask[1..]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&outside.stdout), "200");
    });
}

/// SBX-3
#[test]
fn the_gateway_refuses_who_lives_in_other_namespaces() {
    play(|scene| {
        let plane = Plane::start(scene);
        let socket = format!("unix:{}", plane.socket().display());
        for (flags, code) in [
            (&["--net"][..], 0),
            (&["--user", "--map-root-user"], 1),
            (&["--user", "--map-root-user", "--pid", "--fork"], 1),
        ] {
            let asked = Command::new("unshare")
                .args(flags)
                .arg(scene.ringfence())
                .args(["--gateway", &socket, "provider", "list"])
                .env_clear()
                .env("PATH", "/usr/bin:/bin")
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&asked.stderr);
            assert_eq!(asked.status.code(), Some(code), "{flags:?}: {said}");
            assert_eq!(said.contains("no role"), code != 0, "{flags:?}: {said}");
        }
    });
}

fn open(path: &Path) {
    fs::set_permissions(path, Permissions::from_mode(0o777)).expect("a file of the scene");
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a file of the scene") {
            open(&entry.expect("a file of the scene").path());
        }
    }
}
