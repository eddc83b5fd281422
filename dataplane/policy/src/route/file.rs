//! A routes file → routes (RTE-10, RTE-11).
//!
//! Apart from `flag`, the other source. Invariant: one entry in error and nothing is used; no
//! message repeats a credential.

use std::time::Duration;

use super::{
    AuthStyle, BaseUrl, BaseUrlError, Deadlines, Profile, Protocol, Route, Routes, Scheme,
};
use crate::secret::Secret;
use crate::source::Problems;
use crate::source::node::{self, Node, Scalar, Value};
use crate::source::reader::{Fields, Place, Reader};

impl Routes {
    /// Reads a routes file. `file` is the name errors carry, `env` the environment for
    /// `api_key_env`.
    ///
    /// # Errors
    /// Everything that is wrong with the text, together; each error names its entry.
    pub fn parse(
        text: &str,
        file: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Routes, Problems> {
        if text.len() > FILE_BYTES_MAX {
            return Err(Problems::whole_file(
                file,
                &format!("is longer than {FILE_BYTES_MAX} bytes"),
            ));
        }
        let (root, faults) = node::read(text);
        let mut reader = Reader::new(file, faults);
        let routes = root
            .as_ref()
            .and_then(|root| routes(&mut reader, root, env));
        match routes {
            Some(routes) if reader.errors.is_empty() => Ok(Routes::from(routes)),
            Some(_) | None if !reader.errors.is_empty() => Err(Problems::new(reader.errors)),
            Some(_) | None => Err(Problems::whole_file(
                file,
                "the file is empty; it needs at least `routes: []`",
            )),
        }
    }
}

fn routes(
    reader: &mut Reader<'_>,
    root: &Node,
    env: &dyn Fn(&str) -> Option<String>,
) -> Option<Vec<Route>> {
    let mut fields = reader.map(root, Place::root(root))?;
    let list = fields
        .require(reader, "routes")
        .and_then(|(node, place)| reader.list(node, &place));
    fields.finish(reader);
    let read: Vec<_> = list?
        .into_iter()
        .map(|(node, place)| route(reader, node, place, env))
        .collect();
    read.into_iter().collect()
}

fn route(
    reader: &mut Reader<'_>,
    node: &Node,
    place: Place,
    env: &dyn Fn(&str) -> Option<String>,
) -> Option<Route> {
    let mut fields = reader.map(node, place)?;
    let private = fields
        .get("allow_private_endpoint")
        .map(|(node, place)| reader.boolean(node, &place));
    let private = private.unwrap_or(Some(false));
    let base = fields
        .require(reader, "endpoint")
        .and_then(|(node, place)| base(reader, node, &place, private));
    let model = fields
        .require(reader, "model")
        .and_then(|(node, place)| model(reader, node, &place));
    let protocols = fields
        .require(reader, "protocols")
        .and_then(|(node, place)| protocols(reader, node, &place));
    let profile = fields
        .get("provider_type")
        .map(|(node, place)| profile(reader, node, &place));
    let credential = credential(reader, &mut fields, env);
    let name = fields
        .get("name")
        .map(|(node, place)| reader.choice(node, &place, &[("inference.local", ())]));
    let deadlines = fields
        .get("deadlines")
        .map(|(node, place)| deadlines(reader, node, place));
    fields.finish(reader);
    name.unwrap_or(Some(()))?;
    let profile = match profile {
        None => None,
        Some(profile) => Some(profile?),
    };
    let (base, deadlines) = (
        base?,
        deadlines.unwrap_or_else(|| Some(Deadlines::default()))?,
    );
    Some(Route {
        name: "inference.local".to_owned(),
        protocols: protocols?,
        allow_private_endpoint: private? || base.names_private_endpoint(),
        base,
        model: model?,
        auth: profile.map_or(AuthStyle::Bearer, |profile| profile.auth.clone()),
        default_headers: profile.map_or_else(Vec::new, Profile::default_fields),
        deadlines,
        credential: credential?,
        version: 1,
    })
}

/// `private` is what the entry says of private endpoints, unless that could not be read.
fn base(
    reader: &mut Reader<'_>,
    node: &Node,
    place: &Place,
    private: Option<bool>,
) -> Option<BaseUrl> {
    let text = reader.text(node, place)?;
    let base = BaseUrl::parse(text.trim())
        .map_err(|error| reader.error(place, error.to_string()))
        .ok()?;
    if base.scheme == Scheme::Http && private == Some(false) && !base.names_private_endpoint() {
        reader.error(place, BaseUrlError::PlainHttp.to_string());
        return None;
    }
    Some(base)
}

fn model(reader: &mut Reader<'_>, node: &Node, place: &Place) -> Option<String> {
    let text = reader.text(node, place)?;
    if text.trim().is_empty() {
        reader.error(place, "must not be blank");
        return None;
    }
    Some(text.trim().to_owned())
}

fn protocols(reader: &mut Reader<'_>, node: &Node, place: &Place) -> Option<Vec<Protocol>> {
    let items = reader.filled_list(node, place)?;
    let known = Protocol::ALL
        .map(|protocol| format!("`{protocol}`"))
        .join(" or ");
    let mut protocols = Vec::new();
    let mut complete = Some(());
    for (node, place) in items {
        let Some(text) = reader.text(node, &place) else {
            complete = None;
            continue;
        };
        match Protocol::parse(&text) {
            Some(protocol) if protocols.contains(&protocol) => {}
            Some(protocol) => protocols.push(protocol),
            None => complete = reader.mismatch(node, &place, &known),
        }
    }
    complete.map(|()| protocols)
}

fn profile(reader: &mut Reader<'_>, node: &Node, place: &Place) -> Option<&'static Profile> {
    let text = reader.text(node, place)?;
    Profile::of(&text).or_else(|| reader.mismatch(node, place, &Profile::kinds()))
}

/// `api_key` wins over `api_key_env`; one of them is required (RB-3).
fn credential(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Option<Secret> {
    let written = fields.get("api_key");
    let variable = fields.get("api_key_env");
    let (value, place) = match (written, variable) {
        (Some((node, place)), _) => (secret_text(reader, node, &place)?, place),
        (None, Some((node, place))) => {
            let variable = reader.text(node, &place)?;
            let Some(value) = env(&variable) else {
                reader.error(
                    &place,
                    format!("the environment variable `{variable}` is not set"),
                );
                return None;
            };
            (value, place)
        }
        (None, None) => {
            let entry = fields.place.clone();
            reader.error(&entry, "needs `api_key` or `api_key_env`");
            return None;
        }
    };
    Secret::new(&value)
        .map_err(|error| reader.error(&place, error.to_string()))
        .ok()
}

/// Text that no message may repeat.
fn secret_text(reader: &mut Reader<'_>, node: &Node, place: &Place) -> Option<String> {
    match &node.value {
        Value::Scalar(Scalar::Text(text)) => Some(text.clone()),
        Value::Scalar(Scalar::Null | Scalar::Bool(_) | Scalar::Integer(..) | Scalar::Float(_))
        | Value::Map(_)
        | Value::List(_) => {
            reader.error(place, "expected text; put the value in quotes");
            None
        }
    }
}

fn deadlines(reader: &mut Reader<'_>, node: &Node, place: Place) -> Option<Deadlines> {
    let mut fields = reader.map(node, place)?;
    let default = Deadlines::default();
    let connect = duration(reader, &mut fields, "connect");
    let header = duration(reader, &mut fields, "header");
    let idle = duration(reader, &mut fields, "idle");
    let total = duration(reader, &mut fields, "total");
    fields.finish(reader);
    Some(Deadlines {
        connect: connect?.unwrap_or(default.connect),
        header: header?.unwrap_or(default.header),
        idle: idle?.unwrap_or(default.idle),
        total: total?,
    })
}

/// Outer: could it be read; inner: was it there.
#[expect(clippy::option_option, reason = "absent and unreadable are two cases")]
fn duration(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
    key: &'static str,
) -> Option<Option<Duration>> {
    let Some((node, place)) = fields.get(key) else {
        return Some(None);
    };
    let text = match &node.value {
        Value::Scalar(Scalar::Text(text)) => super::parse_duration(text)
            .filter(|duration| !duration.is_zero() && *duration <= DURATION_MAX),
        Value::Scalar(Scalar::Null | Scalar::Bool(_) | Scalar::Integer(..) | Scalar::Float(_))
        | Value::Map(_)
        | Value::List(_) => None,
    };
    match text {
        Some(duration) => Some(Some(duration)),
        None => reader.mismatch(
            node,
            &place,
            "a duration such as `10s` (ms, s, m or h; at most 24 h)",
        ),
    }
}

/// Longest routes file, as for policies.
const FILE_BYTES_MAX: usize = 256 * 1_024;

/// Longest deadline: past a day it is a typing error, and clocks add it without care.
const DURATION_MAX: Duration = Duration::from_secs(24 * 3_600);
