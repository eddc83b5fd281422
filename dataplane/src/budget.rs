//! The `inference` limits of one sandbox: requests and tokens a minute (INF-25).
//!
//! Pure arithmetic over a `now` that is handed in. Both are token buckets of one minute's capacity.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// The buckets of one sandbox.
#[derive(Default)]
pub(crate) struct Budget {
    requests: Bucket,
    tokens: Bucket,
}

impl Budget {
    /// Takes one request out of the bucket.
    ///
    /// # Errors
    /// Seconds until one is there again.
    pub(crate) fn take_request(&self, per_minute: u64, now: Instant) -> Result<(), u32> {
        let per_minute = per_minute as f64;
        let level = self.requests.level(per_minute, now);
        if level < 1.0 {
            return Err(wait_seconds(1.0 - level, per_minute));
        }
        self.requests.set(level - 1.0, now);
        Ok(())
    }

    /// Whether tokens may be spent: refused while the balance is negative.
    ///
    /// # Errors
    /// Seconds until the balance is no longer negative.
    pub(crate) fn may_spend(&self, per_minute: u64, now: Instant) -> Result<(), u32> {
        let per_minute = per_minute as f64;
        let level = self.tokens.level(per_minute, now);
        if level < 0.0 {
            Err(wait_seconds(-level, per_minute))
        } else {
            Ok(())
        }
    }

    /// Books tokens that were used.
    pub(crate) fn spend(&self, tokens: u64, per_minute: u64, now: Instant) {
        let level = self.tokens.level(per_minute as f64, now);
        self.tokens.set(level - tokens as f64, now);
    }
}

#[derive(Default)]
struct Bucket(Cell<Option<(f64, Instant)>>);

impl Bucket {
    /// What is in it now: it fills at `capacity` a minute and starts full.
    fn level(&self, capacity: f64, now: Instant) -> f64 {
        match self.0.get() {
            None => capacity,
            Some((level, at)) => {
                let refill = now.saturating_duration_since(at).as_secs_f64() / MINUTE.as_secs_f64()
                    * capacity;
                (level + refill).min(capacity)
            }
        }
    }

    fn set(&self, level: f64, now: Instant) {
        self.0.set(Some((level, now)));
    }
}

fn wait_seconds(missing: f64, per_minute: f64) -> u32 {
    let seconds = (missing / per_minute * MINUTE.as_secs_f64()).ceil();
    // A float beyond the range saturates; at least a second, so that nobody spins.
    (seconds as u32).max(1)
}

const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    /// IR-19: `requests_per_minute: 2`, three requests.
    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs some instant to start from"
    )]
    fn the_third_request_of_a_minute_waits_for_half_of_it() {
        let budget = Budget::default();
        let now = Instant::now();
        assert_eq!(budget.take_request(2, now), Ok(()));
        assert_eq!(budget.take_request(2, now), Ok(()));
        assert_eq!(budget.take_request(2, now), Err(30));
        assert_eq!(
            budget.take_request(2, now + Duration::from_secs(30)),
            Ok(())
        );
    }

    /// INF-25: tokens are refused while the balance is negative.
    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs some instant to start from"
    )]
    fn an_overspent_token_budget_refuses_until_it_is_paid_back() {
        let budget = Budget::default();
        let now = Instant::now();
        assert_eq!(budget.may_spend(60, now), Ok(()));
        budget.spend(90, 60, now);
        assert_eq!(budget.may_spend(60, now), Err(30));
        assert_eq!(budget.may_spend(60, now + Duration::from_secs(31)), Ok(()));
    }
}
