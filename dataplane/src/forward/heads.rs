//! Heads of the forward path, written anew in both directions (FWD-7, FWD-8).
//!
//! Apart from `forward` because it is pure: parsed heads in, bytes out. Invariant: no hop-by-hop field
//! passes, framing is announced by whoever frames, and `1.1 ringfence` stands last in Via.

use wire::{
    Authority, HeadWriter, Persistence, RequestFraming, RequestHead, ResponseHead, Scheme, Upgrade,
    WriteError,
};

use crate::inspect::target::Aim;
use crate::relay::body::Framing;

/// FWD-7: origin form, the target's own Host, no hop-by-hop fields, one `Connection: close`, Via.
/// Where requests are inspected the target is the one that was judged, so a server as a whole (`*`) is asked for as `/`.
pub(super) fn write_request(
    head: &RequestHead,
    target: &Authority,
    judged: Option<&Aim<'_>>,
) -> Result<Vec<u8>, WriteError> {
    let absolute = wire::target::absolute(head.target()).map_err(|_| WriteError::Target)?;
    let asterisk = head.method() == b"OPTIONS" && absolute.path_and_query.is_empty();
    let mut writer = match judged {
        Some(aim) => HeadWriter::request(head.method(), &aim.pieces())?,
        None if asterisk => HeadWriter::request(head.method(), &[b"*"])?,
        None => HeadWriter::request(head.method(), &absolute.origin_form())?,
    };
    let host = Scheme::Http.host_field(target);
    if head.host().is_none() {
        writer.field(b"Host", host.as_bytes())?;
    }
    let mut via = Vec::new();
    for field in head.fields() {
        if field.is("host") {
            writer.field(field.name, host.as_bytes())?;
        } else if field.is("via") {
            via.extend_from_slice(field.value);
            via.extend_from_slice(b", ");
        } else if !field.is("content-length") && !head.is_hop_by_hop(field.name) {
            writer.field(field.name, field.value)?;
        }
    }
    match head.framing() {
        RequestFraming::None => {}
        RequestFraming::Length(length) => writer.number_field("Content-Length", length),
        RequestFraming::Chunked => writer.own_field("Transfer-Encoding", "chunked"),
    }
    via.extend_from_slice(VIA);
    writer.field(b"Via", &via)?;
    if head.upgrade() == Some(Upgrade::WebSocket) {
        writer.own_field("Upgrade", "websocket");
        writer.own_field("Connection", "Upgrade");
    } else {
        writer.own_field("Connection", "close");
    }
    Ok(writer.finish())
}

pub(super) fn write_answer(
    answer: &ResponseHead,
    framing: Framing,
    persistence: Persistence,
) -> Vec<u8> {
    let mut writer = copy_answer(answer, framing);
    framing.announce(&mut writer);
    if persistence == Persistence::Close {
        writer.own_field("Connection", "close");
    }
    writer.finish()
}

pub(super) fn write_upgrade(answer: &ResponseHead) -> Vec<u8> {
    let mut writer = copy_answer(answer, Framing::Bodiless);
    writer.own_field("Upgrade", "websocket");
    writer.own_field("Connection", "Upgrade");
    writer.finish()
}

/// Status and end-to-end fields, with our Via behind those of others. The length that an answer to HEAD
/// or a 304 states is about the resource and stays.
fn copy_answer(answer: &ResponseHead, framing: Framing) -> HeadWriter {
    let mut writer = HeadWriter::response(answer.status(), answer.reason());
    let states_length = framing == Framing::Bodiless && !matches!(answer.status(), 100..200 | 204);
    let mut via = Vec::new();
    for field in answer.fields() {
        if field.is("via") {
            via.extend_from_slice(field.value);
            via.extend_from_slice(b", ");
        } else if (!field.is("content-length") || states_length)
            && !answer.is_hop_by_hop(field.name)
        {
            // Fields were valid when they were read; one that cannot be written is left out.
            _ = writer.field(field.name, field.value);
        }
    }
    via.extend_from_slice(VIA);
    _ = writer.field(b"Via", &via);
    writer
}

const VIA: &[u8] = b"1.1 ringfence";
