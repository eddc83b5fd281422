//! Where every key and item of a document stands in its text.
//!
//! Apart from `reader`, which forgets places as soon as a value is read, because warnings and
//! explanations speak of a document long afterwards. Invariant: a path is spelled as in `Problem`.

use std::collections::BTreeMap;

use super::node::{Node, Position, Value};
use super::reader::{Place, Problem};

/// The places of one document, by key path such as `network_policies.git.endpoints[0]`.
#[derive(Clone, Debug)]
pub struct Places {
    file: String,
    at: BTreeMap<String, Position>,
}

impl Places {
    pub(super) fn of(file: &str, root: &Node) -> Places {
        let mut at = BTreeMap::new();
        collect(root, Place::root(root), &mut at);
        let file = file.to_owned();
        Places { file, at }
    }

    /// The file as it was named.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line of a key or item, counted from 1. A path that is not in the text has the line of what
    /// encloses it: a default is meant where its section is.
    pub fn line(&self, path: &str) -> Option<u32> {
        self.position(path).map(|at| at.line)
    }

    /// Whether the path itself is in the text.
    pub fn has(&self, path: &str) -> bool {
        self.at.contains_key(path)
    }

    /// Every path of the document, in byte order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.at.keys().map(String::as_str)
    }

    /// A finding about that path.
    pub(crate) fn problem(&self, path: &str, message: String) -> Problem {
        let at = self.position(path);
        Problem {
            file: self.file.clone(),
            line: at.map(|at| at.line),
            column: at.map(|at| at.column),
            path: path.to_owned(),
            message,
        }
    }

    fn position(&self, path: &str) -> Option<Position> {
        let mut path = path;
        loop {
            if let Some(at) = self.at.get(path) {
                return at.known();
            }
            path = path.get(..path.rfind(['.', '['])?)?;
        }
    }
}

fn collect(node: &Node, place: Place, at: &mut BTreeMap<String, Position>) {
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                collect(&entry.value, place.key(&entry.key, entry.at), at);
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(item, place.index(index, item.at), at);
            }
        }
        Value::Scalar(_) => {}
    }
    at.insert(place.path, place.at);
}
