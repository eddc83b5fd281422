//! Moments against dates computed elsewhere.

use super::*;
use std::time::Duration;

fn shown(seconds: u64, millis: u64) -> String {
    let mut out = String::new();
    write_rfc3339(
        UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(millis),
        &mut out,
    );
    out
}

/// LOG-1: `ts` is RFC 3339 in UTC.
#[test]
fn known_moments_are_shown_as_their_dates() {
    let table = [
        (0, 0, "1970-01-01T00:00:00.000Z"),
        (951_782_399, 999, "2000-02-28T23:59:59.999Z"),
        (951_782_400, 0, "2000-02-29T00:00:00.000Z"),
        (951_868_800, 1, "2000-03-01T00:00:00.001Z"),
        (1_234_567_890, 123, "2009-02-13T23:31:30.123Z"),
        (4_107_542_400, 0, "2100-03-01T00:00:00.000Z"),
        (4_107_542_399, 0, "2100-02-28T23:59:59.000Z"),
        (253_402_300_799, 999, "9999-12-31T23:59:59.999Z"),
    ];
    for (seconds, millis, text) in table {
        assert_eq!(shown(seconds, millis), text);
    }
}

/// Every day from 1970 to 2400 is the day after the one before.
#[test]
fn days_follow_each_other() {
    let (mut year, mut month, mut day) = (1970, 1, 1);
    for days in 0..157_000 {
        assert_eq!(civil_from_days(days), (year, month, day));
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let last = [
            31,
            if leap { 29 } else { 28 },
            31,
            30,
            31,
            30,
            31,
            31,
            30,
            31,
            30,
            31,
        ][month as usize - 1];
        day += 1;
        if day > last {
            (day, month) = (1, month + 1);
        }
        if month > 12 {
            (month, year) = (1, year + 1);
        }
    }
}

/// TR-096: clocks go wrong in both directions.
#[test]
fn past_and_extreme_moments_do_not_panic() {
    let mut out = String::new();
    write_rfc3339(UNIX_EPOCH - Duration::from_secs(1), &mut out);
    assert_eq!(out, "1970-01-01T00:00:00.000Z");
    out.clear();
    write_rfc3339(UNIX_EPOCH + Duration::from_secs(253_402_300_800), &mut out);
    assert_eq!(out, "9999-12-31T23:59:59.999Z");
    out.clear();
    write_rfc3339(
        UNIX_EPOCH + Duration::from_secs(i64::MAX.unsigned_abs()),
        &mut out,
    );
    assert_eq!(out, "9999-12-31T23:59:59.999Z");
}
