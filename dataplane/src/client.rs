//! The sandbox's side of a connection: heads in, refusals out.

mod hello;

use wire::{AfterRefusal, Code, HeadError, Parse, Refusal, RequestHead, RequestId, RequestParser};

use crate::deadline::Ends;
use crate::limits::Limits;
use crate::stream::{Fill, Stream, StreamError};

pub(crate) use hello::{NoHello, read_hello, refuse_name};

/// What waiting for a request brought.
pub(crate) enum Heard {
    /// A whole, valid head; it is consumed, what follows it is in the stream's input.
    Request(RequestHead),
    /// The client ended between requests, or stayed silent for the keep-alive time.
    Closed,
    /// A head that is refused.
    Bad(Code),
}

/// Which request of its connection is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The first: its time runs from accept.
    First,
    /// A later one: it may take the keep-alive time to begin.
    Next,
}

/// Reads one request head (H1-7, H1-8, LIM).
pub(crate) async fn read_head(stream: &mut Stream, limits: &Limits, turn: Turn) -> Heard {
    let mut parser = RequestParser::new(limits.head);
    let silent = stream.input().is_empty();
    let time = match turn {
        Turn::Next if silent => limits.keep_alive_time,
        Turn::First | Turn::Next => limits.head_time,
    };
    // Reading alone: a refusal, and on TLS the close_notify of an idle end, can still be written.
    stream.socket.alarm.arm(time, Ends::Reading);
    let mut begun = !silent;
    let heard = loop {
        if begun {
            match parser.advance(stream.input()) {
                Parse::Done(head, used) => {
                    stream.consume(used);
                    break Heard::Request(head);
                }
                Parse::Bad(error) => break Heard::Bad(HeadError::code(&error)),
                Parse::More => {}
            }
        }
        match stream.fill().await {
            Ok(Fill::Bytes) if !begun => {
                begun = true;
                stream.socket.alarm.arm(limits.head_time, Ends::Reading);
            }
            Ok(Fill::Bytes) => {}
            Ok(Fill::End | Fill::Cut) | Err(_) => {
                let timed_out = stream.socket.alarm.rang() && (begun || turn == Turn::First);
                break if timed_out {
                    Heard::Bad(Code::RequestTimeout)
                } else {
                    Heard::Closed
                };
            }
        }
    };
    stream.socket.alarm.rest();
    heard
}

/// Answers a CONNECT: what follows belongs to the tunnel.
///
/// # Errors
/// As [`Stream::flush`].
pub(crate) async fn establish(stream: &mut Stream) -> Result<(), StreamError> {
    stream.put(ESTABLISHED)?;
    stream.flush().await
}

/// Answers the request `id` with a refusal.
pub(crate) async fn refuse(
    stream: &mut Stream,
    limits: &Limits,
    id: RequestId,
    refusal: &Refusal,
    method: &[u8],
    after: AfterRefusal,
) {
    if stream.put(&refusal.to_bytes(id, method, after)).is_err() {
        return;
    }
    match after {
        AfterRefusal::KeepOpen => {
            // A client that asks on and never reads must not hold the connection for ever.
            let time = limits.keep_alive_time;
            stream.socket.alarm.arm(time, Ends::Connection);
            _ = stream.flush().await;
            stream.socket.alarm.rest();
        }
        AfterRefusal::Close => close_heard(stream, limits).await,
    }
}

/// Sends what was put and closes so that the client reads it: unread request bytes are drained first,
/// because closing over them would turn the answer into a reset (ERR-3, TR-023).
pub(crate) async fn close_heard(stream: &mut Stream, limits: &Limits) {
    arm_drain(stream, limits);
    stream.finish().await;
    drain(stream, limits).await;
}

/// Closes in the middle of a message: what was put is sent, and no close_notify says that it was all.
pub(crate) async fn close_cut(stream: &mut Stream, limits: &Limits) {
    arm_drain(stream, limits);
    if stream.flush().await.is_ok() {
        stream.socket.write.finish();
        drain(stream, limits).await;
    }
}

fn arm_drain(stream: &Stream, limits: &Limits) {
    stream.socket.alarm.arm(limits.drain_time, Ends::Connection);
}

async fn drain(stream: &mut Stream, limits: &Limits) {
    let mut drained = 0;
    while drained < limits.drain_bytes_max {
        let waiting = stream.input().len();
        stream.consume(waiting);
        drained += waiting;
        match stream.fill().await {
            Ok(Fill::Bytes) => {}
            Ok(Fill::End | Fill::Cut) | Err(_) => break,
        }
    }
}

/// RFC 9110 §9.3.6: no body, no framing fields.
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection Established\r\n\r\n";

#[cfg(test)]
mod tests;
