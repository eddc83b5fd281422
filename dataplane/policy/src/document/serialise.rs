//! A document as data in the shape of its YAML.
//!
//! Apart from `document` because the types group fields that the text keeps side by side.
//! Invariant: what is written here, `source` reads back to an equal document (TR-072).

use std::collections::BTreeMap;
use std::fmt::Display;

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::{EncodedSlash, Endpoint, Grant, Inspection, PolicyDocument, Rule};
use crate::pattern::Glob;

impl Serialize for PolicyDocument {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let PolicyDocument {
            filesystem,
            landlock,
            process,
            network_policies,
            inference,
        } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("version", &VERSION)?;
        if let Some(filesystem) = filesystem {
            map.serialize_entry("filesystem_policy", filesystem)?;
        }
        map.serialize_entry("landlock", landlock)?;
        map.serialize_entry("process", process)?;
        map.serialize_entry("network_policies", network_policies)?;
        if let Some(inference) = inference {
            map.serialize_entry("inference", inference)?;
        }
        map.end()
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Endpoint {
            destination,
            port,
            inspection,
        } = self;
        let mut map = serializer.serialize_map(None)?;
        if let Some(host) = destination.host() {
            map.serialize_entry("host", &host.to_string())?;
        }
        map.serialize_entry("port", &port.number())?;
        if let Some(Inspection {
            path,
            tls,
            enforcement,
            grant,
            deny_rules,
            encoded_slash,
        }) = inspection
        {
            map.serialize_entry("path", path.as_str())?;
            map.serialize_entry("protocol", "rest")?;
            map.serialize_entry("tls", tls)?;
            map.serialize_entry("enforcement", enforcement)?;
            match grant {
                Grant::Access(access) => map.serialize_entry("access", access)?,
                Grant::Rules(rules) => map.serialize_entry("rules", &Allowed(rules))?,
            }
            if !deny_rules.is_empty() {
                map.serialize_entry("deny_rules", deny_rules)?;
            }
            map.serialize_entry(
                "allow_encoded_slash",
                &(*encoded_slash == EncodedSlash::Allow),
            )?;
        }
        if let Some(list) = destination.allowed_ips() {
            let texts: Vec<String> = list.blocks().iter().map(ToString::to_string).collect();
            map.serialize_entry("allowed_ips", &texts)?;
        }
        map.end()
    }
}

/// `rules:` holds maps with the single key `allow`.
struct Allowed<'r>(&'r [Rule]);

impl Serialize for Allowed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for rule in self.0 {
            list.serialize_element(&BTreeMap::from([("allow", rule)]))?;
        }
        list.end()
    }
}

pub(super) fn display<T: Display, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

pub(super) fn globs<S: Serializer>(
    globs: &BTreeMap<String, Glob>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(globs.iter().map(|(name, glob)| (name, glob.as_str())))
}

pub(super) fn models<S: Serializer>(
    models: &Option<Vec<Glob>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(models.iter().flatten().map(Glob::as_str))
}

/// The only version of the language.
const VERSION: u32 = 1;
