//! The event-stream corpus, as far as reading goes: head, framing, body bytes and where the stream stands at its end.

use ringfence_wire::{
    ChunkDecoder, ChunkStep, EventScanner, HeadLimits, Parse, ResponseFraming, ResponseHead,
    ResponseParser,
};

use crate::case::{bytes, corpus, decode, list, number, rows, splits, text};

/// How a reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Complete,
    Truncated,
    /// What the sandbox would see as 502.
    BadHead,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Reading {
    end: End,
    body: Vec<u8>,
    closing: &'static [u8],
}

/// INF-18, INF-21, H1-13, RF-1, RF-5 to RF-8, TR-018, TR-019, SECURITY 40
#[test]
fn every_event_stream_has_its_bytes_and_its_end_at_every_split() {
    let mut cases = 0;
    for row in rows(corpus!("sse.dev.jsonl")) {
        let name = text(&row, "name");
        let repeated = row
            .get("repeat_item")
            .map(|item| (number(&item[0]), number(&item[1])));
        let wire: Vec<Vec<u8>> = list(&row, "wire_b64")
            .iter()
            .map(|item| decode(item.as_str().unwrap()))
            .collect();
        assert!(
            repeated.is_none(),
            "{name}: no row of this corpus repeats an item"
        );
        let as_written: Vec<&[u8]> = wire.iter().map(Vec::as_slice).collect();
        let all = as_written.concat();
        let whole = read(&as_written);
        for pieces in splits(&all) {
            assert_eq!(
                read(&pieces),
                whole,
                "{name}: the first piece of {}",
                pieces[0].len()
            );
        }
        let expected = bytes(&row, "expected_body").unwrap();
        let bad = whole.end == End::BadHead;
        let statuses = [
            vec![row["expected_status"].clone()],
            list(&row, "also_status"),
        ]
        .concat();
        assert!(
            statuses.iter().any(|status| (*status == 502) == bad),
            "{name}: {:?}",
            whole.end
        );
        if !bad {
            let wanted = if text(&row, "expected_end") == "complete" {
                End::Complete
            } else {
                End::Truncated
            };
            assert_eq!(whole.end, wanted, "{name}");
            let prefix_ok = row["prefix_ok"] == true && expected.starts_with(&whole.body);
            assert!(whole.body == expected || prefix_ok, "{name}");
            let mut scanner = EventScanner::new();
            scanner.push(&whole.body);
            assert_eq!(scanner.closing(), whole.closing, "{name}");
        }
        cases += 1;
    }
    assert!(cases > 60, "{cases} cases");
}

fn read(pieces: &[&[u8]]) -> Reading {
    let mut parser = ResponseParser::new(HeadLimits::upstream());
    let mut head: Option<ResponseHead> = None;
    let mut body = Body {
        decoder: ChunkDecoder::response(),
        bytes: Vec::new(),
        scanner: EventScanner::new(),
    };
    let mut unread = Vec::new();
    let mut end = None;
    for piece in pieces {
        unread.extend_from_slice(piece);
        while head.is_none() {
            match parser.advance(&unread) {
                Parse::More => break,
                Parse::Bad(_) => return body.ended(End::BadHead),
                Parse::Done(_, used) if unread.starts_with(b"HTTP/1.1 101") => {
                    drop(unread.drain(..used));
                    return body.ended(End::BadHead);
                }
                Parse::Done(read, used) => {
                    unread.drain(..used);
                    head = (!read.is_interim()).then_some(read);
                }
            }
        }
        if let (Some(head), None) = (&head, end) {
            end = body.read(head.framing(b"POST"), &mut unread);
        }
    }
    let framing = head.as_ref().map(|head| head.framing(b"POST"));
    let end = match (end, framing) {
        (Some(end), _) => end,
        (None, Some(ResponseFraming::UntilClose)) => End::Complete,
        (None, Some(ResponseFraming::Length(0) | ResponseFraming::None)) => End::Complete,
        (None, Some(ResponseFraming::Length(_) | ResponseFraming::Chunked)) => End::Truncated,
        (None, None) => End::BadHead,
    };
    body.ended(end)
}

struct Body {
    decoder: ChunkDecoder,
    bytes: Vec<u8>,
    scanner: EventScanner,
}

impl Body {
    fn read(&mut self, framing: ResponseFraming, unread: &mut Vec<u8>) -> Option<End> {
        match framing {
            ResponseFraming::None => Some(End::Complete),
            ResponseFraming::UntilClose => {
                self.take(unread.split_off(0));
                None
            }
            ResponseFraming::Length(length) => {
                let missing = usize::try_from(length).unwrap() - self.bytes.len();
                let rest = unread.split_off(missing.min(unread.len()));
                self.take(std::mem::replace(unread, rest));
                (self.bytes.len() as u64 == length).then_some(End::Complete)
            }
            ResponseFraming::Chunked => loop {
                match self.decoder.step(unread) {
                    Ok(ChunkStep::Data { skip, len }) => {
                        let rest = unread.split_off(skip + len);
                        let data = std::mem::replace(unread, rest);
                        self.take(data[skip..].to_vec());
                    }
                    Ok(ChunkStep::More { used }) => {
                        unread.drain(..used);
                        return None;
                    }
                    Ok(ChunkStep::End { .. }) => return Some(End::Complete),
                    Err(_) => return Some(End::Truncated),
                }
            },
        }
    }

    fn take(&mut self, bytes: Vec<u8>) {
        self.scanner.push(&bytes);
        self.bytes.extend_from_slice(&bytes);
    }

    fn ended(self, end: End) -> Reading {
        Reading {
            end,
            closing: self.scanner.closing(),
            body: self.bytes,
        }
    }
}
