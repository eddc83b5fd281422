//! Question: what does the whole data plane cost a request, beside a direct connection and a relay that decides nothing?
//!
//! `cargo bench --bench load [-- NAME...] [--quick]`. The program starts itself again as every process of the run: in
//! namespaces of its own the origin, two bare relays, the gate (the real data plane with one worker, with identity,
//! policy, address check, record and model splice on) and, inside a pid namespace as a sandbox has it, the load. The
//! gate and the relays are pinned to the first core, everything else to the second.
//!
//! Figures "per CPU-second" count user and system time of every thread of the process in the middle. What a run
//! measured is printed with its noise: how long those threads waited for their core, and who else used it.

mod cell;
mod chat;
mod client;
mod cpu;
mod director;
mod gate;
mod origin;
mod plain;
mod relay;
mod report;
mod scenario;
mod stage;
mod sys;
mod tally;
mod tls;

use std::error::Error;
use std::process::ExitCode;

/// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A benchmark has nobody to tell errors apart for: it stops and says why.
type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    sys::open_many();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match *words.as_slice() {
        [stage::ROLE, ref rest @ ..] => director::run(rest),
        [cell::ROLE, load] => cell::enter(load),
        [cell::INIT_ROLE, load] => cell::init(load),
        [client::ROLE, load] => client::run(load),
        [plain::FRESH_ROLE, middle, target] => plain::once(middle, target),
        [origin::ROLE, directory] => origin::run(directory),
        [relay::ROLE, port, way] => relay::run(port, way),
        [gate::ROLE, seen, unseen, directory] => gate::run(seen, unseen, directory),
        // `cargo test --benches` runs this program without the flag: nothing is measured then.
        _ if words.contains(&"--bench") => stage::enter(&words),
        _ => Ok(()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench {}: {error}", words.first().unwrap_or(&""));
            ExitCode::FAILURE
        }
    }
}
