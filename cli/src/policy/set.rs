//! `policy set`: another policy for a sandbox, wherever it runs (CLI-14).

use std::process::ExitCode;
use std::time::{Duration, Instant};

use proto::v1::{self, PolicyStatus, SandboxPolicy, SandboxPolicyRevision};
use serde_json::json;

use super::revision;
use crate::args::PolicySet;
use crate::client::{Client, Kind};
use crate::inputs;
use crate::print::{self, Ending, FAILED, Stop, TIMED_OUT};
use crate::sandbox;
use crate::settings::Settings;

pub(crate) fn set(args: PolicySet, settings: &Settings) -> Ending {
    let policy = policy(&args)?;
    let name = sandbox::meant(args.name, settings)?;
    let client = Client::connect(settings)?;
    let before = match revision::of(&client, &name, 0) {
        Ok(newest) => newest.revision,
        // A sandbox without a policy has none before; one that is not there is told of by the next call.
        Err(refusal) if refusal.kind == Kind::NotFound => None,
        Err(refusal) => return Err(refusal.into()),
    };
    let request = v1::UpdateSandboxPolicyRequest {
        name: name.clone(),
        policy: Some(policy),
        completes: false,
    };
    let stored = client.call(client.ringfence().update_sandbox_policy(request))?;
    sandbox::remember(&name, settings);
    for warning in &stored.warnings {
        print::message(format_args!("warning: {}", print::printable(warning)));
    }
    // Versions only grow: one that was there before is the answer to a policy that was there before (LIV-6).
    let is_old = before.is_some_and(|newest| stored.version <= newest.version);
    if is_old {
        print::message(format_args!(
            "{name} has this policy already: version {}",
            stored.version
        ));
    }
    let (state, outcome) = match args.wait {
        true => wait(&client, &name, stored.version, args.timeout)?,
        false => (None, Ok(ExitCode::SUCCESS)),
    };
    let value = json!({
        "sandbox": name,
        "version": stored.version,
        "hash": stored.policy_hash,
        "unchanged": is_old,
        "status": state.and_then(revision::status),
        "warnings": stored.warnings,
    });
    print::shown(settings.form(args.printed), &value, || {
        let keys = ["sandbox", "version", "hash", "status"];
        print::facts(keys.map(|key| (key, &value[key])))
    });
    outcome
}

/// The policy and its rules, checked here so that every error has its line.
fn policy(args: &PolicySet) -> Result<SandboxPolicy, Stop> {
    let loaded = inputs::load_policy(&args.policy).map_err(Stop::usage)?;
    for warning in &loaded.warnings {
        print::message(format_args!("warning: {warning}"));
    }
    let mut message = policy_proto::message(&loaded.document);
    if let Some(rules) = &args.policy_rules {
        inputs::read_rules(rules, None, &loaded.document).map_err(Stop::usage)?;
        message.rego = inputs::read(rules).map_err(Stop::usage)?;
    }
    Ok(message)
}

/// What a wait saw last, and how the verb ends.
type Waited = (Option<PolicyStatus>, Ending);

/// Asks until the version is no longer pending.
fn wait(client: &Client, name: &str, version: u32, seconds: u32) -> Result<Waited, Stop> {
    let waiting = print::Waiting::begin(&format!("{name} to load version {version}"));
    let (begun, max) = (Instant::now(), Duration::from_secs(seconds.into()));
    loop {
        let revision = revision::of(client, name, version)?
            .revision
            .unwrap_or_default();
        let late = begun.elapsed() >= max;
        if let Some(outcome) = outcome(&revision, late.then_some(seconds)) {
            drop(waiting);
            return Ok((Some(revision.status()), outcome));
        }
        client.pause(PAUSE);
    }
}

/// CLI-14; nothing while there is something to wait for. `late` are the seconds waited for, when they are over.
pub(super) fn outcome(revision: &SandboxPolicyRevision, late: Option<u32>) -> Option<Ending> {
    let version = revision.version;
    match (revision.status(), late) {
        (PolicyStatus::Loaded, _) => Some(Ok(ExitCode::SUCCESS)),
        (PolicyStatus::Failed, _) => Some(Err(Stop::new(
            FAILED,
            print::printable(&format!(
                "version {version} was not loaded: {}; the version before stays in force",
                revision.load_error
            )),
        ))),
        (PolicyStatus::Superseded, _) => {
            print::message(format_args!(
                "warning: version {version} was superseded by a newer one"
            ));
            Some(Ok(ExitCode::SUCCESS))
        }
        (PolicyStatus::Pending | PolicyStatus::Unspecified, Some(seconds)) => {
            let why = format!(
                "version {version} is not loaded after {seconds} s; is a data plane of the sandbox connected? `ringfence status` shows it"
            );
            Some(Err(Stop::new(TIMED_OUT, why)))
        }
        (PolicyStatus::Pending | PolicyStatus::Unspecified, None) => None,
    }
}

/// Between two questions: much shorter than the second a policy may take (DPL-4).
const PAUSE: Duration = Duration::from_millis(100);
