//! Files that behave badly.

use super::*;
use crate::record::{Event, Record, Refused, Stage, Surface, Text};
use crate::ring::{Records, ring};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::time::UNIX_EPOCH;

fn push(records: &Records, count: usize) {
    for _ in 0..count {
        let refused = Refused {
            code: "bad_request",
            reason: None,
            surface: Surface::Proxy,
            program: None,
        };
        records.push(Record {
            at: UNIX_EPOCH,
            sandbox_id: Text::new(b"s"),
            request_id: Some(wire::RequestId(0x2a)),
            stage: Stage::Head,
            event: Event::Refused(refused),
        });
    }
}

/// LOG-4: a pipe whose reader does not read stops nothing, and what it takes later is whole lines in order.
#[test]
fn a_reader_that_stopped_reading_costs_records_and_no_time() {
    let (mut reader, writer) = io::pipe().unwrap();
    let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let mut sink = Sink::open(Path::new(&path)).unwrap();
    drop(writer);
    let (records, intake) = ring(20_000);
    push(&records, 20_000);
    let mut tally = Tally::new();
    while empty(&intake, Some(&mut sink), &Shelf::default(), &mut tally) == Left::Some {}
    assert!(sink.pending.len() <= PENDING_BYTES_MAX);
    assert!(records.lost() > 0, "more than fits was pushed");
    let kept = 20_000 - records.lost();
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    while !sink.pending.is_empty() {
        sink.flush();
        std::thread::yield_now();
    }
    assert_eq!(sink.pending_lines, 0);
    drop(sink);
    let text = reading.join().unwrap();
    assert_eq!(text.lines().count() as u64, kept);
    assert!(
        text.lines()
            .all(|line| line.starts_with("{\"ts\"") && line.ends_with('}'))
    );
}

/// LOG-4, TR-097: a full disk loses records and says how many.
#[test]
fn records_that_a_full_disk_refuses_are_counted_at_the_end() {
    let sink = Sink::open(Path::new("/dev/full")).unwrap();
    let (records, intake) = ring(100);
    push(&records, 10);
    let (closing, is_closing) = watch::channel(false);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    closing.send(true).unwrap();
    let summary = runtime.block_on(run(intake, Some(sink), &Shelf::default(), is_closing));
    assert_eq!(summary.lost, 10);
    assert_eq!(
        summary.denials[0].count, 10,
        "the summary does not need the file"
    );
}
