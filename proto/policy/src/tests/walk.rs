//! Which fields of a message, and of the messages within it, are set: by descriptors, so that no list of fields is kept.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FileDescriptorSet};
use proto::v1;

/// Full names of the fields that are set nowhere, in order.
pub(super) fn unset(message: &v1::SandboxPolicy) -> Vec<String> {
    let set = FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap();
    let mut messages = BTreeMap::new();
    for file in &set.file {
        for message in &file.message_type {
            collect(&format!(".{}", file.package()), message, &mut messages);
        }
    }
    let mut seen = BTreeSet::new();
    walk(&messages, ROOT, &message.encode_to_vec(), &mut seen);
    let mut expected = BTreeSet::new();
    reach(&messages, ROOT, &mut expected);
    expected
        .difference(&seen)
        .map(|name| name.trim_start_matches('.').to_owned())
        .collect()
}

type Messages = BTreeMap<String, DescriptorProto>;

fn collect(scope: &str, message: &DescriptorProto, out: &mut Messages) {
    let name = format!("{scope}.{}", message.name());
    for nested in &message.nested_type {
        collect(&name, nested, out);
    }
    out.insert(name, message.clone());
}

/// All fields of a message and of those within it.
fn reach(messages: &Messages, name: &str, out: &mut BTreeSet<String>) {
    for field in &messages[name].field {
        if out.insert(format!("{name}.{}", field.name())) && field.r#type() == Type::Message {
            reach(messages, field.type_name(), out);
        }
    }
}

/// The fields that stand in an encoded message.
fn walk(messages: &Messages, name: &str, mut bytes: &[u8], seen: &mut BTreeSet<String>) {
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let field = messages[name].field.iter();
        let field = field
            .clone()
            .find(|field| field.number() as u64 == tag >> 3)
            .unwrap();
        seen.insert(format!("{name}.{}", field.name()));
        match tag & 7 {
            0 => drop(varint(&mut bytes)),
            2 => {
                let len = usize::try_from(varint(&mut bytes)).unwrap();
                let (content, rest) = bytes.split_at(len);
                if field.r#type() == Type::Message {
                    walk(messages, field.type_name(), content, seen);
                }
                bytes = rest;
            }
            other => panic!("{name}.{} has wire type {other}", field.name()),
        }
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    prost::encoding::decode_varint(bytes).unwrap()
}

const ROOT: &str = ".ringfence.v1.SandboxPolicy";
