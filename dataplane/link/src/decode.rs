//! The door inward: what a gateway said → what the workers judge by (DPL-6).
//!
//! Apart from `subscribe/table.rs`, which keeps what came of it. Messages end here: behind this file there are a
//! [`Route`] and a [`Policy`], or words on why not. Invariants: one object that cannot be used is said so of that object
//! alone; no error repeats what a secret holds; a credential's text is wiped when it was read.
//!
//! The bytes of the message that tonic read it from are not wiped: they are freed within the same turn.

use policy::custom::Rules;
use policy::route::{Broken, Deadlines, Fault, Resolved};
use policy::{Policy, PolicyDocument, Protocol, Route};
use proto::inference::{self, ResolvedRoute, RouteStatus};
use proto::v1::SandboxPolicy;
use std::time::Duration;
use zeroize::Zeroizing;

use crate::symlink::symlink_target;

/// A route of a message, or why it is broken. The text says what is wrong with a route that came as ready.
pub(crate) fn route(message: ResolvedRoute) -> (Result<Route, Broken>, Option<String>) {
    let api_key = Zeroizing::new(message.api_key);
    let broken = |fault, protocols: &[String]| Broken {
        name: message.name.clone(),
        protocols: protocols
            .iter()
            .filter_map(|id| Protocol::parse(id))
            .collect(),
        fault,
        version: message.version,
    };
    match RouteStatus::try_from(message.status) {
        Ok(RouteStatus::Ready) => {}
        Ok(RouteStatus::Broken) => {
            let fault = match message.error_code.as_str() {
                "provider_missing" => Fault::ProviderMissing,
                _ => Fault::Unusable,
            };
            return (Err(broken(fault, &message.protocols)), None);
        }
        Ok(RouteStatus::Unspecified) | Err(_) => {
            let why = "its status is not known".to_owned();
            return (Err(broken(Fault::Unusable, &message.protocols)), Some(why));
        }
    }
    let default_headers: Vec<_> = message
        .default_headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let resolved = Route::resolve(&Resolved {
        name: &message.name,
        base_url: &message.base_url,
        protocols: &message.protocols,
        api_key: &api_key,
        model: &message.model_id,
        auth_header: &message.auth_header,
        default_headers: &default_headers,
        deadlines: deadlines(message.deadlines.unwrap_or_default()),
        allow_private_endpoint: message.allow_private_endpoint,
        version: message.version,
    });
    match resolved {
        Ok(route) => (Ok(route), None),
        Err(error) => {
            let broken = broken(Fault::Unusable, &message.protocols);
            (Err(broken), Some(error.to_string()))
        }
    }
}

/// RPC-5: 0 is the default, for the whole none.
fn deadlines(message: inference::Deadlines) -> Deadlines {
    let or = |millis: u32, default: Duration| match millis {
        0 => default,
        millis => Duration::from_millis(millis.into()),
    };
    let default = Deadlines::default();
    Deadlines {
        connect: or(message.connect_ms, default.connect),
        header: or(message.header_ms, default.header),
        idle: or(message.idle_ms, default.idle),
        total: (message.total_ms != 0).then(|| Duration::from_millis(message.total_ms.into())),
    }
}

/// A policy of a message, ready to judge by.
pub(crate) struct Decoded {
    /// As the gateway holds it.
    pub(crate) written: PolicyDocument,
    /// The text of its own rules; empty without.
    pub(crate) rego: String,
    /// Baseline paths it lacked (BAS-3).
    pub(crate) added: Vec<String>,
    pub(crate) policy: Policy,
}

/// Reads and compiles a policy. `accept` looks at what is known before a policy is made of it: the document, as it was
/// written, and the operator's own rules that came with it.
///
/// # Errors
/// What is wrong with it, for the operator (LIV-7).
pub(crate) fn policy(
    message: &SandboxPolicy,
    accept: impl FnOnce(&PolicyDocument, Option<&Rules>) -> Result<(), String>,
) -> Result<Decoded, String> {
    let written = policy_proto::document(message)
        .map_err(|faults| faults.to_string())?
        .document;
    let mut document = written.clone();
    let added = document.complete();
    let rules = policy_proto::rules(&document, &message.rego);
    accept(&written, rules.as_ref())?;
    let compiled = Policy::compile_with_links(document, &symlink_target);
    Ok(Decoded {
        written,
        rego: message.rego.clone(),
        added,
        policy: match rules {
            Some(rules) => compiled.with_rules(rules),
            None => compiled,
        },
    })
}

#[cfg(test)]
mod tests;
