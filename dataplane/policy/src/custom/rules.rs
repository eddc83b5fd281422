//! The text of an operator's rules and the data they judge by, checked (RGO-2, RGO-6).
//!
//! Apart from the evaluator because a data plane holds and hands on what only an evaluator runs, and even reading
//! the text is left to it: a few brackets too many and the engine's parser never ends. Invariant: what is wrong
//! with a text is said with its file, line and column.

use std::fmt;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::evaluator;
use crate::source::{self, Problem, Problems};

/// Rules and their data, as a policy carries them.
#[derive(Clone, PartialEq, Eq)]
pub struct Rules {
    file: Box<str>,
    text: Box<str>,
    /// JSON.
    data: Box<str>,
}

impl Rules {
    /// Longest text, in bytes: that of a policy document (LIM).
    pub const TEXT_BYTES_MAX: usize = 256 * 1024;

    /// Takes a module, not looked into yet. `file` is the name errors carry; `data` is what the module finds under
    /// `data`, as [`crate::rego::data`] or [`data_file`] give it.
    ///
    /// # Errors
    /// A text that is too long.
    pub fn new(text: &str, file: &str, data: &Value) -> Result<Rules, Problem> {
        if text.len() > Self::TEXT_BYTES_MAX {
            let message = format!("is longer than {} bytes", Self::TEXT_BYTES_MAX);
            return Err(problem(file, None, message));
        }
        Ok(Rules {
            file: file.into(),
            text: text.into(),
            data: data.to_string().into(),
        })
    }

    /// Looks for what keeps the module from being evaluated. A hostile text takes for ever or ends the process, so
    /// this is for a process that may be killed, like the evaluation itself.
    ///
    /// # Errors
    /// The first thing that is wrong, at its line and column.
    pub fn check(&self) -> Result<(), Problem> {
        evaluator::check(self)
    }

    /// The name of the file, as errors carry it.
    pub fn file(&self) -> &str {
        &self.file
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn data(&self) -> Result<regorus::Value, Problem> {
        regorus::Value::from_json_str(&self.data)
            .map_err(|error| problem(&self.file, None, format!("the data: {error}")))
    }

    /// The whole as bytes, for the process that evaluates.
    pub fn to_bytes(&self) -> Vec<u8> {
        let parts = [&*self.file, &*self.text, &*self.data];
        // A tuple of texts is always JSON.
        serde_json::to_vec(&parts).unwrap_or_default()
    }

    /// What [`Rules::to_bytes`] made; not checked again.
    pub fn from_bytes(bytes: &[u8]) -> Option<Rules> {
        let [file, text, data]: [Box<str>; 3] = serde_json::from_slice(bytes).ok()?;
        Some(Rules { file, text, data })
    }

    /// Lower-case hex SHA-256 of a policy with these rules: it changes with either (LIV-5).
    pub fn hash_with(&self, document: &str) -> String {
        let mut hasher = Sha256::new();
        for part in [document, &self.text, &self.data] {
            hasher.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            hasher.update(part);
        }
        hasher
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// Reads a data file: JSON, or YAML as policies are written. `file` is the name errors carry.
///
/// # Errors
/// Everything that is wrong with the text, together.
pub fn data_file(text: &str, file: &str) -> Result<Value, Problems> {
    if text.len() > DATA_BYTES_MAX {
        let message = format!("is longer than {DATA_BYTES_MAX} bytes");
        return Err(Problems::whole_file(file, &message));
    }
    let value = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|error| {
            let at = (u32::try_from(error.line()), u32::try_from(error.column()));
            let at = match at {
                (Ok(line), Ok(column)) => Some((line, column)),
                (Err(_), _) | (_, Err(_)) => None,
            };
            Problems::new(vec![problem(file, at, format!("not JSON: {error}"))])
        })?
    } else {
        source::value(text, file)?
    };
    match value {
        Value::Object(_) => Ok(value),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(Problems::whole_file(
                file,
                "expected a mapping; it is what rules find under `data`",
            ))
        }
    }
}

/// A finding in `file`.
pub(super) fn problem(file: &str, at: Option<(u32, u32)>, message: String) -> Problem {
    Problem {
        file: file.to_owned(),
        line: at.map(|(line, _)| line),
        column: at.map(|(_, column)| column),
        path: String::new(),
        message,
    }
}

/// Longest data file: a policy document with its lists written out.
const DATA_BYTES_MAX: usize = 1024 * 1024;
