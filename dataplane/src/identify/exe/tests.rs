//! Hashes and trust, on real files.

use super::*;
use rustix::fs::{Mode, OFlags, open};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A file that goes with the test.
struct Temporary(PathBuf);

impl Deref for Temporary {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        _ = std::fs::remove_file(&self.0);
    }
}

fn file(name: &str, content: &[u8]) -> Temporary {
    let path = std::env::temp_dir().join(format!("ringfence-exe-{}-{name}", std::process::id()));
    std::fs::write(&path, content).unwrap();
    Temporary(path)
}

fn opened(path: &Path) -> OwnedFd {
    open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

fn fingerprint(path: &Path) -> Fingerprint {
    Fingerprint::of(&fstat(opened(path)).unwrap()).unwrap()
}

fn identify(executables: &Executables, path: &Path) -> Result<Executable, IdentityError> {
    executables.identify(b"/bin/x", fingerprint(path), || Ok(opened(path)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file that has been what it is for longer than a clock tick.
fn old_file() -> PathBuf {
    std::fs::canonicalize("/bin/sh").unwrap()
}

/// ID-5
#[test]
fn the_hash_is_sha256_of_the_content() {
    let path = file("hello", b"hello world");
    let found = identify(&Executables::new(), &path).unwrap();
    assert_eq!(
        hex(&found.sha256),
        "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"
    );
    let empty = file("empty", b"");
    let found = identify(&Executables::new(), &empty).unwrap();
    assert_eq!(
        hex(&found.sha256),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
}

/// ID-1, IDN-5, IDN-9: the second use and concurrent first uses do not read the file.
#[test]
fn one_file_is_read_once_however_many_ask() {
    let path = old_file();
    let (executables, opens) = (Executables::new(), AtomicUsize::new(0));
    let print = fingerprint(&path);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let open = || {
                        opens.fetch_add(1, Ordering::Relaxed);
                        Ok(opened(&path))
                    };
                    executables.identify(b"/bin/sh", print, open).unwrap();
                }
            });
        }
    });
    assert_eq!(opens.load(Ordering::Relaxed), 1);
}

/// IDN-5: a file that changed within the tick of the clock may change again unseen, so its hash is not kept.
#[test]
fn the_hash_of_a_file_that_just_changed_is_taken_again() {
    let path = file("young", b"young");
    let executables = Executables::new();
    identify(&executables, &path).unwrap();
    assert!(executables.hashes.lock().unwrap().is_empty());
    let future = Fingerprint {
        changed: (i64::MAX, 0),
        ..fingerprint(&path)
    };
    assert!(future.is_young(), "TR-096: no overflow");
    assert!(
        !Fingerprint {
            changed: (i64::MIN, 0),
            ..future
        }
        .is_young()
    );
}

/// ID-1: new mtime, same bytes: hashed, allowed.
#[test]
fn a_touched_file_with_the_same_bytes_is_trusted() {
    let executables = Executables::new();
    let first = identify(&executables, &file("touched-1", b"same")).unwrap();
    let second = identify(&executables, &file("touched-2", b"same")).unwrap();
    assert_eq!(first, second);
}

/// ID-2: another hash for a known path; the first hash stays the known one.
#[test]
fn a_known_path_with_other_bytes_is_an_integrity_violation() {
    let executables = Executables::new();
    let (first, second) = (file("trust-1", b"good"), file("trust-2", b"evil"));
    assert!(identify(&executables, &first).is_ok());
    assert_eq!(identify(&executables, &second), Err(IdentityError::Changed));
    assert_eq!(identify(&executables, &second), Err(IdentityError::Changed));
    assert!(identify(&executables, &first).is_ok());
}

/// IDN-6: the file that is opened is not the one that was seen, or is gone, or grows while it is read.
#[test]
fn a_file_that_is_not_the_one_seen_is_not_trusted() {
    let executables = Executables::new();
    let (seen, other) = (file("swap-1", b"one"), file("swap-2", b"two"));
    let print = fingerprint(&seen);
    assert_eq!(
        executables.identify(b"/a", print, || Ok(opened(&other))),
        Err(IdentityError::Unavailable)
    );
    assert_eq!(
        executables.identify(b"/a", print, || Err(Errno::NOENT)),
        Err(IdentityError::Unavailable)
    );
    std::fs::write(&*seen, b"one and more").unwrap();
    assert_eq!(
        executables.identify(b"/a", print, || Ok(opened(&seen))),
        Err(IdentityError::Unavailable)
    );
    assert!(
        executables.hashes.lock().unwrap().is_empty(),
        "a failure is not remembered"
    );
    assert!(executables.known.lock().unwrap().is_empty());
}

/// SECURITY 29, LIM: neither a huge file nor many files cost without bound.
#[test]
fn the_bounds_hold() {
    let path = file("sparse", b"");
    std::fs::OpenOptions::new()
        .write(true)
        .open(&*path)
        .unwrap()
        .set_len(FILE_BYTES_MAX + 1)
        .unwrap();
    assert_eq!(
        identify(&Executables::new(), &path),
        Err(IdentityError::Unavailable)
    );

    let executables = Executables::new();
    for number in 0..PATHS_MAX {
        executables
            .known
            .lock()
            .unwrap()
            .insert(number.to_string().as_bytes().into(), [0; 32]);
    }
    assert_eq!(
        identify(&executables, &old_file()),
        Err(IdentityError::Unavailable)
    );

    let print = fingerprint(&old_file());
    for inode in 0..2 * HASHES_MAX as u64 {
        executables.hash(Fingerprint { inode, ..print }, || Ok(opened(&old_file())));
    }
    assert!(executables.hashes.lock().unwrap().len() <= HASHES_MAX);
}

/// TR-047: only regular files are executables.
#[test]
fn a_device_or_directory_has_no_fingerprint() {
    for path in ["/dev/null", "/"] {
        assert_eq!(
            Fingerprint::of(&fstat(opened(Path::new(path))).unwrap()),
            None
        );
    }
}
