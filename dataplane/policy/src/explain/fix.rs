//! Lines of policy that would allow what was denied.
//!
//! Apart from `near`, which says what differs. Invariant: a remedy grants what was asked and as little
//! else as one entry can; `tests` applies it to the document and asks again.

use std::net::IpAddr;

use serde::{Serialize, Serializer};
use wire::Slashes;

use super::placed::{self, Placed};
use super::request::Request;
use crate::address::{Class, classify};
use crate::answer::{Answer, Entry, Question, Stage};
use crate::decision::REQUEST_NOT_ALLOWED;
use crate::document::{Access, EncodedSlash, Endpoint, Grant};
use crate::source::Loaded;

/// One change of a policy, as YAML: the keys that lead to it, and what belongs there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    lines: Vec<String>,
}

impl Fix {
    /// `how` is said behind the last key of the trail, with its line where it is there already.
    fn new(trail: &[&str], lines: &[String], how: &str, line: Option<u32>) -> Fix {
        let mut all = Vec::new();
        for (depth, key) in trail.iter().enumerate() {
            let last = depth + 1 == trail.len();
            let note = if last { note(how, line) } else { String::new() };
            all.push(format!("{}{key}:{note}", "  ".repeat(depth)));
        }
        let indent = "  ".repeat(trail.len());
        all.extend(lines.iter().map(|line| format!("{indent}{line}")));
        Fix { lines: all }
    }

    /// YAML lines.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}

fn note(how: &str, line: Option<u32>) -> String {
    match line {
        Some(line) => format!("  # line {line}: {how}"),
        None => format!("  # {how}"),
    }
}

impl Serialize for Fix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.lines)
    }
}

/// The lines that would allow it, where one entry can.
pub(super) fn remedy(loaded: &Loaded, question: &Question, answer: &Answer) -> Option<Fix> {
    match answer.failed? {
        Stage::NetworkPolicies | Stage::Endpoint => Some(new_policy(loaded, question)),
        Stage::Binary => binary(loaded, question, answer),
        Stage::Request => request(loaded, question, answer),
        Stage::Address | Stage::RequestAddress | Stage::AllowedIps => {
            addresses(loaded, question, answer)
        }
        Stage::InferenceBinaries => Some(Fix::new(
            &["inference", "binaries"],
            &[item(&[("path", &exe(question))])],
            ADD,
            loaded.places.line("inference.binaries"),
        )),
        Stage::Inference | Stage::SpecialName | Stage::Path | Stage::Private => None,
    }
}

fn exe(question: &Question) -> String {
    String::from_utf8_lossy(&question.caller.exe.path).into_owned()
}

/// A policy for exactly this caller, host and port.
fn new_policy(loaded: &Loaded, question: &Question) -> Fix {
    let host = question.target.host.as_str();
    let plain: String = host
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    let taken = |key: &String| loaded.document.network_policies.contains_key(key);
    let numbered = (2..).map(|number| format!("{plain}_{number}"));
    let mut keys = std::iter::once(plain.clone()).chain(numbered);
    let key = keys.find(|key| !taken(key)).unwrap_or(plain);
    let port = question.target.port.to_string();
    let listed = wanted(question);
    let mut fields = vec![("host", quoted(host)), ("port", port)];
    let inside = listed.iter().any(|addr| classify(*addr) == Class::Internal);
    if inside || question.entry == Entry::Forward {
        fields.push(("allowed_ips", blocks(&listed)));
    }
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, text)| (*name, &**text)).collect();
    let lines = [
        format!("{}:", quoted(&key)),
        "  endpoints:".to_owned(),
        format!("    {}", raw_item(&fields)),
        "  binaries:".to_owned(),
        format!("    {}", item(&[("path", &exe(question))])),
    ];
    let line = loaded.places.line("network_policies");
    Fix::new(&["network_policies"], &lines, "add", line)
}

fn binary(loaded: &Loaded, question: &Question, answer: &Answer) -> Option<Fix> {
    let key = answer.policy.as_deref()?;
    let path = format!("{}.binaries", crate::lint::policy_path(key));
    Some(Fix::new(
        &["network_policies", &quoted(key), "binaries"],
        &[item(&[("path", &exe(question))])],
        ADD,
        loaded.places.line(&path),
    ))
}

