//! What the command can see, read and write.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;

use ringfence_sandbox::{Compatibility, Listed};

use crate::scene::{self, PERSON, Scene, Starter, is_root, starters};

/// LK-1, LK-2, LLK-2, LLK-3, LLK-4, BAS-4, TR-113
#[test]
fn a_missing_path_is_skipped_and_reported_or_ends_the_start() {
    for starter in starters() {
        let scene = Scene::new(starter);
        let mut spec = scene.spec(&["sh", "-c", "cat ../secret-file || cat ../listed/file"]);
        spec.filesystem
            .read_only
            .push(Listed::baseline("/no/such/baseline"));
        let run = scene.run(&spec);
        assert_eq!(
            (
                run.told["started"]["landlock"].as_str(),
                run.stdout().as_str()
            ),
            (Some("Full"), "secret"),
            "{starter:?}"
        );
        assert_eq!(run.told["started"]["skipped"][0]["degrades"], false);
        spec.compatibility = Compatibility::HardRequirement;
        assert_eq!(scene.run(&spec).code(), 0);
        spec.filesystem
            .read_only
            .push(Listed::author("/no/such/listed"));
        let run = scene.run(&spec);
        assert!(
            run.code() == 125 && run.error().contains("/no/such/listed"),
            "{}",
            run.told
        );
        spec.compatibility = Compatibility::BestEffort;
        let run = scene.run(&spec);
        assert_eq!(
            (
                run.told["started"]["landlock"].as_str(),
                run.stdout().as_str()
            ),
            (Some("Partial"), "secret"),
            "{starter:?}"
        );
        assert_eq!(run.told["started"]["skipped"][1]["path"], "/no/such/listed");
    }
}

/// SBX-1, SBX-7, TR-118
#[test]
fn a_missing_read_write_directory_is_made_and_a_link_is_not_followed() {
    for starter in starters() {
        let scene = Scene::new(starter);
        std::os::unix::fs::symlink("/var/tmp", scene.path("link")).unwrap();
        let mut spec = scene.spec(&["sh", "-c", "echo x > ../made/deep/file"]);
        spec.filesystem.read_write = vec![
            Listed::author(scene.path("made/deep")),
            Listed::author(scene.path("link/ringfence-made")),
        ];
        let run = scene.run(&spec);
        assert_eq!(run.code(), 0, "{starter:?} {}", run.told);
        assert_eq!(
            std::fs::metadata(scene.path("made/deep/file"))
                .unwrap()
                .uid(),
            if is_root() {
                PERSON
            } else {
                rustix::process::getuid().as_raw()
            }
        );
        assert!(!std::path::Path::new("/var/tmp/ringfence-made").exists());
        assert_eq!(run.told["started"]["landlock"], "Partial");
    }
}

/// SBX-3: of `/run` only what is listed is there.
#[test]
fn a_listed_directory_in_run_is_the_hosts_and_the_rest_is_not_there() {
    if !is_root() {
        return;
    }
    let scene = Scene::new(Starter::Root);
    let listed = std::path::PathBuf::from(format!("/run/ringfence-listed-{}", std::process::id()));
    std::fs::create_dir_all(listed.join("deep")).unwrap();
    std::fs::set_permissions(listed.join("deep"), std::fs::Permissions::from_mode(0o777)).unwrap();
    let mut spec = scene.spec(&[
        "sh",
        "-c",
        &format!(
            "echo x > {0}/deep/file; cd /run; echo *; echo {0}/*",
            listed.display()
        ),
    ]);
    spec.filesystem
        .read_write
        .push(Listed::author(listed.join("deep")));
    spec.filesystem.read_only.push(Listed::author("/run"));
    let all = scene.run(&spec);
    assert!(
        all.stdout().lines().next().unwrap().split(' ').count() > 1,
        "{}",
        all.stdout()
    );
    spec.filesystem.read_only.pop();
    let run = scene.run(&spec);
    // Unlisted directories on the way cannot be read.
    assert_eq!(
        run.stdout(),
        format!("*\n{}/*", listed.display()),
        "{}",
        run.told
    );
    assert_eq!(
        std::fs::read_to_string(listed.join("deep/file")).unwrap(),
        "x\n"
    );
    std::fs::remove_dir_all(listed).unwrap();
}

/// SBX-1: a script by a relative path, in a directory whose parents the command's user may not pass.
#[test]
fn a_relative_path_works_below_closed_parents() {
    if !is_root() {
        return;
    }
    let scene = Scene::new(Starter::Root);
    std::fs::create_dir_all(scene.path("closed/project")).unwrap();
    std::fs::write(
        scene.path("closed/project/run.sh"),
        "cat here; echo made > made\n",
    )
    .unwrap();
    std::fs::write(scene.path("closed/project/here"), "here\n").unwrap();
    std::fs::set_permissions(
        scene.path("closed/project"),
        std::fs::Permissions::from_mode(0o777),
    )
    .unwrap();
    std::fs::set_permissions(scene.path("closed"), std::fs::Permissions::from_mode(0o700)).unwrap();
    let mut spec = scene.spec(&["sh", "./run.sh"]);
    spec.workdir = scene.path("closed/project");
    let run = scene.run(&spec);
    assert_eq!(
        (run.code(), run.stdout().as_str()),
        (0, "here"),
        "{}",
        run.told
    );
    assert!(scene.path("closed/project/made").exists());
}

