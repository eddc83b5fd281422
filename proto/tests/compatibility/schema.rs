//! Descriptors as names, numbers and types, and as the lines that are released.

use std::collections::{BTreeMap, BTreeSet};

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

/// What our files say; all names in full, without a leading dot.
#[derive(Default)]
pub(crate) struct Schema {
    pub(crate) messages: BTreeMap<String, Vec<Field>>,
    /// Numbers and names that are not given again, by message.
    pub(crate) reserved: BTreeSet<(String, String)>,
    /// Values by enumeration: number and name.
    pub(crate) enums: BTreeMap<String, Vec<(i32, String)>>,
    /// By `service/method`.
    pub(crate) methods: BTreeMap<String, Method>,
}

pub(crate) struct Field {
    pub(crate) number: i32,
    pub(crate) name: String,
    /// `string`, the name of a message, `map<string, string>`.
    pub(crate) kind: String,
    /// `singular`, `optional`, `repeated`, `map` or `oneof NAME`.
    pub(crate) label: String,
}

pub(crate) struct Method {
    pub(crate) request: String,
    pub(crate) response: String,
    /// `unary` or `stream`.
    pub(crate) shape: &'static str,
}

impl Schema {
    pub(crate) fn of(set: &FileDescriptorSet) -> Schema {
        let mut schema = Schema::default();
        for file in &set.file {
            let package = file.package();
            for message in &file.message_type {
                schema.message(package, message);
            }
            for values in &file.enum_type {
                schema.values(package, values);
            }
            for service in &file.service {
                for method in &service.method {
                    let name = format!("{package}.{}/{}", service.name(), method.name());
                    let plain = |name: &str| name.trim_start_matches('.').to_owned();
                    let shape = match (method.client_streaming(), method.server_streaming()) {
                        (false, false) => "unary",
                        (false, true) => "stream",
                        (true, _) => panic!("{name}: no client streams"),
                    };
                    let method = Method {
                        request: plain(method.input_type()),
                        response: plain(method.output_type()),
                        shape,
                    };
                    schema.methods.insert(name, method);
                }
            }
        }
        schema
    }

    fn message(&mut self, scope: &str, message: &DescriptorProto) {
        let name = format!("{scope}.{}", message.name());
        let (entries, nested): (Vec<_>, Vec<_>) = message.nested_type.iter().partition(|nested| {
            let options = nested.options.as_ref();
            options.is_some_and(|options| options.map_entry())
        });
        let fields = message.field.iter();
        let fields = fields.map(|field| described(message, &entries, field));
        self.messages.insert(name.clone(), fields.collect());
        for nested in nested {
            self.message(&name, nested);
        }
        for values in &message.enum_type {
            self.values(&name, values);
        }
        for range in &message.reserved_range {
            for number in range.start()..range.end() {
                self.reserved.insert((name.clone(), number.to_string()));
            }
        }
        for reserved in &message.reserved_name {
            self.reserved.insert((name.clone(), reserved.clone()));
        }
    }

    fn values(&mut self, scope: &str, values: &EnumDescriptorProto) {
        let name = format!("{scope}.{}", values.name());
        let values = values.value.iter();
        let values = values.map(|value| (value.number(), value.name().to_owned()));
        self.enums.insert(name, values.collect());
    }

    /// One line for each thing a peer may rely on.
    pub(crate) fn lines(&self) -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        for (message, fields) in &self.messages {
            lines.insert(format!("message {message}"));
            for Field {
                number,
                name,
                kind,
                label,
            } in fields
            {
                lines.insert(format!("field {message} {number} {name} {kind} {label}"));
            }
        }
        for (message, what) in &self.reserved {
            lines.insert(format!("reserved {message} {what}"));
        }
        for (name, values) in &self.enums {
            let values = values.iter();
            lines.extend(values.map(|(number, value)| format!("enum {name} {number} {value}")));
        }
        for (name, method) in &self.methods {
            let Method {
                request,
                response,
                shape,
            } = method;
            lines.insert(format!("method {name} {request} {response} {shape}"));
        }
        lines
    }
}

fn described(
    message: &DescriptorProto,
    entries: &[&DescriptorProto],
    field: &FieldDescriptorProto,
) -> Field {
    let entry = entries.iter().find(|entry| {
        let end = format!(".{}.{}", message.name(), entry.name());
        field.r#type() == Type::Message && field.type_name().ends_with(&end)
    });
    let (kind, label) = match entry {
        Some(entry) => {
            let (key, value) = (kind(&entry.field[0]), kind(&entry.field[1]));
            (format!("map<{key},{value}>"), "map".to_owned())
        }
        None => (kind(field), label(message, field)),
    };
    Field {
        number: field.number(),
        name: field.name().to_owned(),
        kind,
        label,
    }
}

fn label(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    match (field.label(), field.proto3_optional(), field.oneof_index) {
        (Label::Repeated, _, _) => "repeated".to_owned(),
        (_, true, _) => "optional".to_owned(),
        (_, false, Some(index)) => {
            let oneof = &message.oneof_decl[usize::try_from(index).unwrap()];
            format!("oneof {}", oneof.name())
        }
        (_, false, None) => "singular".to_owned(),
    }
}

fn kind(field: &FieldDescriptorProto) -> String {
    match field.type_name() {
        "" => field
            .r#type()
            .as_str_name()
            .trim_start_matches("TYPE_")
            .to_ascii_lowercase(),
        name => name.trim_start_matches('.').to_owned(),
    }
}
