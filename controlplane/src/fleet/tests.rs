use super::*;

/// TR-105: what is confirmed is what is in force, not what was sent.
#[test]
fn a_host_has_confirmed_what_it_applied_or_what_did_not_concern_it() {
    let host = |applied, compared, sent| Host {
        streams: [(0, stream(compared, sent))].into(),
        applied,
        ..Host::default()
    };
    // Applied it, or a later one.
    assert!(host(5, 0, 0).confirmed(5));
    assert!(host(6, 0, 0).confirmed(5));
    // Sent and not applied.
    assert!(!host(4, 5, 5).confirmed(5));
    assert!(!host(4, 6, 6).confirmed(5));
    // Not yet looked at.
    assert!(!host(4, 4, 4).confirmed(5));
    // Looked at, nothing of it concerned this host, and what it was sent before is in force.
    assert!(host(4, 5, 4).confirmed(5));
    assert!(!host(3, 5, 4).confirmed(5));
}

fn stream(compared: u64, sent: u64) -> Stream {
    Stream {
        progress: Progress { compared, sent },
        ..Stream::default()
    }
}
