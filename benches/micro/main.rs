//! Question: what do the pure modules cost a call, in time and in allocations?
//!
//! `cargo bench --bench micro [-- NAME...] [--quick]`. Every line is the median of many batches with the fastest and
//! the slowest decile beside it; allocations are counted by the allocator, over calls that are not timed. One thread,
//! pinned to the first core. Nothing is asserted: machine and neighbours decide.

mod allocations;
mod decide;
mod heads;
mod requests;
mod rules;
mod splice;
mod time;

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use dataplane::RulesError;
use time::{Case, Effort};

/// Counts, and otherwise is the allocator of the product.
#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // The data plane executes its own binary to evaluate rules; here that is this one.
    if args
        .first()
        .is_some_and(|verb| verb == dataplane::RULES_VERB)
    {
        return dataplane::rules_main();
    }
    // `cargo test --benches` runs this program without the flag: nothing is measured then.
    if !args.iter().any(|arg| arg == "--bench") {
        return ExitCode::SUCCESS;
    }
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("micro: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<(), Failed> {
    let is_quick = args.iter().any(|arg| arg == "--quick")
        || std::env::var_os("RINGFENCE_BENCH_QUICK").is_some();
    let effort = if is_quick {
        Effort::Smoke
    } else {
        Effort::Full
    };
    let names: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    time::pin()?;
    let mut out = io::stdout();
    writeln!(out, "{}", time::COLUMNS)?;
    for case in heads::cases()
        .into_iter()
        .chain(decide::cases())
        .chain(requests::cases())
        .chain(rules::cases()?)
        .chain(splice::cases())
    {
        if names.is_empty() || names.iter().any(|name| case.name.contains(name.as_str())) {
            writeln!(out, "{}", Case::measure(case, effort))?;
        }
    }
    Ok(())
}

/// Why nothing more is measured.
enum Failed {
    /// The core cannot be had, or nobody reads the results.
    Io(io::Error),
    /// The process that evaluates rules does not run.
    Rules(RulesError),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Failed::Io(error)
    }
}

impl From<RulesError> for Failed {
    fn from(error: RulesError) -> Self {
        Failed::Rules(error)
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failed::Io(error) => error.fmt(f),
            Failed::Rules(error) => error.fmt(f),
        }
    }
}
