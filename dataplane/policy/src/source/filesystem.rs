//! `filesystem_policy`: paths, and how the two lists must fit together.
//!
//! Apart from `source` for its rules between entries. Invariant: a document that loads still loads
//! after it was completed with the baseline, and no read-only path lies below a writable one.

use super::node::Node;
use super::reader::{Place, Reader};
use crate::document::{BASELINE_READ_ONLY, BASELINE_READ_WRITE, Filesystem, PolicyPath};

pub(super) fn read(reader: &mut Reader<'_>, node: &Node, place: Place) -> Option<Filesystem> {
    let mut fields = reader.map(node, place)?;
    let workdir = fields
        .get("include_workdir")
        .map(|(node, place)| reader.boolean(node, &place));
    let read_only = fields
        .get("read_only")
        .map(|(node, place)| paths(reader, node, &place));
    let read_write = fields
        .get("read_write")
        .map(|(node, place)| paths(reader, node, &place));
    let section = fields.place.clone();
    fields.finish(reader);

    let read_only = read_only.unwrap_or_else(|| Some(Vec::new()));
    let read_write = read_write.unwrap_or_else(|| Some(Vec::new()));
    for (path, place) in read_write
        .iter()
        .flatten()
        .filter(|(path, _)| path.is_root())
    {
        reader.error(place, format!("`{path}` must not be writable"));
    }
    let (read_only, read_write) = (read_only?, read_write?);
    let own = |paths: &[(PolicyPath, Place)], baseline: &[&str]| {
        let is_own = |(path, _): &&(PolicyPath, Place)| !baseline.contains(&path.as_str());
        paths.iter().filter(is_own).count()
    };
    // What every sandbox has is not counted: completing must not make a document too long.
    let entries = own(&read_only, BASELINE_READ_ONLY) + own(&read_write, BASELINE_READ_WRITE);
    if entries > ENTRIES_MAX {
        reader.error(&section, format!("more than {ENTRIES_MAX} paths"));
    }
    conflicts(reader, &read_only, &read_write);
    let bare = |paths: Vec<(PolicyPath, Place)>| paths.into_iter().map(|(path, _)| path).collect();
    Some(Filesystem {
        include_workdir: workdir.unwrap_or(Some(false))?,
        read_only: bare(read_only),
        read_write: bare(read_write),
    })
}

fn conflicts(
    reader: &mut Reader<'_>,
    read_only: &[(PolicyPath, Place)],
    read_write: &[(PolicyPath, Place)],
) {
    let baseline: Vec<PolicyPath> = BASELINE_READ_WRITE
        .iter()
        .filter_map(|text| PolicyPath::parse(text).ok())
        .collect();
    for (path, place) in read_only {
        let above = |other: &&PolicyPath| path.is_within(other) && !other.is_root();
        let writable = read_write.iter().map(|(path, _)| path).find(above);
        let granted = baseline.iter().find(above);
        match (writable, granted) {
            (Some(other), _) if other == path => {
                reader.error(place, format!("`{path}` is also in read_write"))
            }
            (Some(other), _) => reader.error(
                place,
                format!("`{path}` lies below `{other}`, which is writable"),
            ),
            (None, Some(other)) => {
                reader.error(
                    place,
                    format!("`{path}` lies in `{other}`, which is writable in every sandbox"),
                );
            }
            (None, None) => {}
        }
    }
}

fn paths(reader: &mut Reader<'_>, node: &Node, place: &Place) -> Option<Vec<(PolicyPath, Place)>> {
    let items = reader.list(node, place)?;
    let read: Vec<_> = items
        .into_iter()
        .map(|(node, place)| {
            let text = reader.text(node, &place)?;
            let path = PolicyPath::parse(&text)
                .map_err(|error| reader.error(&place, error.to_string()))
                .ok()?;
            Some((path, place))
        })
        .collect();
    read.into_iter().collect()
}

/// POL-1: both lists together, without the baseline.
const ENTRIES_MAX: usize = 256;
