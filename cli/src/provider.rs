//! `ringfence provider`: credentials and where they lead (CLI-10 to CLI-13).
//!
//! Invariant: a credential goes from the command line or the environment to the gateway and nowhere else. What is printed
//! is made from its key alone, whatever a gateway answers (PRV-6).

mod entries;
mod tell;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::process::ExitCode;

use controlplane::provider::kinds::{self, Kind};
use proto::v1;
use serde_json::json;

use crate::args::{
    Content, ListArgs, ProviderCreate, ProviderDelete, ProviderGet, ProviderTest, ProviderUpdate,
    ProviderVerb,
};
use crate::client::Client;
use crate::print::{self, Ending, FAILED, Stop};
use crate::process;
use crate::settings::Settings;
use entries::Blank;

/// One of its verbs.
pub(crate) fn provider(verb: ProviderVerb, settings: &Settings) -> Ending {
    process::hide().map_err(Stop::failed)?;
    match verb {
        ProviderVerb::Create(args) => create(args, settings),
        ProviderVerb::Get(args) => get(args, settings),
        ProviderVerb::List(args) => list(&args, settings),
        ProviderVerb::Update(args) => update(args, settings),
        ProviderVerb::Delete(args) => delete(&args, settings),
        ProviderVerb::Test(args) => test(args, settings),
    }
}

fn create(args: ProviderCreate, settings: &Settings) -> Ending {
    let provider = new(&args, &environment)?;
    let client = Client::connect(settings)?;
    let request = v1::CreateProviderRequest {
        provider: Some(provider),
    };
    let answer = client.call(client.ringfence().create_provider(request))?;
    let form = settings.form(args.printed);
    tell::one(&answer.provider.unwrap_or_default(), form);
    Ok(ExitCode::SUCCESS)
}

/// What is to be created.
fn new(args: &ProviderCreate, env: &entries::Environment<'_>) -> Result<v1::Provider, Stop> {
    let kind = known(&args.kind)?;
    if args
        .name
        .as_ref()
        .is_some_and(|name| name.trim().is_empty())
    {
        return Err(Stop::usage(
            "--name is blank; leave it out and one is made up",
        ));
    }
    let content = &args.content;
    if !content.from_existing && content.credential.is_empty() {
        let why = "a provider has a credential: --from-existing, or --credential KEY[=VALUE]";
        return Err(Stop::usage(why));
    }
    Ok(v1::Provider {
        id: String::new(),
        name: args.name.clone().unwrap_or_default(),
        r#type: kind.name.to_owned(),
        credentials: credentials(content, kind, env, Blank::Refused)?,
        config: entries::config(&content.config, Blank::Refused)?,
        allow_private_endpoint: args.allow_private_endpoint.then_some(true),
    })
}

fn get(args: ProviderGet, settings: &Settings) -> Ending {
    let client = Client::connect(settings)?;
    let provider = named(&client, &args.name)?;
    tell::one(&provider, settings.form(args.printed));
    Ok(ExitCode::SUCCESS)
}

fn list(args: &ListArgs, settings: &Settings) -> Ending {
    let client = Client::connect(settings)?;
    let request = v1::ListProvidersRequest {
        limit: args.limit,
        offset: args.offset,
    };
    let answer = client.call(client.ringfence().list_providers(request))?;
    tell::all(
        &answer.providers,
        args.names.into(),
        settings.form(args.printed),
    );
    Ok(ExitCode::SUCCESS)
}

