//! Heads inside an inspected tunnel: fields as received, apart from the target and the framing (L7-15).
//!
//! Apart from `request` because it is pure. Invariants: the target is the one that was judged; framing is announced by
//! whoever frames; an upgrade that was ignored does not travel.

use wire::{
    Authority, HeadWriter, Persistence, RequestFraming, RequestHead, ResponseHead, WriteError,
};

use super::target::Aim;
use crate::relay::body::Framing;
use crate::upstream::pool::Form;

/// The head as it goes up. What asked for an upgrade in earnest was refused before (L7-14).
pub(super) fn write_request(
    head: &RequestHead,
    aim: &Aim<'_>,
    tunnel: &Authority,
    form: Form,
) -> Result<Vec<u8>, WriteError> {
    let mut writer = HeadWriter::request(head.method(), &aim.pieces())?;
    if head.host().is_none() {
        // HTTP/1.0 may leave it out; what we speak may not.
        writer.field(b"Host", form.scheme().host_field(tunnel).as_bytes())?;
    }
    let upgrades = head.fields().any(|field| field.is("upgrade"));
    for field in head.fields() {
        if field.is("content-length") || field.is("transfer-encoding") {
            match head.framing() {
                RequestFraming::None => {}
                RequestFraming::Length(length) => writer.number_field("Content-Length", length),
                RequestFraming::Chunked => writer.own_field("Transfer-Encoding", "chunked"),
            }
        } else if field.is("upgrade") {
        } else if upgrades && field.is("connection") {
            let value = without_upgrade(field.value);
            if !value.is_empty() {
                writer.field(field.name, &value)?;
            }
        } else {
            writer.field(field.name, field.value)?;
        }
    }
    Ok(writer.finish())
}

/// A Connection field without its `upgrade`.
fn without_upgrade(value: &[u8]) -> Vec<u8> {
    let options = value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|option| !option.is_empty() && !option.eq_ignore_ascii_case(b"upgrade"));
    options.collect::<Vec<_>>().join(&b", "[..])
}

/// The head as it goes down.
pub(super) fn write_answer(
    answer: &ResponseHead,
    framing: Framing,
    persistence: Persistence,
) -> Vec<u8> {
    let mut writer = HeadWriter::response(answer.status(), answer.reason());
    // The length that an answer to HEAD or a 304 states is about the resource and stays.
    let states_length = framing == Framing::Bodiless && !matches!(answer.status(), 100..200 | 204);
    for field in answer.fields() {
        let ours = field.is("transfer-encoding")
            || field.is("content-length") && !states_length
            || persistence == Persistence::Close
                && ["connection", "keep-alive"]
                    .iter()
                    .any(|name| field.is(name));
        if !ours {
            // Fields were valid when they were read; one that cannot be written is left out.
            _ = writer.field(field.name, field.value);
        }
    }
    framing.announce(&mut writer);
    if persistence == Persistence::Close {
        writer.own_field("Connection", "close");
    }
    writer.finish()
}

/// `Connection: close` ends the client's connection too; that an upstream of HTTP/1.0 closes does not.
pub(super) fn persistence(answer: &ResponseHead) -> Persistence {
    if answer.is_hop_by_hop(b"close") {
        Persistence::Close
    } else {
        Persistence::KeepAlive
    }
}

#[cfg(test)]
mod tests {
    use wire::{HeadLimits, Parse, RequestParser, ResponseParser};

    use super::*;

    fn sent(text: &str) -> String {
        let mut parser = RequestParser::new(HeadLimits::default());
        let Parse::Done(head, _) = parser.advance(text.as_bytes()) else {
            panic!("{text}");
        };
        let tunnel = wire::target::connect(b"h.test:443").unwrap();
        let aim = Aim::inside(&head, &tunnel, Form::Tls).unwrap();
        String::from_utf8_lossy(&write_request(&head, &aim, &tunnel, Form::Tls).unwrap())
            .into_owned()
    }

    /// L7-15, TR-006
    #[test]
    fn fields_travel_as_received_but_for_the_target_and_the_framing() {
        assert_eq!(
            sent(
                "POST /a/../b?q HTTP/1.1\r\nHost: H.test\r\nX-A:  1 \r\nConnection: keep-alive, x-b\r\nx-b: 2\r\nTransfer-Encoding: CHUNKED\r\nVia: 1.0 v\r\n\r\n"
            ),
            "POST /b?q HTTP/1.1\r\nHost: H.test\r\nX-A: 1\r\nConnection: keep-alive, x-b\r\nx-b: 2\r\nTransfer-Encoding: chunked\r\nVia: 1.0 v\r\n\r\n"
        );
    }

    /// L7-14: an upgrade nobody asked for in earnest is removed.
    #[test]
    fn an_upgrade_that_is_ignored_does_not_travel() {
        assert_eq!(
            sent("GET / HTTP/1.1\r\nHost: h.test\r\nUpgrade: websocket\r\n\r\n"),
            "GET / HTTP/1.1\r\nHost: h.test\r\n\r\n"
        );
        assert_eq!(
            sent("GET / HTTP/1.0\r\nUpgrade: h2c\r\nConnection: Upgrade, x\r\n\r\n"),
            "GET / HTTP/1.1\r\nHost: h.test\r\nConnection: x\r\n\r\n"
        );
    }

    /// L7-15, H1-9
    #[test]
    fn an_answer_says_close_exactly_when_the_connection_ends() {
        let text =
            b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\nAlt-Svc: x\r\n\r\n";
        let Parse::Done(head, _) = ResponseParser::new(HeadLimits::upstream()).advance(text) else {
            panic!("a whole head");
        };
        let written = |persistence| {
            String::from_utf8(write_answer(&head, Framing::Length(2), persistence)).unwrap()
        };
        assert_eq!(
            written(Persistence::KeepAlive),
            "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nAlt-Svc: x\r\nContent-Length: 2\r\n\r\n"
        );
        assert_eq!(
            written(Persistence::Close),
            "HTTP/1.1 200 OK\r\nAlt-Svc: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
        );
    }
}
