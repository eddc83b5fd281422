//! Which sandbox is meant when none is named: the last one used (CLI-3).
//!
//! The name lies in a file of this user. Nothing depends on it but convenience: a file that cannot be written is no error,
//! and who is told which sandbox was taken can say another one.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use crate::print::{self, Stop};
use crate::settings::Settings;

/// The sandbox that is meant.
pub(crate) fn meant(named: Option<String>, settings: &Settings) -> Result<String, Stop> {
    if let Some(name) = named {
        return match name.trim().is_empty() {
            true => Err(Stop::usage("the name of the sandbox is blank")),
            false => Ok(name),
        };
    }
    let name = used(settings).ok_or_else(|| {
        Stop::usage("which sandbox? none was used before; `ringfence sandbox list` shows them")
    })?;
    print::message(format_args!(
        "sandbox {} (the last one used)",
        print::printable(&name)
    ));
    Ok(name)
}

/// This one was used last.
pub(crate) fn remember(name: &str, settings: &Settings) {
    if let Some(path) = path(settings)
        && used(settings).as_deref() != Some(name)
    {
        _ = write(&path, name);
    }
}

/// It is gone.
pub(super) fn forget(name: &str, settings: &Settings) {
    if let Some(path) = path(settings)
        && used(settings).as_deref() == Some(name)
    {
        _ = std::fs::remove_file(path);
    }
}

fn used(settings: &Settings) -> Option<String> {
    let text = std::fs::read_to_string(path(settings)?).ok()?;
    let name = text.trim_end_matches('\n');
    (!name.trim().is_empty()).then(|| name.to_owned())
}

fn write(path: &std::path::Path, name: &str) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(directory)?;
    }
    // Replaced as a whole: two commands at once leave one name and no mixture.
    let new = path.with_extension(std::process::id().to_string());
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    writeln!(file, "{name}")?;
    std::fs::rename(new, path)
}

fn path(settings: &Settings) -> Option<PathBuf> {
    Some(settings.own_state_dir.as_ref()?.join("last-sandbox"))
}
