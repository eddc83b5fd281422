//! A launcher without a data plane: reads a `Spec` as JSON, runs it, writes what happened as JSON.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ringfence_sandbox::{Spec, launch};
use serde_json::{Value, json};

/// Arguments: the file of the spec, the file for the result, and a time limit in milliseconds or nothing.
pub(crate) fn main(mut arguments: impl Iterator<Item = String>) -> ExitCode {
    let (Some(spec), Some(result)) = (arguments.next(), arguments.next()) else {
        return ExitCode::from(2);
    };
    let limit = arguments
        .next()
        .and_then(|text| text.parse().ok())
        .map(Duration::from_millis);
    let Ok(spec) = std::fs::read(spec)
        .map_err(drop)
        .and_then(|text| serde_json::from_slice(&text).map_err(drop))
    else {
        return ExitCode::from(2);
    };
    let interrupted: extern "C" fn(i32) = interrupted;
    // SAFETY: the handler stores to an atomic and nothing else.
    unsafe { libc::signal(libc::SIGINT, interrupted as libc::sighandler_t) };
    let (told, code) = run(&spec, limit, &result);
    if std::fs::write(result, told.to_string()).is_err() {
        ExitCode::from(2)
    } else {
        ExitCode::from(code)
    }
}

fn run(spec: &Spec, limit: Option<Duration>, result: &str) -> (Value, u8) {
    let started = launch(spec).and_then(|mut fence| fence.go().map(|started| (fence, started)));
    match started {
        Ok((fence, started)) => {
            // What a test waits for before it does something to the launcher.
            std::fs::write(result, json!({"started": started}).to_string()).ok();
            let remote = fence.remote();
            std::thread::spawn(move || {
                loop {
                    if INTERRUPTED.swap(false, Ordering::SeqCst) {
                        remote.signal(libc::SIGINT);
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
            let outcome = match limit {
                Some(limit) => fence.wait_timeout(limit),
                None => fence.wait(),
            };
            (
                json!({"started": started, "outcome": format!("{outcome:?}")}),
                outcome.exit_code(),
            )
        }
        Err(error) => (json!({"error": error.to_string()}), error.exit_code()),
    }
}

/// As `run` does, the launcher survives Ctrl-C and passes it on.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn interrupted(_signal: i32) {
    INTERRUPTED.store(true, Ordering::SeqCst);
}
