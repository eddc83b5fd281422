//! One request to `inference.local`, from its head to its record (INF-7).

use std::sync::Arc;
use std::time::Instant;

use link::record::{Action, Delivery, End, Event, Inference, Stage, Text};
use policy::route::NoRoute;
use policy::{InferenceGrant, Protocol, Route, Routes};
use wire::{
    AfterRefusal, Code, Expectation, HostField, Persistence, Refusal, RequestFraming, RequestHead,
};

use super::body::{Body, NoBody};
use super::recognise::{self, Recognised, recognise};
use super::{After, answer, mock, request};
use crate::client;
use crate::clock;
use crate::hangup::Hangup;
use crate::mint::INFERENCE_HOST;
use crate::record::{self, Entry};
use crate::session::Known;
use crate::stream::Stream;
use crate::worker::{Place, Sandbox, Worker};

/// Serves one request whose head was read.
pub(super) async fn serve(
    worker: &Worker,
    sandbox: &Sandbox,
    client: &mut Stream,
    head: RequestHead,
    known: &Known,
) -> After {
    let begun = clock::now();
    let mut record = Entry::open(
        worker,
        sandbox,
        Event::Inference,
        Stage::Head,
        said(&head, known),
    );
    let after = match judged(worker, sandbox, client, &head, known, &mut record, begun).await {
        Ok(after) => {
            record.said().total = Some(clock::now().saturating_duration_since(begun));
            after
        }
        Err(Stop::Gone) => {
            record.said().end = Some(End::ClientGone);
            record.said().total = Some(clock::now().saturating_duration_since(begun));
            After::Gone
        }
        Err(Stop::Refused(refusal, after)) => {
            let said = record.said();
            said.action = Action::Deny;
            said.code = Some(refusal.code().as_str());
            said.status = Some(refusal.code().status());
            said.total = Some(clock::now().saturating_duration_since(begun));
            record.close();
            client::refuse(
                client,
                &worker.limits,
                record.id(),
                &refusal,
                head.method(),
                after,
            )
            .await;
            match after {
                AfterRefusal::KeepOpen => After::Keep,
                AfterRefusal::Close => After::Gone,
            }
        }
    };
    match (after, head.persistence()) {
        (After::Keep, Persistence::Close) => After::Close,
        (other, _) => other,
    }
}

/// Why a request ends without an answer of a backend.
pub(super) enum Stop {
    /// It is refused.
    Refused(Box<Refusal>, AfterRefusal),
    /// The client left.
    Gone,
}

impl Stop {
    /// A refusal after which the connection closes.
    pub(super) fn closing(code: Code) -> Stop {
        Stop::Refused(Box::new(Refusal::new(code)), AfterRefusal::Close)
    }
}

async fn judged(
    worker: &Worker,
    sandbox: &Sandbox,
    client: &mut Stream,
    head: &RequestHead,
    known: &Known,
    record: &mut Entry<'_, Inference>,
    begun: Instant,
) -> Result<After, Stop> {
    let snapshot = worker.snapshot(); // Invariant: one snapshot a request.
    let policy = sandbox.policy(&snapshot);
    let found = recognised(head)?;
    record.said().protocol = Some(found.protocol.as_str());
    record.said().kind = Some(found.kind);
    record.reached(Stage::Decide);
    let grant =
        policy::infer(&policy, known.caller()).map_err(|denial| Stop::closing(denial.code))?;
    // A body that was announced and not read yet cannot be skipped: then a refusal closes.
    let unread = match head.framing() {
        RequestFraming::None | RequestFraming::Length(0) => AfterRefusal::KeepOpen,
        RequestFraming::Length(_) | RequestFraming::Chunked => AfterRefusal::Close,
    };
    let _place = admit(worker, sandbox, &grant, begun, unread)?;
    let route = route(snapshot.routes.as_deref(), found.protocol, unread)?;
    record.said().model = Some(Text::new(route.model.as_bytes()));
    record.said().route_version = Some(route.version);

    let body = Body::read(worker, sandbox, client, head, found.body)
        .await
        .map_err(|error| match error {
            NoBody::Gone => Stop::Gone,
            NoBody::Unread(code) => Stop::closing(code),
            NoBody::Read(code) => {
                Stop::Refused(Box::new(Refusal::new(code)), AfterRefusal::KeepOpen)
            }
        })?;
    record.said().bytes_in = body.len();
    if grant.check_model(found.protocol, &route.model).is_err() {
        let refusal = Refusal::new(Code::ModelNotAllowed).model(&route.model);
        return Err(Stop::Refused(Box::new(refusal), AfterRefusal::KeepOpen));
    }
    let reveal = (!asked_for(&body, &route.model) && found.body == recognise::Body::Model)
        .then_some(&*route.model);
    let plan = answer::Plan {
        protocol: found.protocol,
        version: head.version(),
        persistence: head.persistence(),
        reveal,
    };

    record.reached(Stage::Send);
    let mut hangup = Hangup::of(client);
    let outcome = if route.base.scheme == policy::route::Scheme::Mock {
        mock::answer(client, &route, &found, &body, &plan).await
    } else {
        let sent = request::send(worker, client, &mut hangup, &route, head, &found, &body).await;
        if let (Err(Stop::Gone), Some(per_minute)) = (&sent, grant.tokens_per_minute()) {
            // Why: the backend counts what it read, and leaving early must not be a way around the budget.
            sandbox
                .budget
                .spend(body.len() / 4, per_minute, clock::now());
        }
        let sent = sent?;
        drop(body);
        record.reached(Stage::Relay);
        answer::relay(worker, client, &mut hangup, &route, sent, &plan, begun).await
    };
    let said = record.said();
    said.status = Some(outcome.status);
    said.stream = Some(if outcome.is_stream {
        Delivery::Stream
    } else {
        Delivery::Whole
    });
    said.first_byte = outcome.first_byte;
    said.bytes_out = outcome.bytes;
    said.end = Some(outcome.end);
    said.input_tokens = outcome.usage.input;
    said.output_tokens = outcome.usage.output;
    if let Some(per_minute) = grant.tokens_per_minute() {
        let spent = outcome
            .usage
            .total()
            .unwrap_or((said.bytes_in + said.bytes_out) / 4);
        sandbox.budget.spend(spent, per_minute, clock::now());
    }
    Ok(outcome.after)
}