/// A rule for exactly this method and path, in the endpoint that speaks of it.
fn request(loaded: &Loaded, question: &Question, answer: &Answer) -> Option<Fix> {
    let request = Request::of(question)?;
    let covering = placed::matching(loaded, question, answer)
        .into_iter()
        .find_map(|placed| {
            let inspection = placed.endpoint.inspection.as_ref()?;
            request
                .is_covered_by(inspection)
                .then_some((placed, inspection))
        });
    let (placed, inspection) = covering?;
    if request.path.slashes() == Slashes::Escaped
        && inspection.encoded_slash == EncodedSlash::Refuse
    {
        let granted = answer.reason != REQUEST_NOT_ALLOWED && !answer.reason.contains("deny");
        return granted.then(|| change(loaded, &placed, "allow_encoded_slash", "true"));
    }
    if answer.reason != REQUEST_NOT_ALLOWED {
        return None;
    }
    match inspection.grant {
        Grant::Access(access) => {
            let written = Access::ReadWrite.methods().contains(&request.method);
            let wider = if access == Access::ReadOnly && written {
                "read-write"
            } else {
                "full"
            };
            Some(change(loaded, &placed, "access", wider))
        }
        Grant::Rules(_) => {
            let path = String::from_utf8_lossy(request.path.as_bytes()).into_owned();
            let rule = format!(
                "- allow: {{ method: {}, path: {} }}",
                quoted(request.method),
                quoted(&path)
            );
            let line = loaded.places.line(&format!("{}.rules", placed.path()));
            let lines = [format!("rules:{}", note(ADD, line)), format!("  {rule}")];
            Some(within(loaded, &placed, &lines))
        }
    }
}

/// One field of an endpoint with another value.
fn change(loaded: &Loaded, placed: &Placed<'_>, field: &str, value: &str) -> Fix {
    let path = format!("{}.{field}", placed.path());
    let line = loaded
        .places
        .line(&path)
        .filter(|_| loaded.places.has(&path));
    let how = if line.is_some() {
        "in place of what is there"
    } else {
        "add"
    };
    within(
        loaded,
        placed,
        &[format!("{field}: {value}{}", note(how, line))],
    )
}

/// Lines of an endpoint, behind the two that say which.
fn within(loaded: &Loaded, placed: &Placed<'_>, lines: &[String]) -> Fix {
    let port = format!("port: {}", placed.endpoint.port);
    let mut named: Vec<String> = placed
        .endpoint
        .destination
        .host()
        .map(|host| format!("host: {}", quoted(&host.to_string())))
        .into_iter()
        .chain([port])
        .chain(lines.iter().cloned())
        .collect();
    for (index, line) in named.iter_mut().enumerate() {
        let mark = if index == 0 { "- " } else { "  " };
        line.insert_str(0, mark);
    }
    let line = loaded.places.line(&placed.path());
    let key = quoted(placed.key);
    Fix::new(
        &["network_policies", &key, "endpoints"],
        &named,
        "in the entry of this line",
        line,
    )
}

/// The addresses, in the list of the endpoint that reaches the host.
fn addresses(loaded: &Loaded, question: &Question, answer: &Answer) -> Option<Fix> {
    let addresses = wanted(question);
    if addresses.iter().any(|addr| classify(*addr).is_blocked()) {
        return None;
    }
    let placed = placed::admitting(loaded, question, answer)
        .into_iter()
        .next()?;
    let mut entries: Vec<String> = known(placed.endpoint);
    for addr in &addresses {
        let text = addr.to_string();
        if !entries.contains(&text) {
            entries.push(text);
        }
    }
    if addresses.is_empty() {
        entries.push("ADDRESS".to_owned());
    }
    let list = format!(
        "[{}]",
        entries
            .iter()
            .map(|entry| quoted(entry))
            .collect::<Vec<_>>()
            .join(", ")
    );
    Some(change(loaded, &placed, "allowed_ips", &list))
}

fn known(endpoint: &Endpoint) -> Vec<String> {
    let list = endpoint.destination.allowed_ips();
    let blocks = list.into_iter().flat_map(|list| list.blocks());
    blocks.map(ToString::to_string).collect()
}

/// The addresses a connection would go to, as far as they are known.
fn wanted(question: &Question) -> Vec<IpAddr> {
    match question.target.host.literal() {
        Some(addr) => vec![addr],
        None => question.addresses.clone().unwrap_or_default(),
    }
}

fn blocks(addresses: &[IpAddr]) -> String {
    let mut texts: Vec<String> = addresses
        .iter()
        .map(|addr| quoted(&addr.to_string()))
        .collect();
    if texts.is_empty() {
        texts.push("ADDRESS".to_owned());
    }
    format!("[{}]", texts.join(", "))
}

/// `- { path: /usr/bin/git }`
fn item(fields: &[(&str, &str)]) -> String {
    let texts: Vec<String> = fields.iter().map(|(_, text)| quoted(text)).collect();
    let fields: Vec<(&str, &str)> = std::iter::zip(fields, &texts)
        .map(|((name, _), text)| (*name, &**text))
        .collect();
    raw_item(&fields)
}

fn raw_item(fields: &[(&str, &str)]) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, text)| format!("{name}: {text}"))
        .collect();
    format!("- {{ {} }}", fields.join(", "))
}

/// A YAML scalar: plain where every reader takes it as text, else double-quoted as JSON is.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/');
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let address = text.contains('.')
        && text
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, '.' | '/'));
    let word = matches!(
        text,
        "true" | "false" | "null" | "yes" | "no" | "on" | "off"
    );
    if begins && text.chars().all(plain) && !word || address && text.matches('.').count() == 3 {
        return text.to_owned();
    }
    serde_json::Value::from(text).to_string()
}

/// What to do with a list.
const ADD: &str = "add to the list";
