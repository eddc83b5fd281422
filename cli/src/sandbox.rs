//! `ringfence sandbox`: what a gateway knows of sandboxes, wherever they run (CLI-18).

mod last;
mod logs;
#[cfg(test)]
mod tests;
mod view;

use std::process::ExitCode;

use proto::v1;
use serde_json::json;

use crate::args::{ListArgs, SandboxDelete, SandboxGet, SandboxVerb};
use crate::client::Client;
use crate::print::{self, Ending, FAILED, Names, Stop};
use crate::settings::Settings;

pub(crate) use last::{meant, remember};
pub(crate) use view::{landlock, phase};

/// One of its verbs.
pub(crate) fn sandbox(verb: SandboxVerb, settings: &Settings) -> Ending {
    match verb {
        SandboxVerb::Get(args) => get(args, settings),
        SandboxVerb::List(args) => list(&args, settings),
        SandboxVerb::Delete(args) => delete(args, settings),
        SandboxVerb::Logs(args) => logs::logs(args, settings),
    }
}

fn get(args: SandboxGet, settings: &Settings) -> Ending {
    let name = meant(args.name, settings)?;
    let client = Client::connect(settings)?;
    let sandbox = named(&client, &name)?;
    remember(&name, settings);
    let request = v1::GetSandboxPolicyRequest {
        sandbox_id: sandbox.id.clone(),
    };
    let policy = client.call(client.ringfence().get_sandbox_policy(request))?;
    let value = view::one(&sandbox, &policy);
    print::shown(settings.form(args.printed), &value, || {
        view::people(&value, policy.policy.as_ref())
    });
    Ok(ExitCode::SUCCESS)
}

fn list(args: &ListArgs, settings: &Settings) -> Ending {
    let client = Client::connect(settings)?;
    let sandboxes = page(&client, args.limit, args.offset)?;
    let form = settings.form(args.printed);
    let names = sandboxes.iter().map(|sandbox| sandbox.name.as_str());
    match Names::from(args.names) {
        Names::Only => {
            let value = json!({ "names": names.clone().collect::<Vec<_>>() });
            print::shown(form, &value, || print::lines(names));
        }
        Names::Among => {
            let rows: Vec<_> = sandboxes.iter().map(view::row).collect();
            let value = json!({ "sandboxes": rows });
            print::shown(form, &value, || view::table(&rows));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn delete(args: SandboxDelete, settings: &Settings) -> Ending {
    let names = match args.names.is_empty() {
        true => vec![meant(None, settings)?],
        false => args.names,
    };
    if names.iter().any(|name| name.trim().is_empty()) {
        return Err(Stop::usage("the name of a sandbox is blank"));
    }
    let client = Client::connect(settings)?;
    let question = format!("delete {} and end what runs there", names.join(", "));
    print::confirm(&question, args.yes.into())?;
    let (mut deleted, mut missing, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for name in &names {
        let request = v1::DeleteSandboxRequest { name: name.clone() };
        match client.call(client.ringfence().delete_sandbox(request)) {
            Ok(v1::DeleteSandboxResponse { deleted: true }) => {
                last::forget(name, settings);
                deleted.push(name);
            }
            Ok(v1::DeleteSandboxResponse { deleted: false }) => missing.push(name),
            Err(refusal) if refusal.is_final() => return Err(refusal.into()),
            Err(refusal) => {
                print::message(format_args!("{name}: {}", refusal.why()));
                refused.push(name);
            }
        }
    }
    let value = json!({ "deleted": deleted, "not_found": missing, "refused": refused });
    print::shown(settings.form(args.printed), &value, || {
        print::fates(&[("deleted", &deleted), ("not found", &missing)])
    });
    match refused.is_empty() {
        true => Ok(ExitCode::SUCCESS),
        false => Ok(ExitCode::from(FAILED)),
    }
}

/// The sandbox of this name.
pub(crate) fn named(client: &Client, name: &str) -> Result<v1::Sandbox, Stop> {
    let request = v1::GetSandboxRequest {
        name: name.to_owned(),
    };
    let answer = client.call(client.ringfence().get_sandbox(request))?;
    Ok(answer.sandbox.unwrap_or_default())
}

/// Every sandbox there is, as far as somebody may read it to the end.
pub(crate) fn all(client: &Client) -> Result<Vec<v1::Sandbox>, Stop> {
    let mut all = Vec::new();
    for number in 0..PAGES_MAX {
        let page = page(client, PAGE, number * PAGE)?;
        let is_last = page.len() < PAGE as usize;
        all.extend(page);
        if is_last {
            break;
        }
    }
    Ok(all)
}

fn page(client: &Client, limit: u32, offset: u32) -> Result<Vec<v1::Sandbox>, Stop> {
    let request = v1::ListSandboxesRequest { limit, offset };
    let answer = client.call(client.ringfence().list_sandboxes(request))?;
    Ok(answer.sandboxes)
}

/// What a gateway gives at most (PRV-12).
const PAGE: u32 = 1_000;
/// An end to a gateway that gives pages for ever.
const PAGES_MAX: u32 = 1_000;