/// Recognition, after what the head alone forbids (INF-3 to INF-6).
fn recognised(head: &RequestHead) -> Result<Recognised, Stop> {
    if head.expectation() == Expectation::Other {
        return Err(Stop::closing(Code::ExpectationFailed));
    }
    let target = own_target(head)?;
    if head.upgrade().is_some() {
        return Err(Stop::closing(Code::UpgradeNotAllowed));
    }
    recognise(head.method(), target).ok_or_else(|| {
        let hint = "inference.local answers POST /v1/chat/completions, /v1/completions, /v1/responses, /v1/messages and GET /v1/models";
        Stop::Refused(Box::new(Refusal::new(Code::InferenceRequestNotRecognised).hint(hint)), AfterRefusal::Close)
    })
}

/// The origin-form target, if the request is meant for us (INF-3).
fn own_target(head: &RequestHead) -> Result<&[u8], Stop> {
    let mismatch = || Stop::closing(Code::AuthorityMismatch);
    let ours = |field: &HostField| {
        field.host.as_str() == INFERENCE_HOST && field.port.is_none_or(|port| port.number() == 443)
    };
    if !head.host().is_none_or(ours) {
        return Err(mismatch());
    }
    let target = head.target();
    if target.starts_with(b"/") {
        return Ok(target);
    }
    if head.method() == b"CONNECT" || target == b"*" {
        return Err(Stop::closing(Code::InferenceRequestNotRecognised));
    }
    let absolute = wire::target::absolute(target).map_err(|error| Stop::closing(error.code()))?;
    let same = absolute.scheme == wire::Scheme::Https
        && absolute.authority.host.as_str() == INFERENCE_HOST
        && absolute.authority.port.number() == 443;
    if same {
        Ok(absolute.path_and_query)
    } else {
        Err(mismatch())
    }
}

/// The limits of the `inference` section and of the sandbox (INF-25, LIM).
fn admit(
    worker: &Worker,
    sandbox: &Sandbox,
    grant: &InferenceGrant,
    now: Instant,
    unread: AfterRefusal,
) -> Result<Place, Stop> {
    let limited = |code: Code, wait: u32| {
        Stop::Refused(Box::new(Refusal::new(code).retry_after(wait)), unread)
    };
    if let Some(max) = grant.max_concurrent()
        && u64::from(sandbox.in_flight.open()) >= max
    {
        return Err(limited(Code::TooManyConcurrent, 1));
    }
    let place = sandbox
        .in_flight
        .enter(worker.limits.inference_in_flight_per_sandbox_max)
        .ok_or_else(|| limited(Code::CapacityExceeded, 1))?;
    if let Some(per_minute) = grant.tokens_per_minute() {
        sandbox
            .budget
            .may_spend(per_minute, now)
            .map_err(|wait| limited(Code::TokenBudgetExceeded, wait))?;
    }
    if let Some(per_minute) = grant.requests_per_minute() {
        sandbox
            .budget
            .take_request(per_minute, now)
            .map_err(|wait| limited(Code::RateLimited, wait))?;
    }
    Ok(place)
}

/// The route of a protocol (RTE-2).
fn route(
    routes: Option<&Routes>,
    protocol: Protocol,
    unread: AfterRefusal,
) -> Result<Arc<Route>, Stop> {
    let refuse = |refusal: Refusal, after| Stop::Refused(Box::new(refusal), after);
    let Some(routes) = routes else {
        return Err(refuse(Refusal::new(Code::InferenceNotReady), unread));
    };
    routes.select(protocol).cloned().map_err(|why| match why {
        NoRoute::NotConfigured => {
            let hint = "ringfence cluster inference set --provider NAME --model ID";
            refuse(
                Refusal::new(Code::InferenceNotConfigured).hint(hint),
                unread,
            )
        }
        NoRoute::Broken(fault) => refuse(Refusal::new(fault.code()), unread),
        NoRoute::Incompatible => {
            let detail = format!("No route speaks {}.", protocol.as_str());
            let refusal = Refusal::new(Code::NoCompatibleRoute).detail(detail);
            refuse(refusal, AfterRefusal::Close)
        }
    })
}

fn asked_for(body: &Body<'_>, model: &str) -> bool {
    body.asked() == Some(model)
}

fn said(head: &RequestHead, known: &Known) -> Inference {
    Inference {
        request: Some(record::request_line(head)),
        protocol: None,
        kind: None,
        action: Action::Allow,
        code: None,
        reason: None,
        route_version: None,
        model: None,
        status: None,
        stream: None,
        first_byte: None,
        total: None,
        bytes_in: 0,
        bytes_out: 0,
        input_tokens: None,
        output_tokens: None,
        end: None,
        program: known.program.clone(),
        policy: None,
    }
}
