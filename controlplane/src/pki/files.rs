//! Private files that appear whole or not at all.
//!
//! Apart from `pki` because a key's bytes on disk need more care than certificates do. Invariants: a file is 0600 from its
//! first byte on; its name leads to all of its bytes, also after a crash; a directory is 0700.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::PkiError;

/// Writes a file beside its place, then moves it there.
pub(super) fn write_private(path: &Path, content: &[u8]) -> Result<(), PkiError> {
    let beside = beside(path);
    let write = || {
        match std::fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => (),
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        sync_parent(path)
    };
    write().map_err(|error| named(path, error))
}

/// Makes a directory and those above it; one that is there stays as it is.
pub(super) fn make_private_dir(path: &Path) -> Result<(), PkiError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| named(path, error))
}

/// Fills a directory beside its place, then moves it there: a reader finds all the files or none.
pub(super) fn place_dir(path: &Path, content: &[(&str, &str)]) -> Result<(), PkiError> {
    let beside = beside(path);
    match std::fs::remove_dir_all(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(named(&beside, error)),
        Ok(()) | Err(_) => (),
    }
    make_private_dir(&beside)?;
    for (name, content) in content {
        write_private(&beside.join(name), content.as_bytes())?;
    }
    std::fs::rename(&beside, path)
        .and_then(|()| sync_parent(path))
        .map_err(|error| named(path, error))
}

fn beside(path: &Path) -> std::path::PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        Some(_) | None => File::open(".")?.sync_all(),
    }
}

fn named(path: &Path, error: io::Error) -> PkiError {
    PkiError::File {
        path: path.to_owned(),
        error,
    }
}
