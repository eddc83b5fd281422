//! The only place of the data plane that reads the time.

use std::time::{Instant, SystemTime};

/// Monotonic now.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the place they are allowed in"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The wall clock, for records.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the place they are allowed in"
)]
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}
