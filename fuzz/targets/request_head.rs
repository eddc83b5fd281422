//! A request head: no split changes the verdict, what is accepted is accepted by a laxer reader too, and what is
//! written from it reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_wire::{HeadLimits, HeadWriter, Parse, RequestFraming, RequestHead, RequestParser};

fuzz_target!(|data: &[u8]| {
    let mut whole = RequestParser::new(HeadLimits::default());
    let mut bytewise = RequestParser::new(HeadLimits::default());
    let first = (0..=data.len())
        .map(|end| bytewise.advance(&data[..end]))
        .find(|seen| !matches!(seen, Parse::More));
    match (whole.advance(data), first) {
        (Parse::More, None) => {}
        (Parse::Bad(one), Some(Parse::Bad(other))) => assert_eq!(one, other),
        (Parse::Done(head, used), Some(Parse::Done(other, used_bytewise))) => {
            assert_eq!((used, head.head_len()), (used_bytewise, other.head_len()));
            accepted(&head, &data[..used]);
        }
        (whole, bytewise) => panic!("{whole:?} against {bytewise:?}"),
    }
});

fn accepted(head: &RequestHead, bytes: &[u8]) {
    let mut headers = [httparse::EMPTY_HEADER; 128];
    let mut lax = httparse::Request::new(&mut headers);
    assert!(
        lax.parse(bytes)
            .expect("the laxer reader accepts it")
            .is_complete()
    );
    assert_eq!(lax.method.map(str::as_bytes), Some(head.method()));
    assert_eq!(lax.path.map(str::as_bytes), Some(head.target()));
    assert_eq!(lax.headers.len(), head.fields().count());

    let lengths = head
        .fields()
        .filter(|field| field.is("content-length"))
        .count();
    let codings = head
        .fields()
        .filter(|field| field.is("transfer-encoding"))
        .count();
    match head.framing() {
        RequestFraming::None => assert_eq!((lengths, codings), (0, 0)),
        RequestFraming::Length(length) => {
            assert!(length <= i64::MAX as u64 && (lengths, codings) == (1, 0))
        }
        RequestFraming::Chunked => assert_eq!((lengths, codings), (0, 1)),
    }

    let mut writer =
        HeadWriter::request(head.method(), &[head.target()]).expect("a parsed line can be written");
    for field in head.fields() {
        writer
            .field(field.name, field.value)
            .expect("a parsed field can be written");
    }
    let written = writer.finish();
    let limits = HeadLimits {
        head_bytes_max: usize::MAX,
        ..HeadLimits::default()
    };
    match RequestParser::new(limits).advance(&written) {
        Parse::Done(again, used) => {
            assert_eq!(used, written.len());
            assert_eq!(again.framing(), head.framing());
            assert!(again.fields().eq(head.fields()));
        }
        // Why: what is written speaks HTTP/1.1, which wants a Host.
        Parse::Bad(_) => assert!(head.host().is_none()),
        Parse::More => panic!("a written head is whole"),
    }
}
