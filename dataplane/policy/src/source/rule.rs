//! Request rules of an endpoint: `path`, `enforcement`, `access`, `rules`, `deny_rules`.
//!
//! Apart from `network` because these fields only mean something together. Invariant: a grant is
//! either a preset or a list, never both and never neither; deny rules are enforced or refused.

use std::collections::BTreeMap;

use super::node::Node;
use super::reader::{Fields, Place, Reader};
use crate::document::{Access, EncodedSlash, Enforcement, Grant, Inspection, Rule, Tls};
use crate::pattern::Glob;

/// The fields as they were found, each with its place.
pub(super) struct RuleFields {
    path: Found<Glob>,
    enforcement: Found<Enforcement>,
    access: Found<Access>,
    rules: Found<Vec<Rule>>,
    deny_rules: Found<Vec<Rule>>,
    encoded_slash: Found<EncodedSlash>,
}

/// Absent, or there: with its value when that could be read.
type Found<T> = Option<(Option<T>, Place)>;

/// The fields after they were checked against each other.
pub(super) struct Rules {
    path: Glob,
    enforcement: Enforcement,
    grant: Grant,
    deny_rules: Vec<Rule>,
    encoded_slash: EncodedSlash,
}

pub(super) fn read(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> RuleFields {
    let enforcement = [
        ("enforce", Enforcement::Enforce),
        ("audit", Enforcement::Audit),
    ];
    let access = [
        ("read-only", Access::ReadOnly),
        ("read-write", Access::ReadWrite),
        ("full", Access::Full),
    ];
    RuleFields {
        path: found(fields, "path", |node, place| path(reader, node, place)),
        enforcement: found(fields, "enforcement", |node, place| {
            reader.choice(node, place, &enforcement)
        }),
        access: found(fields, "access", |node, place| {
            reader.choice(node, place, &access)
        }),
        rules: found(fields, "rules", |node, place| {
            rules(reader, node, place, allow_rule)
        }),
        deny_rules: found(fields, "deny_rules", |node, place| {
            rules(reader, node, place, rule)
        }),
        encoded_slash: found(fields, "allow_encoded_slash", |node, place| {
            let allow = reader.boolean(node, place)?;
            Some(if allow {
                EncodedSlash::Allow
            } else {
                EncodedSlash::Refuse
            })
        }),
    }
}

fn found<T>(
    fields: &mut Fields<'_>,
    key: &'static str,
    read: impl FnOnce(&Node, &Place) -> Option<T>,
) -> Found<T> {
    fields
        .get(key)
        .map(|(node, place)| (read(node, &place), place))
}

impl RuleFields {
    /// POL-2: without `protocol` none of these fields may stand.
    pub(super) fn refuse_without_protocol(self, reader: &mut Reader<'_>) {
        let RuleFields {
            path,
            enforcement,
            access,
            rules,
            deny_rules,
            encoded_slash,
        } = self;
        let places = [
            path.map(|(_, place)| place),
            enforcement.map(|(_, place)| place),
            access.map(|(_, place)| place),
            rules.map(|(_, place)| place),
            deny_rules.map(|(_, place)| place),
            encoded_slash.map(|(_, place)| place),
        ];
        for place in places.iter().flatten() {
            reader.error(place, "needs `protocol`");
        }
    }

    /// Checks the fields against each other; `protocol` is where that field stands.
    pub(super) fn complete(self, reader: &mut Reader<'_>, protocol: &Place) -> Option<Rules> {
        let RuleFields {
            path,
            enforcement,
            access,
            rules,
            deny_rules,
            encoded_slash,
        } = self;
        if let (Some((_, place)), None) = (&rules, &enforcement) {
            reader.warn(
                place,
                "rules without `enforcement` are only recorded (`audit`)",
            );
        }
        let enforcement = or_default(enforcement, Enforcement::default());
        if let (Some((_, place)), Some(Enforcement::Audit)) = (&deny_rules, &enforcement) {
            reader.error(place, "deny rules need `enforcement: enforce`");
        }
        let grant = match (access, rules) {
            (Some(_), Some((_, place))) => {
                reader.error(&place, "`rules` and `access` exclude each other");
                None
            }
            (Some((access, _)), None) => access.map(Grant::Access),
            (None, Some((rules, _))) => rules.map(Grant::Rules),
            (None, None) => {
                reader.error(protocol, "`protocol` needs `rules` or `access`");
                None
            }
        };
        Some(Rules {
            path: or_default(path, Glob::new("**"))?,
            enforcement: enforcement?,
            grant: grant?,
            deny_rules: or_default(deny_rules, Vec::new())?,
            encoded_slash: or_default(encoded_slash, EncodedSlash::default())?,
        })
    }
}

impl Rules {
    pub(super) fn into_inspection(self, tls: Tls) -> Inspection {
        let Rules {
            path,
            enforcement,
            grant,
            deny_rules,
            encoded_slash,
        } = self;
        Inspection {
            path,
            tls,
            enforcement,
            grant,
            deny_rules,
            encoded_slash,
        }
    }
}

fn or_default<T>(found: Found<T>, default: T) -> Option<T> {
    found.map_or(Some(default), |(value, _)| value)
}

fn rules(
    reader: &mut Reader<'_>,
    node: &Node,
    place: &Place,
    read: fn(&mut Reader<'_>, &Node, Place) -> Option<Rule>,
) -> Option<Vec<Rule>> {
    let items = reader.filled_list(node, place)?;
    let rules: Vec<_> = items
        .into_iter()
        .map(|(node, place)| read(reader, node, place))
        .collect();
    rules.into_iter().collect()
}

fn allow_rule(reader: &mut Reader<'_>, node: &Node, place: Place) -> Option<Rule> {
    let mut fields = reader.map(node, place)?;
    let allow = fields
        .require(reader, "allow")
        .and_then(|(node, place)| rule(reader, node, place));
    fields.finish(reader);
    allow
}

fn rule(reader: &mut Reader<'_>, node: &Node, place: Place) -> Option<Rule> {
    let mut fields = reader.map(node, place)?;
    let method = fields
        .get("method")
        .map(|(node, place)| method(reader, node, &place));
    let path = fields
        .get("path")
        .map(|(node, place)| path(reader, node, &place));
    let query = fields
        .get("query")
        .map(|(node, place)| query(reader, node, place));
    fields.finish(reader);
    Some(Rule {
        method: method.unwrap_or_else(|| Some("*".to_owned()))?,
        path: path.unwrap_or_else(|| Some(Glob::new("**")))?,
        query: query.unwrap_or_else(|| Some(BTreeMap::new()))?,
    })
}

fn method(reader: &mut Reader<'_>, node: &Node, place: &Place) -> Option<String> {
    let text = reader.text(node, place)?;
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || !text.bytes().all(token) {
        return reader.mismatch(node, place, "a method name or `*`");
    }
    let method = text.to_ascii_uppercase();
    if method != "*" && !METHODS.contains(&method.as_str()) {
        reader.warn(place, format!("`{method}` is not a method name in use"));
    }
    Some(method)
}

fn path(reader: &mut Reader<'_>, node: &Node, place: &Place) -> Option<Glob> {
    let text = reader.text(node, place)?;
    if !text.starts_with('/') && !text.starts_with("**") {
        reader.error(place, "must start with `/` or `**`");
        return None;
    }
    if text.contains(['?', '#']) {
        reader.error(
            place,
            "must not contain `?` or `#`; a query is matched by `query`",
        );
        return None;
    }
    Some(Glob::new(&text))
}

fn query(reader: &mut Reader<'_>, node: &Node, place: Place) -> Option<BTreeMap<String, Glob>> {
    let fields = reader.map(node, place)?;
    let mut query = BTreeMap::new();
    let mut complete = Some(());
    for (name, node, place) in fields.free() {
        if name.is_empty() {
            reader.error(&place, "a query name must not be empty");
        }
        match reader.text(node, &place) {
            Some(value) => drop(query.insert(name.to_owned(), Glob::new(&value))),
            None => complete = None,
        }
    }
    complete.map(|()| query)
}

/// Methods that are no typing error: RFC 9110, RFC 5789, and those of WebDAV.
const METHODS: &[&str] = &[
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "CONNECT",
    "OPTIONS",
    "TRACE",
    "PATCH",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "REPORT",
    "SEARCH",
];
