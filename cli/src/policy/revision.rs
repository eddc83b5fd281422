//! Versions of a sandbox's policy, as they are shown (CLI-15).

use proto::v1::{self, PolicyStatus, SandboxPolicy, SandboxPolicyRevision};
use serde_json::{Value, json};

use crate::client::{Client, Refusal};
use crate::print;

/// One version, 0 for the newest, and which is in force.
pub(crate) fn of(
    client: &Client,
    name: &str,
    version: u32,
) -> Result<v1::GetSandboxPolicyStatusResponse, Refusal> {
    let request = v1::GetSandboxPolicyStatusRequest {
        name: name.to_owned(),
        version,
    };
    client.call(client.ringfence().get_sandbox_policy_status(request))
}

/// The keys of one version in `--output json`.
pub(crate) fn view(revision: &SandboxPolicyRevision) -> Value {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    json!({
        "version": revision.version,
        "hash": revision.policy_hash,
        "status": status(revision.status()),
        "load_error": some(&revision.load_error),
        "created": print::time(revision.created_at_ms),
        "loaded": print::time(revision.loaded_at_ms),
    })
}

/// A state as it is printed.
pub(crate) fn status(status: PolicyStatus) -> Option<&'static str> {
    match status {
        PolicyStatus::Unspecified => None,
        PolicyStatus::Pending => Some("pending"),
        PolicyStatus::Loaded => Some("loaded"),
        PolicyStatus::Failed => Some("failed"),
        PolicyStatus::Superseded => Some("superseded"),
    }
}

/// The policy in the shape of its file; null for one that this command line cannot read, as of a newer gateway.
pub(crate) fn document(policy: &SandboxPolicy) -> Value {
    let read = policy_proto::document(policy).ok();
    read.and_then(|read| serde_json::to_value(read.document).ok())
        .unwrap_or_default()
}

/// The policy as a file after a line of `---`, and its own rules after another.
pub(crate) fn text(policy: &SandboxPolicy) -> String {
    let yaml = policy_proto::yaml(policy);
    let policy_text = format!("---\n{}", yaml.trim_end());
    match policy.rego.as_str() {
        "" => policy_text,
        rules => format!("{policy_text}\n---\n{}", print::lines(rules.lines())),
    }
}
