//! Grouping.

use super::*;
use crate::record::{Refused, Stage, Surface, TunnelClosed, TunnelEnd};
use std::time::{Duration, UNIX_EPOCH};

fn record(event: Event) -> Record {
    Record {
        at: UNIX_EPOCH,
        sandbox_id: Text::new(b"s"),
        request_id: Some(wire::RequestId(0x2a)),
        stage: Stage::Head,
        event,
    }
}

fn refused(code: &'static str) -> Record {
    record(Event::Refused(Refused {
        code,
        reason: None,
        surface: Surface::Proxy,
        program: None,
    }))
}

/// LOG-1: grouped, the most frequent first; what was allowed is not there.
#[test]
fn denials_are_grouped_and_ordered_by_number() {
    let mut tally = Tally::new();
    for _ in 0..2 {
        tally.add(&refused("bad_request"));
    }
    for _ in 0..3 {
        tally.add(&refused("request_timeout"));
    }
    tally.add(&record(Event::TunnelClosed(TunnelClosed {
        host: Text::new(b"h"),
        port: 1,
        bytes_up: 0,
        bytes_down: 0,
        open: Duration::ZERO,
        end: TunnelEnd::Normal,
        program: None,
    })));
    let summary = tally.finish(5);
    let seen: Vec<_> = summary
        .denials
        .iter()
        .map(|denials| (denials.group.code, denials.count))
        .collect();
    assert_eq!(
        seen,
        [(Some("request_timeout"), 3), (Some("bad_request"), 2)]
    );
    assert_eq!((summary.denials_ungrouped, summary.lost), (0, 5));
}

/// TR-097: a sandbox that invents hosts fills a bounded table and is still counted.
#[test]
fn groups_beyond_the_bound_are_only_counted() {
    let mut tally = Tally::new();
    for number in 0..GROUPS_MAX + 10 {
        let mut record = refused("bad_request");
        record.sandbox_id = Text::new(number.to_string().as_bytes());
        tally.add(&record);
        tally.add(&record);
    }
    let summary = tally.finish(0);
    assert_eq!(summary.denials.len(), GROUPS_MAX);
    assert!(summary.denials.iter().all(|denials| denials.count == 2));
    assert_eq!(summary.denials_ungrouped, 20);
}
