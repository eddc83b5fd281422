use super::*;

/// DPL-8.
#[test]
fn the_last_two_thousand_records_of_a_sandbox_are_kept() {
    let logs = Logs::default();
    for number in 0..2_500 {
        logs.keep(line("a", number, "info"), i64::MAX);
    }
    logs.keep(line("b", 7, "info"), i64::MAX);
    let read = logs.read(&asked("a"));
    assert_eq!(read.buffer_total, 2_000);
    assert_eq!(read.logs.len(), 2_000);
    assert_eq!(read.logs[0].timestamp_ms, 500);
    assert_eq!(read.logs[1_999].timestamp_ms, 2_499);
    assert_eq!(logs.read(&asked("b")).logs.len(), 1);
    assert_eq!(logs.read(&asked("c")), GetSandboxLogsResponse::default());
}

#[test]
fn filters_choose_and_the_newest_come_last() {
    let logs = Logs::default();
    for (number, level) in ["debug", "info", "warn", "error", "INFO"]
        .iter()
        .enumerate()
    {
        logs.keep(line("a", i64::try_from(number).unwrap(), level), i64::MAX);
    }
    let times = |asked: GetSandboxLogsRequest| {
        let read = logs.read(&asked);
        assert_eq!(read.buffer_total, 5);
        read.logs
            .iter()
            .map(|line| line.timestamp_ms)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        times(GetSandboxLogsRequest {
            min_level: "warn".to_owned(),
            ..asked("a")
        }),
        [2, 3]
    );
    assert_eq!(
        times(GetSandboxLogsRequest {
            since_ms: 3,
            ..asked("a")
        }),
        [3, 4]
    );
    assert_eq!(
        times(GetSandboxLogsRequest {
            lines: 2,
            ..asked("a")
        }),
        [3, 4]
    );
    let sources = |source: &str| vec![source.to_owned()];
    assert_eq!(
        times(GetSandboxLogsRequest {
            sources: sources("gateway"),
            ..asked("a")
        }),
        [0; 0]
    );
    assert_eq!(
        times(GetSandboxLogsRequest {
            sources: sources("sandbox"),
            lines: 1,
            ..asked("a")
        }),
        [4]
    );
}

/// TR-110: a report is a claim.
#[test]
fn what_a_host_says_is_cut_to_size_and_its_source_is_ours_to_say() {
    let logs = Logs::default();
    let long = "ä".repeat(3_000);
    let fields = (0..100).map(|number| (format!("{number}{long}"), long.clone()));
    logs.keep(
        SandboxLogLine {
            timestamp_ms: i64::MAX,
            message: long.clone(),
            source: "gateway".to_owned(),
            fields: fields.collect(),
            ..line("a", 0, &long)
        },
        1_000,
    );
    let kept = &logs.read(&asked("a")).logs[0];
    assert_eq!(kept.timestamp_ms, 1_000);
    assert_eq!(kept.source, "sandbox");
    assert_eq!(kept.message.len(), 1_024);
    assert_eq!(kept.level.len(), 128);
    assert_eq!(kept.fields.len(), 32);
    assert!(
        kept.fields
            .iter()
            .all(|(key, value)| key.len() <= 128 && value.len() <= 1_024)
    );
}

#[test]
fn all_sandboxes_together_stay_below_the_bound() {
    let logs = Logs::default();
    let fields: BTreeMap<String, String> = (0..32)
        .map(|number| (format!("{number}"), "x".repeat(1_024)))
        .collect();
    for sandbox in 0..6 {
        for number in 0..2_000 {
            let line = line(&format!("s{sandbox}"), number, "info");
            logs.keep(
                SandboxLogLine {
                    fields: fields.clone(),
                    ..line
                },
                i64::MAX,
            );
        }
    }
    let kept = logs.kept();
    assert!(kept.bytes <= BYTES_MAX, "{}", kept.bytes);
    let sum: usize = kept.by_sandbox.values().map(|records| records.bytes).sum();
    assert_eq!(sum, kept.bytes);
}

#[test]
fn a_sandbox_that_is_gone_takes_its_records_along() {
    let logs = Logs::default();
    logs.keep(line("a", 1, "info"), i64::MAX);
    logs.keep(line("b", 1, "info"), i64::MAX);
    logs.retain(|sandbox_id| sandbox_id == "b");
    assert_eq!(logs.read(&asked("a")).buffer_total, 0);
    assert_eq!(logs.read(&asked("b")).buffer_total, 1);
}

/// RPC-1: an answer fits into one message, however long the records are.
#[test]
fn an_answer_fits_into_a_message_and_has_the_newest() {
    let logs = Logs::default();
    let fields = (0..8).map(|number| (format!("f{number}"), "x".repeat(2_000)));
    let fields: BTreeMap<String, String> = fields.collect();
    for number in 0..2_000 {
        let long = SandboxLogLine {
            fields: fields.clone(),
            ..line("sb-1", number, "info")
        };
        logs.keep(long, 10_000);
    }
    let answer = logs.read(&asked("sb-1"));
    assert!(answer.encoded_len() < 3_584 * 1_024);
    assert_eq!(answer.buffer_total, 2_000);
    let shown = i64::try_from(answer.logs.len()).unwrap();
    assert!(shown > 300);
    let times: Vec<i64> = answer.logs.iter().map(|line| line.timestamp_ms).collect();
    assert_eq!(times, (2_000 - shown..2_000).collect::<Vec<_>>());
}

fn line(sandbox_id: &str, timestamp_ms: i64, level: &str) -> SandboxLogLine {
    SandboxLogLine {
        sandbox_id: sandbox_id.to_owned(),
        timestamp_ms,
        level: level.to_owned(),
        message: "CONNECT".to_owned(),
        ..SandboxLogLine::default()
    }
}

fn asked(sandbox_id: &str) -> GetSandboxLogsRequest {
    GetSandboxLogsRequest {
        sandbox_id: sandbox_id.to_owned(),
        ..GetSandboxLogsRequest::default()
    }
}
