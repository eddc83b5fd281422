//! THE WALK: listener → session → head → decision → … → record.
//!
//! One function per stage and one place that owns every branch on a decision. Two doors lead here: the
//! proxy listener, where clients say CONNECT, and the direct door on port 443, where clients that ignore
//! proxy variables speak TLS to `inference.local` at once.

use std::cell::Cell;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use link::Generation;
use link::record::{Access, Action, Event, Program, Refused, Stage, Surface, Text};
use monoio::net::TcpStream;
use policy::{Caller, Decision, Denial, IdentityError, Policy};
use wire::{AfterRefusal, Authority, Code, Expectation, Refusal, RequestHead, RequestId};

use crate::client::{self, Heard, Turn};
use crate::io::Socket;
use crate::record::{self, Entry};
use crate::revoke::{Path, Tunnel};
use crate::stream::Stream;
use crate::worker::{Sandbox, Worker};
use crate::{forward, identify, inference, inspect, judge, tunnel};

/// Which listener a connection came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// 127.0.0.1:3128: CONNECT.
    Proxy,
    /// 127.0.0.1:443: TLS for `inference.local` (INF-29).
    Direct,
}

/// Who calls, established once a connection.
pub(crate) struct Known {
    pub(crate) caller: Result<Arc<Caller>, IdentityError>,
    /// The same as records show it.
    pub(crate) program: Option<Arc<Program>>,
    pub(crate) source: Option<SocketAddr>,
    pub(crate) proxy: Option<SocketAddr>,
    /// The generation that the request under way is judged by.
    pub(crate) judged_by: Cell<Option<Generation>>,
}

impl Known {
    /// The caller, as the policy is asked about.
    pub(crate) fn caller(&self) -> Result<&Caller, IdentityError> {
        self.caller.as_deref().map_err(|error| *error)
    }

    /// The policy in force now, and its generation noted as what the request under way is judged by.
    /// Invariant: asked once a request.
    pub(crate) fn newest_policy(&self, worker: &Worker, sandbox: &Sandbox) -> Arc<Policy> {
        let newest = worker.newest();
        self.judged_by.set(Some(newest.generation));
        sandbox.policy(&newest.value)
    }

    /// What the request under way was let through for.
    pub(crate) fn tunnel(&self, target: Authority, path: Path) -> Rc<Tunnel> {
        Tunnel::new(target, self.caller.clone(), path, self.judged_by.get())
    }

    /// What is said of a request when nothing was decided yet.
    pub(crate) fn access(&self, host: &str, port: u16, policy: &Policy) -> Access {
        Access {
            source: self.source,
            proxy: self.proxy,
            host: Some(Text::new(host.as_bytes())),
            port: Some(port),
            program: self.program.clone(),
            action: Action::Allow,
            policy: None,
            policy_version: Some(Text::new(policy.hash().as_bytes())),
            reason: None,
            code: None,
            request: None,
            bytes_up: None,
            bytes_down: None,
            took: None,
        }
    }
}

/// Serves one accepted connection to its end.
pub(crate) async fn serve(worker: &Worker, sandbox: &Sandbox, stream: TcpStream, door: Door) {
    // A peer that left before it was looked at needs no record: it asked for nothing.
    let Ok(socket) = Socket::adopt(stream, &worker.deadlines) else {
        return;
    };
    let (source, proxy) = (socket.peer().ok(), socket.local().ok());
    let pending = identify::begin(worker, sandbox, &socket, source, proxy);
    let mut client = Stream::plain(socket, &worker.buffers);
    let Some(_place) = sandbox
        .connections
        .enter(worker.limits.connections_per_sandbox_max)
    else {
        return refuse_early(worker, sandbox, &mut client, door, Code::CapacityExceeded).await;
    };
    let identity = async {
        let identity = pending.wait().await;
        Known {
            program: identity.as_ref().ok().map(|who| Arc::clone(&who.program)),
            caller: identity.map(|who| who.caller),
            source,
            proxy,
            judged_by: Cell::new(None),
        }
    };
    match door {
        Door::Direct => Box::pin(inference::serve_direct(worker, sandbox, client, identity)).await,
        Door::Proxy => requests(worker, sandbox, client, identity).await,
    }
}

