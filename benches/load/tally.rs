//! What the load counted in the measured time.

use serde::{Deserialize, Serialize};

/// The load's side of a measurement.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Operations: set-ups, round trips, requests, events.
    pub(crate) count: u64,
    /// Body bytes received.
    pub(crate) bytes: u64,
    /// Operations that failed or brought other bytes than they should.
    pub(crate) failed: u64,
    /// What the first failure was.
    pub(crate) first_failure: Option<String>,
    /// Measured time.
    pub(crate) seconds: f64,
    /// Time of one operation; for paced streams the delay of an event.
    pub(crate) time: Spread,
    /// From request to first body byte, for streams.
    pub(crate) first_byte: Spread,
}

/// Percentiles in µs.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Sorts `samples_ns`.
    pub(crate) fn of(samples_ns: &mut [u64]) -> Spread {
        samples_ns.sort_unstable();
        let at = |share: f64| {
            let last = samples_ns.len().saturating_sub(1);
            let sample = samples_ns.get((last as f64 * share) as usize);
            *sample.unwrap_or(&0) as f64 / 1e3
        };
        Spread {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: at(1.0),
        }
    }
}
