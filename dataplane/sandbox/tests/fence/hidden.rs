//! What the control plane keeps is out of reach, whatever the lists say (RPC-2, TR-108, SBX-3).

#![expect(
    clippy::unwrap_used,
    reason = "what is around the tests is as much a test as they are"
)]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use ringfence_sandbox::{Listed, Spec};

use crate::scene::{self, PERSON, Scene, Starter, is_root, starters};

/// A state directory below the working directory: a key, a client's key, and a socket that listens.
fn state(scene: &Scene) -> UnixListener {
    let state = scene.path("work/local/state");
    fs::create_dir_all(state.join("clients/admin")).unwrap();
    for file in ["ca.key", "clients/admin/tls.key"] {
        fs::write(state.join(file), "canary").unwrap();
    }
    let socket = UnixListener::bind(state.join("gateway.sock")).unwrap();
    open(&scene.path("work/local"));
    socket
}

/// Readable and writable for everybody: only the fence can refuse.
fn open(path: &Path) {
    fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            open(&entry.unwrap().path());
        }
    }
}

/// What a command gets out of the directory `at`; nothing when it is closed.
fn attempts(at: &str) -> String {
    format!(
        "ls -A {at}; cat {at}/ca.key {at}/clients/admin/tls.key; echo x > {at}/ca.key; echo x > {at}/new; \
         chmod 777 {at} && echo mode; rm -rf {at} && echo gone; mv {at} elsewhere && echo moved"
    )
}

fn connect(scene: &Scene, spec: &Spec, socket: &Path) -> Option<String> {
    let text = socket.display().to_string();
    let mut spec = spec.clone();
    spec.command = [scene::PROBE, "probe", "1", "none", &text, &text, "", "", ""]
        .map(Into::into)
        .to_vec();
    let out = scene.run(&spec).stdout();
    let answer = out
        .lines()
        .find_map(|line| line.strip_prefix("unix_path_0 "));
    answer.map(str::to_owned)
}

/// SBX-3, RPC-2, TR-108
#[test]
fn a_hidden_place_below_the_working_directory_is_not_listed_read_written_moved_or_connected() {
    for starter in starters() {
        let scene = Scene::new(starter);
        let _socket = state(&scene);
        let script = format!(
            "{}; echo rest > local/rest; cat local/rest",
            attempts("local/state")
        );
        let mut spec = scene.spec(&["sh", "-c", &script]);
        let socket = scene.path("work/local/state/gateway.sock");
        assert_eq!(connect(&scene, &spec, &socket).as_deref(), Some("0"));
        spec.hidden = vec![scene.path("work/local/state")];
        let run = scene.run(&spec);
        assert_eq!(run.stdout(), "rest", "{starter:?} {:?}", run.output);
        assert!(
            matches!(connect(&scene, &spec, &socket).as_deref(), Some("2" | "13")),
            "{starter:?}"
        );
        assert_eq!(
            fs::read(scene.path("work/local/state/ca.key")).unwrap(),
            b"canary"
        );
        assert!(!scene.path("work/local/state/new").exists());
    }
}

/// SBX-3: a directory above it may be moved, and takes the cover along.
#[test]
fn a_hidden_place_stays_hidden_when_its_parent_gets_another_name_or_is_listed_itself() {
    for starter in starters() {
        let scene = Scene::new(starter);
        let _socket = state(&scene);
        symlink(scene.path("work/local"), scene.path("link")).unwrap();
        let script = format!(
            "mv local other && {}; cat other/rest",
            attempts("other/state")
        );
        let mut spec = scene.spec(&["sh", "-c", &script]);
        // Another spelling than the one that is listed.
        spec.hidden = vec![scene.path("link/state")];
        for path in ["work", "work/local", "link"] {
            spec.filesystem
                .read_write
                .push(Listed::author(scene.path(path)));
        }
        fs::write(scene.path("work/local/rest"), "rest").unwrap();
        let run = scene.run(&spec);
        assert_eq!(run.stdout(), "rest", "{starter:?} {:?}", run.output);
    }
}

