//! The queue: what is pushed is handed over or counted.

use super::*;
use crate::record::{Event, Refused, Stage, Surface, Text};
use std::time::UNIX_EPOCH;

fn record() -> Record {
    let refused = Refused {
        code: "bad_request",
        reason: None,
        surface: Surface::Proxy,
        program: None,
    };
    Record {
        at: UNIX_EPOCH,
        sandbox_id: Text::new(b"s"),
        request_id: Some(wire::RequestId(0x2a)),
        stage: Stage::Head,
        event: Event::Refused(refused),
    }
}

/// TR-097: full means drop and count, exactly.
#[test]
fn a_full_queue_loses_the_newest_and_counts_it() {
    let (records, intake) = ring(3);
    for _ in 0..10 {
        records.push(record());
    }
    assert_eq!(records.lost(), 7);
    assert_eq!(std::iter::from_fn(|| intake.next()).count(), 3);
    records.push(record());
    assert_eq!(records.lost(), 7);
}

/// TR-097, SECURITY 59: eight threads against one slow reader.
#[test]
fn every_record_is_handed_over_or_counted_once() {
    let (records, intake) = ring(64);
    let pushed = 8 * 20_000;
    let mut taken = 0;
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let records = records.clone();
            scope.spawn(move || (0..20_000).for_each(|_| records.push(record())));
        }
        for _ in 0..200_000 {
            taken += u64::from(intake.next().is_some());
        }
    });
    taken += std::iter::from_fn(|| intake.next()).count() as u64;
    assert_eq!(taken + records.lost(), pushed);
}

/// LOG-4: a worker pays for a wake once a batch, and no batch is left lying.
#[test]
fn only_the_first_push_after_a_rest_wakes() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let (records, intake) = ring(16);
    runtime.block_on(async {
        let soon = std::time::Duration::from_millis(20);
        records.push(record());
        records.push(record());
        intake.stirred().await;
        assert!(
            tokio::time::timeout(soon, intake.stirred()).await.is_err(),
            "one wake for two records"
        );
        intake.rest();
        records.push(record());
        assert!(tokio::time::timeout(soon, intake.stirred()).await.is_ok());
    });
}
