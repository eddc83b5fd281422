//! Grouping.

use super::*;
use crate::record::{L7Request, Refused, Stage, Surface, TunnelClosed, TunnelEnd};
use std::time::{Duration, UNIX_EPOCH};

fn record(event: Event) -> Record {
    Record {
        at: UNIX_EPOCH,
        sandbox_id: Text::new(b"s"),
        request_id: Some(wire::RequestId(0x2a)),
        stage: Stage::Head,
        event,
    }
}

fn refused(code: &'static str) -> Record {
    record(Event::Refused(Refused {
        code,
        reason: None,
        surface: Surface::Proxy,
        program: None,
    }))
}

/// LOG-1: grouped, the most frequent first; what was allowed is not there.
#[test]
fn denials_are_grouped_and_ordered_by_number() {
    let mut tally = Tally::new();
    for _ in 0..2 {
        tally.add(&refused("bad_request"));
    }
    for _ in 0..3 {
        tally.add(&refused("request_timeout"));
    }
    tally.add(&record(Event::TunnelClosed(TunnelClosed {
        host: Text::new(b"h"),
        port: 1,
        bytes_up: 0,
        bytes_down: 0,
        open: Duration::ZERO,
        end: TunnelEnd::Normal,
        program: None,
    })));
    let summary = tally.finish(5);
    let seen: Vec<_> = summary
        .denials
        .iter()
        .map(|denials| (denials.group.code, denials.count))
        .collect();
    assert_eq!(
        seen,
        [(Some("request_timeout"), 3), (Some("bad_request"), 2)]
    );
    assert_eq!((summary.denials_ungrouped, summary.lost), (0, 5));
}

/// TR-097: a sandbox that invents hosts fills a bounded table and is still counted.
#[test]
fn groups_beyond_the_bound_are_only_counted() {
    let mut tally = Tally::new();
    for number in 0..GROUPS_MAX + 10 {
        let mut record = refused("bad_request");
        record.sandbox_id = Text::new(number.to_string().as_bytes());
        tally.add(&record);
        tally.add(&record);
    }
    let summary = tally.finish(0);
    assert_eq!(summary.denials.len(), GROUPS_MAX);
    assert!(summary.denials.iter().all(|denials| denials.count == 2));
    assert_eq!(summary.denials_ungrouped, 20);
}

/// LOG-1, L7-13: requests that a rule would allow are told apart by method and path.
#[test]
fn requests_without_a_rule_are_grouped_by_method_and_path() {
    let mut tally = Tally::new();
    for (path, reason) in [
        (&b"/a"[..], "request_not_allowed"),
        (b"/a", "request_not_allowed"),
        (b"/b", "request_not_allowed"),
        (b"/c", "deny_rule"),
        (b"/d", "deny_rule"),
    ] {
        tally.add(&record(Event::L7Request(L7Request {
            host: Text::new(b"h"),
            port: 443,
            policy: Some(Text::new(b"p")),
            policy_version: None,
            request: Some(RequestLine {
                method: Text::new(b"GET"),
                path: Text::new(path),
            }),
            decision: Action::Deny,
            deny_reason: Some(reason.into()),
            code: Some("policy_denied"),
            status: Some(403),
            bytes_up: None,
            bytes_down: None,
            took: None,
            program: None,
        })));
    }
    let seen: Vec<_> = tally
        .finish(0)
        .denials
        .iter()
        .map(|denials| {
            let rule = denials.group.rule.as_ref();
            (
                rule.map(|(_, path)| path.as_str().to_owned()),
                denials.count,
            )
        })
        .collect();
    assert_eq!(seen.len(), 3);
    assert!(seen.contains(&(Some("/a".to_owned()), 2)));
    assert!(seen.contains(&(Some("/b".to_owned()), 1)));
    assert!(seen.contains(&(None, 2)));
}
