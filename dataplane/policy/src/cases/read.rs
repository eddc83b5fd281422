//! The text of a table.
//!
//! Apart from its judging because it is syntax.

use std::net::IpAddr;

use wire::{Authority, Port};

use super::{Case, Cases, Expected};
use crate::answer::{Entry, Outcome, Question, RequestLine};
use crate::caller::Caller;
use crate::document::PolicyPath;
use crate::pattern::parse_host;
use crate::source::Problems;
use crate::source::node::{self, Node};
use crate::source::reader::{Fields, Place, Reader};

/// Reads a table. `file` is the name errors carry.
///
/// # Errors
/// Everything that is wrong with the text, together.
pub fn parse(text: &str, file: &str) -> Result<Cases, Problems> {
    let (root, faults) = node::read(text);
    let mut reader = Reader::new(file, faults);
    let cases = root.as_ref().and_then(|root| table(&mut reader, root));
    match cases {
        Some(cases) if reader.errors.is_empty() => Ok(cases),
        Some(_) | None if !reader.errors.is_empty() => Err(Problems::new(reader.errors)),
        Some(_) | None => Err(Problems::whole_file(
            file,
            "the document is empty; it needs `policy` and `cases`",
        )),
    }
}

fn table(reader: &mut Reader<'_>, root: &Node) -> Option<Cases> {
    let mut fields = reader.map(root, Place::root(root))?;
    let policy = fields.require(reader, "policy");
    let policy = policy.and_then(|(node, place)| reader.text(node, &place));
    let cases = fields.require(reader, "cases").and_then(|(node, place)| {
        let items = reader.filled_list(node, &place)?;
        let read: Vec<_> = items
            .into_iter()
            .map(|(node, place)| case(reader, node, place))
            .collect();
        read.into_iter().collect::<Option<Vec<_>>>()
    });
    fields.finish(reader);
    Some(Cases {
        policy: policy?,
        cases: cases?,
    })
}

fn case(reader: &mut Reader<'_>, node: &Node, place: Place) -> Option<Case> {
    let line = place.at.line;
    let mut fields = reader.map(node, place)?;
    let name = fields.require(reader, "name");
    let name = name.and_then(|(node, place)| reader.text(node, &place));
    let question = question(reader, &mut fields);
    let expected = expected(reader, &mut fields);
    fields.finish(reader);
    Some(Case {
        name: name?,
        line,
        question: question?,
        expected: expected?,
    })
}

fn question(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Option<Question> {
    let binary = fields.require(reader, "binary");
    let binary = binary.and_then(|(node, place)| path(reader, node, &place));
    let ancestors = list(reader, fields, "ancestors", path);
    let host = fields.require(reader, "host").and_then(|(node, place)| {
        let text = reader.text(node, &place)?;
        let host = parse_host(&text);
        if host.is_none() {
            reader.error(&place, "not a host name or IP address");
        }
        host
    });
    let port = fields.require(reader, "port").and_then(|(node, place)| {
        let number = reader.integer(node, &place, 1..=65_535, "a number 1–65535")?;
        u16::try_from(number).ok().and_then(Port::new)
    });
    let words = [("tunnel", Entry::Tunnel), ("forward", Entry::Forward)];
    let entry = fields
        .get("via")
        .map_or(Some(Entry::Tunnel), |(node, place)| {
            reader.choice(node, &place, &words)
        });
    let request = request(reader, fields);
    let addresses = list(reader, fields, "ips", |reader, node, place| {
        let text = reader.text(node, place)?;
        let addr = text.parse::<IpAddr>().ok();
        addr.or_else(|| reader.mismatch(node, place, "an IP address"))
    });
    let ancestors = ancestors?;
    let ancestors: Vec<&str> = ancestors.iter().map(String::as_str).collect();
    let addresses = addresses?;
    Some(Question {
        caller: Caller::from_paths(&binary?, &ancestors),
        target: Authority {
            host: host?,
            port: port?,
        },
        entry: entry?,
        request: request?,
        addresses: (!addresses.is_empty()).then_some(addresses),
    })
}

/// Method and path stand together or not at all.
#[expect(clippy::option_option, reason = "unreadable and absent are two cases")]
fn request(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Option<Option<RequestLine>> {
    let mut text = |key| {
        let (node, place) = fields.get(key)?;
        Some((reader.text(node, &place), place))
    };
    let (method, path) = (text("method"), text("path"));
    match (method, path) {
        (None, None) => Some(None),
        (Some((method, _)), Some((path, place))) => {
            let (method, path) = (method?, path?);
            if !path.starts_with('/') {
                reader.error(&place, "must start with `/`");
                return None;
            }
            Some(Some(RequestLine::new(&method, &path)))
        }
        (Some((_, place)), None) => {
            reader.error(&place, "`method` needs `path`");
            None
        }
        (None, Some((_, place))) => {
            reader.error(&place, "`path` needs `method`");
            None
        }
    }
}

fn expected(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Option<Expected> {
    let words = [
        ("allow", Outcome::Allow),
        ("audit", Outcome::Audit),
        ("deny", Outcome::Deny),
    ];
    let verdict = fields.require(reader, "expect");
    let verdict = verdict.and_then(|(node, place)| reader.choice(node, &place, &words));
    let mut text = |key| match fields.get(key) {
        None => Some(None),
        Some((node, place)) => reader.text(node, &place).map(Some),
    };
    let (policy, reason) = (text("policy"), text("reason"));
    let inspected = match fields.get("inspected") {
        None => Some(None),
        Some((node, place)) => reader.boolean(node, &place).map(Some),
    };
    Some(Expected {
        verdict: verdict?,
        policy: policy?,
        reason: reason?,
        inspected: inspected?,
    })
}

/// Programs are named by the paths the kernel gives them, which are absolute and without `..`.
fn path(reader: &mut Reader<'_>, node: &Node, place: &Place) -> Option<String> {
    let text = reader.text(node, place)?;
    let path = PolicyPath::parse(&text).map_err(|error| reader.error(place, error.to_string()));
    path.ok().map(|path| path.as_str().to_owned())
}

/// A list that may be absent.
fn list<T>(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
    key: &'static str,
    read: impl Fn(&mut Reader<'_>, &Node, &Place) -> Option<T>,
) -> Option<Vec<T>> {
    let Some((node, place)) = fields.get(key) else {
        return Some(Vec::new());
    };
    let items = reader.list(node, &place)?;
    let read: Vec<_> = items
        .into_iter()
        .map(|(node, place)| read(reader, node, &place))
        .collect();
    read.into_iter().collect()
}
