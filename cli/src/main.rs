//! `ringfence`: arguments → one verb → exit code.

mod args;
mod client;
mod completions;
mod gateway;
mod inference;
mod inputs;
mod man;
mod policy;
mod print;
mod process;
mod provider;
#[cfg(test)]
mod reference;
mod reload;
mod run;
mod sandbox;
mod settings;
mod signals;
mod status;
mod summary;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, ClusterVerb, PolicyVerb, Verb};
use print::Ending;
use settings::Settings;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The launcher executes this binary again to become the fence; that is no verb for people.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|verb| verb == ::sandbox::VERB)
    {
        return ::sandbox::fence_main();
    }
    // Nor is this one, which the data plane executes to become the process that evaluates rules.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|verb| verb == dataplane::RULES_VERB)
    {
        return dataplane::rules_main();
    }
    completions::answer();
    print::ending(obey(Cli::parse()))
}

/// Carries a verb out.
fn obey(cli: Cli) -> Ending {
    let settings = &Settings::lift(&cli.global)?;
    match cli.verb {
        Verb::Run(args) => Ok(run::run(args, settings)),
        Verb::Status(printed) => status::status(printed, settings),
        Verb::Policy(PolicyVerb::Set(args)) => policy::set(args, settings),
        Verb::Policy(PolicyVerb::Get(args)) => policy::get(args, settings),
        Verb::Policy(PolicyVerb::List(args)) => policy::list(args, settings),
        Verb::Policy(PolicyVerb::Check(args)) => Ok(policy::check(&args, settings)),
        Verb::Policy(PolicyVerb::Explain(args)) => policy::explain(&args, settings),
        Verb::Policy(PolicyVerb::Diff(args)) => Ok(policy::diff(&args, settings)),
        Verb::Policy(PolicyVerb::Test(args)) => Ok(policy::test(&args, settings)),
        Verb::Sandbox(verb) => sandbox::sandbox(verb, settings),
        Verb::Provider(verb) => provider::provider(verb, settings),
        Verb::Cluster(ClusterVerb::Inference(verb)) | Verb::Inference(verb) => {
            inference::inference(verb, settings)
        }
        Verb::Gateway(args) => gateway::gateway(args, settings),
        Verb::Completions(args) => completions::completions(&args),
        Verb::Man(args) => man::man(&args),
    }
}