/// Requests on the proxy listener, in order, each judged from the start (FWD-9). Who asks is established
/// once, when the first of them is complete.
async fn requests(
    worker: &Worker,
    sandbox: &Sandbox,
    mut client: Stream,
    identity: impl Future<Output = Known>,
) {
    let mut identity = Some(identity);
    let mut known: Option<Known> = None;
    let mut turn = Turn::First;
    loop {
        let head = match client::read_head(&mut client, &worker.limits, turn).await {
            Heard::Request(head) => head,
            Heard::Bad(code) => {
                return refuse_early(worker, sandbox, &mut client, Door::Proxy, code).await;
            }
            Heard::Closed => return,
        };
        if let Some(identity) = identity.take() {
            known = Some(identity.await);
        }
        let Some(known) = &known else { return };
        match request(worker, sandbox, client, head, known).await {
            Some(same) => client = same,
            None => return,
        }
        turn = Turn::Next;
    }
}

/// One request on the proxy listener; CON-4 and FWD-4 give the order of the checks. The connection comes
/// back when it may ask again.
async fn request(
    worker: &Worker,
    sandbox: &Sandbox,
    mut client: Stream,
    head: RequestHead,
    known: &Known,
) -> Option<Stream> {
    let asked = match Asked::of(&head) {
        Ok(asked) => asked,
        Err(refusal) => {
            refuse_unjudged(worker, sandbox, &mut client, &head, refusal, known).await;
            return None;
        }
    };
    let policy = known.newest_policy(worker, sandbox);
    let (target, wrap): (_, fn(Access) -> Event) = match &asked {
        Asked::Inference => {
            // Boxed, as what a tunnel does not need: a tunnel is open for hours.
            Box::pin(inference::serve_connect(
                worker, sandbox, client, &head, known, &policy,
            ))
            .await;
            return None;
        }
        Asked::Connect(target) => (target, Event::Connect),
        Asked::Forward(target) => (target, Event::Forward),
    };
    let mut said = known.access(target.host.as_str(), target.port.number(), &policy);
    if let Asked::Forward(_) = &asked {
        said.request = Some(record::request_line(&head));
    }
    let mut record = Entry::open(worker, sandbox, wrap, Stage::Decide, said);
    let decision = judge::connect(worker, sandbox, &policy, known.caller(), target).await;
    let denial = match (decision, &asked) {
        (Decision::Tunnel(admitted), Asked::Connect(_)) => {
            drop(policy); // Not to be kept by a tunnel that outlives it.
            tunnel::run(worker, sandbox, client, &head, admitted, known, record).await;
            return None;
        }
        (Decision::Tunnel(admitted), Asked::Forward(_)) => {
            let forwarded = forward::run(worker, sandbox, client, &head, admitted, known, record);
            return Box::pin(forwarded).await;
        }
        (Decision::Inspect(admitted), Asked::Connect(_)) => {
            drop(policy);
            let tunnel = inspect::run(worker, sandbox, client, &head, admitted, known, record);
            Box::pin(tunnel).await;
            return None;
        }
        (Decision::Inspect(_), Asked::Forward(_)) => {
            let forwarded =
                forward::run_judged(worker, sandbox, client, &head, &policy, known, record);
            return Box::pin(forwarded).await;
        }
        (Decision::Deny(denial), _) => denial,
        // Never asked: the policy has no say in who intercepts.
        (Decision::Tunnel(_) | Decision::Inspect(_), Asked::Inference) => {
            Denial::code(Code::UnsupportedProtocol)
        }
    };
    deny(worker, &mut client, &head, target, &denial, &mut record).await;
    None
}

/// What a head on the proxy listener asks for.
enum Asked {
    Inference,
    Connect(Authority),
    Forward(Authority),
}

