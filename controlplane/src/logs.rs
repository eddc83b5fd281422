//! The last records of every sandbox, in memory (DPL-8).
//!
//! Apart from the store because records are best effort: they are gone with the gateway, and no change waits for one.
//! Invariants: a record is kept under the sandbox it was reported for, after the caller was asked whether it is bound to
//! that host; records, their lengths and their sum are bounded; what a host says of their source is overwritten.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use prost::Message;
use proto::v1::{GetSandboxLogsRequest, GetSandboxLogsResponse, SandboxLogLine};

/// The records of all sandboxes.
#[derive(Default)]
pub struct Logs(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    by_sandbox: BTreeMap<String, Records>,
    bytes: usize,
}

#[derive(Default)]
struct Records {
    lines: VecDeque<SandboxLogLine>,
    bytes: usize,
}

impl Logs {
    /// Keeps a record of a sandbox that is bound to the host that reported it.
    pub fn keep(&self, line: SandboxLogLine, now_ms: i64) {
        let line = cut(line, now_ms);
        let bytes = size(&line);
        let mut kept = self.kept();
        let records = kept.by_sandbox.entry(line.sandbox_id.clone()).or_default();
        let mut change = bytes;
        records.lines.push_back(line);
        records.bytes += bytes;
        if records.lines.len() > LINES_MAX {
            change = change.wrapping_sub(records.drop_oldest());
        }
        kept.bytes = kept.bytes.wrapping_add(change);
        while kept.bytes > BYTES_MAX {
            kept.drop_from_largest();
        }
    }

    /// Forgets the sandboxes that are gone.
    pub fn retain(&self, exists: impl Fn(&str) -> bool) {
        let mut kept = self.kept();
        kept.by_sandbox.retain(|sandbox_id, _| exists(sandbox_id));
        kept.bytes = kept.by_sandbox.values().map(|records| records.bytes).sum();
    }

    /// The newest records of a sandbox that pass the filters, oldest first, as many as one message holds.
    pub fn read(&self, asked: &GetSandboxLogsRequest) -> GetSandboxLogsResponse {
        let kept = self.kept();
        let Some(records) = kept.by_sandbox.get(&asked.sandbox_id) else {
            return GetSandboxLogsResponse::default();
        };
        let lines_max = match usize::try_from(asked.lines).unwrap_or(LINES_MAX) {
            0 => LINES_MAX,
            lines => lines.min(LINES_MAX),
        };
        let least = severity(&asked.min_level);
        let passes = |line: &&SandboxLogLine| {
            line.timestamp_ms >= asked.since_ms
                && severity(&line.level) >= least
                && (asked.sources.is_empty() || asked.sources.contains(&line.source))
        };
        let mut room = ANSWER_BYTES_MAX;
        let fits = |line: &&SandboxLogLine| {
            let left = room.checked_sub(line.encoded_len() + LINE_HEAD_BYTES);
            room = left.unwrap_or(0);
            left.is_some()
        };
        let newest = records.lines.iter().rev().filter(passes).take(lines_max);
        let newest = newest.take_while(fits);
        let mut logs: Vec<SandboxLogLine> = newest.cloned().collect();
        logs.reverse();
        GetSandboxLogsResponse {
            logs,
            buffer_total: u32::try_from(records.lines.len()).unwrap_or(u32::MAX),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Why: records that a panicking task left are still records.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn drop_from_largest(&mut self) {
        let largest = self
            .by_sandbox
            .values_mut()
            .max_by_key(|records| records.bytes);
        let dropped = largest.map_or(self.bytes, Records::drop_oldest);
        self.bytes -= dropped;
    }
}

impl Records {
    fn drop_oldest(&mut self) -> usize {
        let bytes = self.lines.pop_front().as_ref().map_or(0, size);
        self.bytes -= bytes;
        bytes
    }
}

/// A record as it is kept: every text cut, the time not in the future, the source ours to say.
fn cut(line: SandboxLogLine, now_ms: i64) -> SandboxLogLine {
    let fields = line.fields.into_iter().take(FIELDS_MAX);
    SandboxLogLine {
        sandbox_id: line.sandbox_id,
        timestamp_ms: line.timestamp_ms.min(now_ms),
        level: shortened(line.level, NAME_BYTES_MAX),
        target: shortened(line.target, NAME_BYTES_MAX),
        message: shortened(line.message, TEXT_BYTES_MAX),
        source: SOURCE.to_owned(),
        fields: fields
            .map(|(key, value)| {
                (
                    shortened(key, NAME_BYTES_MAX),
                    shortened(value, TEXT_BYTES_MAX),
                )
            })
            .collect(),
    }
}

fn shortened(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
    }
    text
}

/// About what a record takes: its texts, and what a map entry and a string cost beside them.
fn size(line: &SandboxLogLine) -> usize {
    let fields = line.fields.iter();
    let fields: usize = fields
        .map(|(key, value)| key.len() + value.len() + 64)
        .sum();
    let texts = [
        &line.sandbox_id,
        &line.level,
        &line.target,
        &line.message,
        &line.source,
    ];
    fields + texts.iter().map(|text| text.len() + 24).sum::<usize>()
}

/// How grave a level is. An unknown one is taken for info, so that it is neither hidden nor alarming.
fn severity(level: &str) -> u8 {
    let is = |name: &str| level.eq_ignore_ascii_case(name);
    match level {
        "" => 0,
        _ if is("trace") => 0,
        _ if is("debug") => 1,
        _ if is("warn") || is("warning") => 3,
        _ if is("error") => 4,
        _ => 2,
    }
}

/// DPL-8.
const LINES_MAX: usize = 2_000;

/// Clients of gRPC take 4 MiB; this leaves room.
const ANSWER_BYTES_MAX: usize = 3 * 1024 * 1024;

/// Tag and length of one record in the answer.
const LINE_HEAD_BYTES: usize = 8;

/// LOG-3.
const TEXT_BYTES_MAX: usize = 1_024;

/// Levels, targets and keys.
const NAME_BYTES_MAX: usize = 128;

/// A CONNECT record has eighteen.
const FIELDS_MAX: usize = 32;

/// All records of all sandboxes: 256 MiB. A thousand full sandboxes with usual records are below it; beyond, the largest
/// one's oldest go first.
const BYTES_MAX: usize = 256 * 1024 * 1024;

/// Where a record comes from. A data plane reports for its sandboxes; nothing else reports.
const SOURCE: &str = "sandbox";

#[cfg(test)]
mod tests;
