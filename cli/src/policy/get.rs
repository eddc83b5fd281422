//! `policy get`: one version of a sandbox's policy (CLI-15).

use std::process::ExitCode;

use serde_json::{Value, json};

use super::revision;
use crate::args::PolicyGet;
use crate::client::Client;
use crate::print::{self, Ending};
use crate::sandbox;
use crate::settings::Settings;

pub(crate) fn get(args: PolicyGet, settings: &Settings) -> Ending {
    let name = sandbox::meant(args.name, settings)?;
    let client = Client::connect(settings)?;
    let answer = revision::of(&client, &name, args.rev)?;
    sandbox::remember(&name, settings);
    let found = answer.revision.unwrap_or_default();
    let mut value = revision::view(&found);
    value["sandbox"] = name.into();
    value["active_version"] = answer.active_version.into();
    let policy = found.policy.as_ref().filter(|_| args.full);
    if args.full {
        value["policy"] = policy.map(revision::document).unwrap_or_default();
        value["rules"] = policy
            .filter(|policy| !policy.rego.is_empty())
            .map_or(Value::Null, |policy| json!(policy.rego));
    }
    print::shown(settings.form(args.printed), &value, || {
        let keys = [
            "sandbox",
            "version",
            "status",
            "load_error",
            "hash",
            "active_version",
            "created",
            "loaded",
        ];
        let facts = print::facts(keys.map(|key| (key, &value[key])));
        match policy {
            Some(policy) => format!("{facts}\n{}", revision::text(policy)),
            None => facts,
        }
    });
    Ok(ExitCode::SUCCESS)
}
