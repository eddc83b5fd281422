//! How long to wait before a gateway is tried again (DPL-5).
//!
//! Apart from `subscribe`, which waits, because it is arithmetic: the chance comes in as a function. Invariant: no wait is
//! longer than the longest, and there is always a next one.

use std::time::Duration;

/// The waits between attempts: a bound that doubles, and anything below it.
pub(crate) struct Backoff<J> {
    first: Duration,
    longest: Duration,
    bound: Duration,
    /// Draws a wait from nothing to the bound (full jitter), so that hosts that lost one gateway do not return as one.
    jitter: J,
}

impl<J: FnMut(Duration) -> Duration> Backoff<J> {
    /// Waits that begin below `first` and end below `longest`.
    pub(crate) fn new(first: Duration, longest: Duration, jitter: J) -> Backoff<J> {
        Backoff {
            first,
            longest,
            bound: first,
            jitter,
        }
    }

    /// The next wait.
    pub(crate) fn wait(&mut self) -> Duration {
        let bound = self.bound.min(self.longest);
        self.bound = bound.saturating_mul(2);
        (self.jitter)(bound).min(bound)
    }

    /// The wait where nobody listens: the bounds stay as they are, because an attempt that is refused costs nobody
    /// anything, and whoever listens at last finds the attempts spread over as long as the first bound.
    pub(crate) fn wait_for_a_listener(&mut self) -> Duration {
        self.first + (self.jitter)(self.first).min(self.first)
    }

    /// Something worked: the waits begin anew.
    pub(crate) fn reset(&mut self) {
        self.bound = self.first;
    }
}

/// A random wait below `bound`. Without randomness half of it: hosts then differ in nothing but when they began.
pub(crate) fn full_jitter(bound: Duration) -> Duration {
    let mut bytes = [0; 4];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(_) => {
            let share = f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX);
            bound.mul_f64(share)
        }
        Err(_) => bound / 2,
    }
}

#[cfg(test)]
mod tests;
