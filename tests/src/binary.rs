//! Where the built programs are.
//!
//! Cargo gives a package's tests the paths of that package's own programs, not those of another package. The
//! `ringfence` binary is therefore built once per test process by the cargo that runs the tests, in the same
//! target directory and profile; it is nothing but a freshness check when it is already there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Names the `ringfence` binary to test, instead of building one.
pub const BINARY_VARIABLE: &str = "RINGFENCE_BINARY";

/// The `ringfence` binary of this workspace, built when needed.
///
/// # Panics
/// When it does not build.
pub fn ringfence() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| std::env::var_os(BINARY_VARIABLE).map_or_else(build, PathBuf::from))
        .clone()
}

/// The program that plays the sandboxed side of a raw conversation ([`crate::inside`]).
pub fn inside() -> PathBuf {
    own("ringfence-inside")
}

/// The program with the clients of a soak ([`crate::soak::inside`]).
pub fn soak() -> PathBuf {
    own("ringfence-soak")
}

fn own(name: &str) -> PathBuf {
    let path = profile_dir().join(name);
    assert!(
        path.exists(),
        "{} is missing: cargo builds it with the tests of this package",
        path.display()
    );
    path
}

/// The program that wants to be taken for another one (`ringfence-impostor`).
///
/// # Panics
/// When it was not built.
pub fn impostor() -> PathBuf {
    inside().with_file_name("ringfence-impostor")
}

/// Cargo's target directory.
pub fn target_dir() -> PathBuf {
    profile_dir()
        .parent()
        .expect("a profile directory has a parent")
        .to_path_buf()
}

/// The root of the workspace's sources.
pub fn workspace() -> PathBuf {
    // Why the variable first: a copy of the built tests may run beside a copy of the sources.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest
        .parent()
        .expect("tests/ lies in the workspace")
        .to_path_buf()
}

/// `target/<profile>`: test programs are in `deps/` below it.
fn profile_dir() -> PathBuf {
    let exe = std::env::current_exe().expect("/proc/self/exe is readable");
    let dir = exe.parent().expect("a program lies in a directory");
    if dir.ends_with("deps") {
        dir.parent().expect("deps/ has a parent").to_path_buf()
    } else {
        dir.to_path_buf()
    }
}

fn build() -> PathBuf {
    let profile = profile_dir();
    let name = profile
        .file_name()
        .and_then(|name| name.to_str())
        .expect("a profile has a name");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--locked",
            "--workspace",
            "--bins",
            "--profile",
            if name == "debug" { "dev" } else { name },
        ])
        .arg("--target-dir")
        .arg(target_dir())
        .current_dir(workspace())
        .status()
        .expect("cargo starts");
    assert!(status.success(), "the ringfence binary does not build");
    let path = profile.join("ringfence");
    assert!(
        path.exists(),
        "{} is missing after the build",
        display(&path)
    );
    path
}

fn display(path: &Path) -> String {
    path.display().to_string()
}
