//! One record as a gateway keeps it: the keys of LOG-2 as fields.
//!
//! Apart from `record`, which writes the line, because only a host with a gateway needs it. The line is read back here:
//! that costs a second pass over records that are sent, and saves a second spelling of every key.

use proto::v1::SandboxLogLine;
use serde_json::Value;

use crate::record::Record;

/// A record, written.
pub(crate) struct Line {
    sandbox: String,
    at_ms: i64,
    text: String,
}

impl Line {
    /// Of a record and its line.
    pub(crate) fn new(record: &Record, text: &str) -> Line {
        let since = record.at.duration_since(std::time::UNIX_EPOCH);
        Line {
            sandbox: record.sandbox_id.as_str().to_owned(),
            at_ms: since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(0)),
            text: text.to_owned(),
        }
    }

    /// The sandbox, as this host calls it.
    pub(crate) fn sandbox(&self) -> &str {
        &self.sandbox
    }

    /// The message; none of a line that is longer than a gateway is to be sent.
    pub(crate) fn message(self, sandbox_id: String) -> Option<SandboxLogLine> {
        if self.text.len() > LINE_BYTES_MAX {
            return None;
        }
        let Ok(Value::Object(mut fields)) = serde_json::from_str(&self.text) else {
            return None;
        };
        // What has a field of its own is not said twice, and the gateway stamps the sandbox itself.
        fields.remove("ts");
        fields.remove("sandbox_id");
        let mut own = |key: &str| match fields.remove(key) {
            Some(Value::String(text)) => text,
            Some(_) | None => String::new(),
        };
        let (level, message) = (own("level"), own("msg"));
        let fields = fields.into_iter().filter_map(|(key, value)| match value {
            Value::Null => None,
            Value::String(text) if text == ABSENT => None,
            Value::String(text) => Some((key, text)),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                Some((key, value.to_string()))
            }
        });
        Some(SandboxLogLine {
            sandbox_id,
            timestamp_ms: self.at_ms,
            level,
            target: "dataplane".to_owned(),
            message,
            source: "sandbox".to_owned(),
            fields: fields.collect(),
        })
    }
}

/// How records spell what is absent (LOG-1).
const ABSENT: &str = "-";
/// Longest line that is sent: a hundred of them stay below what a gateway takes.
const LINE_BYTES_MAX: usize = 6 * 1_024;