impl Asked {
    fn of(head: &RequestHead) -> Result<Asked, Box<Refusal>> {
        // H1-10: an expectation nobody here can meet needs no look at the target.
        if head.expectation() == Expectation::Other {
            return Err(Box::new(Refusal::new(Code::ExpectationFailed)));
        }
        if head.method() == b"CONNECT" {
            let target = wire::target::connect(head.target())
                .map_err(|error| Box::new(Refusal::new(error.code())))?;
            // CON-10: on other ports the name is a target like any other, which `policy::connect` denies.
            return Ok(
                if target.host.is_inference() && target.port.number() == 443 {
                    Asked::Inference
                } else {
                    Asked::Connect(target)
                },
            );
        }
        let target = wire::target::absolute(head.target())
            .map_err(|error| Box::new(Refusal::new(error.code())))?;
        if target.authority.host.is_inference() {
            return Err(Box::new(refusal_for(Code::InferenceRequiresHttps, &target.authority)
                .hint("use https://inference.local, which is reached through CONNECT or directly on port 443")));
        }
        match target.scheme {
            wire::Scheme::Https => Err(Box::new(refusal_for(
                Code::UseConnectForHttps,
                &target.authority,
            ))),
            wire::Scheme::Http => Ok(Asked::Forward(target.authority)),
        }
    }
}

/// Refuses by a denial, and says so in the record.
pub(crate) async fn deny(
    worker: &Worker,
    client: &mut Stream,
    head: &RequestHead,
    target: &Authority,
    denial: &Denial,
    record: &mut Entry<'_, Access>,
) {
    let refusal = denied(target, denial, record);
    refuse(worker, client, head, &refusal, record.id()).await;
}

/// Closes a record with a denial; the refusal to answer with.
pub(crate) fn denied(
    target: &Authority,
    denial: &Denial,
    record: &mut Entry<'_, Access>,
) -> Refusal {
    let took = record.age();
    let said = record.said();
    said.action = Action::Deny;
    said.code = Some(denial.code.as_str());
    said.reason = (!denial.reason.is_empty()).then(|| denial.reason.clone());
    said.took = Some(took);
    said.policy = denial
        .policy
        .as_deref()
        .map(|policy| Text::new(policy.as_bytes()));
    record.close();
    denial
        .refusal()
        .host(target.host.as_str())
        .port(target.port.number())
}

/// Answers the request `id` with a refusal, and closes.
pub(crate) async fn refuse(
    worker: &Worker,
    client: &mut Stream,
    head: &RequestHead,
    refusal: &Refusal,
    id: RequestId,
) {
    client::refuse(
        client,
        &worker.limits,
        id,
        refusal,
        head.method(),
        AfterRefusal::Close,
    )
    .await;
}

/// Refuses what was understood too little to be judged, and says so in a record of its own kind.
async fn refuse_unjudged(
    worker: &Worker,
    sandbox: &Sandbox,
    client: &mut Stream,
    head: &RequestHead,
    refusal: Box<Refusal>,
    known: &Known,
) {
    let event = Event::Refused(Refused {
        code: refusal.code().as_str(),
        reason: None,
        surface: Surface::Proxy,
        program: known.program.clone(),
    });
    let id = record::push(worker, sandbox, Stage::Head, event);
    refuse(worker, client, head, &refusal, id).await;
}

/// Refuses before there is a head. Nothing is answered on the direct door, where TLS has not begun.
async fn refuse_early(
    worker: &Worker,
    sandbox: &Sandbox,
    client: &mut Stream,
    door: Door,
    code: Code,
) {
    let surface = match door {
        Door::Proxy => Surface::Proxy,
        Door::Direct => Surface::Direct,
    };
    let event = Event::Refused(Refused {
        code: code.as_str(),
        reason: None,
        surface,
        program: None,
    });
    let id = record::push(worker, sandbox, Stage::Head, event);
    if door == Door::Proxy {
        client::refuse(
            client,
            &worker.limits,
            id,
            &Refusal::new(code),
            b"",
            AfterRefusal::Close,
        )
        .await;
    }
}

fn refusal_for(code: Code, target: &Authority) -> Refusal {
    Refusal::new(code)
        .host(target.host.as_str())
        .port(target.port.number())
}
