//! How providers are shown.
//!
//! Invariant: every value of a credential is `<redacted>` here, so a gateway that forgets to redact gives nothing away
//! on a screen (PV-7).

use proto::v1;
use serde_json::{Map, Value, json};

use crate::print::{self, Form, Names};

/// One provider.
pub(super) fn one(provider: &v1::Provider, form: Form) {
    let value = view(provider);
    print::shown(form, &value, || {
        let keys: Value = provider.credentials.keys().cloned().collect();
        let facts = [
            ("name", &value["name"]),
            ("type", &value["type"]),
            ("id", &value["id"]),
            ("credentials", &keys),
            ("config", &value["config"]),
            ("allow_private_endpoint", &value["allow_private_endpoint"]),
        ];
        print::facts(facts)
    });
}

/// All of them, or their names.
pub(super) fn all(providers: &[v1::Provider], names: Names, form: Form) {
    let only = providers.iter().map(|provider| provider.name.as_str());
    match names {
        Names::Only => {
            let value = json!({ "names": only.clone().collect::<Vec<_>>() });
            print::shown(form, &value, || print::lines(only));
        }
        Names::Among => {
            let value = json!({ "providers": providers.iter().map(view).collect::<Vec<_>>() });
            print::shown(form, &value, || table(providers));
        }
    }
}

pub(super) fn table(providers: &[v1::Provider]) -> String {
    let keys = |provider: &v1::Provider| {
        let keys: Vec<&str> = provider.credentials.keys().map(String::as_str).collect();
        keys.join(", ")
    };
    let rows = providers.iter().map(|provider| {
        let config = print::words(&json!(provider.config));
        vec![
            provider.name.clone(),
            provider.r#type.clone(),
            keys(provider),
            config,
        ]
    });
    print::table(&["NAME", "TYPE", "CREDENTIALS", "CONFIG"], rows)
}

/// The keys of `--output json`.
pub(super) fn view(provider: &v1::Provider) -> Value {
    let credentials: Map<String, Value> = provider
        .credentials
        .keys()
        .map(|key| (key.clone(), REDACTED.into()))
        .collect();
    json!({
        "id": provider.id,
        "name": provider.name,
        "type": provider.r#type,
        "credentials": credentials,
        "config": provider.config,
        "allow_private_endpoint": provider.allow_private_endpoint.unwrap_or_default(),
    })
}

/// What stands for a value (PRV-6).
const REDACTED: &str = "<redacted>";
