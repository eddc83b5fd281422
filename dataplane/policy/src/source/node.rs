//! YAML text → a tree in which every node knows its line and column.
//!
//! Apart from `reader` because it knows YAML and nothing of policies. It is stricter than YAML:
//! one document, no anchors, aliases, tags or merge keys, no duplicate keys, no deep nesting
//! (POL-1). Invariant: the events of the parser are folded iteratively; a hostile document cannot
//! exhaust the stack.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};

/// Where a node begins, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl Position {
    /// Of what was never text: findings about it have a path and no line.
    const NOWHERE: Position = Position { line: 0, column: 0 };

    /// Itself, when there is a text to look at.
    pub(crate) fn known(self) -> Option<Position> {
        (self != Position::NOWHERE).then_some(self)
    }
}

/// One node of the document.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) value: Value,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// A scalar, already resolved by the YAML 1.2 core schema.
    Scalar(Scalar),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the text.
    Map(Vec<Entry>),
}

impl Node {
    /// Data that has the shape of a document and was never text.
    pub(super) fn of_data(value: &serde_json::Value) -> Node {
        let value = match value {
            serde_json::Value::Null => Value::Scalar(Scalar::Null),
            serde_json::Value::Bool(value) => Value::Scalar(Scalar::Bool(*value)),
            serde_json::Value::Number(number) => {
                let text = number.to_string();
                Value::Scalar(match number.is_f64() {
                    true => Scalar::Float(text),
                    false => Scalar::Integer(text, number.as_i64()),
                })
            }
            serde_json::Value::String(text) => Value::Scalar(Scalar::Text(text.clone())),
            serde_json::Value::Array(items) => {
                Value::List(items.iter().map(Node::of_data).collect())
            }
            serde_json::Value::Object(entries) => {
                let entry = |(key, value): (&String, &serde_json::Value)| Entry {
                    key: key.clone(),
                    at: Position::NOWHERE,
                    value: Node::of_data(value),
                };
                Value::Map(entries.iter().map(entry).collect())
            }
        };
        let at = Position::NOWHERE;
        Node { at, value }
    }

    /// The same as JSON. A number that JSON cannot hold is kept as its text.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Scalar(Scalar::Null) => serde_json::Value::Null,
            Value::Scalar(Scalar::Bool(value)) => (*value).into(),
            Value::Scalar(Scalar::Integer(_, Some(value))) => (*value).into(),
            Value::Scalar(Scalar::Integer(text, None) | Scalar::Float(text)) => text
                .parse::<f64>()
                .ok()
                .and_then(serde_json::Number::from_f64)
                .map_or_else(|| text.as_str().into(), serde_json::Value::Number),
            Value::Scalar(Scalar::Text(text)) => text.as_str().into(),
            Value::List(items) => items.iter().map(Node::to_json).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.value.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }
}

/// One key of a mapping and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) at: Position,
    pub(crate) value: Node,
}

/// A scalar by the core schema (YAML 1.2.2 §10.3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scalar {
    Null,
    Bool(bool),
    /// An integer, as written and as a number when it fits.
    Integer(String, Option<i64>),
    /// A floating-point number: no field has that type.
    Float(String),
    Text(String),
}

/// A fault of the text itself.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) at: Position,
    /// The keys that lead to it.
    pub(crate) trail: Vec<Step>,
    pub(crate) message: String,
}

/// One step of the way from the root to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// Reads a document whole. A tree is returned whenever the text could be read to its end, so that
/// later checks can add their findings to the faults.
pub(crate) fn read(text: &str) -> (Option<Node>, Vec<Fault>) {
    let mut builder = Builder::default();
    let options = granit_parser::options! {
        emit_unresolved_aliases: true,
        emit_comments: false,
        disallow_directives: true,
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((event, span)) => builder.event(event, span),
            Err(error) => {
                let at = position(error.marker().line(), error.marker().col());
                let trail = builder.trail();
                builder.faults.push(Fault {
                    at,
                    trail,
                    message: format!("not YAML: {}", error.info()),
                });
                return (None, builder.faults);
            }
        }
    }
    (builder.root, builder.faults)
}

/// A collection that is not closed yet.
enum Open {
    List {
        at: Position,
        items: Vec<Node>,
    },
    Map {
        at: Position,
        entries: Vec<Entry>,
        lines: HashMap<String, u32>,
        key: Option<Pending>,
    },
}

/// A key that waits for its value.
struct Pending {
    key: String,
    at: Position,
    /// The line of an equal key before it: the document is refused, the first value is kept.
    earlier: Option<u32>,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    faults: Vec<Fault>,
}

