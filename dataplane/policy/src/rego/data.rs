//! A document as the data of the Rego rules (RGO-2).
//!
//! Apart from the serialiser of documents because rules want presets spelled out. Invariant: absent
//! optional fields are left out, so that `not endpoint.host` means what it says.

use serde_json::{Value, json};

use crate::document::{Grant, PolicyDocument};

/// The policy as data: presets expanded, absent optional fields left out.
pub fn data(document: &PolicyDocument) -> Value {
    // A document is text keys, texts and integers; `Null` makes every rule undefined, which denies.
    let mut value = serde_json::to_value(document).unwrap_or(Value::Null);
    for (key, policy) in &document.network_policies {
        for (index, endpoint) in policy.endpoints.iter().enumerate() {
            let Some(inspection) = &endpoint.inspection else {
                continue;
            };
            let Grant::Access(access) = inspection.grant else {
                continue;
            };
            let rules: Vec<Value> = access
                .methods()
                .iter()
                .map(|method| json!({"allow": {"method": method, "path": "**"}}))
                .collect();
            if let Value::Object(fields) = &mut value["network_policies"][key]["endpoints"][index] {
                fields.remove("access");
                fields.insert("rules".to_owned(), Value::Array(rules));
            }
        }
    }
    value
}