fn update(args: ProviderUpdate, settings: &Settings) -> Ending {
    let content = &args.content;
    let nothing = !content.from_existing
        && content.credential.is_empty()
        && content.config.is_empty()
        && args.allow_private_endpoint.is_none();
    if nothing {
        let why = "name what to change: --credential, --from-existing, --config or --allow-private-endpoint";
        return Err(Stop::usage(why));
    }
    // What is wrong with the flags is told without a gateway too.
    let config = entries::config(&content.config, Blank::Deletes)?;
    let typed = entries::credentials(&content.credential, &environment, Blank::Deletes)?;
    let client = Client::connect(settings)?;
    let credentials = match content.from_existing {
        true => discovered(known(&named(&client, &args.name)?.r#type)?, &environment)?,
        false => typed,
    };
    let request = v1::UpdateProviderRequest {
        provider: Some(v1::Provider {
            id: String::new(),
            name: args.name,
            // It never changes, so there is nothing to say of it (PRV-5).
            r#type: String::new(),
            credentials,
            config,
            allow_private_endpoint: args.allow_private_endpoint,
        }),
    };
    let answer = client.call(client.ringfence().update_provider(request))?;
    let form = settings.form(args.printed);
    tell::one(&answer.provider.unwrap_or_default(), form);
    Ok(ExitCode::SUCCESS)
}

fn delete(args: &ProviderDelete, settings: &Settings) -> Ending {
    if args.names.iter().any(|name| name.trim().is_empty()) {
        return Err(Stop::usage("the name of a provider is blank"));
    }
    let client = Client::connect(settings)?;
    let question = format!("delete {}", args.names.join(", "));
    print::confirm(&question, args.yes.into())?;
    let (mut deleted, mut missing, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    let mut unconfirmed: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for name in &args.names {
        let request = v1::DeleteProviderRequest {
            name: name.clone(),
            force: args.force,
        };
        match client.call(client.ringfence().delete_provider(request)) {
            Ok(answer) => {
                if !answer.unconfirmed_hosts.is_empty() {
                    unconfirmed.insert(name, answer.unconfirmed_hosts);
                }
                match answer.deleted {
                    true => deleted.push(name),
                    false => missing.push(name),
                }
            }
            Err(refusal) if refusal.is_final() => return Err(refusal.into()),
            Err(refusal) => {
                print::message(format_args!("{name}: {}", refusal.why()));
                refused.push(name);
            }
        }
    }
    for (name, hosts) in &unconfirmed {
        print::message(format_args!(
            "warning: {name}: not confirmed by {}: a host that is away drops the credential when it is back",
            hosts.join(", ")
        ));
    }
    let value = json!({
        "deleted": deleted,
        "not_found": missing,
        "refused": refused,
        "unconfirmed_hosts": unconfirmed,
    });
    print::shown(settings.form(args.printed), &value, || {
        print::fates(&[("deleted", &deleted), ("not found", &missing)])
    });
    match refused.is_empty() {
        true => Ok(ExitCode::SUCCESS),
        false => Ok(ExitCode::from(FAILED)),
    }
}

fn test(args: ProviderTest, settings: &Settings) -> Ending {
    let client = Client::connect(settings)?;
    let waiting = print::Waiting::begin(&format!("the backend of {}", args.name));
    let request = v1::TestProviderRequest {
        name: args.name.clone(),
        model_id: args.model.unwrap_or_default(),
    };
    let answer = client.call(client.ringfence().test_provider(request));
    drop(waiting);
    let v1::TestProviderResponse { ok, class, message } = answer?;
    let value = json!({ "ok": ok, "class": class, "message": message });
    let people = || match ok {
        true => print::printable(&format!("{}: ok", args.name)),
        false => print::printable(&format!("{}: {class}: {message}", args.name)),
    };
    print::shown(settings.form(args.printed), &value, people);
    match ok {
        true => Ok(ExitCode::SUCCESS),
        false => Ok(ExitCode::from(FAILED)),
    }
}

fn named(client: &Client, name: &str) -> Result<v1::Provider, Stop> {
    let request = v1::GetProviderRequest {
        name: name.to_owned(),
    };
    let answer = client.call(client.ringfence().get_provider(request))?;
    Ok(answer.provider.unwrap_or_default())
}

/// The credentials that flags name.
fn credentials(
    content: &Content,
    kind: &Kind,
    env: &entries::Environment<'_>,
    blank: Blank,
) -> Result<BTreeMap<String, String>, Stop> {
    match content.from_existing {
        true => discovered(kind, env),
        false => entries::credentials(&content.credential, env, blank),
    }
}

/// PRV-2
fn discovered(
    kind: &Kind,
    env: &entries::Environment<'_>,
) -> Result<BTreeMap<String, String>, Stop> {
    if kind.variables.is_empty() {
        let why = format!(
            "--from-existing: a provider of type {} has no usual variables; use --credential",
            kind.name
        );
        return Err(Stop::usage(why));
    }
    let found = kinds::discover(kind, &|name| env(name)?.into_string().ok());
    if found.is_empty() {
        let why = format!(
            "nothing found: none of {} is set and not blank; set one, or use --credential",
            kind.variables.join(", ")
        );
        return Err(Stop::failed(why));
    }
    Ok(found)
}

/// PRV-1
fn known(kind: &str) -> Result<&'static Kind, Stop> {
    kinds::kind(kind).ok_or_else(|| {
        let kind = print::printable(kind);
        Stop::usage(format_args!(
            "--type {kind}: expected one of {}",
            kinds::names()
        ))
    })
}

fn environment(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}
