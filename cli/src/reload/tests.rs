//! Which directories are watched for a file, and what wakes.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::out_of_reach;
use super::watch::{Watch, directories};
use crate::inputs::Files;

fn scratch(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("ringfence-{name}-{}", std::process::id()));
    drop(std::fs::remove_dir_all(&path));
    std::fs::create_dir_all(&path).unwrap();
    std::fs::canonicalize(path).unwrap()
}

fn watched(file: &Path) -> (Watch, Receiver<()>) {
    let (tell, told) = channel();
    let watch = Watch::start(vec![file.to_owned()], move || _ = tell.send(())).unwrap();
    // The thread arms before it waits; a change before that is found by the look.
    std::thread::sleep(Duration::from_millis(100));
    (watch, told)
}

/// Long enough for a loaded machine.
const SOON: Duration = Duration::from_secs(30);

#[test]
fn every_directory_a_name_leads_through_is_watched() {
    let dir = scratch("ways");
    std::fs::create_dir_all(dir.join("data/v1")).unwrap();
    std::fs::write(dir.join("data/v1/p.yaml"), "x").unwrap();
    std::os::unix::fs::symlink("v1", dir.join("data/now")).unwrap();
    std::os::unix::fs::symlink("data/now/p.yaml", dir.join("p.yaml")).unwrap();
    let found: Vec<_> = directories(&dir.join("p.yaml")).into_iter().collect();
    let expected = ["", "data", "data/v1"].map(|below| match below {
        "" => dir.clone(),
        _ => dir.join(below),
    });
    assert_eq!(found, expected);
    // A link that leads to itself is not followed for ever.
    std::os::unix::fs::symlink("loop", dir.join("loop")).unwrap();
    assert!(directories(&dir.join("loop")).contains(&dir));
    std::fs::remove_dir_all(&dir).unwrap();
}

/// Editors write in place, or rename another file over it; both are seen, and other files are not.
#[test]
fn a_write_a_rename_and_a_return_are_seen_and_a_neighbour_is_not() {
    let dir = scratch("changes");
    let file = dir.join("p.yaml");
    std::fs::write(&file, "one").unwrap();
    let (_watch, told) = watched(&file);
    std::fs::write(dir.join("other"), "x").unwrap();
    assert!(told.recv_timeout(Duration::from_millis(300)).is_err());
    std::fs::write(&file, "two").unwrap();
    told.recv_timeout(SOON).unwrap();
    std::fs::write(dir.join("new"), "three").unwrap();
    std::fs::rename(dir.join("new"), &file).unwrap();
    told.recv_timeout(SOON).unwrap();
    std::fs::remove_file(&file).unwrap();
    told.recv_timeout(SOON).unwrap();
    std::fs::write(&file, "four").unwrap();
    told.recv_timeout(SOON).unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
}

/// A mounted config map: the file is a link through `..data`, which is turned by a rename.
#[test]
fn a_turned_link_is_a_change() {
    let dir = scratch("links");
    for version in ["v1", "v2"] {
        std::fs::create_dir(dir.join(version)).unwrap();
        std::fs::write(dir.join(version).join("p.yaml"), version).unwrap();
    }
    std::os::unix::fs::symlink("v1", dir.join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/p.yaml", dir.join("p.yaml")).unwrap();
    let (_watch, told) = watched(&dir.join("p.yaml"));
    std::os::unix::fs::symlink("v2", dir.join("..next")).unwrap();
    std::fs::rename(dir.join("..next"), dir.join("..data")).unwrap();
    told.recv_timeout(SOON).unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
}

/// A directory that is removed and made again cannot be watched meanwhile.
#[test]
fn a_directory_that_comes_back_is_found_by_the_look() {
    let dir = scratch("gone");
    let inner = dir.join("etc");
    std::fs::create_dir(&inner).unwrap();
    let file = inner.join("p.yaml");
    std::fs::write(&file, "one").unwrap();
    let (_watch, told) = watched(&file);
    std::fs::remove_dir_all(&inner).unwrap();
    told.recv_timeout(SOON * 3).unwrap();
    std::fs::create_dir(&inner).unwrap();
    std::fs::write(&file, "two").unwrap();
    told.recv_timeout(SOON * 3).unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
}

/// LIV-11: a path leads through every directory in which one of its names is looked up.
#[test]
fn a_file_is_in_reach_of_whoever_may_write_a_directory_its_name_leads_through() {
    let dir = scratch("reach");
    for below in ["etc", "work/sub", "workshop"] {
        std::fs::create_dir_all(dir.join(below)).unwrap();
    }
    for file in ["etc/p", "work/p", "workshop/p"] {
        std::fs::write(dir.join(file), "x").unwrap();
    }
    let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, dir.join(at)).unwrap();
    link("../etc/p", "work/out");
    link("../work/p", "etc/in");
    link("../work/sub", "etc/turn");
    link("../work/sub/../../etc/p", "etc/round");
    let writable = [dir.join("work"), dir.join("workshop/p")];
    for (file, place) in [
        ("etc/p", None),
        ("etc/none", None),
        ("work/p", Some("work")),
        ("work/none", Some("work")),
        ("work/out", Some("work")),
        ("etc/in", Some("work")),
        ("etc/turn/../../etc/p", Some("work")),
        ("etc/round", Some("work")),
        ("work/sub/../../etc/p", Some("work")),
        ("etc/../work/p", Some("work")),
        ("workshop/p", Some("workshop/p")),
        ("workshop/q", None),
    ] {
        let found = out_of_reach(&Files::one(dir.join(file)), &writable).err();
        let grant = place.map(|place| dir.join(place).display().to_string());
        match (&found, &grant) {
            (Some(found), Some(grant)) => {
                assert!(
                    found.contains(&format!(" write in {grant};")),
                    "{file}: {found}"
                );
            }
            (found, grant) => assert_eq!((found, grant), (&None, &None), "{file}"),
        }
    }
    std::fs::remove_dir_all(&dir).unwrap();
}
