//! The key file: one key a line, newest first, for its owner alone.
//!
//! Invariant: the file is whole at any moment. It is written under another name, made durable, and only then given its own:
//! a new file by a link, which does not replace one that another gateway made meanwhile; a changed one by a rename.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::{KeyError, Keyring, generate};
use crate::model::State;

impl Keyring {
    /// Reads a key file, and makes one with a new key when there is none.
    ///
    /// # Errors
    /// It can be read or written by others, belongs to somebody else, or holds no keys.
    pub fn from_file_or_create(path: &Path) -> Result<Keyring, KeyError> {
        match read(path) {
            Err(ReadError::Missing) => {}
            read => return keyring(path, &read.map_err(|error| error.told(path))?),
        }
        let mut text = generate()?;
        text.push('\n');
        create(path, &text).map_err(|error| failed(path, "made", &error))?;
        // Read again: another gateway may have been faster, and then its key is the one.
        let text = read(path).map_err(|error| error.told(path))?;
        keyring(path, &text)
    }

    /// Reads a key file; makes one when there is none and nothing in `state` was sealed with what is missing (STO-6).
    ///
    /// # Errors
    /// As [`Keyring::from_file_or_create`]; there is no file, and credentials that need its keys. None is made then.
    pub fn from_file_for(path: &Path, state: &State) -> Result<Keyring, KeyError> {
        let sealed = state.providers.values();
        let sealed = sealed.filter(|provider| !provider.credentials.is_empty());
        let sealed = sealed.count();
        match read(path) {
            Err(ReadError::Missing) if sealed > 0 => Err(KeyError::Lost {
                path: path.to_owned(),
                providers: sealed,
            }),
            Ok(_) | Err(_) => Keyring::from_file_or_create(path),
        }
    }

    /// Puts a new key before those of the file, as the first step of a rotation. Old ones stay for what they sealed.
    ///
    /// # Errors
    /// The file cannot be read or replaced.
    pub fn add_new_key(path: &Path) -> Result<Keyring, KeyError> {
        let old = read(path).map_err(|error| error.told(path))?;
        let mut text = generate()?;
        text.push('\n');
        text.push_str(&old);
        let keys = keyring(path, &text)?;
        replace(path, &text).map_err(|error| failed(path, "replaced", &error))?;
        Ok(keys)
    }

    /// Takes all keys but the newest out of the file, as the last step of a rotation.
    ///
    /// # Errors
    /// A credential in `state` does not open with the newest key; the file cannot be read or replaced.
    pub fn drop_old_keys(path: &Path, state: &State) -> Result<Keyring, KeyError> {
        let old = read(path).map_err(|error| error.told(path))?;
        let newest = lines(&old).next().unwrap_or_default();
        let text = Zeroizing::new(format!("{newest}\n"));
        let keys = keyring(path, &text)?;
        if let Some(lost) = keys.unopened(state).first() {
            return Err(KeyError::InUse(format!(
                "the old keys of {} are still needed: {lost}; rotate first",
                path.display()
            )));
        }
        replace(path, &text).map_err(|error| failed(path, "replaced", &error))?;
        Ok(keys)
    }
}

enum ReadError {
    Missing,
    Io(io::Error),
    Unsafe(String),
}

impl ReadError {
    fn told(self, path: &Path) -> KeyError {
        match self {
            ReadError::Missing => {
                KeyError::File(format!("{}: there is no key file", path.display()))
            }
            ReadError::Io(error) => failed(path, "read", &error),
            ReadError::Unsafe(why) => KeyError::File(format!("{}: {why}", path.display())),
        }
    }
}

fn keyring(path: &Path, text: &str) -> Result<Keyring, KeyError> {
    let words: Vec<&str> = lines(text).collect();
    let words = Zeroizing::new(words.join("\n"));
    Keyring::from_env_text(&words).map_err(|error| match error {
        KeyError::Malformed(why) => KeyError::Malformed(format!("{}: {why}", path.display())),
        KeyError::File(_) | KeyError::Lost { .. } | KeyError::InUse(_) | KeyError::Cipher => error,
    })
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn read(path: &Path) -> Result<Zeroizing<String>, ReadError> {
    // NONBLOCK: a pipe in its place must not hold the gateway up; it is refused below.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path);
    let file = match file {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ReadError::Missing),
        file => file.map_err(ReadError::Io)?,
    };
    // Of the open file, so that what is judged is what is read.
    let about = file.metadata().map_err(ReadError::Io)?;
    let refuse = |why: String| Err(ReadError::Unsafe(why));
    if !about.is_file() {
        return refuse("the key file is no file".to_owned());
    }
    if about.mode() & OTHERS != 0 {
        return refuse(format!(
            "the key file has mode {:03o} and is open to others; make a new key, or chmod 600 it",
            about.mode() & 0o777
        ));
    }
    let me = rustix::process::geteuid().as_raw();
    if about.uid() != me && about.uid() != 0 {
        return refuse(format!(
            "the key file belongs to uid {}, neither to this gateway's {me} nor to root",
            about.uid()
        ));
    }
    let mut text = Zeroizing::new(String::with_capacity(FILE_MAX_BYTES + 1));
    let taken = file
        .take(FILE_MAX_BYTES as u64 + 1)
        .read_to_string(&mut text)
        .map_err(ReadError::Io)?;
    if taken > FILE_MAX_BYTES {
        return refuse("the key file is too long to be one".to_owned());
    }
    Ok(text)
}

/// Makes the file, unless there is one.
fn create(path: &Path, text: &str) -> io::Result<()> {
    let draft = Draft::write(path, text)?;
    match fs::hard_link(&draft.path, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    drop(draft);
    sync_dir(path)
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    // Through a link the file itself is replaced.
    let path = fs::canonicalize(path)?;
    let draft = Draft::write(&path, text)?;
    fs::rename(&draft.path, &path)?;
    sync_dir(&path)
}

/// The text under another name, on the disk; removed when it is dropped.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn write(beside: &Path, text: &str) -> io::Result<Draft> {
        let mut name = beside.as_os_str().to_owned();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let nth = COUNT.fetch_add(1, Ordering::Relaxed);
        name.push(format!(".{}-{nth}.new", std::process::id()));
        let path = PathBuf::from(name);
        // One that a process of the same id left behind when it was killed.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        let draft = Draft { path };
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        Ok(draft)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a rename there is nothing; after a failure the next draft removes it.
        _ = fs::remove_file(&self.path);
    }
}

fn sync_dir(path: &Path) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    File::open(dir.unwrap_or(Path::new(".")))?.sync_all()
}

fn failed(path: &Path, done: &str, error: &io::Error) -> KeyError {
    KeyError::File(format!(
        "{}: the key file cannot be {done}: {error}",
        path.display()
    ))
}

/// The bits of a mode that let group or others in.
const OTHERS: u32 = 0o077;

const FILE_MAX_BYTES: usize = 64 << 10;
