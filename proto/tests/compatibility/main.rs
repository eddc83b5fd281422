//! What was released stays: no number, name or type of the messages between planes changes, nor goes (RPC-5 to RPC-9).
//!
//! `released.txt` holds one line for each thing a peer of another age may rely on. A line that no longer holds fails; a
//! new one is written by `UPDATE=1 cargo test -p ringfence-proto` and reviewed as a line of the change.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "all of this is a test, and a test says where it fails"
)]

mod behaviour;
mod schema;

use std::collections::BTreeSet;

use prost::Message;
use prost_types::FileDescriptorSet;
use prost_types::field_descriptor_proto::Type;

use schema::Schema;

fn descriptors() -> FileDescriptorSet {
    FileDescriptorSet::decode(ringfence_proto::DESCRIPTORS).unwrap()
}

fn current() -> BTreeSet<String> {
    Schema::of(&descriptors()).lines()
}

/// RPC-5 to RPC-9
#[test]
fn every_released_line_still_holds_and_every_new_one_is_written_down() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/released.txt");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let released: BTreeSet<String> = text.lines().map(str::to_owned).collect();
    let current = current();
    let lost: Vec<_> = released.difference(&current).collect();
    assert!(
        lost.is_empty(),
        "released and no longer so; a peer of another age relies on it. Give new things new numbers:\n{lost:#?}"
    );
    let new: Vec<_> = current.difference(&released).collect();
    if std::env::var_os("UPDATE").is_some() {
        let lines: Vec<&str> = current.iter().map(String::as_str).collect();
        std::fs::write(path, lines.join("\n") + "\n").unwrap();
        return;
    }
    assert!(
        new.is_empty(),
        "new and not in proto/released.txt; write it there with UPDATE=1 and have it reviewed, it stays for ever:\n{new:#?}"
    );
}

/// The lines say enough: whatever would break a peer changes one.
#[test]
fn every_kind_of_breaking_change_loses_a_line() {
    type Edit = fn(&mut FileDescriptorSet);
    let edits: [(&str, Edit); 11] = [
        ("a renamed message", |set| {
            provider(set).name = Some("Vendor".to_owned())
        }),
        ("a removed message", |set| {
            file(set).message_type.retain(|m| m.name() != "Provider")
        }),
        ("a renamed field", |set| {
            provider(set).field[0].name = Some("key".to_owned())
        }),
        ("a renumbered field", |set| {
            provider(set).field[0].number = Some(99)
        }),
        ("a field of another type", |set| {
            provider(set).field[0].set_type(Type::Bytes)
        }),
        ("a removed field", |set| drop(provider(set).field.remove(0))),
        ("a field that is no longer optional", |set| {
            let field = provider(set)
                .field
                .iter_mut()
                .find(|field| field.proto3_optional());
            let field = field.unwrap();
            (field.proto3_optional, field.oneof_index) = (None, None);
        }),
        ("a map with other values", |set| {
            let values = &mut provider(set).nested_type[0].field[1];
            values.set_type(Type::Bytes);
        }),
        ("a number that is free again", |set| {
            let sandbox = file(set)
                .message_type
                .iter_mut()
                .find(|m| m.name() == "Sandbox");
            sandbox.unwrap().reserved_range.clear();
        }),
        ("a renumbered value of an enumeration", |set| {
            file(set).enum_type[0].value[1].number = Some(99);
        }),
        ("a method that no longer streams", |set| {
            let services = set.file.iter_mut().flat_map(|file| &mut file.service);
            for method in services.flat_map(|service| &mut service.method) {
                method.server_streaming = Some(false);
            }
        }),
    ];
    for (what, edit) in edits {
        let mut set = descriptors();
        edit(&mut set);
        let edited = Schema::of(&set).lines();
        assert!(
            current().difference(&edited).next().is_some(),
            "{what} is not seen"
        );
    }
}

/// The file of providers and sandboxes.
fn file(set: &mut FileDescriptorSet) -> &mut prost_types::FileDescriptorProto {
    let mut files = set.file.iter_mut();
    files
        .find(|file| file.name() == "ringfence/v1/objects.proto")
        .unwrap()
}

fn provider(set: &mut FileDescriptorSet) -> &mut prost_types::DescriptorProto {
    let mut messages = file(set).message_type.iter_mut();
    messages
        .find(|message| message.name() == "Provider")
        .unwrap()
}
