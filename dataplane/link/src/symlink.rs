//! The file behind a symbolic link that a policy names (IDN-8).
//!
//! Apart from `policy`, which knows no files, and used wherever a policy is compiled, so that a policy says the same
//! whether it came from a file or from a gateway.

use std::os::unix::ffi::OsStringExt;
use std::path::Path;

/// What `path` leads to, when that is another path.
pub fn symlink_target(path: &str) -> Option<Box<[u8]>> {
    let target = std::fs::canonicalize(path).ok()?;
    (target != Path::new(path)).then(|| target.into_os_string().into_vec().into_boxed_slice())
}
