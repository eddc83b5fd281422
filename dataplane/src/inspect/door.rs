//! From the 200 to the first request: what the client speaks, and the end of its TLS (L7-2, TLS-3 to TLS-5).
//!
//! Apart from the walk of requests because all of it happens once. Invariant: TLS is ended for the name of the CONNECT
//! alone, and where no endpoint says `terminate` it is ended only to deliver the refusal.

use ::link::record::{Event, Refused, Stage, Surface};
use policy::document::Tls;
use wire::{Code, Host};

use super::Tunnel;
use super::first::{First, look, may_become_request};
use crate::client::{self, NoHello};
use crate::deadline::Ends;
use crate::mint;
use crate::record;
use crate::stream::{Fill, Stream, StreamError};
use crate::tls::Session;
use crate::upstream::pool::Form;

/// The stream that requests come on; `None` when there will be none, with the record written.
pub(super) async fn pass(
    tunnel: &Tunnel<'_>,
    mut client: Stream,
    tls: Tls,
) -> Option<(Stream, Form)> {
    match listen(tunnel, &mut client).await? {
        First::Tls => {}
        First::Request => return Some((client, Form::Plain)),
        First::Foreign | First::More => {
            refuse_foreign(tunnel, &mut client).await;
            return None;
        }
    }
    let mut client = terminate(tunnel, client).await?;
    if tls == Tls::Passthrough {
        refuse_foreign(tunnel, &mut client).await;
        return None;
    }
    match listen(tunnel, &mut client).await? {
        First::Request => Some((client, Form::Tls)),
        First::Tls | First::Foreign | First::More => {
            refuse_foreign(tunnel, &mut client).await;
            None
        }
    }
}

async fn refuse_foreign(tunnel: &Tunnel<'_>, client: &mut Stream) {
    let code = Code::UnsupportedProtocol;
    tunnel.refuse_unread(client, code, Stage::Handshake).await;
}

/// Waits for as many bytes as it takes to tell what they are; nothing is consumed.
async fn listen(tunnel: &Tunnel<'_>, client: &mut Stream) -> Option<First> {
    let time = tunnel.worker.limits.head_time;
    client.socket.alarm.arm(time, Ends::Reading);
    let first = loop {
        match look(client.input()) {
            First::More => {}
            told @ (First::Request | First::Tls | First::Foreign) => break Some(told),
        }
        match client.fill().await {
            Ok(Fill::Bytes) => {}
            Ok(Fill::End | Fill::Cut) | Err(_) => break None,
        }
    };
    client.socket.alarm.rest();
    if first.is_none() && client.socket.alarm.rang() {
        let code = match may_become_request(client.input()) {
            true => Code::RequestTimeout,
            false => Code::UnsupportedProtocol,
        };
        tunnel.refuse_unread(client, code, Stage::Head).await;
    }
    first
}

/// Completes the handshake with a leaf for the host of the CONNECT.
async fn terminate(tunnel: &Tunnel<'_>, mut client: Stream) -> Option<Stream> {
    let refused = |code| tunnel.record_refused(code, Stage::Handshake);
    let time = tunnel.worker.limits.handshake_time;
    client.socket.alarm.arm(time, Ends::Connection);
    let hello = match client::read_hello(&mut client).await {
        Ok(hello) => hello,
        Err(NoHello::Foreign) => {
            refuse_foreign(tunnel, &mut client).await;
            return None;
        }
        Err(NoHello::Ended) => {
            if client.socket.alarm.rang() {
                refused(Code::RequestTimeout);
            }
            return None;
        }
    };
    let other = |name: &Vec<u8>| Host::parse(name).ok().as_ref() != Some(&tunnel.target.host);
    if hello.server_name.as_ref().is_some_and(other) {
        refused(Code::AuthorityMismatch);
        client::refuse_name(&mut client, &tunnel.worker.limits).await;
        return None;
    }
    let leaf = match &tunnel.sandbox.server_config {
        Some(config) => {
            let leaf = tunnel.worker.leaves.of(&tunnel.target.host).await;
            leaf.map(|leaf| mint::config_with(config, leaf))
        }
        None => None,
    };
    let Some(session) = leaf.and_then(|config| Session::server(config).ok()) else {
        refused(Code::TlsUnavailable);
        return None;
    };
    let mut client = client.into_tls(session);
    match client.handshake().await {
        Ok(()) => {
            client.socket.alarm.rest();
            return Some(client);
        }
        Err(StreamError::Tls) => refused(Code::UnsupportedProtocol),
        Err(StreamError::Io) if client.socket.alarm.rang() => refused(Code::RequestTimeout),
        Err(StreamError::Io) => {}
        // Its decision, not ours, and worth a line all the same: mostly a trust store without our authority.
        Err(StreamError::Alert) => {
            let event = Event::Refused(Refused {
                code: CLIENT_TLS_ALERT,
                reason: None,
                surface: Surface::Inspected,
                program: tunnel.known.program.clone(),
            });
            record::push(tunnel.worker, tunnel.sandbox, Stage::Handshake, event);
        }
    }
    None
}

/// In records only: the client ended the handshake with an alert.
const CLIENT_TLS_ALERT: &str = "client_tls_alert";
