//! `inference.local`: the requests the gate answers itself.
//!
//! Two doors, one room: a CONNECT to port 443, or a connection to 127.0.0.1:443 inside the sandbox. Both
//! end TLS with the leaf of this start and serve requests until either side is done. The credential
//! is put into a head in `request`, as the last thing before the write.

mod answer;
mod body;
mod call;
mod cut;
mod meter;
mod mock;
mod recognise;
mod request;

use std::future::Future;

use link::record::{Action, Event, Refused, Stage, Surface};
use policy::Policy;
use wire::{AfterRefusal, Code, Refusal, RequestHead, RequestId};

use crate::client::{self, Heard, NoHello, Turn};
use crate::deadline::Ends;
use crate::mint::INFERENCE_HOST;
use crate::record::{self, Entry};
use crate::session::{self, Known};
use crate::stream::Stream;
use crate::tls::Session;
use crate::worker::{Sandbox, Worker};

/// What becomes of the client's connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// It waits for the next one.
    Keep,
    /// It is closed properly.
    Close,
    /// It ends in the middle of a message: without close_notify, and where only the end of the
    /// connection would end the message, by a reset.
    Cut(Ending),
    /// The client closed it.
    Gone,
}

/// What tells a client that a message is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The last chunk, or bytes that were announced, are missing.
    Missing,
    /// Only a reset can.
    Reset,
}

/// Serves `CONNECT inference.local:443`. What can be refused before TLS is refused here (INF-2).
pub(crate) async fn serve_connect(
    worker: &Worker,
    sandbox: &Sandbox,
    mut client: Stream,
    head: &RequestHead,
    known: &Known,
    policy: &Policy,
) {
    let mut record = Entry::open(
        worker,
        sandbox,
        Event::Connect,
        Stage::Decide,
        known.access(INFERENCE_HOST, 443, policy),
    );
    let refused = match (
        &sandbox.server_config,
        policy::infer(policy, known.caller()),
    ) {
        (None, _) => Some((Code::TlsUnavailable, None)),
        (Some(_), Err(denial)) => Some((
            denial.code,
            (!denial.reason.is_empty()).then(|| denial.reason.clone()),
        )),
        (Some(_), Ok(_)) => None,
    };
    if let Some((code, reason)) = refused {
        let said = record.said();
        said.action = Action::Deny;
        said.code = Some(code.as_str());
        said.reason = reason;
        record.close();
        let refusal = Refusal::new(code).host(INFERENCE_HOST).port(443);
        return session::refuse(worker, &mut client, head, &refusal, record.id()).await;
    }
    drop(record);
    if client::establish(&mut client).await.is_err() {
        return;
    }
    if let Some(client) = end_tls(worker, sandbox, client, Surface::Inference).await {
        requests(worker, sandbox, client, known).await;
    }
}

/// Serves a connection to the direct door. The caller's identity is established meanwhile.
pub(crate) async fn serve_direct(
    worker: &Worker,
    sandbox: &Sandbox,
    client: Stream,
    identity: impl Future<Output = Known>,
) {
    if sandbox.server_config.is_none() {
        refused(worker, sandbox, Surface::Direct, Code::TlsUnavailable);
        return;
    }
    if let Some(client) = end_tls(worker, sandbox, client, Surface::Direct).await {
        requests(worker, sandbox, client, &identity.await).await;
    }
}

/// Completes the server's handshake. `None` when there is no TLS session to go on with.
async fn end_tls(
    worker: &Worker,
    sandbox: &Sandbox,
    mut client: Stream,
    surface: Surface,
) -> Option<Stream> {
    client
        .socket
        .alarm
        .arm(worker.limits.handshake_time, Ends::Connection);
    let hello = match client::read_hello(&mut client).await {
        Ok(hello) => hello,
        Err(NoHello::Foreign) => {
            refused(worker, sandbox, surface, Code::UnsupportedProtocol);
            return None;
        }
        Err(NoHello::Ended) => return None,
    };
    let other = |name: &Vec<u8>| !name.eq_ignore_ascii_case(INFERENCE_HOST.as_bytes());
    if hello.server_name.as_ref().is_some_and(other) {
        refused(worker, sandbox, surface, Code::AuthorityMismatch);
        client::refuse_name(&mut client, &worker.limits).await;
        return None;
    }
    let session = Session::server(sandbox.server_config.clone()?).ok()?;
    let mut client = client.into_tls(session);
    if client.handshake().await.is_err() {
        refused(worker, sandbox, surface, Code::UnsupportedProtocol);
        return None;
    }
    client.socket.alarm.rest();
    Some(client)
}

/// Requests in order, each judged and recorded on its own (H1-8), until one ends the connection.
async fn requests(worker: &Worker, sandbox: &Sandbox, mut client: Stream, known: &Known) {
    let mut turn = Turn::First;
    loop {
        let after = match client::read_head(&mut client, &worker.limits, turn).await {
            Heard::Request(head) => call::serve(worker, sandbox, &mut client, head, known).await,
            Heard::Bad(code) => {
                let id = refused(worker, sandbox, Surface::Inference, code);
                let refusal = Refusal::new(code);
                return client::refuse(
                    &mut client,
                    &worker.limits,
                    id,
                    &refusal,
                    b"",
                    AfterRefusal::Close,
                )
                .await;
            }
            Heard::Closed => After::Close,
        };
        match after {
            After::Keep => turn = Turn::Next,
            After::Close => return client::close_heard(&mut client, &worker.limits).await,
            After::Cut(Ending::Reset) => return client.socket.abort(),
            After::Cut(Ending::Missing) => {
                return client::close_cut(&mut client, &worker.limits).await;
            }
            After::Gone => return,
        }
    }
}

fn refused(worker: &Worker, sandbox: &Sandbox, surface: Surface, code: Code) -> RequestId {
    let event = Event::Refused(Refused {
        code: code.as_str(),
        reason: None,
        surface,
        program: None,
    });
    record::push(worker, sandbox, Stage::Handshake, event)
}
