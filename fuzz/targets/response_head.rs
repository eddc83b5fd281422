//! A response head: no split changes the verdict, and what is accepted is accepted by a laxer reader too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_wire::{HeadLimits, Parse, ResponseFraming, ResponseParser};

fuzz_target!(|data: &[u8]| {
    let mut whole = ResponseParser::new(HeadLimits::upstream());
    let mut bytewise = ResponseParser::new(HeadLimits::upstream());
    let first = (0..=data.len())
        .map(|end| bytewise.advance(&data[..end]))
        .find(|seen| !matches!(seen, Parse::More));
    match (whole.advance(data), first) {
        (Parse::More, None) => {}
        (Parse::Bad(one), Some(Parse::Bad(other))) => assert_eq!(one, other),
        (Parse::Done(head, used), Some(Parse::Done(_, used_bytewise))) => {
            assert_eq!(used, used_bytewise);
            let mut headers = vec![httparse::EMPTY_HEADER; 1_024];
            let mut lax = httparse::Response::new(&mut headers);
            assert!(
                lax.parse(&data[..used])
                    .expect("the laxer reader accepts it")
                    .is_complete()
            );
            assert_eq!(lax.code, Some(head.status()));
            assert_eq!(lax.headers.len(), head.fields().count());
            assert_eq!(head.framing(b"HEAD"), ResponseFraming::None);
            let _ = (
                head.is_event_stream(),
                head.persistence(),
                head.reason(),
                head.framing(b"GET"),
            );
        }
        (whole, bytewise) => panic!("{whole:?} against {bytewise:?}"),
    }
});
