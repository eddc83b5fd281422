//! What every sandbox gets whatever its policy says (BAS-1, BAS-2), and the policy for when there
//! is none (POL-11).
//!
//! Apart from `source` because a document is completed wherever it comes from. Invariant: nothing
//! of the author's is removed or reordered, and completing twice changes nothing.

use super::{Filesystem, PathError, PolicyDocument, PolicyPath};

impl PolicyDocument {
    /// Adds the missing baseline paths behind the author's; returns what was added.
    ///
    /// A filesystem section that was absent comes into being with `include_workdir: true`.
    pub fn complete(&mut self) -> Vec<String> {
        let filesystem = self.filesystem.get_or_insert_with(|| Filesystem {
            include_workdir: true,
            ..Filesystem::default()
        });
        let mut added = Vec::new();
        for path in paths(READ_ONLY) {
            let listed = filesystem.read_only.contains(&path);
            let writable = filesystem
                .read_write
                .iter()
                .any(|above| path.is_within(above));
            if !listed && !writable {
                added.push(path.as_str().to_owned());
                filesystem.read_only.push(path);
            }
        }
        for path in paths(READ_WRITE) {
            if !filesystem.read_write.contains(&path) {
                added.push(path.as_str().to_owned());
                filesystem.read_write.push(path);
            }
        }
        added
    }

    /// The policy of a sandbox for which nobody wrote one (POL-11). User and group are empty;
    /// where both exist, `run_as_sandbox_account` names them.
    pub fn restrictive_default() -> PolicyDocument {
        let filesystem = Filesystem {
            include_workdir: false,
            read_only: paths(DEFAULT_READ_ONLY).collect(),
            read_write: paths(DEFAULT_READ_WRITE).collect(),
        };
        PolicyDocument {
            filesystem: Some(filesystem),
            ..PolicyDocument::empty()
        }
    }

    /// POL-11: user and group `sandbox`, for hosts where both exist.
    pub fn run_as_sandbox_account(&mut self) {
        self.process.run_as_user = "sandbox".to_owned();
        self.process.run_as_group = "sandbox".to_owned();
    }
}

fn paths(texts: &'static [&'static str]) -> impl Iterator<Item = PolicyPath> {
    // The tables below are normal already; a test reads each of them.
    texts
        .iter()
        .filter_map(|text| Result::<PolicyPath, PathError>::ok(PolicyPath::parse(text)))
}

/// BAS-1, read-only.
pub(crate) const READ_ONLY: &[&str] = &["/usr", "/lib", "/etc", "/app", "/var/log"];
/// BAS-1, read-write.
pub(crate) const READ_WRITE: &[&str] = &["/sandbox", "/tmp"];

const DEFAULT_READ_ONLY: &[&str] = &[
    "/usr",
    "/lib",
    "/proc",
    "/dev/urandom",
    "/app",
    "/etc",
    "/var/log",
];
const DEFAULT_READ_WRITE: &[&str] = &["/sandbox", "/tmp", "/dev/null"];
