//! Plays the launcher, the fence process and, inside, every probe. Built for the tests of this crate, never shipped.

use std::process::ExitCode;

mod attempt;
mod calls;
mod drive;
mod files;
mod network;
mod process;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some(ringfence_sandbox::VERB) => ringfence_sandbox::fence_main(),
        Some("drive") => drive::main(arguments),
        Some("probe") => attempt::all(&arguments.collect::<Vec<_>>()),
        Some("true") => ExitCode::SUCCESS,
        Some(_) | None => ExitCode::from(2),
    }
}
