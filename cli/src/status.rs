//! `ringfence status`: both planes at a glance (CLI-22).
//!
//! Every `ringfence run` keeps a file with its facts (`board`) beside the runtime directories, where no sandbox can see
//! it; this verb reads them, and removes those whose launcher is gone. What a gateway knows is asked of it (`cluster`).
//! Without a gateway on this machine, and none named, the sandboxes of this machine are all there is to say.

mod board;
mod cluster;
#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::process::ExitCode;

use serde_json::{Value, json};

pub(crate) use board::{
    Board, Facts, GatewayFacts, LandlockFacts, PolicyFacts, Refused, RouteFacts,
};

use crate::args::Printed;
use crate::client::Client;
use crate::print::{self, Ending, printable};
use crate::settings::{Address, Chosen, Settings};

/// Prints what the gateway says, and the sandboxes that run here, oldest first.
pub(crate) fn status(printed: Printed, settings: &Settings) -> Ending {
    let running = board::running();
    let asked = match is_expected(settings) {
        true => Client::connect(settings).and_then(|client| cluster::ask(&client)),
        false => Ok(Value::Null),
    };
    let (gateway, ending) = match asked {
        Ok(gateway) => (gateway, Ok(ExitCode::SUCCESS)),
        // What runs here is told all the same.
        Err(stop) => (Value::Null, Err(stop)),
    };
    let value = json!({ "gateway": gateway, "sandboxes": running });
    print::shown(settings.form(printed), &value, || {
        let local = table(&running);
        match gateway.is_null() {
            true => local.trim_end().to_owned(),
            false => format!("{}\n\n{}", cluster::people(&gateway), local.trim_end()),
        }
    });
    ending
}

/// Whether a gateway that does not answer is worth a word: one was named, or one left its socket here.
fn is_expected(settings: &Settings) -> bool {
    match settings.gateway() {
        Ok(gateway) => match (&gateway.address, gateway.chosen) {
            (_, Chosen::ByName) | (Address::Https { .. }, Chosen::ByDefault) => true,
            (Address::Unix(path), Chosen::ByDefault) => path.exists(),
        },
        Err(_) => false,
    }
}

fn table(running: &[Facts]) -> String {
    let head = [
        "ID", "NAME", "PID", "POLICY", "VERSION", "HASH", "LOADED", "ROUTES", "IDENTITY",
        "LANDLOCK",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(running.iter().map(row));
    let mut out = String::new();
    for (index, line) in print::align(&rows).into_iter().enumerate() {
        out.push_str(&line);
        out.push('\n');
        let facts = index.checked_sub(1).and_then(|at| running.get(at));
        if let Some(gateway) = facts.and_then(|facts| facts.gateway.as_ref()) {
            _ = writeln!(out, "  gateway {}", printable(&standing(gateway)));
        }
        if let Some(refused) = facts.and_then(|facts| facts.reload_error.as_ref()) {
            // Writing to a String cannot fail.
            _ = writeln!(out, "  not reloaded since {}:", printable(&refused.at));
            for line in refused.error.lines() {
                _ = writeln!(out, "    {}", printable(line));
            }
        }
    }
    out
}

fn standing(gateway: &GatewayFacts) -> String {
    let connected = match (gateway.connected, gateway.stale) {
        (true, _) => "connected",
        (false, false) => "away",
        (false, true) => "away for so long that its routes are not used (route_stale)",
    };
    match gateway.generation {
        Some(generation) => format!("{}: {connected}, generation {generation}", gateway.address),
        None => format!("{}: {connected}, nothing received yet", gateway.address),
    }
}

fn row(facts: &Facts) -> Vec<String> {
    let policy = &facts.policy;
    let unnamed = match facts.gateway {
        Some(_) => "(gateway)",
        None => "(restrictive default)",
    };
    let cells = [
        &facts.id,
        &facts.name,
        &facts.pid.to_string(),
        policy.file.as_deref().unwrap_or(unnamed),
        &policy.version.to_string(),
        &policy.hash.chars().take(12).collect::<String>(),
        &policy.loaded,
        &facts.routes.count.to_string(),
        &facts.identity,
        &facts.landlock.state,
    ];
    cells.map(printable).to_vec()
}
