//! `mock://`: answers made here, in the shape of each protocol (RTE-13). It opens no socket.

mod dialect;

use link::record::End;
use policy::Route;
use serde::Deserialize;
use wire::HeadWriter;

use super::After;
use super::answer::{Outcome, Plan, close_head};
use super::body::Body;
use super::meter::Meter;
use super::recognise::Recognised;
use crate::deadline::Ends;
use crate::relay::body::Framing;
use crate::stream::Stream;

/// Answers a recognised request.
pub(super) async fn answer(
    client: &mut Stream,
    route: &Route,
    found: &Recognised,
    body: &Body<'_>,
    plan: &Plan<'_>,
) -> Outcome {
    let is_stream = wants_stream(body);
    let pieces = if is_stream {
        dialect::events(found.protocol, &route.model)
    } else {
        vec![dialect::whole(found.protocol, found.kind, &route.model)]
    };
    let bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
    let framing = if is_stream {
        Framing::unknown(plan.version)
    } else {
        Framing::Length(bytes)
    };
    client
        .socket
        .alarm
        .arm(route.deadlines.idle, Ends::Connection);
    let sent = send(client, &pieces, framing, is_stream, plan).await;
    client.socket.alarm.rest();
    let mut meter = Meter::default();
    pieces.iter().for_each(|piece| meter.push(piece.as_bytes()));
    Outcome {
        status: 200,
        is_stream,
        first_byte: None,
        bytes,
        usage: meter.usage(),
        end: if sent.is_some() {
            End::Complete
        } else {
            End::ClientGone
        },
        after: match (sent, framing) {
            (None, _) => After::Gone,
            (Some(()), Framing::UntilClose) => After::Close,
            (Some(()), Framing::Bodiless | Framing::Length(_) | Framing::Chunked) => After::Keep,
        },
    }
}

/// Sends piece by piece, as a backend would.
async fn send(
    client: &mut Stream,
    pieces: &[String],
    framing: Framing,
    is_stream: bool,
    plan: &Plan<'_>,
) -> Option<()> {
    let mut writer = HeadWriter::response(200, b"OK");
    writer.own_field(
        "Content-Type",
        if is_stream {
            "text/event-stream"
        } else {
            "application/json"
        },
    );
    writer.own_field("x-ringfence-mock", "true");
    let mut out = close_head(writer, framing, plan);
    for piece in pieces {
        framing.frame(piece.as_bytes(), &mut out);
        client.put(&out).ok()?;
        client.flush().await.ok()?;
        out.clear();
    }
    framing.end(&[], &mut out);
    client.put(&out).ok()?;
    client.flush().await.ok()
}

/// Whether the top level says `"stream": true`. What else is in the body is read past and not kept: a tree of it takes
/// twenty times its size.
fn wants_stream(body: &Body<'_>) -> bool {
    #[derive(Deserialize)]
    struct Asked {
        stream: bool,
    }
    serde_json::from_slice::<Asked>(&body.to_vec()).is_ok_and(|asked| asked.stream)
}