impl Builder {
    fn event(&mut self, event: Event<'_>, span: Span) {
        let at = position(span.start.line(), span.start.col());
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents == 2 {
                    self.fault(at, "more than one YAML document");
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_properties(at, anchor, tag.as_deref());
                self.scalar(at, &text, style);
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_properties(at, anchor, tag.as_deref());
                self.refuse_collection_key(at);
                self.open.push(Open::List {
                    at,
                    items: Vec::new(),
                });
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_properties(at, anchor, tag.as_deref());
                self.refuse_collection_key(at);
                self.open.push(Open::Map {
                    at,
                    entries: Vec::new(),
                    lines: HashMap::new(),
                    key: None,
                });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.fault(at, "aliases are not accepted; write the value out");
                self.scalar(at, "", ScalarStyle::Plain);
            }
            // Neither comments nor anchor metadata are asked for.
            Event::Comment(..)
            | Event::Anchor(..)
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentEnd => {}
            _ => self.fault(at, "this construct is not accepted"),
        }
    }

    fn scalar(&mut self, at: Position, text: &str, style: ScalarStyle) {
        if let Some(Open::Map {
            lines,
            key: key @ None,
            ..
        }) = self.open.last_mut()
        {
            let earlier = lines.insert(text.to_owned(), at.line);
            *key = Some(Pending {
                key: text.to_owned(),
                at,
                earlier,
            });
            if let Some(line) = earlier {
                self.fault(
                    at,
                    &format!("duplicate key; it is already set in line {line}"),
                );
            } else if text == "<<" && style == ScalarStyle::Plain {
                self.fault(at, "merge keys are not accepted; write the values out");
            }
            return;
        }
        let value = Value::Scalar(resolve(text, style));
        self.place(Node { at, value });
    }

    fn close(&mut self) {
        match self.open.pop() {
            Some(Open::List { at, items }) => self.place(Node {
                at,
                value: Value::List(items),
            }),
            Some(Open::Map { at, entries, .. }) => self.place(Node {
                at,
                value: Value::Map(entries),
            }),
            None => {}
        }
    }

    fn place(&mut self, node: Node) {
        match self.open.last_mut() {
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => match key.take() {
                Some(Pending {
                    key,
                    at,
                    earlier: None,
                }) => entries.push(Entry {
                    key,
                    at,
                    value: node,
                }),
                Some(Pending {
                    earlier: Some(_), ..
                }) => {}
                None => {
                    *key = Some(Pending {
                        key: String::new(),
                        at: node.at,
                        earlier: None,
                    })
                }
            },
            None => {
                if self.root.is_none() {
                    self.root = Some(node);
                }
            }
        }
    }

    /// A collection in the place of a key is refused; `place` then reads it as an empty key.
    fn refuse_collection_key(&mut self, at: Position) {
        if matches!(self.open.last(), Some(Open::Map { key: None, .. })) {
            self.fault(at, "a key must be text");
        }
    }

    fn refuse_properties(&mut self, at: Position, anchor: usize, tag: Option<&Tag>) {
        if anchor != 0 {
            self.fault(at, "anchors are not accepted");
        }
        if tag.is_some() {
            self.fault(at, "tags are not accepted");
        }
    }

    fn fault(&mut self, at: Position, message: &str) {
        let trail = self.trail();
        self.faults.push(Fault {
            at,
            trail,
            message: message.to_owned(),
        });
    }

    fn trail(&self) -> Vec<Step> {
        self.open
            .iter()
            .filter_map(|open| match open {
                Open::List { items, .. } => Some(Step::Index(items.len())),
                Open::Map { key, .. } => key.as_ref().map(|pending| Step::Key(pending.key.clone())),
            })
            .collect()
    }
}

fn position(line: usize, column_from_zero: usize) -> Position {
    let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Position {
        line: narrow(line.max(1)),
        column: narrow(column_from_zero).saturating_add(1),
    }
}

fn resolve(text: &str, style: ScalarStyle) -> Scalar {
    if style != ScalarStyle::Plain {
        return Scalar::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "true" | "True" | "TRUE" => Scalar::Bool(true),
        "false" | "False" | "FALSE" => Scalar::Bool(false),
        _ => number(text).unwrap_or_else(|| Scalar::Text(text.to_owned())),
    }
}

fn number(text: &str) -> Option<Scalar> {
    let all = |digits: &str, accept: fn(&u8) -> bool| {
        !digits.is_empty() && digits.bytes().all(|byte| accept(&byte))
    };
    let integer = |value: Option<i64>| Some(Scalar::Integer(text.to_owned(), value));
    if let Some(digits) = text.strip_prefix("0x")
        && all(digits, u8::is_ascii_hexdigit)
    {
        return integer(i64::from_str_radix(digits, 16).ok());
    }
    if let Some(digits) = text.strip_prefix("0o")
        && all(digits, |byte| (b'0'..=b'7').contains(byte))
    {
        return integer(i64::from_str_radix(digits, 8).ok());
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if all(unsigned, u8::is_ascii_digit) {
        return integer(text.parse().ok());
    }
    let special =
        matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN");
    let shaped = unsigned
        .bytes()
        .all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte))
        && unsigned
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_digit() || byte == b'.');
    (special || shaped && text.parse::<f64>().is_ok()).then(|| Scalar::Float(text.to_owned()))
}

/// Deepest nesting of a document; the deepest legal one has eight levels.
const DEPTH_MAX: usize = 32;
