//! sse.dev: every row with three sizes of reads.

use std::collections::HashMap;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use harness::corpus::{decode, rows};
use harness::http::{Answer, End, Message, Reader, find};
use harness::origin::{After, Origin};
use harness::play_within;
use harness::raw::TlsRaw;
use harness::scene::PRIVATE;
use serde_json::Value;

use super::{fence, name};

/// How the upstream of an SSE row learns what its client has: one counter a conversation.
#[derive(Default)]
struct Progress {
    received: Mutex<HashMap<String, usize>>,
    changed: Condvar,
}

impl Progress {
    fn add(&self, conversation: &str, count: usize) {
        *self
            .received
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(conversation.to_owned())
            .or_default() += count;
        self.changed.notify_all();
    }

    /// Waits until the client of this conversation has received `count` body bytes.
    fn reach(&self, conversation: &str, count: usize) -> bool {
        let end = Instant::now() + Duration::from_secs(20);
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        while received.get(conversation).copied().unwrap_or(0) < count {
            let Some(left) = end.checked_duration_since(Instant::now()) else {
                return false;
            };
            (received, _) = self
                .changed
                .wait_timeout(received, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
        true
    }
}

/// Plays the row that the query names (`?row=N&…`), write by write. A row with `flush_within_ms` writes on only
/// once the client has all that was sent: the order the corpus asks for, without a clock.
fn sse_server(address: &str, progress: Arc<Progress>, unflushed: Arc<AtomicUsize>) -> Origin {
    let rows = rows("sse.dev.jsonl");
    Origin::start(address, None, move |request, wire| {
        let target = request.target();
        let Some(number) = target
            .split("row=")
            .nth(1)
            .and_then(|rest| rest.split('&').next()?.parse::<usize>().ok())
        else {
            wire.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
            return Ok(After::KeepOpen);
        };
        let row = &rows[number];
        let delay = Duration::from_millis(row["delay_ms"].as_u64().unwrap_or(0));
        let flushed = row["flush_within_ms"].is_u64();
        let mut body_bytes = 0;
        let wire_items = row["wire_b64"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        for (at, item) in wire_items.enumerate() {
            if at > 0 && flushed && !progress.reach(&target, body_bytes) {
                unflushed.fetch_add(1, Ordering::SeqCst);
            }
            if at > 0 {
                thread::sleep(delay);
            }
            let item = decode(item);
            wire.write_all(&item)?;
            wire.flush()?;
            if at > 0 {
                body_bytes += chunk_payload(&item);
            }
        }
        if row["upstream_close"] == "rst" {
            return Ok(After::Reset);
        }
        if row["upstream_close"] == true {
            return Ok(After::Close);
        }
        if row["no_reuse"] == true {
            // Open until the proxy goes, as a server that waits for the next request.
            wire.gone_within(Duration::from_secs(20));
        }
        Ok(After::KeepOpen)
    })
}

/// Body bytes of a write that holds whole chunks.
fn chunk_payload(item: &[u8]) -> usize {
    let (mut rest, mut total) = (item, 0);
    while let Some(at) = find(rest, b"\r\n") {
        let Ok(size) = usize::from_str_radix(&String::from_utf8_lossy(&rest[..at]), 16) else {
            break;
        };
        total += size;
        let Some(next) = rest.get(at + 2 + size + 2..) else {
            break;
        };
        rest = next;
    }
    total
}

/// Reads an answer as it comes and tells `progress` after every chunk.
fn read_streaming(
    reader: &mut Reader<TlsRaw>,
    progress: &Progress,
    target: &str,
) -> Option<Answer> {
    let head = loop {
        let head = reader.head()?;
        if !head.starts_with(b"HTTP/1.1 1") {
            break head;
        }
    };
    let mut message = Message {
        head,
        ..Default::default()
    };
    if message.field("transfer-encoding").is_none() {
        return Some(reader.rest_of("POST", message));
    }
    loop {
        match reader.chunk() {
            Ok(data) if data.is_empty() => {
                return Some(Answer {
                    message,
                    end: End::Complete,
                });
            }
            Ok(data) => {
                message.body.extend_from_slice(&data);
                progress.add(target, data.len());
            }
            Err(end) => {
                return Some(Answer { message, end });
            }
        }
    }
}

fn judge_sse(row: &Value, answer: Option<&Answer>) -> Result<(), String> {
    let expected = decode(row["expected_body_b64"].as_str().unwrap_or(""));
    let Some(answer) = answer else {
        return Err("no answer".into());
    };
    let status = u64::from(answer.message.status());
    let also = row["also_status"]
        .as_array()
        .is_some_and(|codes| codes.contains(&status.into()));
    if row["expected_status"] != status && !also {
        return Err(format!("status {status}"));
    }
    if status == 502 {
        return if answer.message.json()["error"] == "upstream_protocol_error" {
            Ok(())
        } else {
            Err(answer.message.text())
        };
    }
    for field in row["absent_headers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        if answer.message.field(field).is_some() {
            return Err(format!("field {field} present"));
        }
    }
    let body = &answer.message.body;
    if row["expected_end"] == "complete" {
        return match answer.end {
            End::Complete if *body == expected => Ok(()),
            End::Complete => Err(format!(
                "{} body bytes of {} or other ones",
                body.len(),
                expected.len()
            )),
            End::Truncated | End::Silent => Err(format!("{:?}", answer.end)),
        };
    }
    if answer.end != End::Truncated {
        return Err(format!("a cut stream ended {:?}", answer.end));
    }
    let own = find(body, b"data: {\"error\":{")
        .filter(|at| find(&body[*at..], b"stream_interrupted").is_some());
    let relayed = &body[..own.unwrap_or(body.len())];
    // The proxy may end an unfinished line and event before its own (INF-21).
    let fits = (0..=2).any(|ends| {
        relayed.len() >= ends
            && relayed[relayed.len() - ends..]
                .iter()
                .all(|byte| *byte == b'\n')
            && expected.starts_with(&relayed[..relayed.len() - ends])
    });
    if !fits {
        return Err("other bytes than a prefix".into());
    }
    let events = body
        .windows(18)
        .filter(|window| *window == b"stream_interrupted")
        .count();
    if events > 1 || (own.is_some() && !body.ends_with(b"\n\n")) {
        return Err("not exactly one whole error event".into());
    }
    Ok(())
}

/// SECURITY.md 40, SF-1, SF-5…8, INF-18, INF-21: every row with 1-byte, 16-byte and 64 KiB reads.
#[test]
fn every_event_stream_arrives_as_it_was_sent_and_no_cut_one_ends_well() {
    play_within(Duration::from_secs(500), |scene| {
        let (progress, unflushed) = (Arc::new(Progress::default()), Arc::new(AtomicUsize::new(0)));
        let origin = sse_server(
            &format!("{PRIVATE}:8000"),
            Arc::clone(&progress),
            Arc::clone(&unflushed),
        );
        let fence = fence(scene, &origin);
        let trust = fence.trust();
        let rows = rows("sse.dev.jsonl");
        let failures = Mutex::new(Vec::new());
        let next = AtomicUsize::new(0);
        let jobs: Vec<(usize, usize)> = [1, 16, 65_536]
            .into_iter()
            .flat_map(|size| (0..rows.len()).map(move |row| (row, size)))
            .collect();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    while let Some((number, size)) = jobs.get(next.fetch_add(1, Ordering::SeqCst)).copied() {
                        let row = &rows[number];
                        let target = format!("/v1/chat/completions?row={number}&size={size}");
                        let mut reader = fence.inference(&trust, size);
                        reader.stream.sock.set_timeout(Duration::from_secs(30));
                        let body = r#"{"model":"any","stream":true}"#;
                        let head = format!("POST {target} HTTP/1.1\r\nHost: inference.local\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                        reader.stream.write_all(head.as_bytes()).expect("the request is sent");
                        let answer = read_streaming(&mut reader, &progress, &target);
                        if let Err(why) = judge_sse(row, answer.as_ref()) {
                            failures.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{} at {size}-byte reads: {why}", name(row)));
                        }
                    }
                });
            }
        });
        let failures = failures
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        assert!(
            failures.is_empty(),
            "{} of {} cases:\n{}",
            failures.len(),
            jobs.len(),
            failures.join("\n")
        );
        assert_eq!(
            unflushed.load(Ordering::SeqCst),
            0,
            "writes that did not reach the client before the next one"
        );
        // `no_reuse`: nothing that came after a poisoned answer may have used its connection.
        let poisoned: Vec<usize> = (0..rows.len())
            .filter(|row| rows[*row]["no_reuse"] == true)
            .collect();
        let requests = origin.requests();
        for request in &requests {
            if poisoned
                .iter()
                .any(|row| request.target().contains(&format!("row={row}&")))
            {
                let on_it: Vec<_> = requests
                    .iter()
                    .filter(|other| other.connection == request.connection)
                    .collect();
                assert_eq!(
                    on_it.last().map(|last| last.target()),
                    Some(request.target()),
                    "a connection with leftovers was used again"
                );
            }
        }
        drop(fence.end());
    });
}
