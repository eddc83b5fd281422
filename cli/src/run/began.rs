//! How a command began, told to everybody who is to know: whoever started it, the gateway and the record.
//!
//! Apart from `run`, because nothing is done here: it is words on what a start could and could not do.

use link::record::{Landlock, Text};
use proto::v1::{SandboxPhase, SandboxReport};
use sandbox::{Connects, LandlockState, Started};

use crate::print;

/// How the command began, for the gateway.
pub(super) fn report(started: &Started) -> SandboxReport {
    let landlock = match started.landlock {
        LandlockState::Full => proto::v1::LandlockState::Full,
        LandlockState::Partial => proto::v1::LandlockState::Partial,
        LandlockState::None => proto::v1::LandlockState::None,
    };
    let skipped = started.skipped.iter();
    SandboxReport {
        phase: SandboxPhase::Ready.into(),
        landlock: landlock.into(),
        skipped_paths: skipped
            .map(|skipped| skipped.path.display().to_string())
            .collect(),
        message: match &started.connects {
            Connects::Observed => String::new(),
            Connects::Unobserved(why) => format!("connect(2) cannot be observed: {why}"),
        },
        ..SandboxReport::default()
    }
}

/// What the start could not do, and what that means.
pub(super) fn warn(started: &Started) {
    for skipped in started.skipped.iter().filter(|skipped| skipped.degrades) {
        print::message(format_args!(
            "warning: {}: {}",
            skipped.path.display(),
            skipped.reason
        ));
    }
    if started.landlock == LandlockState::None {
        print::message("warning: this kernel has no Landlock; file rules are not enforced");
    }
    if let Connects::Unobserved(why) = &started.connects {
        print::message(format_args!(
            "warning: connect(2) cannot be observed: {why}; a program that means to can be taken for another one that \
                 `binaries` lists (docs/decisions/0009)"
        ));
    }
}

/// What of the file rules is not enforced (LLK-4).
pub(super) fn degraded(started: &Started) -> Landlock {
    let skipped = started.skipped.iter().filter(|skipped| skipped.degrades);
    Landlock {
        state: started.landlock.as_str(),
        paths: skipped
            .map(|skipped| Text::new(skipped.path.as_os_str().as_encoded_bytes()))
            .collect(),
    }
}
