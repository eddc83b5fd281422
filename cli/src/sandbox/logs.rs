//! `sandbox logs`: the records a gateway keeps of a sandbox (DPL-8).

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use proto::v1;
use serde_json::{Value, json};

use super::{meant, named, remember};
use crate::args::{Millis, SandboxLogs};
use crate::client::Client;
use crate::print::{self, Ending};
use crate::settings::Settings;

pub(super) fn logs(args: SandboxLogs, settings: &Settings) -> Ending {
    let name = meant(args.name, settings)?;
    let client = Client::connect(settings)?;
    let sandbox = named(&client, &name)?;
    remember(&name, settings);
    let request = v1::GetSandboxLogsRequest {
        sandbox_id: sandbox.id,
        lines: args.lines,
        since_ms: args
            .since
            .map_or(0, |Millis(ms)| ago(ms, SystemTime::now())),
        sources: args.source,
        min_level: args
            .level
            .map(|level| level.as_str().to_owned())
            .unwrap_or_default(),
    };
    let answer = client.call(client.ringfence().get_sandbox_logs(request))?;
    let logs: Vec<Value> = answer.logs.iter().map(view).collect();
    let value = json!({ "logs": logs, "buffer_total": answer.buffer_total });
    print::shown(settings.form(args.printed), &value, || {
        logs.iter().map(line).collect::<Vec<_>>().join("\n")
    });
    Ok(ExitCode::SUCCESS)
}

/// So many milliseconds before `now`, since 1970.
fn ago(ms: u32, now: SystemTime) -> i64 {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    now_ms.saturating_sub(i64::from(ms)).max(1)
}

fn view(line: &v1::SandboxLogLine) -> Value {
    json!({
        "ts": print::time(line.timestamp_ms),
        "level": line.level,
        "source": line.source,
        "target": line.target,
        "msg": line.message,
        "fields": line.fields,
    })
}

/// `2026-01-01T00:00:00.000Z info CONNECT action=deny dst_host=c.test …`
pub(super) fn line(record: &Value) -> String {
    let fields = record["fields"].as_object().into_iter().flatten();
    let fields =
        fields.map(|(key, value)| format!("{}={}", print::printable(key), print::words(value)));
    let head = ["ts", "level", "msg"].map(|key| print::words(&record[key]));
    let words: Vec<String> = head.into_iter().chain(fields).collect();
    words.join(" ")
}
