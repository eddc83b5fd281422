//! The configuration file: one flat mapping of three keys.
//!
//! Invariant: a key that is not known is refused with its place (H4): a typo must not become the default.

use std::io::ErrorKind;
use std::path::Path;

use clap::ValueEnum;
use granit_parser::{Event, Parser};

use crate::args::Output;

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FileSettings {
    pub(super) gateway: Option<String>,
    pub(super) cluster: Option<String>,
    pub(super) output: Option<Output>,
}

/// Reads the file; one that is not there says nothing.
pub(super) fn read(path: &Path) -> Result<FileSettings, String> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text, &path.display().to_string()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(FileSettings::default()),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}

/// Reads the text. An error has file, line and column.
pub(super) fn parse(text: &str, file: &str) -> Result<FileSettings, String> {
    let mut settings = FileSettings::default();
    let mut place = Place::Outside;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let at = error.marker();
            let (line, column) = (at.line().max(1), at.col() + 1);
            format!("{file}:{line}:{column}: not YAML: {}", error.info())
        })?;
        let at = |why: String| {
            let (line, column) = (span.start.line().max(1), span.start.col() + 1);
            Err(format!("{file}:{line}:{column}: {why}"))
        };
        place = match (event, place) {
            (Event::MappingStart(..), Place::Outside) => Place::Key,
            (Event::Scalar(key, ..), Place::Key) if KEYS.contains(&key.as_ref()) => {
                Place::Value(key.into_owned())
            }
            (Event::Scalar(key, ..), Place::Key) => {
                return at(format!(
                    "unknown key `{key}`; known here: {}",
                    KEYS.join(", ")
                ));
            }
            (Event::Scalar(value, ..), Place::Value(key)) => {
                if let Err(why) = settings.set(&key, &value) {
                    return at(format!("{key}: {why}"));
                }
                Place::Key
            }
            (Event::MappingEnd, Place::Key) => Place::Behind,
            (
                Event::Scalar(..)
                | Event::MappingStart(..)
                | Event::SequenceStart(..)
                | Event::Alias(..)
                | Event::UnresolvedAlias(..),
                _,
            ) => return at("expected one mapping of keys to texts".to_owned()),
            (_, place) => place,
        };
    }
    Ok(settings)
}

/// Where in the text the reader is.
enum Place {
    /// Before the mapping.
    Outside,
    /// Where a key stands, or the end.
    Key,
    /// Behind this key.
    Value(String),
    /// Behind the mapping.
    Behind,
}

impl FileSettings {
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        // As YAML spells what is not there; nobody calls a cluster that.
        if matches!(value, "" | "~" | "null") {
            return Err("expected a text".to_owned());
        }
        let twice = match key {
            "gateway" => self.gateway.replace(value.to_owned()).is_some(),
            "cluster" => self.cluster.replace(value.to_owned()).is_some(),
            _ => {
                let output = Output::from_str(value, false)
                    .map_err(|_| "expected table, json or yaml".to_owned())?;
                self.output.replace(output).is_some()
            }
        };
        match twice {
            true => Err("is there already".to_owned()),
            false => Ok(()),
        }
    }
}

const KEYS: [&str; 3] = ["gateway", "cluster", "output"];
