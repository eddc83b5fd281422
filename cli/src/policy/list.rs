//! `policy list`: the versions a sandbox's policy has had (CLI-15).

use std::process::ExitCode;

use proto::v1;
use serde_json::{Value, json};

use super::revision;
use crate::args::PolicyList;
use crate::client::Client;
use crate::print::{self, Ending};
use crate::sandbox;
use crate::settings::Settings;

pub(crate) fn list(args: PolicyList, settings: &Settings) -> Ending {
    let name = sandbox::meant(args.name, settings)?;
    let client = Client::connect(settings)?;
    let request = v1::ListSandboxPoliciesRequest {
        name: name.clone(),
        limit: args.limit,
        offset: 0,
    };
    let answer = client.call(client.ringfence().list_sandbox_policies(request))?;
    sandbox::remember(&name, settings);
    let revisions: Vec<Value> = answer.revisions.iter().map(revision::view).collect();
    let value = json!({ "sandbox": name, "revisions": revisions });
    print::shown(settings.form(args.printed), &value, || table(&revisions));
    Ok(ExitCode::SUCCESS)
}

fn table(revisions: &[Value]) -> String {
    let keys = [
        "version",
        "status",
        "created",
        "loaded",
        "hash",
        "load_error",
    ];
    let rows = revisions.iter().map(|revision| {
        let mut cells = keys.map(|key| print::words(&revision[key]));
        let [.., hash, _] = &mut cells;
        hash.truncate(HASH_SHOWN);
        cells.to_vec()
    });
    print::table(
        &["VERSION", "STATUS", "CREATED", "LOADED", "HASH", "ERROR"],
        rows,
    )
}

/// Enough to tell two apart; lower-case hex, so any byte is a boundary.
const HASH_SHOWN: usize = 12;
