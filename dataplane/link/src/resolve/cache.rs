//! Answers of name servers, remembered for as long as they said. Plain maps: the link thread alone owns them.
//!
//! Invariants: at most `names_max` names and `addresses_max` addresses; an answer is never given after its time. When
//! there is no room, the answer that would end first makes some.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use wire::Host;

use super::dns::Answer;
use super::{Addresses, ResolveConfig, ResolveError};

/// See the file's head.
pub(super) struct Cache {
    entries: HashMap<Host, Entry>,
    addresses: usize,
    names_max: usize,
    addresses_max: usize,
    ttl_max: Duration,
    negative_ttl_max: Duration,
}

struct Entry {
    until: Instant,
    result: Result<Addresses, ResolveError>,
}

impl Cache {
    pub(super) fn new(config: &ResolveConfig) -> Cache {
        Cache {
            entries: HashMap::new(),
            addresses: 0,
            names_max: config.cached_names_max,
            addresses_max: config.cached_addresses_max,
            ttl_max: config.ttl_max,
            negative_ttl_max: config.negative_ttl_max,
        }
    }

    pub(super) fn find(
        &mut self,
        host: &Host,
        now: Instant,
    ) -> Option<Result<Addresses, ResolveError>> {
        let entry = self.entries.get(host)?;
        if entry.until > now {
            return Some(entry.result.clone());
        }
        self.forget(&host.clone());
        None
    }

    /// Remembers an answer that has a lifetime.
    pub(super) fn keep(&mut self, host: Host, answer: Answer, now: Instant) {
        let ttl_max = if answer.result.is_ok() {
            self.ttl_max
        } else {
            self.negative_ttl_max
        };
        let ttl = answer.ttl.min(ttl_max);
        let Some(until) = now.checked_add(ttl) else {
            return;
        };
        let size = size(&answer.result);
        if ttl.is_zero() || self.names_max == 0 || size > self.addresses_max {
            return;
        }
        self.forget(&host);
        while self.entries.len() >= self.names_max || self.addresses + size > self.addresses_max {
            // A full scan, 4,096 entries at most, beside a question that went over the network.
            let Some(first) = self
                .entries
                .iter()
                .min_by_key(|(_, entry)| entry.until)
                .map(|(host, _)| host.clone())
            else {
                return;
            };
            self.forget(&first);
        }
        self.addresses += size;
        self.entries.insert(
            host,
            Entry {
                until,
                result: answer.result,
            },
        );
    }

    fn forget(&mut self, host: &Host) {
        if let Some(entry) = self.entries.remove(host) {
            self.addresses -= size(&entry.result);
        }
    }
}

fn size(result: &Result<Addresses, ResolveError>) -> usize {
    result.as_ref().map_or(0, |addresses| addresses.len())
}

#[cfg(test)]
mod tests;