/// CLI-6: emptiness where files are expected would be a riddle.
#[test]
fn a_start_in_a_hidden_place_or_with_a_list_that_names_one_is_refused() {
    for starter in starters() {
        let scene = Scene::new(starter);
        let _socket = state(&scene);
        symlink(scene.path("work/local/state"), scene.path("link")).unwrap();
        let mut spec = scene.spec(&["true"]);
        spec.hidden = vec![scene.path("work/local/state"), scene.path("none")];
        let refused = |spec: &Spec, named: &str| {
            let run = scene.run(spec);
            let error = run.error();
            assert!(
                run.code() == 125 && error.contains(named) && error.contains("control plane"),
                "{starter:?} {}",
                run.told
            );
        };
        for inside in [
            "work/local/state",
            "work/local/state/clients",
            "link/clients",
        ] {
            let mut spec = spec.clone();
            spec.workdir = scene.path(inside);
            refused(&spec, inside);
        }
        for inside in ["link/ca.key", "none/such", "none"] {
            let mut listed = spec.clone();
            listed
                .filesystem
                .read_only
                .push(Listed::author(scene.path(inside)));
            refused(&listed, inside);
            let mut listed = spec.clone();
            listed
                .filesystem
                .read_write
                .push(Listed::author(scene.path(inside)));
            refused(&listed, inside);
        }
        assert!(!scene.path("none").exists(), "nothing is made on the host");
        assert_eq!(scene.run(&spec).code(), 0);
        assert!(!scene.path("none").exists(), "nothing is made on the host");
    }
}

/// ENV-1, SBX-3: whoever keeps the gateway's socket beside the runtime directories has both.
#[test]
fn a_hidden_place_above_the_runtime_directory_shows_that_alone() {
    for starter in starters() {
        let scene = Scene::new(starter);
        let run = scene.path("work/run");
        fs::create_dir_all(run.join("base/one")).unwrap();
        for file in ["key", "base/one/ca.pem"] {
            fs::write(run.join(file), file).unwrap();
        }
        open(&run);
        let script = "cat run/key; ls -A run run/base; cat run/base/one/ca.pem; touch run/x run/base/one/x && echo made";
        let mut spec = scene.spec(&["sh", "-c", script]);
        spec.runtime_dir = run.join("base/one");
        spec.hidden = vec![run.clone(), run.join("base"), run.join("base/one/ca.pem")];
        let out = scene.run(&spec).stdout();
        assert_eq!(
            out.split_ascii_whitespace().collect::<Vec<_>>(),
            ["run:", "base", "run/base:", "one", "base/one/ca.pem"],
            "{starter:?}"
        );
    }
}

/// SBX-3: a bind mount of the host is another name for the same place.
#[test]
fn a_hidden_place_is_covered_where_another_mount_shows_it() {
    if !is_root() {
        return;
    }
    for starter in starters() {
        let scene = Scene::new(starter);
        let _socket = state(&scene);
        fs::create_dir_all(scene.path("work/again")).unwrap();
        fs::create_dir_all(scene.path("work/admin")).unwrap();
        let script = "cat again/state/ca.key again/state/clients/admin/tls.key admin/tls.key; cat again/rest";
        fs::write(scene.path("work/local/rest"), "rest").unwrap();
        let mut spec = scene.spec(&["sh", "-c", script]);
        spec.hidden = vec![scene.path("work/local/state")];
        drop(scene.driver(&spec, &[]));
        let drop_to = match starter {
            Starter::Root => String::new(),
            Starter::Person => format!("setpriv --reuid {PERSON} --regid {PERSON} --clear-groups"),
        };
        let work = scene.path("work");
        let script = format!(
            "cd {} && mount --bind local again && mount --bind local/state/clients/admin admin && \
             exec {drop_to} {} drive {} {}",
            work.display(),
            scene::PROBE,
            scene.path("order.json").display(),
            scene.path("told.json").display()
        );
        let output = std::process::Command::new("unshare")
            .args(["-m", "sh", "-c", &script])
            .output()
            .unwrap();
        let run = scene.told(output);
        assert_eq!(run.stdout(), "rest", "{starter:?} {:?}", run.output);
    }
}
