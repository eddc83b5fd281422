use super::*;

fn mount(device: &str, root: &str, at: &str) -> Mount {
    Mount {
        device: device.into(),
        root: root.into(),
        at: at.into(),
    }
}

fn found(place: &str, mounts: &[Mount]) -> Vec<String> {
    let paths = elsewhere(Path::new(place), mounts);
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect()
}

#[test]
fn the_mount_table_is_read_as_the_kernel_writes_it() {
    let table = b"\
        22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
        40 22 0:35 /a\\040b\\134 /mnt/c\\011d rw - tmpfs none rw\n\
        garbage\n";
    assert_eq!(
        mounts(table),
        [mount("8:1", "/", "/"), mount("0:35", "/a b\\", "/mnt/c\td")]
    );
}

/// RPC-2: a bind mount is a second way to the same keys.
#[test]
fn a_place_is_found_wherever_its_file_system_is_shown_again() {
    let mounts = [
        mount("8:1", "/", "/"),
        mount("8:2", "/", "/home"),
        mount("8:2", "/me", "/srv/me"),
        mount("8:2", "/me/state/clients/admin", "/etc/agent"),
        mount("8:2", "/you", "/srv/you"),
        mount("8:3", "/me", "/srv/other-disk"),
    ];
    assert_eq!(
        found("/home/me/state", &mounts),
        ["/srv/me/state", "/etc/agent"]
    );
    assert_eq!(found("/home/me/none", &mounts), ["/srv/me/none"]);
    assert_eq!(found("/var/lib/x", &mounts), [""; 0]);
}

#[test]
fn of_two_mounts_at_one_path_the_later_is_the_place() {
    let mounts = [
        mount("8:1", "/", "/"),
        mount("8:2", "/old", "/state"),
        mount("8:2", "/new", "/state"),
        mount("8:2", "/", "/all"),
    ];
    assert_eq!(found("/state", &mounts), ["/all/new"]);
}

#[test]
fn a_path_is_resolved_as_far_as_it_exists() {
    assert_eq!(
        resolved(Path::new("/proc/self/fd/../none/here")),
        PathBuf::from(format!("/proc/{}/none/here", std::process::id()))
    );
    assert_eq!(resolved(Path::new("/usr/")), Path::new("/usr"));
}
