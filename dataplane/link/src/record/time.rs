//! A moment as RFC 3339 text in UTC with milliseconds, without a calendar library: one function and its inverse-free
//! arithmetic, total over every `SystemTime` (TR-096).

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// Appends `2026-01-31T23:59:59.999Z`. Moments before 1970 are shown as 1970, those after 9999 as the end of 9999.
pub(super) fn write_rfc3339(at: SystemTime, out: &mut String) {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, millis) = if since.as_secs() > LAST_SECOND {
        (LAST_SECOND, 999)
    } else {
        (since.as_secs(), since.subsec_millis())
    };
    let (year, month, day) = civil_from_days(seconds / 86_400);
    let second_of_day = seconds % 86_400;
    let (hour, minute, second) = (
        second_of_day / 3_600,
        second_of_day / 60 % 60,
        second_of_day % 60,
    );
    // Why ignored: writing to a String cannot fail.
    _ = write!(
        out,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"
    );
}

/// Days since 1970-01-01 to year, month, day; the algorithm of Howard Hinnant's `civil_from_days`, for days ≥ 0.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

/// 9999-12-31T23:59:59Z.
const LAST_SECOND: u64 = 253_402_300_799;

#[cfg(test)]
mod tests;
