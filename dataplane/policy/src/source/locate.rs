//! Where a key stands in a text, for findings that are not about the text alone.
//!
//! Apart from `reader`, which knows the place of what it reads at the moment. Invariant: a key that is not there is
//! looked for further out, so a finding about something that is missing shows where it should be.

use super::node::{self, Node, Position, Value};
use super::reader::{Problem, Problems};

impl Problems {
    /// Findings about keys of a document that was read before, each a key's path (names and dots) and a sentence.
    pub fn about<'a>(
        text: &str,
        file: &str,
        findings: impl IntoIterator<Item = (&'a str, String)>,
    ) -> Problems {
        let (root, _) = node::read(text);
        let problems = findings.into_iter().map(|(path, message)| {
            let at = root.as_ref().map(|root| locate(root, path));
            Problem {
                file: file.to_owned(),
                line: at.map(|at| at.line),
                column: at.map(|at| at.column),
                path: path.to_owned(),
                message,
            }
        });
        Problems::new(problems.collect())
    }
}

fn locate(root: &Node, path: &str) -> Position {
    let (mut node, mut at) = (root, root.at);
    for key in path.split('.') {
        let Value::Map(entries) = &node.value else {
            break;
        };
        let Some(entry) = entries.iter().find(|entry| entry.key == key) else {
            break;
        };
        (node, at) = (&entry.value, entry.at);
    }
    at
}
