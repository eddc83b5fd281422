//! What is not of the network: files, the process, inference.
//!
//! Apart from `network` because these fields say what they say; nothing has to be asked. Files are
//! compared completed, as they would be enforced (BAS).

use std::collections::BTreeSet;

use super::{Change, Difference, Subject};
use crate::document::{Binary, Compatibility, Filesystem, Inference, PolicyDocument, PolicyPath};
use crate::pattern::Glob;

pub(super) fn differences(old: &PolicyDocument, new: &PolicyDocument, found: &mut Vec<Difference>) {
    filesystem(old, new, found);
    process(old, new, found);
    let (before, after) = (old.inference.clone(), new.inference.clone());
    inference(
        &before.unwrap_or_default(),
        &after.unwrap_or_default(),
        found,
    );
}

fn field(subject: Subject, change: Change, what: &str, before: &str, after: &str) -> Difference {
    Difference {
        change,
        subject,
        programs: Vec::new(),
        targets: Vec::new(),
        methods: Vec::new(),
        what: Some(what.to_owned()),
        before: before.to_owned(),
        after: after.to_owned(),
        witness: None,
    }
}

/// What may be done with a path that is listed, or lies below one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Right {
    Nothing,
    Read,
    Write,
}

impl Right {
    fn words(self) -> &'static str {
        match self {
            Right::Nothing => "not readable",
            Right::Read => "readable",
            Right::Write => "writable",
        }
    }
}

fn filesystem(old: &PolicyDocument, new: &PolicyDocument, found: &mut Vec<Difference>) {
    let completed = |document: &PolicyDocument| {
        let mut document = document.clone();
        document.complete();
        document.filesystem.unwrap_or_default()
    };
    let (old, new) = (completed(old), completed(new));
    let paths: BTreeSet<&PolicyPath> = [&old, &new]
        .into_iter()
        .flat_map(|files| files.read_only.iter().chain(&files.read_write))
        .collect();
    for path in paths {
        let (before, after) = (right(&old, path), right(&new, path));
        if before != after {
            let change = if after > before {
                Change::Opens
            } else {
                Change::Closes
            };
            found.push(field(
                Subject::Filesystem,
                change,
                path.as_str(),
                before.words(),
                after.words(),
            ));
        }
    }
    if old.include_workdir != new.include_workdir {
        let words = |included: bool| if included { "writable" } else { "as listed" };
        let change = if new.include_workdir {
            Change::Opens
        } else {
            Change::Closes
        };
        let (before, after) = (words(old.include_workdir), words(new.include_workdir));
        found.push(field(
            Subject::Filesystem,
            change,
            "the working directory",
            before,
            after,
        ));
    }
}

fn right(files: &Filesystem, path: &PolicyPath) -> Right {
    let within = |list: &[PolicyPath]| list.iter().any(|above| path.is_within(above));
    if within(&files.read_write) {
        Right::Write
    } else if within(&files.read_only) {
        Right::Read
    } else {
        Right::Nothing
    }
}

fn process(old: &PolicyDocument, new: &PolicyDocument, found: &mut Vec<Difference>) {
    let shown = |name: &str| match name {
        "" => "the caller's".to_owned(),
        name => name.to_owned(),
    };
    let accounts = [
        ("user", &old.process.run_as_user, &new.process.run_as_user),
        (
            "group",
            &old.process.run_as_group,
            &new.process.run_as_group,
        ),
    ];
    for (what, before, after) in accounts {
        if before != after {
            found.push(field(
                Subject::Process,
                Change::Changes,
                what,
                &shown(before),
                &shown(after),
            ));
        }
    }
    if old.landlock != new.landlock {
        let words = |compatibility| match compatibility {
            Compatibility::BestEffort => "best_effort",
            Compatibility::HardRequirement => "hard_requirement",
        };
        let change = match new.landlock.compatibility {
            Compatibility::BestEffort => Change::Opens,
            Compatibility::HardRequirement => Change::Closes,
        };
        let (before, after) = (
            words(old.landlock.compatibility),
            words(new.landlock.compatibility),
        );
        found.push(field(Subject::Process, change, "landlock", before, after));
    }
}

fn inference(old: &Inference, new: &Inference, found: &mut Vec<Difference>) {
    let paths = |list: &Option<Vec<Binary>>| {
        let list = list.as_ref()?;
        Some(
            list.iter()
                .map(|binary| &binary.path)
                .cloned()
                .collect::<Vec<_>>(),
        )
    };
    listed(
        "binaries",
        paths(&old.binaries).as_deref(),
        paths(&new.binaries).as_deref(),
        found,
    );
    listed(
        "models",
        old.models.as_deref(),
        new.models.as_deref(),
        found,
    );
    let limits = [
        (
            "requests_per_minute",
            old.requests_per_minute,
            new.requests_per_minute,
        ),
        (
            "tokens_per_minute",
            old.tokens_per_minute,
            new.tokens_per_minute,
        ),
        ("max_concurrent", old.max_concurrent, new.max_concurrent),
    ];
    let shown = |limit: Option<u64>| limit.map_or("no limit".to_owned(), |limit| limit.to_string());
    for (what, before, after) in limits {
        if before != after {
            let more = after.unwrap_or(u64::MAX) > before.unwrap_or(u64::MAX);
            let change = if more { Change::Opens } else { Change::Closes };
            found.push(field(
                Subject::Inference,
                change,
                what,
                &shown(before),
                &shown(after),
            ));
        }
    }
}

/// Lists whose absence means everything.
fn listed(what: &str, old: Option<&[Glob]>, new: Option<&[Glob]>, found: &mut Vec<Difference>) {
    let shown = |list: Option<&[Glob]>| match list {
        None => "any".to_owned(),
        Some(list) => list.iter().map(Glob::as_str).collect::<Vec<_>>().join(", "),
    };
    let (change, differs) = match (old, new) {
        (None, None) => return,
        (None, Some(_)) => (Change::Closes, true),
        (Some(_), None) => (Change::Opens, true),
        (Some(old), Some(new)) => {
            let lost = old.iter().any(|glob| !new.contains(glob));
            let won = new.iter().any(|glob| !old.contains(glob));
            match (won, lost) {
                (true, false) => (Change::Opens, true),
                (false, true) => (Change::Closes, true),
                (true, true) => (Change::Changes, true),
                (false, false) => (Change::Changes, false),
            }
        }
    };
    if differs {
        found.push(field(
            Subject::Inference,
            change,
            what,
            &shown(old),
            &shown(new),
        ));
    }
}
