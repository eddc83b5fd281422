//! Typed reading of nodes: every field asked for by name, everything else an error.
//!
//! Apart from `node`, which knows YAML, and from the files that know what a policy or a route is.
//! Invariant: a map is not left before `finish` reported the keys nobody asked for, and a value of
//! the wrong type is reported with what was expected and what was found.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::node::{Entry, Fault, Node, Position, Scalar, Step, Value};

/// One finding about a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The file as it was named.
    pub file: String,
    /// Line, counted from 1; absent when the finding has no place.
    pub line: Option<u32>,
    /// Column in characters, counted from 1.
    pub column: Option<u32>,
    /// The key's path, such as `network_policies.git.endpoints[0].port`; empty for the document.
    pub path: String,
    /// One sentence.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, ":{line}:{column}")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Everything that is wrong with a document, in the order of its text (POL-8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    problems: Vec<Problem>,
}

impl Problems {
    pub(crate) fn new(mut problems: Vec<Problem>) -> Problems {
        problems.sort_by_key(|problem| (problem.line, problem.column));
        Problems { problems }
    }

    /// A document that could not be read at all, such as a missing file.
    pub fn whole_file(file: &str, message: &str) -> Problems {
        Problems::new(vec![Problem {
            file: file.to_owned(),
            line: None,
            column: None,
            path: String::new(),
            message: message.to_owned(),
        }])
    }

    /// The findings; at least one.
    pub fn as_slice(&self) -> &[Problem] {
        &self.problems
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Problems {
        Problems::new(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            let separator = if at == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Where a node stands: its path in words, and its place in the text.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) path: String,
    pub(crate) at: Position,
}

impl Place {
    pub(crate) fn root(node: &Node) -> Place {
        Place {
            path: String::new(),
            at: node.at,
        }
    }

    pub(crate) fn key(&self, key: &str, at: Position) -> Place {
        Place {
            path: join_key(&self.path, key),
            at,
        }
    }

    pub(crate) fn index(&self, index: usize, at: Position) -> Place {
        Place {
            path: format!("{}[{index}]", self.path),
            at,
        }
    }
}

/// Collects findings while a document is read.
pub(crate) struct Reader<'f> {
    file: &'f str,
    pub(crate) errors: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
}

impl<'f> Reader<'f> {
    pub(crate) fn new(file: &'f str, faults: Vec<Fault>) -> Reader<'f> {
        let mut reader = Reader {
            file,
            errors: Vec::new(),
            warnings: Vec::new(),
        };
        for Fault { at, trail, message } in faults {
            let path = trail.iter().fold(String::new(), |path, step| match step {
                Step::Key(key) => join_key(&path, key),
                Step::Index(index) => format!("{path}[{index}]"),
            });
            reader.error(&Place { path, at }, message);
        }
        reader
    }

    pub(crate) fn error(&mut self, place: &Place, message: impl Into<String>) {
        let problem = self.problem(place, message.into());
        self.errors.push(problem);
    }

    pub(crate) fn warn(&mut self, place: &Place, message: impl Into<String>) {
        let problem = self.problem(place, message.into());
        self.warnings.push(problem);
    }

    fn problem(&self, place: &Place, message: String) -> Problem {
        let at = place.at.known();
        Problem {
            file: self.file.to_owned(),
            line: at.map(|at| at.line),
            column: at.map(|at| at.column),
            path: place.path.clone(),
            message,
        }
    }

    /// A node that must be a map.
    pub(crate) fn map<'n>(&mut self, node: &'n Node, place: Place) -> Option<Fields<'n>> {
        match &node.value {
            Value::Map(entries) => Some(Fields {
                entries,
                place,
                asked: Vec::new(),
            }),
            Value::List(_) | Value::Scalar(_) => self.mismatch(node, &place, "a map"),
        }
    }

