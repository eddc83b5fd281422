//! Outside clients: where they are, and what happens when one is missing.
//!
//! Programs come from the path; Python and npm packages from `clients/` in cargo's target directory, put there
//! by `.ci/run` from the pinned lists in `tests/clients/`. A missing client is said loudly, and is a failure
//! when `RINGFENCE_CLIENTS=required`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::binary;

/// Set to `required`, a missing client fails its test.
pub const CLIENTS_VARIABLE: &str = "RINGFENCE_CLIENTS";

/// An outside program or package that a test needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// A program of the path.
    Program(&'static str),
    /// A package of the Python environment in `clients/venv`.
    Python(&'static str),
    /// A package in `clients/node/node_modules`; Node itself must be there too.
    Npm(&'static str),
    /// cargo and rustc in `clients/rust`, where every user of a scene may run them.
    Rust,
}

/// The directory with the Python and npm packages.
pub fn directory() -> PathBuf {
    std::env::var_os("RINGFENCE_CLIENTS_DIR")
        .map_or_else(|| binary::target_dir().join("clients"), PathBuf::from)
}

/// Whether all of `clients` are here. Says on standard error what is missing.
///
/// # Panics
/// When one is missing and `RINGFENCE_CLIENTS=required`.
pub fn present(clients: &[Client]) -> bool {
    let missing: Vec<_> = clients.iter().filter(|client| !is_here(**client)).collect();
    if missing.is_empty() {
        return true;
    }
    assert!(
        std::env::var_os(CLIENTS_VARIABLE).is_none_or(|value| value != "required"),
        "{CLIENTS_VARIABLE}=required and these are missing: {missing:?}; .ci/run installs them"
    );
    // Written to the descriptor itself: what `eprintln!` says in a test that passes, nobody sees.
    _ = writeln!(
        std::io::stderr(),
        "SKIPPED: {missing:?} missing; .ci/run installs them"
    );
    false
}

/// Python of the environment, as seen in a scene.
pub const PYTHON: &str = "/mnt/clients/venv/bin/python";

/// The path of a program in the sandbox's search path.
pub fn program(name: &str) -> Option<PathBuf> {
    let dirs = ["/usr/local/bin", "/usr/bin", "/bin"];
    dirs.iter()
        .map(|dir| Path::new(dir).join(name))
        .find(|path| path.exists())
}

/// Major and minor version of Node, when it is here.
pub fn node_version() -> Option<(u32, u32)> {
    let answer = Command::new(program("node")?)
        .arg("--version")
        .output()
        .ok()?;
    let text = String::from_utf8(answer.stdout).ok()?;
    let mut numbers = text
        .trim()
        .trim_start_matches('v')
        .split('.')
        .map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn is_here(client: Client) -> bool {
    match client {
        Client::Program(name) => program(name).is_some(),
        Client::Python(package) => {
            let python = directory().join("venv/bin/python");
            python.exists()
                && Command::new(python)
                    .args(["-c", &format!("import {package}")])
                    .status()
                    .is_ok_and(|status| status.success())
        }
        Client::Npm(package) => {
            program("node").is_some()
                && directory().join("node/node_modules").join(package).exists()
        }
        Client::Rust => directory().join("rust/bin/cargo").exists(),
    }
}
