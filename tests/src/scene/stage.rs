//! The inner half of a scene: network, names, trust and directories, once, before the body runs.
//!
//! Runs with the rights that the scene's namespaces give; none of it is visible outside of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, mount, mount_bind_recursive};

use super::{AGENT, NAME_SERVER, PRIVATE, PRIVATE_NAMES, PUBLIC, PUBLIC_NAMES, Scene};
use crate::authority::Authority;
use crate::{binary, sys};

/// The bundles that distributions keep, in the order ringfence looks (TLS-2).
const BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Outer id of the sandbox's user when the scene is root.
const AGENT_ID: u32 = 12_001;

/// Stages the scene in the namespaces of this process.
pub(super) fn set() -> Scene {
    network();
    directories();
    let authority = Authority::new("ringfence test scene");
    names(&authority);
    programs();
    Scene {
        authority,
        ringfence: binary::ringfence(),
    }
}

fn network() {
    sys::loopback_up().expect("loopback comes up");
    sys::loopback_block("lo:1", PRIVATE.parse().expect("an address"))
        .expect("a private block on loopback");
    sys::loopback_block("lo:2", PUBLIC.parse().expect("an address"))
        .expect("a public block on loopback");
}

fn directories() {
    mount(
        "tmpfs",
        "/mnt",
        "tmpfs",
        MountFlags::empty(),
        Some(c"mode=0755"),
    )
    .expect("a tmpfs over /mnt");
    for (name, mode) in [
        ("etc", 0o755),
        ("bin", 0o755),
        ("scripts", 0o755),
        ("clients", 0o755),
        ("work", 0o1777),
        ("private", 0o700),
    ] {
        let path = Path::new("/mnt").join(name);
        fs::create_dir(&path).expect("a directory in the tmpfs");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode");
    }
}

fn names(authority: &Authority) {
    let mut hosts = String::from("127.0.0.1 localhost\n");
    for name in PRIVATE_NAMES {
        hosts.push_str(&format!("{PRIVATE} {name}\n"));
    }
    for name in PUBLIC_NAMES {
        hosts.push_str(&format!("{PUBLIC} {name}\n"));
    }
    replace("/etc/hosts", &hosts);
    replace("/etc/resolv.conf", &format!("nameserver {NAME_SERVER}\n"));
    let (user, group) = if rustix::process::geteuid().is_root() {
        (AGENT_ID, AGENT_ID)
    } else {
        (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        )
    };
    replace(
        "/etc/passwd",
        &with_line(
            "/etc/passwd",
            &format!("{AGENT}:x:{user}:{group}::/mnt/work:/bin/sh"),
        ),
    );
    replace(
        "/etc/group",
        &with_line("/etc/group", &format!("{AGENT}:x:{group}:")),
    );
    for bundle in BUNDLES.iter().filter(|path| Path::new(path).exists()) {
        replace(bundle, authority.pem());
    }
}

fn programs() {
    let inside = Path::new("/mnt/bin/inside");
    fs::copy(binary::inside(), inside).expect("a copy of the inside program");
    fs::set_permissions(inside, fs::Permissions::from_mode(0o755)).expect("its mode");
    let scripts = binary::workspace().join("tests/clients");
    for entry in fs::read_dir(&scripts)
        .expect("tests/clients is readable")
        .flatten()
    {
        if entry
            .path()
            .extension()
            .is_some_and(|kind| kind == "py" || kind == "mjs" || kind == "java")
        {
            let copy = Path::new("/mnt/scripts").join(entry.file_name());
            fs::copy(entry.path(), &copy).expect("a copy of a client script");
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).expect("its mode");
        }
    }
    let clients = crate::clients::directory();
    if clients.exists() {
        mount_bind_recursive(&clients, "/mnt/clients").expect("the clients below /mnt");
        let modules = clients.join("node/node_modules");
        if modules.exists() {
            fs::create_dir("/mnt/scripts/node_modules").expect("a mount point");
            mount_bind_recursive(&modules, "/mnt/scripts/node_modules")
                .expect("the npm packages beside the scripts");
        }
    }
}

/// Puts a file with this text over `path`, in this mount namespace alone.
fn replace(path: &str, text: &str) {
    // Why: a bind mount follows links, so a dangling one (resolv.conf of an absent resolver) stays as it is.
    let Ok(target) = fs::canonicalize(path) else {
        return;
    };
    let source = PathBuf::from("/mnt/etc").join(path.trim_start_matches('/').replace('/', "-"));
    fs::write(&source, text).expect("a file in the tmpfs");
    fs::set_permissions(&source, fs::Permissions::from_mode(0o644)).expect("its mode");
    mount_bind_recursive(&source, &target)
        .unwrap_or_else(|error| unreachable!("a file over {path}: {error}"));
}

fn with_line(path: &str, line: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    format!("{}\n{line}\n", text.trim_end())
}
