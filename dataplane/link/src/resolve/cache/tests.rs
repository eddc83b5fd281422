//! Bounds and times, with a clock of the test's own.

use super::*;
use std::net::{IpAddr, Ipv4Addr};

fn cache(names_max: usize, addresses_max: usize) -> Cache {
    let config = ResolveConfig {
        cached_names_max: names_max,
        cached_addresses_max: addresses_max,
        ..ResolveConfig::default()
    };
    Cache::new(&config)
}

fn host(name: &str) -> Host {
    Host::parse(name.as_bytes()).unwrap()
}

fn addresses(count: usize, ttl_s: u64) -> Answer {
    let addresses = vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)); count];
    Answer {
        result: Ok(Addresses::from(addresses)),
        ttl: Duration::from_secs(ttl_s),
    }
}

/// DST-10: not a moment longer than the time to live, and never longer than the bound.
#[test]
fn an_answer_ends_with_its_time() {
    let now = Instant::now();
    let mut cache = cache(10, 10);
    cache.keep(host("a"), addresses(1, 60), now);
    assert!(
        cache
            .find(&host("a"), now + Duration::from_secs(59))
            .is_some()
    );
    assert!(
        cache
            .find(&host("a"), now + Duration::from_secs(60))
            .is_none()
    );
    assert_eq!((cache.entries.len(), cache.addresses), (0, 0));
    cache.keep(host("a"), addresses(1, u64::from(u32::MAX)), now);
    assert!(
        cache
            .find(&host("a"), now + Duration::from_secs(3_601))
            .is_none()
    );
    let none = Answer {
        result: Err(ResolveError::Failure),
        ttl: Duration::from_secs(86_400),
    };
    cache.keep(host("n"), none, now);
    assert!(
        cache
            .find(&host("n"), now + Duration::from_secs(59))
            .is_some()
    );
    assert!(
        cache
            .find(&host("n"), now + Duration::from_secs(61))
            .is_none()
    );
}

/// LIM: names and addresses are bounded; the answer that would end first goes.
#[test]
fn a_full_cache_gives_up_what_would_end_first() {
    let now = Instant::now();
    let mut cache = cache(2, 10);
    cache.keep(host("a"), addresses(4, 30), now);
    cache.keep(host("b"), addresses(4, 10), now);
    cache.keep(host("c"), addresses(1, 20), now);
    assert!(cache.find(&host("b"), now).is_none());
    assert!(cache.find(&host("a"), now).is_some() && cache.find(&host("c"), now).is_some());
    cache.keep(host("d"), addresses(10, 20), now);
    assert_eq!((cache.entries.len(), cache.addresses), (1, 10));
    cache.keep(host("e"), addresses(11, 20), now);
    assert_eq!(
        (cache.entries.len(), cache.addresses),
        (1, 10),
        "what cannot fit throws nothing out"
    );
}

/// TR-096: a second answer for a name replaces the first, and the count stays right.
#[test]
fn an_answer_replaces_the_one_before() {
    let now = Instant::now();
    let mut cache = cache(4, 10);
    for count in [3, 7, 1] {
        cache.keep(host("a"), addresses(count, 30), now);
        assert_eq!((cache.entries.len(), cache.addresses), (1, count));
    }
}
