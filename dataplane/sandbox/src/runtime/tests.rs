use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;

fn place(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!(
        "ringfence-runtime-test-{}-{name}",
        std::process::id()
    ));
    drop(std::fs::remove_dir_all(&path));
    path
}

/// INF-29
#[test]
fn the_host_table_keeps_its_names_and_has_inference_local_once() {
    let table = host_table(
        "127.0.0.1 localhost # x\n\n10.1.1.1 inference.local\n10.2.2.2 a INFERENCE.local. b\n#c\n::1 ip6",
    );
    assert_eq!(
        table,
        "127.0.0.1 localhost\n10.2.2.2 a b\n::1 ip6\n127.0.0.1 inference.local\n"
    );
}

/// TLS-2, ENV-4
#[test]
fn the_directory_is_readable_and_gone_with_its_value() {
    let base = place("readable");
    let dir = RuntimeDir::create_in(&base, "sb-1").unwrap();
    dir.write_trust("-----BEGIN CERTIFICATE-----\nx\n").unwrap();
    dir.write_hosts().unwrap();
    let file = InferenceFile {
        url: "u".into(),
        available: true,
        protocols: vec![],
        model: None,
        note: "n".into(),
    };
    dir.write_inference(&file).unwrap();
    dir.write_inference(&InferenceFile {
        available: false,
        ..file
    })
    .unwrap();
    assert_eq!(
        std::fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777,
        0o755
    );
    for name in ["ca.pem", "ca-bundle.pem", "hosts", "inference.json"] {
        assert_eq!(
            std::fs::metadata(dir.path().join(name))
                .unwrap()
                .permissions()
                .mode()
                & 0o777,
            0o644,
            "{name}"
        );
    }
    assert!(
        std::fs::read_to_string(dir.path().join("ca-bundle.pem"))
            .unwrap()
            .ends_with("\nx\n")
    );
    assert!(
        std::fs::read_to_string(dir.path().join("inference.json"))
            .unwrap()
            .contains("\"available\": false")
    );
    let path = dir.path().to_owned();
    drop(dir);
    assert!(!path.exists());
    std::fs::remove_dir(&base).unwrap();
}

/// TR-118, SBX-7
#[test]
fn a_link_or_a_foreign_or_open_directory_is_not_used() {
    let base = place("link");
    std::fs::create_dir(&base).unwrap();
    let link = base.join("link");
    symlink("/tmp", &link).unwrap();
    assert!(matches!(
        RuntimeDir::create_in(&link, "x"),
        Err(RuntimeError::NotOurs(_))
    ));
    let open = base.join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(
        RuntimeDir::create_in(&open, "x"),
        Err(RuntimeError::NotOurs(_))
    ));
    for id in ["", ".", "..", "a/b", "ä"] {
        assert!(
            matches!(RuntimeDir::create_in(&base, id), Err(RuntimeError::Id)),
            "{id}"
        );
    }
    std::fs::remove_dir_all(&base).unwrap();
}

/// TR-120
#[test]
fn what_a_killed_launcher_left_is_swept_and_what_lives_is_not() {
    let base = place("sweep");
    let living = RuntimeDir::create_in(&base, "living").unwrap();
    living.write_hosts().unwrap();
    std::fs::create_dir(base.join("dead")).unwrap();
    std::fs::write(base.join("dead/hosts"), "x").unwrap();
    let next = RuntimeDir::create_in(&base, "next").unwrap();
    assert!(living.path().join("hosts").exists());
    assert!(!base.join("dead").exists());
    assert!(matches!(
        RuntimeDir::create_in(&base, "next"),
        Err(RuntimeError::Io(..))
    ));
    drop((living, next));
    std::fs::remove_dir(&base).unwrap();
}

/// SBX-7, TR-118
#[test]
fn a_missing_directory_is_made_and_a_link_on_the_way_is_not_followed() {
    let base = place("make");
    std::fs::create_dir(&base).unwrap();
    symlink("/tmp", base.join("link")).unwrap();
    let nobody = Identity::Map { uid: 1, gid: 1 };
    make_directories(&base.join("a/b"), nobody).unwrap();
    assert!(base.join("a/b").is_dir());
    assert!(make_directories(&base.join("link/ringfence-never"), nobody).is_err());
    assert!(!Path::new("/tmp/ringfence-never").exists());
    if rustix::process::geteuid().is_root() {
        make_directories(
            &base.join("a/c"),
            Identity::Drop {
                uid: 65534,
                gid: 65534,
            },
        )
        .unwrap();
        assert_eq!(std::fs::metadata(base.join("a/c")).unwrap().uid(), 65534);
        assert_eq!(std::fs::metadata(base.join("a")).unwrap().uid(), 0);
    }
    std::fs::remove_dir_all(&base).unwrap();
}
