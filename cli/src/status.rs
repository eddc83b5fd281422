//! `ringfence status`: what this user runs on this machine (CLI-22, in file mode).
//!
//! Every `ringfence run` keeps a file with its facts (`board`) beside the runtime directories, where no sandbox can see
//! it; this verb reads them. A file whose launcher is gone is removed.

mod board;
#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::process::ExitCode;

pub(crate) use board::{Board, Facts, LandlockFacts, PolicyFacts, Refused, RouteFacts};

use crate::args::Output;
use crate::print;

/// Prints the running sandboxes, oldest first.
pub(crate) fn status(output: Output) -> ExitCode {
    let running = board::running();
    match output {
        Output::Table => print::data(table(&running).trim_end()),
        Output::Json => print::json(&serde_json::json!({ "sandboxes": running })),
    }
    ExitCode::SUCCESS
}

fn table(running: &[Facts]) -> String {
    let head = [
        "ID", "NAME", "PID", "POLICY", "VERSION", "HASH", "LOADED", "ROUTES", "IDENTITY",
        "LANDLOCK",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(running.iter().map(row));
    let mut widths = [0; 10];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for (index, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a String cannot fail.
            _ = write!(out, "{cell:width$}  ");
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
        let facts = index.checked_sub(1).and_then(|at| running.get(at));
        if let Some(refused) = facts.and_then(|facts| facts.reload_error.as_ref()) {
            _ = writeln!(out, "  not reloaded since {}:", printable(&refused.at));
            for line in refused.error.lines() {
                _ = writeln!(out, "    {}", printable(line));
            }
        }
    }
    out
}

fn row(facts: &Facts) -> [String; 10] {
    let policy = &facts.policy;
    let cells = [
        &facts.id,
        &facts.name,
        &facts.pid.to_string(),
        policy.file.as_deref().unwrap_or("(restrictive default)"),
        &policy.version.to_string(),
        &policy.hash.chars().take(12).collect::<String>(),
        &policy.loaded,
        &facts.routes.count.to_string(),
        &facts.identity,
        &facts.landlock.state,
    ];
    cells.map(printable)
}

/// Names of files may hold anything; a terminal should not.
fn printable(text: &str) -> String {
    let visible = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(visible).collect()
}
