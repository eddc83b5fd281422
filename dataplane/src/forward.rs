//! One plain-HTTP request in absolute form, to a private address (FWD-4 to FWD-10).
//!
//! Every request has its own upstream connection. Heads are written anew in both directions (`heads`); how
//! request and answer flow is `exchange`.

mod heads;

use std::pin::pin;

use link::record::{Access, Action, Stage, Text};
use policy::{Admitted, Denial, Policy, RequestDecision};
use wire::{Code, Persistence, RequestFraming, RequestHead};

use crate::client;
use crate::clock;
use crate::exchange::{self, Answered, Done, Failed, Heads};
use crate::hangup::Hangup;
use crate::inspect::target::{Aim, upgrade_refused};
use crate::judge;
use crate::record::Entry;
use crate::revoke::Path;
use crate::session::{self, Known};
use crate::stream::Stream;
use crate::upstream::{UpstreamError, dial};
use crate::worker::{Sandbox, Worker};
use crate::{relay, tunnel};

/// Forwards one admitted request; the client's connection comes back when it may ask again.
pub(crate) async fn run(
    worker: &Worker,
    sandbox: &Sandbox,
    client: Stream,
    head: &RequestHead,
    admitted: Admitted,
    known: &Known,
    record: Entry<'_, Access>,
) -> Option<Stream> {
    run_as(
        worker,
        sandbox,
        client,
        head,
        (admitted, None),
        known,
        record,
    )
    .await
}

/// The same where requests are inspected: judged by path and method first (FWD-4, L7-3), and sent as judged.
pub(crate) async fn run_judged(
    worker: &Worker,
    sandbox: &Sandbox,
    mut client: Stream,
    head: &RequestHead,
    policy: &Policy,
    known: &Known,
    mut record: Entry<'_, Access>,
) -> Option<Stream> {
    let absolute = wire::target::absolute(head.target()).ok()?;
    let target = &absolute.authority;
    let read = Aim::absolute(&absolute);
    let judged = match &read {
        Err(code) => Err((Denial::code(*code), None)),
        Ok(aim) => {
            if let Some(request) = &mut record.said().request {
                request.path = Text::new(aim.path.as_bytes());
            }
            let asked = aim.asked(head);
            let decision = match upgrade_refused(head) {
                Some(code) => RequestDecision::Deny(Denial::code(code)),
                None => {
                    judge::request(worker, sandbox, policy, known.caller(), target, &asked).await
                }
            };
            match decision {
                RequestDecision::Allow(admitted) => Ok((admitted, aim)),
                RequestDecision::Audit(admitted) => {
                    record.said().action = Action::Audit;
                    Ok((admitted, aim))
                }
                RequestDecision::Deny(denial) => Err((denial, Some(aim.rule(head)))),
            }
        }
    };
    match judged {
        Ok((admitted, aim)) => {
            let judged = (admitted, Some(aim));
            run_as(worker, sandbox, client, head, judged, known, record).await
        }
        Err((denial, rule)) => {
            let refusal = session::denied(target, &denial, &mut record);
            let refusal = match rule {
                Some(rule) => refusal.rule(&rule),
                None => refusal,
            };
            session::refuse(worker, &mut client, head, &refusal, record.id()).await;
            None
        }
    }
}

async fn run_as(
    worker: &Worker,
    sandbox: &Sandbox,
    mut client: Stream,
    head: &RequestHead,
    (admitted, aim): (Admitted, Option<&Aim<'_>>),
    known: &Known,
    mut record: Entry<'_, Access>,
) -> Option<Stream> {
    let target = admitted.target().clone();
    record.said().policy = Some(Text::new(admitted.policy_name().as_bytes()));
    let opened = match of_head(head) {
        Err(code) => Err(Denial::code(code)),
        Ok(()) => {
            record.reached(Stage::Resolve);
            let mut hangup = Hangup::of(&client);
            hangup
                .unless(&mut client, pin!(open(worker, &admitted)))
                .await
                .ok()?
        }
    };
    let exchanged = match opened {
        Err(denial) => Err(denial),
        Ok(mut upstream) => {
            record.reached(Stage::Relay);
            let done = match heads::write_request(head, &target, aim) {
                Err(_) => Err(Failed::Refused(Code::BadRequest)),
                Ok(request) => {
                    exchange::run(worker, &mut client, &mut upstream, head, request, HEADS).await
                }
            };
            Ok((done, upstream))
        }
    };
    let took = record.age();
    record.said().took = Some(took);
    let denial = match exchanged {
        Err(denial) => denial,
        Ok((Ok(Done::Answered(answered)), _)) => {
            let Answered { up, down, .. } = answered;
            record.said().bytes_up = Some(up);
            record.said().bytes_down = Some(down);
            return match answered.client {
                Persistence::KeepAlive => Some(client),
                Persistence::Close => {
                    client::close_heard(&mut client, &worker.limits).await;
                    None
                }
            };
        }
        Ok((Ok(Done::Upgraded), upstream)) => {
            let id = record.id();
            drop(record);
            let tunnel = known.tunnel(target, Path::Forward);
            let (client, upstream) = (client.into_raw(), upstream.into_raw());
            let moved = relay::run(worker, sandbox, &tunnel, client, upstream).await;
            tunnel::record_closed(id, worker, sandbox, known, &tunnel, moved);
            return None;
        }
        Ok((Err(Failed::Refused(code)), _)) => Denial::code(code),
        Ok((Err(Failed::Unanswered), _)) => Denial::code(Code::UpstreamProtocolError),
        Ok((Err(Failed::Cut), _)) => {
            record.said().code = Some(Code::UpstreamProtocolError.as_str());
            client.socket.abort();
            return None;
        }
        Ok((Err(Failed::ClientGone), _)) => return None,
    };
    session::deny(worker, &mut client, head, &target, &denial, &mut record).await;
    None
}

/// What the head alone forbids (FWD-7).
fn of_head(head: &RequestHead) -> Result<(), Code> {
    if head.method() == b"TRACE" && head.framing() != RequestFraming::None {
        return Err(Code::BadRequest);
    }
    Ok(())
}

/// The preconditions of the forward path, then the connection.
async fn open(worker: &Worker, admitted: &Admitted) -> Result<Stream, Denial> {
    if !admitted.has_allowed_ips() {
        return Err(Denial::code(Code::ForwardRequiresAllowedIps));
    }
    let until = dial::until(clock::now(), worker.limits.dial_time);
    let answer = dial::resolve(worker, &admitted.target().host, until)
        .await
        .map_err(UpstreamError::into_denial)?;
    let verified = policy::verify_at(&worker.site(), admitted, &answer)?;
    policy::require_private(admitted, &verified)?;
    let socket = dial::dial(worker, verified, until)
        .await
        .map_err(UpstreamError::into_denial)?;
    Ok(Stream::plain(socket, &worker.buffers))
}

/// An upstream connection carries one request, so its end says nothing of the client's.
const HEADS: Heads = Heads {
    answer: heads::write_answer,
    switching: Some(heads::write_upgrade),
    persistence: |_| Persistence::KeepAlive,
};
