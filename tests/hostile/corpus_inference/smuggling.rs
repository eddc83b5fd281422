//! smuggling.dev, the rows for inference.local.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use harness::corpus::{bytes, rows};
use harness::http::{End, Reader, find};
use harness::model::key;
use harness::origin::Origin;
use harness::play_within;
use harness::raw::{Fence, TlsRaw};
use harness::scene::PRIVATE;
use rustls::ClientConfig;
use serde_json::Value;

use super::{Score, fence, name, ok_server, report};

/// No case may take longer to be answered or closed (SECURITY.md 14).
const PATIENCE: Duration = Duration::from_secs(2);

/// What one smuggling row led to.
#[derive(Debug)]
struct Seen {
    /// Every status in order, 100 included.
    statuses: Vec<u16>,
    /// The connection ended.
    closed: bool,
    /// Neither all answers nor a close came in time.
    hang: bool,
    /// Complete requests at the origin: targets and heads.
    upstream: Vec<String>,
}

fn send(reader: &mut Reader<TlsRaw>, row: &Value, data: &[u8]) -> Vec<u16> {
    let mut statuses = Vec::new();
    // Why errors are dropped: a refusal may come, and the connection go, before all is sent.
    match row["split"].as_str() {
        Some("bytewise") => data
            .iter()
            .for_each(|byte| drop(reader.stream.write_all(&[*byte]))),
        Some("after_cr") => data
            .split_inclusive(|byte| *byte == b'\r')
            .for_each(|piece| drop(reader.stream.write_all(piece))),
        Some("wait100") => {
            let split = find(data, b"\r\n\r\n").expect("a head") + 4;
            drop(reader.stream.write_all(&data[..split]));
            reader.stream.sock.set_timeout(Duration::from_secs(1));
            statuses.extend(reader.answer("POST").map(|answer| answer.message.status()));
            drop(reader.stream.write_all(&data[split..]));
        }
        Some(other) => unreachable!("split {other}"),
        None => data
            .chunks(65_536)
            .for_each(|piece| drop(reader.stream.write_all(piece))),
    }
    if row["eof"] == true {
        reader.stream.conn.send_close_notify();
        drop(reader.stream.flush());
        drop(reader.stream.sock.half_close());
    }
    statuses
}

fn play_smuggling(fence: &Fence, trust: &Arc<ClientConfig>, origin: &Origin, row: &Value) -> Seen {
    origin.take();
    let data = bytes(row, "bytes_b64", "parts").expect("bytes in the row");
    let mut reader = fence.inference(trust, 65_536);
    let mut statuses = send(&mut reader, row, &data);
    reader.stream.sock.set_timeout(PATIENCE);
    let expected = row["responses"].as_array().map_or(1, |answers| {
        answers
            .iter()
            .filter(|codes| {
                !codes
                    .as_array()
                    .is_some_and(|codes| codes.contains(&100.into()))
            })
            .count()
    });
    let mut closed = false;
    while statuses.iter().filter(|status| **status != 100).count() < expected {
        let Some(answer) = reader.answer("POST") else {
            closed = !matches!(reader.drain().1, End::Silent);
            break;
        };
        statuses.push(answer.message.status());
    }
    let hang = !closed && statuses.iter().filter(|status| **status != 100).count() < expected;
    // What follows the answers would be a second verdict on the same bytes; it must show before the next row.
    reader.stream.sock.set_timeout(Duration::from_millis(150));
    while let Some(answer) = reader.answer("POST") {
        statuses.push(answer.message.status());
    }
    drop(reader);
    let upstream = origin
        .requests()
        .iter()
        .map(|request| String::from_utf8_lossy(&request.head).into_owned())
        .collect();
    Seen {
        statuses,
        closed,
        hang,
        upstream,
    }
}

fn judge(row: &Value, seen: &Seen) -> Score {
    let also = |class: &str| {
        row["also_ok"]
            .as_array()
            .is_some_and(|classes| classes.iter().any(|known| known == class))
    };
    let wanted = row["upstream_requests"].as_u64().unwrap_or(0) as usize;
    let finals: Vec<u16> = seen
        .statuses
        .iter()
        .copied()
        .filter(|status| *status != 100)
        .collect();
    let good = finals.iter().filter(|status| **status == 200).count();
    if seen.hang {
        return Score::Unsafe("hang".into());
    }
    if seen.upstream.len() > good {
        return Score::Unsafe(format!(
            "desync: {} upstream, {good} answered",
            seen.upstream.len()
        ));
    }
    for head in &seen.upstream {
        let lower = head.to_ascii_lowercase();
        if !head.contains(&format!("Bearer {}", key()))
            || lower.matches("\r\nauthorization:").count() != 1
        {
            return Score::Unsafe(format!("credential not the route's alone: {head}"));
        }
        for field in row["strip"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            if lower.contains(&format!("\r\n{field}:")) {
                return Score::Unsafe(format!("{field} not stripped"));
            }
        }
    }
    let accepted =
        seen.upstream.len() == wanted && wanted > 0 && finals.iter().all(|status| *status == 200);
    let rejected_as_wanted = row["expect"] == "reject_400";
    if seen.upstream.len() > wanted
        && (!rejected_as_wanted || !(also("accept") || also("normalise")))
    {
        return Score::Unsafe(format!(
            "{} complete requests upstream",
            seen.upstream.len()
        ));
    }
    if !rejected_as_wanted && !accepted && !also("reject_400") {
        return Score::Unsafe("valid message refused".into());
    }
    if seen.upstream.len() == wanted && statuses_fit(row, seen) {
        Score::Strict
    } else {
        Score::SafeOnly("another safe class or status".into())
    }
}

/// `responses`: the permitted statuses of each answer in order; 0 is a close without one. A list with 100 in
/// it is that of an interim answer that may be left out.
fn statuses_fit(row: &Value, seen: &Seen) -> bool {
    let mut statuses = seen.statuses.iter().copied().peekable();
    for permitted in row["responses"].as_array().into_iter().flatten() {
        let permitted: Vec<u64> = permitted
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_u64)
            .collect();
        match statuses.peek() {
            Some(status) if permitted.contains(&u64::from(*status)) => {
                let interim = permitted.contains(&100) && *status != 100;
                if !interim {
                    statuses.next();
                }
            }
            Some(_) if permitted.contains(&100) && permitted.len() > 1 => {}
            Some(_) => return false,
            None if permitted.contains(&0) && seen.closed => {}
            None => return false,
        }
    }
    statuses.next().is_none()
}

/// SECURITY.md 11–14, TRAPS area 1
#[test]
fn no_smuggling_row_confuses_inference_local() {
    play_within(Duration::from_secs(400), |scene| {
        let origin = ok_server(&format!("{PRIVATE}:8000"));
        let fence = fence(scene, &origin);
        let trust = fence.trust();
        let mut scores = Vec::new();
        for row in rows("smuggling.dev.jsonl")
            .iter()
            .filter(|row| row["surface"] == "inference")
        {
            let seen = play_smuggling(&fence, &trust, &origin, row);
            scores.push((
                name(row),
                judge(row, &seen),
                format!(
                    "{:?} closed {} upstream {}",
                    seen.statuses,
                    seen.closed,
                    seen.upstream.len()
                ),
            ));
        }
        assert!(scores.len() > 100);
        report("smuggling/inference", &scores, 97);
        drop(fence.end());
    });
}
