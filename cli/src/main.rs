//! `ringfence`: arguments → one verb → exit code.

mod args;
mod inputs;
mod policy;
mod print;
mod reload;
mod run;
mod signals;
mod status;
mod summary;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, PolicyVerb, Verb};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The launcher executes this binary again to become the fence; that is no verb for people.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|verb| verb == sandbox::VERB)
    {
        return sandbox::fence_main();
    }
    // Nor is this one, which the data plane executes to become the process that evaluates rules.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|verb| verb == dataplane::RULES_VERB)
    {
        return dataplane::rules_main();
    }
    match Cli::parse().verb {
        Verb::Run(args) => run::run(args),
        Verb::Status(args) => status::status(args.output),
        Verb::Policy(PolicyVerb::Check(args)) => policy::check(&args),
        Verb::Policy(PolicyVerb::Explain(args)) => policy::explain(&args),
        Verb::Policy(PolicyVerb::Diff(args)) => policy::diff(&args),
        Verb::Policy(PolicyVerb::Test(args)) => policy::test(&args),
    }
}