    /// A map, or a key written without a value, which reads as an empty map.
    pub(crate) fn map_or_nothing<'n>(
        &mut self,
        node: &'n Node,
        place: Place,
    ) -> Option<Fields<'n>> {
        match &node.value {
            Value::Scalar(Scalar::Null) => Some(Fields {
                entries: &[],
                place,
                asked: Vec::new(),
            }),
            Value::Map(_) | Value::List(_) | Value::Scalar(_) => self.map(node, place),
        }
    }

    /// A node that must be a list; the items come with their places.
    pub(crate) fn list<'n>(
        &mut self,
        node: &'n Node,
        place: &Place,
    ) -> Option<Vec<(&'n Node, Place)>> {
        match &node.value {
            Value::List(items) => {
                let placed = |(index, item): (usize, &'n Node)| (item, place.index(index, item.at));
                Some(items.iter().enumerate().map(placed).collect())
            }
            Value::Map(_) | Value::Scalar(_) => self.mismatch(node, place, "a list"),
        }
    }

    /// A list of at least one item.
    pub(crate) fn filled_list<'n>(
        &mut self,
        node: &'n Node,
        place: &Place,
    ) -> Option<Vec<(&'n Node, Place)>> {
        let items = self.list(node, place)?;
        if items.is_empty() {
            self.error(place, "must not be empty; leave the key out instead");
            return None;
        }
        Some(items)
    }

    pub(crate) fn text(&mut self, node: &Node, place: &Place) -> Option<String> {
        match &node.value {
            Value::Scalar(Scalar::Text(text)) => Some(text.clone()),
            Value::Scalar(
                Scalar::Null | Scalar::Bool(_) | Scalar::Integer(..) | Scalar::Float(_),
            ) => self.mismatch(node, place, "text; put the value in quotes"),
            Value::Map(_) | Value::List(_) => self.mismatch(node, place, "text"),
        }
    }

    /// Text, or an integer in decimal; nothing reads as empty.
    pub(crate) fn text_or_number(&mut self, node: &Node, place: &Place) -> Option<String> {
        match &node.value {
            Value::Scalar(Scalar::Text(text)) => Some(text.clone()),
            Value::Scalar(Scalar::Integer(_, Some(number))) => Some(number.to_string()),
            Value::Scalar(Scalar::Null) => Some(String::new()),
            Value::Scalar(Scalar::Integer(_, None) | Scalar::Bool(_) | Scalar::Float(_))
            | Value::Map(_)
            | Value::List(_) => self.mismatch(node, place, "a name or a number"),
        }
    }

    pub(crate) fn boolean(&mut self, node: &Node, place: &Place) -> Option<bool> {
        match &node.value {
            Value::Scalar(Scalar::Bool(value)) => Some(*value),
            Value::Scalar(
                Scalar::Null | Scalar::Integer(..) | Scalar::Float(_) | Scalar::Text(_),
            )
            | Value::Map(_)
            | Value::List(_) => self.mismatch(node, place, "true or false"),
        }
    }

    /// An integer within `range`; `expected` names the range in the message.
    pub(crate) fn integer(
        &mut self,
        node: &Node,
        place: &Place,
        range: std::ops::RangeInclusive<i64>,
        expected: &str,
    ) -> Option<i64> {
        match &node.value {
            Value::Scalar(Scalar::Integer(_, Some(value))) if range.contains(value) => Some(*value),
            Value::Scalar(_) | Value::Map(_) | Value::List(_) => {
                self.mismatch(node, place, expected)
            }
        }
    }

    /// One of the words of an enumeration.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        node: &Node,
        place: &Place,
        words: &[(&str, T)],
    ) -> Option<T> {
        let text = match &node.value {
            Value::Scalar(Scalar::Text(text)) => Some(text.as_str()),
            Value::Scalar(
                Scalar::Null | Scalar::Bool(_) | Scalar::Integer(..) | Scalar::Float(_),
            )
            | Value::Map(_)
            | Value::List(_) => None,
        };
        if let Some((_, value)) = words.iter().find(|(word, _)| Some(*word) == text) {
            return Some(*value);
        }
        let expected = words
            .iter()
            .map(|(word, _)| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(" or ");
        self.mismatch(node, place, &expected)
    }

    pub(crate) fn mismatch<T>(&mut self, node: &Node, place: &Place, expected: &str) -> Option<T> {
        self.error(place, format!("expected {expected}, found {}", found(node)));
        None
    }
}

/// The entries of one map, asked for by name.
pub(crate) struct Fields<'n> {
    entries: &'n [Entry],
    pub(crate) place: Place,
    asked: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// The field, when it is there. A field written without a value counts as there.
    pub(crate) fn get(&mut self, key: &'static str) -> Option<(&'n Node, Place)> {
        self.asked.push(key);
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some((&entry.value, self.place.key(key, entry.at)))
    }

    /// The field, or an error that it is missing.
    pub(crate) fn require(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
    ) -> Option<(&'n Node, Place)> {
        let field = self.get(key);
        if field.is_none() {
            let place = self.place.key(key, self.place.at);
            reader.error(&place, "required, but missing");
        }
        field
    }

    /// Every entry, for maps whose keys are free.
    pub(crate) fn free(&self) -> impl Iterator<Item = (&'n str, &'n Node, Place)> {
        self.entries.iter().map(|entry| {
            (
                entry.key.as_str(),
                &entry.value,
                self.place.key(&entry.key, entry.at),
            )
        })
    }

    /// Reports the keys nobody asked for.
    pub(crate) fn finish(self, reader: &mut Reader<'_>) {
        for entry in self
            .entries
            .iter()
            .filter(|entry| !self.asked.contains(&entry.key.as_str()))
        {
            let place = self.place.key(&entry.key, entry.at);
            reader.error(
                &place,
                format!("unknown key; known here: {}", self.asked.join(", ")),
            );
        }
    }
}

/// A path with one key more.
pub(crate) fn join_key(path: &str, key: &str) -> String {
    let plain = !key.is_empty()
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    match (path.is_empty(), plain) {
        (true, true) => key.to_owned(),
        (false, true) => format!("{path}.{key}"),
        (_, false) => format!("{path}[{}]", serde_json::Value::from(key)),
    }
}

fn found(node: &Node) -> String {
    let shown = |text: &str| match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    };
    match &node.value {
        Value::Map(_) => "a map".to_owned(),
        Value::List(_) => "a list".to_owned(),
        Value::Scalar(Scalar::Null) => "nothing".to_owned(),
        Value::Scalar(Scalar::Bool(value)) => value.to_string(),
        Value::Scalar(Scalar::Integer(text, _) | Scalar::Float(text)) => {
            format!("the number {}", shown(text))
        }
        Value::Scalar(Scalar::Text(text)) => {
            format!("the text {}", serde_json::Value::from(shown(text)))
        }
    }
}

/// How much of a wrong value an error repeats.
const SHOWN_CHARS_MAX: usize = 64;
