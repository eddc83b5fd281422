//! A tunnel whose requests are judged one by one (CON-9, L7).
//!
//! The upstream is dialled before the 200, as for every tunnel. Then the first bytes decide the form: a request, or
//! TLS that is ended here where the policy says so. From there on each request is judged by the newest policy, and
//! nothing of it leaves before. Invariant: what cannot be read as requests is refused; nothing here becomes a raw
//! tunnel (GEN-8).

mod door;
mod first;
mod heads;
mod link;
mod request;
pub(crate) mod target;

use std::cell::Cell;

use ::link::record::{Access, Action, Event, L7Request, Stage, Text};
use policy::{Admitted, Denial};
use wire::{AfterRefusal, Authority, Code, RequestHead};

use crate::client::{self, Heard, Turn};
use crate::record::Entry;
use crate::session::Known;
use crate::stream::Stream;
use crate::tunnel::establish;
use crate::worker::{Sandbox, Worker};
use link::Link;

/// What all requests of one inspected tunnel share.
struct Tunnel<'a> {
    worker: &'a Worker,
    sandbox: &'a Sandbox,
    known: &'a Known,
    target: Authority,
}

/// What becomes of the client's connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// It waits for the next one.
    Keep,
    /// It is closed properly.
    Close,
    /// It is closed already, or nobody is there.
    Gone,
}

/// Opens the tunnel and serves its requests, or refuses with the reason.
pub(crate) async fn run(
    worker: &Worker,
    sandbox: &Sandbox,
    mut client: Stream,
    head: &RequestHead,
    admitted: Admitted,
    known: &Known,
    mut record: Entry<'_, Access>,
) {
    let tunnel = Tunnel {
        worker,
        sandbox,
        known,
        target: admitted.target().clone(),
    };
    let stage = Cell::new(Stage::Resolve);
    let established = Box::pin(establish(
        worker,
        &mut client,
        head,
        &admitted,
        &mut record,
        &stage,
        Link::open(&tunnel, &admitted, &stage),
    ));
    let Some(link) = established.await else {
        return;
    };
    drop(record);
    tunnel.serve(client, link, &admitted).await;
}

impl Tunnel<'_> {
    async fn serve(&self, client: Stream, mut link: Link<'_>, admitted: &Admitted) {
        let Some((mut client, form)) = Box::pin(door::pass(self, client, admitted.tls())).await
        else {
            return;
        };
        let mut turn = Turn::First;
        loop {
            let after = match client::read_head(&mut client, &self.worker.limits, turn).await {
                Heard::Request(head) => {
                    request::serve(self, &mut link, form, &mut client, &head).await
                }
                Heard::Bad(code) => {
                    self.refuse_unread(&mut client, code, Stage::Head).await;
                    After::Gone
                }
                Heard::Closed => After::Close,
            };
            match after {
                After::Keep => turn = Turn::Next,
                After::Close => {
                    link.leave();
                    return client::close_heard(&mut client, &self.worker.limits).await;
                }
                After::Gone => return link.leave(),
            }
        }
    }

    /// Refuses what was never read as a request, and says so in its record.
    async fn refuse_unread(&self, client: &mut Stream, code: Code, stage: Stage) {
        let mut record = self.record(stage);
        let denial = Denial::code(code);
        let refusal = self.denied(&mut record, &denial);
        client::refuse(
            client,
            &self.worker.limits,
            record.id(),
            &refusal,
            b"",
            AfterRefusal::Close,
        )
        .await;
    }

    /// As [`Tunnel::refuse_unread`], where nobody can be answered.
    fn record_refused(&self, code: Code, stage: Stage) {
        let mut record = self.record(stage);
        drop(self.denied(&mut record, &Denial::code(code)));
    }

    /// An open record of one request.
    fn record(&self, stage: Stage) -> Entry<'_, L7Request> {
        let said = L7Request {
            host: Text::new(self.target.host.as_str().as_bytes()),
            port: self.target.port.number(),
            policy: None,
            policy_version: None,
            request: None,
            decision: Action::Allow,
            deny_reason: None,
            code: None,
            status: None,
            bytes_up: None,
            bytes_down: None,
            took: None,
            program: self.known.program.clone(),
        };
        Entry::open(self.worker, self.sandbox, Event::L7Request, stage, said)
    }

    /// Closes a record with a denial; the refusal to answer with.
    fn denied(&self, record: &mut Entry<'_, L7Request>, denial: &Denial) -> wire::Refusal {
        let took = record.age();
        let said = record.said();
        said.decision = Action::Deny;
        said.code = Some(denial.code.as_str());
        said.status = Some(denial.code.status());
        said.deny_reason = Some(if denial.reason.is_empty() {
            denial.code.as_str().into()
        } else {
            denial.reason.clone()
        });
        said.took = Some(took);
        if let Some(policy) = &denial.policy {
            said.policy = Some(Text::new(policy.as_bytes()));
        }
        record.close();
        denial
            .refusal()
            .host(self.target.host.as_str())
            .port(self.target.port.number())
    }
}