/// GEN-8: in a container whose `/proc` is masked there is no procfs for a user namespace, and the message says so.
#[test]
fn a_masked_proc_ends_the_start_with_its_cause() {
    if !is_root() {
        return;
    }
    let scene = Scene::new(Starter::Person);
    drop(scene.driver(&scene.spec(&["true"]), &[]));
    let script = format!(
        "mount --bind /dev/null /proc/interrupts && exec setpriv --reuid {PERSON} --regid {PERSON} --clear-groups {} drive {} {}",
        scene::PROBE,
        scene.path("order.json").display(),
        scene.path("told.json").display()
    );
    let output = std::process::Command::new("unshare")
        .args(["-m", "sh", "-c", &script])
        .output()
        .unwrap();
    let run = scene.told(output);
    assert_eq!(run.code(), 125, "{:?}", run.output);
    assert!(run.error().contains("masked"), "{}", run.told);
}

/// INF-29: a container runtime's own bind mount on `/etc/hosts` does not hide the sandbox's table.
#[test]
fn a_host_table_that_is_a_mount_already_is_replaced_too() {
    if !is_root() {
        return;
    }
    for starter in starters() {
        let scene = Scene::new(starter);
        drop(scene.driver(&scene.spec(&["cat", "/etc/hosts"]), &[]));
        let drop_to = match starter {
            Starter::Root => String::new(),
            Starter::Person => format!("setpriv --reuid {PERSON} --regid {PERSON} --clear-groups"),
        };
        let script = format!(
            "mount --bind {} /etc/hosts && exec {drop_to} {} drive {} {}",
            scene.path("listed/file").display(),
            scene::PROBE,
            scene.path("order.json").display(),
            scene.path("told.json").display()
        );
        let output = std::process::Command::new("unshare")
            .args(["-m", "sh", "-c", &script])
            .output()
            .unwrap();
        let run = scene.told(output);
        assert_eq!(
            run.stdout(),
            "127.0.0.1 localhost\n127.0.0.1 inference.local",
            "{starter:?} {}",
            run.told
        );
    }
}

/// A3: a neighbour's runtime directory is not there.
#[test]
fn the_runtime_directories_of_others_are_not_visible() {
    for starter in starters() {
        let scene = Scene::new(starter);
        assert_eq!(
            scene
                .run(&scene.spec(&["ls", &scene.path("base").display().to_string()]))
                .stdout(),
            "",
            "{starter:?}"
        );
        let run = scene.run(&scene.spec(&[
            "sh",
            "-c",
            "cat ../base/one/ca.pem ../base/neighbour/ca.pem",
        ]));
        assert_eq!(run.stdout(), "x", "{starter:?}");
    }
}

/// SBX-3: who starts in `/`, as services do, does not give everything away.
#[test]
fn the_root_is_not_granted_as_a_working_directory() {
    for starter in starters() {
        let scene = Scene::new(starter);
        for spelling in ["/", "/usr/..", "//."] {
            let secret = scene.path("secret/file").display().to_string();
            let mut spec = scene.spec(&["sh", "-c", &format!("pwd -P; cat {secret}")]);
            spec.workdir = spelling.into();
            let run = scene.run(&spec);
            assert_eq!(run.stdout(), "/", "{starter:?} {spelling}");
            assert!(
                run.told.to_string().contains("working directory"),
                "{}",
                run.told
            );
            spec.compatibility = Compatibility::HardRequirement;
            assert_eq!(scene.run(&spec).code(), 125, "{starter:?} {spelling}");
        }
    }
}

/// SBX-3: `/tmp` is in every sandbox, and what the caller's other programs listen on there is not.
#[test]
fn a_host_socket_in_the_baseline_is_not_connected() {
    for starter in starters() {
        let scene = Scene::new(starter);
        let path = scene.path("socket");
        let _bound = UnixListener::bind(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
        let text = path.display().to_string();
        let attempt = |listed| {
            let mut spec =
                scene.spec(&[scene::PROBE, "probe", "1", "none", &text, &text, "", "", ""]);
            spec.filesystem.read_write.push(listed);
            let out = scene.run(&spec).stdout();
            let answer = out
                .lines()
                .find_map(|line| line.strip_prefix("unix_path_0 "));
            answer.map(str::to_owned)
        };
        assert_eq!(
            attempt(Listed::baseline("/tmp")).as_deref(),
            Some("13"),
            "{starter:?}"
        );
        assert_eq!(
            attempt(Listed::author("/tmp")).as_deref(),
            Some("0"),
            "{starter:?}"
        );
    }
}

/// A3: nor can the place be taken where the same user's next sandbox may have its own.
#[test]
fn the_other_place_for_runtime_directories_is_closed() {
    for starter in starters() {
        let scene = Scene::new(starter);
        let mut spec = scene.spec(&[
            "sh",
            "-c",
            "place=/tmp/ringfence-$(id -u); mkdir -p $place/x; touch $place/y; mv $place $place-moved; rmdir $place; \
             ls -A $place; touch /tmp/ringfence-works && rm /tmp/ringfence-works && echo open",
        ]);
        spec.filesystem.read_write.push(Listed::baseline("/tmp"));
        assert_eq!(scene.run(&spec).stdout(), "open", "{starter:?}");
    }
}
