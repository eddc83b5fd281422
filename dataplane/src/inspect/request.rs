//! One request inside an inspected tunnel, from its head to its record (L7-3).
//!
//! Parse, authority, canonical path, newest policy, then the upstream: no byte of a request leaves before it was let
//! through, and what is sent is what was judged.

use std::pin::pin;

use ::link::record::{Action, L7Request, RequestLine, Stage, Text};
use policy::{Admitted, Denial, RequestDecision};
use wire::{Code, Expectation, Persistence, RequestHead};

use super::link::{Link, Repeat};
use super::target::{Aim, upgrade_refused};
use super::{After, Tunnel, heads};
use crate::exchange::{self, Answered, Binding, Done, Failed, Heads};
use crate::hangup::Hangup;
use crate::judge;
use crate::record::{self, Entry};
use crate::session;
use crate::stream::Stream;
use crate::upstream::pool::Form;

/// Serves one request whose head was read.
pub(super) async fn serve(
    tunnel: &Tunnel<'_>,
    link: &mut Link<'_>,
    form: Form,
    client: &mut Stream,
    head: &RequestHead,
) -> After {
    let mut record = tunnel.record(Stage::Decide);
    record.said().request = Some(record::request_line(head));
    let judged = judge(tunnel, form, head, &mut record).await;
    let (stop, rule) = match judged {
        Err(refused) => {
            let (denial, rule) = *refused;
            (Stop::Denied(denial), rule)
        }
        Ok((aim, admitted)) => {
            let relayed = relay(
                tunnel,
                link,
                form,
                client,
                head,
                &aim,
                &admitted,
                &mut record,
            );
            match Box::pin(relayed).await {
                Ok(answered) => return end(&answered, &mut record),
                Err(stop) => (stop, Some(aim.rule(head))),
            }
        }
    };
    match stop {
        Stop::Denied(denial) => {
            let mut refusal = tunnel.denied(&mut record, &denial);
            if let Some(rule) = rule {
                refusal = refusal.rule(&rule);
            }
            session::refuse(tunnel.worker, client, head, &refusal, record.id()).await;
        }
        Stop::Cut => {
            record.said().code = Some(Code::UpstreamProtocolError.as_str());
            client.socket.abort();
        }
        Stop::ClientGone => {}
    }
    After::Gone
}

/// Why a request has no whole answer.
enum Stop {
    Denied(Denial),
    /// The answer had begun.
    Cut,
    ClientGone,
}

/// L7-4, L7-5, L7-14, then the policy. The error has the rule of L7-13 where there is one.
async fn judge<'h>(
    tunnel: &Tunnel<'_>,
    form: Form,
    head: &'h RequestHead,
    record: &mut Entry<'_, L7Request>,
) -> Result<(Aim<'h>, Admitted), Box<(Denial, Option<String>)>> {
    let refused = |code| Box::new((Denial::code(code), None));
    if head.expectation() == Expectation::Other {
        return Err(refused(Code::ExpectationFailed));
    }
    let aim = Aim::inside(head, &tunnel.target, form).map_err(refused)?;
    record.said().request = Some(RequestLine {
        method: Text::new(head.method()),
        path: Text::new(aim.path.as_bytes()),
    });
    if let Some(code) = upgrade_refused(head) {
        return Err(Box::new((Denial::code(code), Some(aim.rule(head)))));
    }
    let (worker, sandbox, caller) = (tunnel.worker, tunnel.sandbox, tunnel.known.caller());
    let policy = tunnel.known.newest_policy(worker, sandbox);
    record.said().policy_version = Some(Text::new(policy.hash().as_bytes()));
    let asked = aim.asked(head);
    let decision = judge::request(worker, sandbox, &policy, caller, &tunnel.target, &asked).await;
    let (admitted, action) = match decision {
        RequestDecision::Allow(admitted) => (admitted, Action::Allow),
        RequestDecision::Audit(admitted) => (admitted, Action::Audit),
        RequestDecision::Deny(denial) => {
            return Err(Box::new((denial, Some(aim.rule(head)))));
        }
    };
    record.said().decision = action;
    record.said().policy = Some(Text::new(admitted.policy_name().as_bytes()));
    Ok((aim, admitted))
}

/// Sends what was judged and relays its answer, a second time where that is safe (TR-098).
#[expect(
    clippy::too_many_arguments,
    reason = "the whole of one request; a struct would only be taken apart again"
)]
async fn relay(
    tunnel: &Tunnel<'_>,
    link: &mut Link<'_>,
    form: Form,
    client: &mut Stream,
    head: &RequestHead,
    aim: &Aim<'_>,
    admitted: &Admitted,
    record: &mut Entry<'_, L7Request>,
) -> Result<Answered, Stop> {
    let repeat = Repeat::of(head);
    let request = heads::write_request(head, aim, &tunnel.target, form)
        .map_err(|_| Stop::Denied(Denial::code(Code::BadRequest)))?;
    loop {
        record.reached(Stage::Dial);
        let mut hangup = Hangup::of(client);
        hangup
            .unless(client, pin!(link.ready(admitted, form, repeat)))
            .await
            .map_err(|_| Stop::ClientGone)?
            .map_err(|error| Stop::Denied(error.into_denial()))?;
        drop(hangup);
        let Some(conn) = link.conn() else {
            return Err(Stop::Denied(Denial::code(Code::UpstreamUnreachable)));
        };
        record.reached(Stage::Relay);
        let request = request.clone();
        let exchange = exchange::run(
            tunnel.worker,
            client,
            &mut conn.stream,
            head,
            request,
            HEADS,
        );
        match exchange.await {
            Ok(Done::Answered(answered)) => {
                link.answered(&answered, binding(head));
                return Ok(answered);
            }
            Err(Failed::Unanswered) if link.broke() && repeat == Repeat::Safe => {}
            Ok(Done::Upgraded) | Err(Failed::Unanswered) => {
                return Err(Stop::Denied(Denial::code(Code::UpstreamProtocolError)));
            }
            Err(Failed::Refused(code)) => {
                link.broke();
                return Err(Stop::Denied(Denial::code(code)));
            }
            Err(Failed::Cut) => {
                link.broke();
                return Err(Stop::Cut);
            }
            Err(Failed::ClientGone) => {
                link.broke();
                return Err(Stop::ClientGone);
            }
        }
    }
}

fn end(answered: &Answered, record: &mut Entry<'_, L7Request>) -> After {
    let took = record.age();
    let said = record.said();
    said.status = Some(answered.status);
    said.bytes_up = Some(answered.up);
    said.bytes_down = Some(answered.down);
    said.took = Some(took);
    match answered.client {
        Persistence::KeepAlive => After::Keep,
        Persistence::Close => After::Close,
    }
}

fn binding(head: &RequestHead) -> Binding {
    let bound = head
        .fields()
        .filter(|field| field.is("authorization"))
        .any(|field| exchange::names_bound_scheme(field.value));
    if bound { Binding::Bound } else { Binding::Free }
}

/// No protocol is switched to here: a 101 that comes all the same was not asked for (H1-11).
const HEADS: Heads = Heads {
    answer: heads::write_answer,
    switching: None,
    persistence: heads::persistence,
};
