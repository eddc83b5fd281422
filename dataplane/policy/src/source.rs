//! Policy text → document, with every error at its line, column and key (POL-1, POL-8).
//!
//! Apart from `document` because text can be wrong in ways a document cannot. Invariant: either
//! a document comes out that is valid in every field, or all errors come out together; nothing is
//! ever guessed, dropped or weakened.

mod filesystem;
mod locate;
mod network;
pub(crate) mod node;
mod places;
pub(crate) mod reader;
mod rule;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use places::Places;
pub(crate) use reader::join_key;
pub use reader::{Problem, Problems};

use crate::document::{
    Binary, Compatibility, Inference, Landlock, PolicyDocument, PolicyPath, Process,
};
use crate::pattern::Glob;
use node::Node;
use reader::{Fields, Place, Reader};

/// A document, and what is worth saying about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The policy.
    pub document: PolicyDocument,
    /// Findings that do not keep it from being used.
    pub warnings: Vec<Problem>,
    /// Where everything stands.
    pub places: Places,
}

/// Reads a policy. `file` is the name errors carry.
///
/// # Errors
/// Everything that is wrong with the text, together.
pub fn parse(text: &str, file: &str) -> Result<Loaded, Problems> {
    if text.len() > DOCUMENT_BYTES_MAX {
        let message = format!("is longer than {DOCUMENT_BYTES_MAX} bytes");
        return Err(Problems::whole_file(file, &message));
    }
    let (root, faults) = node::read(text);
    load(file, root, faults)
}

/// Reads a policy that has the shape of a document and was never text, such as one out of a message. Findings have
/// paths and no lines, and no file. How long the text would be is not looked at: whoever has the data knows its size.
///
/// # Errors
/// Everything that is wrong with the data, together.
pub fn from_data(data: &serde_json::Value) -> Result<Loaded, Problems> {
    load("", Some(Node::of_data(data)), Vec::new())
}

fn load(file: &str, root: Option<Node>, faults: Vec<node::Fault>) -> Result<Loaded, Problems> {
    let mut reader = Reader::new(file, faults);
    let document = root.as_ref().and_then(|root| policy(&mut reader, root));
    match document.zip(root) {
        Some((document, root)) if reader.errors.is_empty() => {
            let mut warnings = reader.warnings;
            warnings.sort_by_key(|problem| (problem.line, problem.column));
            Ok(Loaded {
                document,
                warnings,
                places: Places::of(file, &root),
            })
        }
        Some(_) | None if !reader.errors.is_empty() => Err(Problems::new(reader.errors)),
        Some(_) | None => Err(Problems::whole_file(
            file,
            "the document is empty; it needs at least `version: 1`",
        )),
    }
}

/// Reads YAML whose fields nobody here knows: the data of an operator's own rules (RGO-6).
///
/// # Errors
/// Everything that is wrong with the text, together.
pub(crate) fn value(text: &str, file: &str) -> Result<serde_json::Value, Problems> {
    let (root, faults) = node::read(text);
    let reader = Reader::new(file, faults);
    if !reader.errors.is_empty() {
        return Err(Problems::new(reader.errors));
    }
    root.as_ref()
        .map(Node::to_json)
        .ok_or_else(|| Problems::whole_file(file, "the document is empty"))
}

fn policy(reader: &mut Reader<'_>, root: &Node) -> Option<PolicyDocument> {
    let mut fields = reader.map(root, Place::root(root))?;
    let version = fields.require(reader, "version");
    let version =
        version.and_then(|(node, place)| reader.integer(node, &place, 1..=1, "the number 1"));
    let filesystem = fields.get("filesystem_policy");
    let filesystem = filesystem.map(|(node, place)| filesystem::read(reader, node, place));
    let landlock = fields
        .get("landlock")
        .map(|(node, place)| landlock(reader, node, place));
    let process = fields
        .get("process")
        .map(|(node, place)| process(reader, node, place));
    let network = fields
        .get("network_policies")
        .map(|(node, place)| network::read(reader, node, place));
    let inference = fields
        .get("inference")
        .map(|(node, place)| inference(reader, node, place));
    fields.finish(reader);
    version?;
    Some(PolicyDocument {
        filesystem: absent_or_read(filesystem)?,
        landlock: landlock.unwrap_or_else(|| Some(Landlock::default()))?,
        process: process.unwrap_or_else(|| Some(Process::default()))?,
        network_policies: network.unwrap_or_else(|| Some(BTreeMap::new()))?,
        inference: absent_or_read(inference)?,
    })
}

