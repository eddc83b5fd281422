//! One request and its answer over one upstream connection, both directions at once (H1-8 to H1-14).
//!
//! Apart from `forward` and `inspect`, which decide what is sent and how heads are written: here is only how
//! it flows. An answer that comes early is relayed at once, an interim one reaches a client that waits for
//! it, and a client that leaves ends the exchange. Bodies are decoded and framed again, never relayed as
//! read. Invariant: no read is dropped with bytes in it; a send is given up only with its connection.

mod down;
mod up;

use std::cell::Cell;
use std::pin::pin;

use wire::{Code, Persistence, RequestHead, ResponseHead};

use crate::deadline::{First, race};
use crate::relay::body::Framing;
use crate::stream::Stream;
use crate::worker::Worker;
use down::{Down, Progress, Relayed, Unanswered};
use up::{Unsent, Up};

/// How a surface writes heads toward its client.
#[derive(Clone, Copy)]
pub(crate) struct Heads {
    pub(crate) answer: fn(&ResponseHead, Framing, Persistence) -> Vec<u8>,
    /// The head of a 101 that was asked for; absent where no protocol may be switched to.
    pub(crate) switching: Option<fn(&ResponseHead) -> Vec<u8>>,
    /// What the upstream's answer means for the client's connection.
    pub(crate) persistence: fn(&ResponseHead) -> Persistence,
}

/// An exchange that ended as it should.
#[derive(Debug)]
pub(crate) enum Done {
    /// The final answer was relayed whole.
    Answered(Answered),
    /// Both sides switched to another protocol.
    Upgraded,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    /// Body bytes from the client.
    pub(crate) up: u64,
    /// Body bytes to the client.
    pub(crate) down: u64,
    /// Whether the client's connection may go on.
    pub(crate) client: Persistence,
    /// Whether the upstream's may.
    pub(crate) upstream: Persistence,
    /// Whether the answer asks for an authentication that is bound to the connection.
    pub(crate) binding: Binding,
}

/// Whether an authentication belongs to one connection instead of to its requests (RFC 4559 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    /// Every request stands for itself.
    Free,
    /// What was sent so far speaks for what comes later.
    Bound,
}

/// An exchange that did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// Nothing of an answer was sent to the client yet.
    Refused(Code),
    /// The same, and the upstream ended without a byte of an answer (TR-098).
    Unanswered,
    /// The answer had begun.
    Cut,
    /// Nobody is there to be told.
    ClientGone,
}

/// Runs both directions of one exchange; `request` is the head as it goes up.
///
/// # Errors
/// [`Failed`].
pub(crate) async fn run(
    worker: &Worker,
    client: &mut Stream,
    upstream: &mut Stream,
    head: &RequestHead,
    request: Vec<u8>,
    heads: Heads,
) -> Result<Done, Failed> {
    let progress = Cell::new(Progress::Awaited);
    let sent = Cell::new(None);
    let writing = client.socket.writing_alarm(&worker.deadlines);
    let (client_alarm, client_in, client_out) = client.split();
    let (upstream_alarm, upstream_in, upstream_out) = upstream.split();
    let mut up = pin!(
        Up {
            client: client_in,
            upstream: upstream_out,
            client_alarm,
            upstream_alarm,
            limits: &worker.limits,
            sent: &sent,
        }
        .run(request, head.framing())
    );
    let mut down = pin!(
        Down {
            upstream: upstream_in,
            client: client_out,
            alarm: upstream_alarm,
            writing: &writing,
            limits: &worker.limits,
            head,
            heads,
            progress: &progress,
        }
        .run()
    );
    let answered = match race(up.as_mut(), down.as_mut()).await {
        First::Right(answered) => answered,
        // An upstream that takes no more may have answered already.
        First::Left(Unsent::UpstreamGone) => down.await,
        // A client may leave when it has the last byte, which is before we know that it was sent.
        First::Left(Unsent::ClientGone) if progress.get() == Progress::Ending => down.await,
        First::Left(Unsent::ClientGone) => return Err(Failed::ClientGone),
        First::Left(Unsent::Bad(_)) if progress.get() != Progress::Awaited => {
            return Err(Failed::Cut);
        }
        First::Left(Unsent::Bad(code)) => return Err(Failed::Refused(code)),
    };
    match answered {
        Ok(Relayed::Upgraded) => Ok(Done::Upgraded),
        Ok(Relayed::Whole(mut answered)) => {
            match sent.get() {
                Some(bytes) => answered.up = bytes,
                // What is left of the request has no reader any more.
                None => {
                    answered.client = Persistence::Close;
                    answered.upstream = Persistence::Close;
                }
            }
            Ok(Done::Answered(answered))
        }
        Err(Unanswered::Nothing) => Err(Failed::Unanswered),
        Err(Unanswered::Protocol) => Err(Failed::Refused(Code::UpstreamProtocolError)),
        Err(Unanswered::Timeout) => Err(Failed::Refused(Code::ResponseTimeout)),
        Err(Unanswered::Cut) => Err(Failed::Cut),
        Err(Unanswered::ClientGone) => Err(Failed::ClientGone),
    }
}

/// Whether a field of authentication names a scheme that binds it to its connection.
pub(crate) fn names_bound_scheme(value: &[u8]) -> bool {
    ["ntlm", "negotiate"].iter().any(|scheme| {
        value
            .get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
    })
}
