//! What a host says of a sandbox it runs: kept for people, cut to size, and never a reason for anything (TR-110).
//!
//! Apart from `sandbox`, whose records are decided here and not by hosts. Invariant: a report changes phase, file rules
//! and a message; nothing of it reaches a spec, a policy or another host's sandbox.

use std::sync::Arc;

use proto::v1;
use proto::v1::{LandlockState, SandboxPhase};

use super::host_of;
use crate::clamp::clamp;
use crate::model::{Change, State};

/// The change a report makes; none when it says nothing new, or speaks of a sandbox that is not the host's.
pub fn reported(state: &State, host_id: &str, report: &v1::SandboxReport) -> Option<Change> {
    let sandbox = state.sandbox_by_id(&report.sandbox_id)?;
    if host_of(sandbox) != Some(host_id) {
        return None;
    }
    let mut told = v1::Sandbox::clone(sandbox);
    told.phase = phase(sandbox.phase(), report.phase).into();
    let status = told.status.get_or_insert_default();
    status.landlock = landlock(status.landlock(), report.landlock).into();
    status.skipped_paths = paths(&report.skipped_paths);
    status.message = clamp(&report.message, MESSAGE_BYTES_MAX).to_owned();
    (told != **sandbox).then(|| Change::PutSandbox(Arc::new(told)))
}

/// A phase that is not told is the one before; that a sandbox is being deleted is for the gateway to say.
fn phase(before: SandboxPhase, told: i32) -> SandboxPhase {
    match SandboxPhase::try_from(told) {
        Ok(SandboxPhase::Unspecified | SandboxPhase::Deleting) => before,
        Ok(
            told @ (SandboxPhase::Provisioning
            | SandboxPhase::Ready
            | SandboxPhase::Error
            | SandboxPhase::Unknown),
        ) => told,
        Err(_) => SandboxPhase::Unknown,
    }
}

fn landlock(before: LandlockState, told: i32) -> LandlockState {
    match LandlockState::try_from(told) {
        Ok(LandlockState::Unspecified) | Err(_) => before,
        Ok(told @ (LandlockState::Full | LandlockState::Partial | LandlockState::None)) => told,
    }
}

/// As many as a policy may list, as long as it may list them, and together no more than an answer can show.
fn paths(told: &[String]) -> Vec<String> {
    let mut left = PATHS_BYTES_MAX;
    told.iter()
        .take(PATHS_MAX)
        .map(|path| clamp(path, PATH_BYTES_MAX))
        .take_while(|path| {
            let fits = path.len() <= left;
            left = left.saturating_sub(path.len());
            fits
        })
        .map(str::to_owned)
        .collect()
}

const PATHS_MAX: usize = 256;
const PATH_BYTES_MAX: usize = 4_096;
const PATHS_BYTES_MAX: usize = 64 * 1_024;
const MESSAGE_BYTES_MAX: usize = 1_024;