/// Outer: was it there; inner: could it be read. `None` only when it was there and unreadable.
#[expect(
    clippy::option_option,
    reason = "absent, unreadable and read are the three cases this function is about"
)]
fn absent_or_read<T>(field: Option<Option<T>>) -> Option<Option<T>> {
    match field {
        None => Some(None),
        Some(None) => None,
        Some(Some(value)) => Some(Some(value)),
    }
}

fn landlock(reader: &mut Reader<'_>, node: &Node, place: Place) -> Option<Landlock> {
    let mut fields = reader.map_or_nothing(node, place)?;
    let words = [
        ("best_effort", Compatibility::BestEffort),
        ("hard_requirement", Compatibility::HardRequirement),
    ];
    let compatibility = fields
        .get("compatibility")
        .map(|(node, place)| reader.choice(node, &place, &words));
    fields.finish(reader);
    Some(Landlock {
        compatibility: compatibility.unwrap_or(Some(Compatibility::default()))?,
    })
}

fn process(reader: &mut Reader<'_>, node: &Node, place: Place) -> Option<Process> {
    let mut fields = reader.map_or_nothing(node, place)?;
    let user = account(reader, &mut fields, "run_as_user");
    let group = account(reader, &mut fields, "run_as_group");
    fields.finish(reader);
    Some(Process {
        run_as_user: user?,
        run_as_group: group?,
    })
}

fn account(reader: &mut Reader<'_>, fields: &mut Fields<'_>, key: &'static str) -> Option<String> {
    let Some((node, place)) = fields.get(key) else {
        return Some(String::new());
    };
    let text = reader.text_or_number(node, &place)?;
    let name = text.trim();
    if name == "root" || name.parse::<i64>() == Ok(0) {
        reader.error(&place, "must not be root");
        return None;
    }
    if name.starts_with('-')
        || name
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || c == ':')
    {
        return reader.mismatch(node, &place, "a name or a number");
    }
    Some(name.to_owned())
}

fn inference(reader: &mut Reader<'_>, node: &Node, place: Place) -> Option<Inference> {
    let mut fields = reader.map(node, place)?;
    let binaries = fields
        .get("binaries")
        .map(|(node, place)| binaries(reader, node, &place));
    let models = fields
        .get("models")
        .map(|(node, place)| models(reader, node, &place));
    let requests_per_minute = limit(reader, &mut fields, "requests_per_minute");
    let tokens_per_minute = limit(reader, &mut fields, "tokens_per_minute");
    let max_concurrent = limit(reader, &mut fields, "max_concurrent");
    fields.finish(reader);
    Some(Inference {
        binaries: absent_or_read(binaries)?,
        models: absent_or_read(models)?,
        requests_per_minute: requests_per_minute?,
        tokens_per_minute: tokens_per_minute?,
        max_concurrent: max_concurrent?,
    })
}

#[expect(clippy::option_option, reason = "absent and unreadable are two cases")]
fn limit(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
    key: &'static str,
) -> Option<Option<u64>> {
    let value = fields.get(key).map(|(node, place)| {
        let value = reader.integer(node, &place, 1..=i64::MAX, "a number of at least 1")?;
        u64::try_from(value).ok()
    });
    absent_or_read(value)
}

fn models(reader: &mut Reader<'_>, node: &Node, place: &Place) -> Option<Vec<Glob>> {
    let items = reader.filled_list(node, place)?;
    let read: Vec<_> = items
        .iter()
        .map(|(node, place)| filled_text(reader, node, place))
        .collect();
    read.into_iter()
        .map(|text| text.map(|text| Glob::new(&text)))
        .collect()
}

/// `binaries` of a network policy and of the inference section.
fn binaries(reader: &mut Reader<'_>, node: &Node, place: &Place) -> Option<Vec<Binary>> {
    let items = reader.filled_list(node, place)?;
    let read: Vec<_> = items
        .into_iter()
        .map(|(node, place)| binary(reader, node, place))
        .collect();
    read.into_iter().collect()
}

fn binary(reader: &mut Reader<'_>, node: &Node, place: Place) -> Option<Binary> {
    let mut fields = reader.map(node, place)?;
    let path = fields.require(reader, "path");
    let path = path.and_then(|(node, place)| {
        let text = reader.text(node, &place)?;
        let path = PolicyPath::parse(&text)
            .map_err(|error| reader.error(&place, error.to_string()))
            .ok()?;
        Some(Glob::new(path.as_str()))
    });
    fields.finish(reader);
    Some(Binary { path: path? })
}

fn filled_text(reader: &mut Reader<'_>, node: &Node, place: &Place) -> Option<String> {
    let text = reader.text(node, place)?;
    if text.is_empty() {
        reader.error(place, "must not be empty");
        return None;
    }
    Some(text)
}

/// LIM: longest policy document.
const DOCUMENT_BYTES_MAX: usize = 256 * 1_024;
