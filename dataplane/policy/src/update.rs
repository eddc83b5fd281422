//! Which changes of a policy a running sandbox can take (LIV-3, LIV-4).
//!
//! Apart from `source` because a document may be without fault and still be no successor of the one a sandbox was
//! created with: its files, its user and its Landlock rules were fixed when its first process started. Invariant: the
//! network and the use of inference may always change, from and to nothing included; the rest may only grow.

use std::fmt::Display;

use crate::document::{Compatibility, Filesystem, PolicyDocument, PolicyPath};

/// A change that needs a new sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticChange {
    /// The key's path, such as `filesystem_policy.read_only`.
    pub path: &'static str,
    /// One sentence, which names what changed.
    pub message: String,
}

/// Compares `next` with the policy its sandbox was created with, both as their author wrote them; they are completed
/// here (BAS-2). Gives the paths that came to the lists of files: they bind processes launched later (LIV-4).
///
/// # Errors
/// Every change that is not allowed, together.
pub fn update(
    created: &PolicyDocument,
    next: &PolicyDocument,
) -> Result<Vec<PolicyPath>, Vec<StaticChange>> {
    let mut changes = Vec::new();
    let had_section = created.filesystem.is_some();
    if had_section && next.filesystem.is_none() {
        changes.push(StaticChange {
            path: "filesystem_policy",
            message: format!("the section {REMOVED}"),
        });
    }
    let (old, new) = (completed(created), completed(next));
    // Where there was no section, the one that comes may say what it likes of the working directory.
    if had_section && next.filesystem.is_some() && old.include_workdir != new.include_workdir {
        let (from, to) = (old.include_workdir, new.include_workdir);
        changes.extend(differs("filesystem_policy.include_workdir", from, to));
    }
    if next.filesystem.is_some() || !had_section {
        let [read_only, read_write] = [
            "filesystem_policy.read_only",
            "filesystem_policy.read_write",
        ];
        changes.extend(removed(read_only, &old.read_only, &new, Side::ReadOnly));
        changes.extend(removed(read_write, &old.read_write, &new, Side::ReadWrite));
    }
    changes.extend(differs(
        "landlock.compatibility",
        word(created.landlock.compatibility),
        word(next.landlock.compatibility),
    ));
    let (was, is) = (&created.process, &next.process);
    for (path, from, to) in [
        ("process.run_as_user", &was.run_as_user, &is.run_as_user),
        ("process.run_as_group", &was.run_as_group, &is.run_as_group),
    ] {
        changes.extend(differs(path, format!("`{from}`"), format!("`{to}`")));
    }
    if changes.is_empty() {
        Ok(added(&old, new))
    } else {
        Err(changes)
    }
}

#[derive(Clone, Copy)]
enum Side {
    ReadOnly,
    ReadWrite,
}

/// The filesystem section of a completed document.
fn completed(document: &PolicyDocument) -> Filesystem {
    let mut document = document.clone();
    document.complete();
    document.filesystem.unwrap_or_default()
}

fn removed<'a>(
    path: &'static str,
    old: &'a [PolicyPath],
    new: &'a Filesystem,
    side: Side,
) -> impl Iterator<Item = StaticChange> + 'a {
    let (same, other, other_name) = match side {
        Side::ReadOnly => (&new.read_only, &new.read_write, "read_write"),
        Side::ReadWrite => (&new.read_write, &new.read_only, "read_only"),
    };
    old.iter()
        .filter(|listed| !same.contains(listed))
        .map(move |listed| StaticChange {
            path,
            message: match other.contains(listed) {
                true => format!("`{listed}` {REMOVED}, nor move to {other_name}"),
                false => format!("`{listed}` {REMOVED}"),
            },
        })
}

fn differs<T: Display + PartialEq>(path: &'static str, from: T, to: T) -> Option<StaticChange> {
    (from != to).then(|| StaticChange {
        path,
        message: format!("cannot change from {from} to {to} on a live sandbox"),
    })
}

fn added(old: &Filesystem, new: Filesystem) -> Vec<PolicyPath> {
    let fresh = |path: &PolicyPath| !old.read_only.contains(path) && !old.read_write.contains(path);
    let listed = new.read_only.into_iter().chain(new.read_write);
    listed.filter(fresh).collect()
}

fn word(compatibility: Compatibility) -> &'static str {
    match compatibility {
        Compatibility::BestEffort => "best_effort",
        Compatibility::HardRequirement => "hard_requirement",
    }
}

/// LIV-3
const REMOVED: &str = "cannot be removed on a live sandbox";

#[cfg(test)]
mod tests;
