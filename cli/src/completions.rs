//! `ringfence completions`: what a shell needs, with the names the gateway knows (CLI-24).
//!
//! The script that is printed calls this binary again while somebody types, with a variable set; the binary then works
//! out the candidates from the same table as `args` and asks the gateway for names. Invariant: who types waits a third of
//! a second at most, and sees no error: no gateway, no names.

use std::process::ExitCode;
use std::time::Duration;

use clap::CommandFactory;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};
use controlplane::provider::kinds::KINDS;
use proto::v1;

use crate::args::{Cli, CompletionsArgs, Global, Shell};
use crate::client::Client;
use crate::print::{self, Ending, Stop};
use crate::settings::Settings;

/// Prints the script.
pub(crate) fn completions(args: &CompletionsArgs) -> Ending {
    let shell = match args.shell {
        Shell::Bash => "bash",
        Shell::Zsh => "zsh",
        Shell::Fish => "fish",
    };
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let completer = shells
        .completer(shell)
        .ok_or_else(|| Stop::failed(format_args!("{shell} cannot be completed")))?;
    completer
        .write_registration(VARIABLE, NAME, NAME, NAME, &mut script)
        .map_err(Stop::failed)?;
    print::raw(&script);
    Ok(ExitCode::SUCCESS)
}

/// Answers a shell that asks for candidates, and ends; returns when none asks.
pub(crate) fn answer() {
    CompleteEnv::with_factory(Cli::command)
        .var(VARIABLE)
        .complete();
}

/// Names of providers.
pub(crate) fn providers() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let request = v1::ListProvidersRequest {
            limit: NAMES_MAX,
            ..v1::ListProvidersRequest::default()
        };
        let listed = |client: &Client| {
            let listed = client
                .call(client.ringfence().list_providers(request))
                .ok()?;
            Some(listed.providers.into_iter().map(|one| one.name).collect())
        };
        live(listed)
    })
}

/// Names of sandboxes.
pub(crate) fn sandboxes() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let request = v1::ListSandboxesRequest {
            limit: NAMES_MAX,
            ..v1::ListSandboxesRequest::default()
        };
        let listed = |client: &Client| {
            let listed = client
                .call(client.ringfence().list_sandboxes(request))
                .ok()?;
            Some(listed.sandboxes.into_iter().map(|one| one.name).collect())
        };
        live(listed)
    })
}

/// Types of providers, aliases left out.
pub(crate) fn provider_types() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let kinds = KINDS.iter();
        kinds
            .map(|kind| CompletionCandidate::new(kind.name))
            .collect()
    })
}

fn live(ask: impl FnOnce(&Client) -> Option<Vec<String>>) -> Vec<CompletionCandidate> {
    // What is typed already is not to be had here; variables and the file are.
    let variable = |name| std::env::var(name).ok();
    let global = Global {
        cluster: variable("RINGFENCE_CLUSTER"),
        gateway: variable("RINGFENCE_GATEWAY"),
        verbose: 0,
    };
    let names = Settings::lift(&global)
        .and_then(|settings| Client::hurried(&settings, PATIENCE))
        .ok()
        .and_then(|client| ask(&client));
    let names = names.into_iter().flatten();
    // A shell would take what is not printable for something else.
    let plain = |name: &String| !name.chars().any(char::is_control);
    names.filter(plain).map(CompletionCandidate::new).collect()
}

const NAME: &str = "ringfence";
/// Set by the script, and by nobody else: `COMPLETE` alone could be meant for another program.
const VARIABLE: &str = "RINGFENCE_COMPLETE";
/// What a gateway gives at most at once (PRV-12). Who has more types a letter more.
const NAMES_MAX: u32 = 1_000;
/// What a person takes for at once.
const PATIENCE: Duration = Duration::from_millis(300);
