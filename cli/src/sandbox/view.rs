//! How sandboxes are shown.
//!
//! Invariant: of a sandbox's environment there are the names alone; a value may be somebody's secret.

use proto::v1::{self, LandlockState, SandboxPhase};
use serde_json::{Value, json};

use crate::policy::revision;
use crate::print;

/// The keys of `sandbox get --output json`: those of [`row`], and what a list has no room for.
pub(super) fn one(sandbox: &v1::Sandbox, policy: &v1::GetSandboxPolicyResponse) -> Value {
    let (spec, status) = (
        sandbox.spec.clone().unwrap_or_default(),
        sandbox.status.clone(),
    );
    let status = status.unwrap_or_default();
    let mut value = row(sandbox);
    let more = json!({
        "log_level": some(&spec.log_level),
        "environment": spec.environment.keys().collect::<Vec<_>>(),
        "landlock": landlock(status.landlock()),
        "skipped_paths": status.skipped_paths,
        "message": some(&status.message),
        "policy_version": policy.version,
        "policy_hash": some(&policy.policy_hash),
        "policy": policy.policy.as_ref().map(revision::document),
        "rules": policy.policy.as_ref().and_then(|policy| some(&policy.rego)),
        "grants": GRANTS.map(|(path, access)| json!({ "path": path, "access": access })),
    });
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}

/// The keys of one sandbox in `sandbox list --output json`.
pub(super) fn row(sandbox: &v1::Sandbox) -> Value {
    let host = sandbox
        .status
        .as_ref()
        .map(|status| status.host_id.as_str());
    json!({
        "id": sandbox.id,
        "name": sandbox.name,
        "phase": phase(sandbox.phase()),
        "host_id": host.and_then(some),
        "providers": sandbox.spec.as_ref().map(|spec| spec.providers.as_slice()).unwrap_or_default(),
        "policy_version": sandbox.current_policy_version,
        "created": print::time(sandbox.created_at_ms),
    })
}

/// For people: what is known, and behind it the policy.
pub(super) fn people(value: &Value, policy: Option<&v1::SandboxPolicy>) -> String {
    let keys = [
        "name",
        "id",
        "phase",
        "message",
        "host_id",
        "created",
        "providers",
        "environment",
        "log_level",
        "landlock",
        "skipped_paths",
        "policy_version",
        "policy_hash",
    ];
    let grants: Value = value["grants"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|grant| {
            format!(
                "{} ({})",
                print::words(&grant["path"]),
                print::words(&grant["access"])
            )
        })
        .collect();
    let facts = keys.into_iter().map(|key| (key, &value[key]));
    let facts = print::facts(facts.chain([("grants", &grants)]));
    match policy {
        Some(policy) => format!("{facts}\n{}", revision::text(policy)),
        None => facts,
    }
}

pub(super) fn table(rows: &[Value]) -> String {
    let keys = [
        "name",
        "phase",
        "policy_version",
        "host_id",
        "providers",
        "created",
    ];
    let cells = rows
        .iter()
        .map(|row| keys.map(|key| print::words(&row[key])).to_vec());
    print::table(
        &["NAME", "PHASE", "POLICY", "HOST", "PROVIDERS", "CREATED"],
        cells,
    )
}

/// A phase as it is printed.
pub(crate) fn phase(phase: SandboxPhase) -> &'static str {
    match phase {
        SandboxPhase::Unspecified | SandboxPhase::Unknown => "unknown",
        SandboxPhase::Provisioning => "provisioning",
        SandboxPhase::Ready => "ready",
        SandboxPhase::Error => "error",
        SandboxPhase::Deleting => "deleting",
    }
}

/// How much of Landlock is enforced; nothing before a data plane has said.
pub(crate) fn landlock(state: LandlockState) -> Option<&'static str> {
    match state {
        LandlockState::Unspecified => None,
        LandlockState::Full => Some("full"),
        LandlockState::Partial => Some("partial"),
        LandlockState::None => Some("none"),
    }
}

fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// What every sandbox has outside of its policy (BAS-5).
const GRANTS: [(&str, &str); 5] = [
    ("$RINGFENCE_RUNTIME_DIR", "read_only"),
    ("/dev/zero", "read_only"),
    ("/dev/random", "read_only"),
    ("/dev/urandom", "read_only"),
    ("/dev/null", "read_write"),
];
