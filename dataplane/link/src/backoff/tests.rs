//! The waits of DPL-5.

use super::*;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// DPL-5
#[test]
fn bounds_double_from_half_a_second_to_thirty() {
    let mut backoff = Backoff::new(FIRST, LONGEST, |bound| bound);
    let waits: Vec<_> = (0..9).map(|_| backoff.wait().as_millis()).collect();
    assert_eq!(
        waits,
        [
            500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000
        ]
    );
    backoff.reset();
    assert_eq!(backoff.wait(), FIRST);
}

/// DPL-5: full jitter goes down to nothing, and nothing makes a wait longer than its bound.
#[test]
fn a_wait_is_never_longer_than_its_bound() {
    let mut none = Backoff::new(FIRST, LONGEST, |_| Duration::ZERO);
    assert_eq!(none.wait(), Duration::ZERO);
    let mut wrong = Backoff::new(FIRST, LONGEST, |bound| bound * 3);
    assert_eq!(wrong.wait(), FIRST);
    for _ in 0..1_000 {
        assert!(full_jitter(FIRST) <= FIRST);
    }
}

/// DPL-5, issue: a gateway that is back is found within a second, however long nobody listened.
#[test]
fn where_nobody_listens_a_wait_is_within_a_second_and_no_bound_grows() {
    for (share, wait) in [(0, 500), (1, 1_000), (3, 1_000)] {
        let mut backoff = Backoff::new(FIRST, LONGEST, |bound| bound * share);
        for _ in 0..100 {
            assert_eq!(backoff.wait_for_a_listener().as_millis(), wait);
        }
        assert_eq!(backoff.wait(), (FIRST * share).min(FIRST));
    }
}

/// TR-121: a thousand hosts that lost their gateway at once come back apart.
#[test]
fn waits_of_many_hosts_differ() {
    let mut waits: Vec<_> = (0..100).map(|_| full_jitter(LONGEST)).collect();
    waits.sort();
    waits.dedup();
    assert!(waits.len() > 90, "{}", waits.len());
}
