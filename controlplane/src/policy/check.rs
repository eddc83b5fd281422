//! Whether a policy may be the next version: without fault, but for faults that are not its own (LIV-2), and no change of
//! what was fixed when the sandbox was made (LIV-3).
//!
//! Apart from `policy`, which counts versions. A fault that is not its own can only come from a gateway or a policy of
//! another age: its checks let pass what ours do not. Whoever owns such a policy must still be able to change the rest of
//! it (TR-111), so such a policy is stored as it was given where it cannot be understood.
//!
//! Invariant: what the change touches is without fault.

use aws_lc_rs::digest;
use policy::PolicyDocument;
use policy_proto::{Faults, Finding, Read};
use prost::Message;
use proto::v1;

/// A policy that may be stored.
pub(super) struct Accepted {
    /// Completed (BAS-3).
    pub(super) policy: v1::SandboxPolicy,
    /// LIV-5.
    pub(super) hash: String,
    pub(super) warnings: Vec<Finding>,
}

/// Checks a policy against the one at the sandbox's creation and the one in force, where there are any.
///
/// # Errors
/// Everything that is wrong with it, together.
pub(super) fn check(
    created: Option<&v1::SandboxPolicy>,
    in_force: Option<&v1::SandboxPolicy>,
    given: &v1::SandboxPolicy,
) -> Result<Accepted, Faults> {
    let (accepted, mut faults) = match policy_proto::document(given) {
        Ok(read) => (understood(read, &given.rego), Vec::new()),
        Err(found) => {
            let (old, new) = apart(found, in_force, given);
            (taken_over(given, old), new)
        }
    };
    faults.extend(created.map_or(Vec::new(), |created| static_changes(created, given)));
    if faults.is_empty() {
        return Ok(accepted);
    }
    Err(Faults::new(faults))
}

/// The hash a policy has when it is completed; none when it has faults.
pub(super) fn completed(policy: &v1::SandboxPolicy) -> Option<String> {
    let read = policy_proto::document(policy).ok()?;
    Some(understood(read, &policy.rego).hash)
}

/// What a sandbox has whose policy says nothing of files (BAS-2).
pub(super) fn baseline() -> Option<v1::FilesystemPolicy> {
    let mut document = PolicyDocument::empty();
    document.complete();
    policy_proto::message(&document).filesystem
}

fn understood(read: Read, rego: &str) -> Accepted {
    let Read {
        mut document,
        warnings,
    } = read;
    document.complete();
    let mut policy = policy_proto::message(&document);
    policy.rego = rego.to_owned();
    Accepted {
        policy,
        hash: policy_proto::hash(&document, rego),
        warnings,
    }
}

/// A policy that has faults it did not bring: stored as it is, its files completed where they can be understood.
fn taken_over(given: &v1::SandboxPolicy, warnings: Vec<Finding>) -> Accepted {
    let mut policy = given.clone();
    let files = v1::SandboxPolicy {
        version: given.version,
        filesystem: given.filesystem.clone(),
        ..v1::SandboxPolicy::default()
    };
    if let Ok(read) = policy_proto::document(&files) {
        policy.filesystem = understood(read, "").policy.filesystem;
    }
    // Every text and list of the encoding has its length, and maps are in order.
    let digest = digest::digest(&digest::SHA256, &policy.encode_to_vec());
    let hash = digest.as_ref().iter();
    Accepted {
        hash: hash.map(|byte| format!("{byte:02x}")).collect(),
        policy,
        warnings,
    }
}

/// Faults that the policy in force has in parts the change leaves alone, and the others. A part is a section, or one
/// entry of `network_policies`.
fn apart(
    found: Faults,
    in_force: Option<&v1::SandboxPolicy>,
    given: &v1::SandboxPolicy,
) -> (Vec<Finding>, Vec<Finding>) {
    let found = found.into_vec();
    let Some(in_force) = in_force else {
        return (Vec::new(), found);
    };
    // No part has to do with another, so what is changed can be judged without the rest.
    let own = policy_proto::document(&touched(in_force, given));
    let own = own.map_or_else(Faults::into_vec, |_| Vec::new());
    found.into_iter().partition(|fault| {
        let is_whole = fault.path.is_empty();
        !is_whole && !own.contains(fault)
    })
}

/// The parts of a policy that differ from those in force.
fn touched(in_force: &v1::SandboxPolicy, given: &v1::SandboxPolicy) -> v1::SandboxPolicy {
    let v1::SandboxPolicy {
        version,
        filesystem,
        landlock,
        process,
        network_policies,
        inference,
        rego,
    } = given.clone();
    let policies = network_policies.into_iter();
    v1::SandboxPolicy {
        version,
        filesystem: filesystem.filter(|new| in_force.filesystem.as_ref() != Some(new)),
        landlock: landlock.filter(|new| in_force.landlock.as_ref() != Some(new)),
        process: process.filter(|new| in_force.process.as_ref() != Some(new)),
        network_policies: policies
            .filter(|(key, new)| in_force.network_policies.get(key) != Some(new))
            .collect(),
        inference: inference.filter(|new| in_force.inference.as_ref() != Some(new)),
        rego: match rego == in_force.rego {
            true => String::new(),
            false => rego,
        },
    }
}

/// LIV-3. A section that cannot be understood on one side is left out on both: a fault of ours is told as such, an old
/// one is unchanged, and who repairs one may write the section anew.
fn static_changes(created: &v1::SandboxPolicy, given: &v1::SandboxPolicy) -> Vec<Finding> {
    let (mut created, mut given) = (statics(created), statics(given));
    let faults: Vec<Finding> = [&created, &given]
        .into_iter()
        .filter_map(|policy| policy_proto::document(policy).err())
        .flat_map(Faults::into_vec)
        .collect();
    let at_fault = |section: &str| faults.iter().any(|fault| fault.path.starts_with(section));
    if at_fault("filesystem_policy") {
        (created.filesystem, given.filesystem) = (None, None);
    }
    if at_fault("landlock") {
        (created.landlock, given.landlock) = (None, None);
    }
    if at_fault("process") {
        (created.process, given.process) = (None, None);
    }
    match (
        policy_proto::document(&created),
        policy_proto::document(&given),
    ) {
        (Ok(created), Ok(given)) => policy::update(&created.document, &given.document)
            .err()
            .into_iter()
            .flatten()
            .map(|change| Finding {
                path: change.path.to_owned(),
                message: change.message,
            })
            .collect(),
        // Nothing but its size is left to be wrong.
        (Err(_), _) | (_, Err(_)) => vec![Finding {
            path: String::new(),
            message: "cannot be compared with the one the sandbox was created with".to_owned(),
        }],
    }
}

/// The sections that a live sandbox keeps.
fn statics(policy: &v1::SandboxPolicy) -> v1::SandboxPolicy {
    v1::SandboxPolicy {
        version: 1,
        filesystem: policy.filesystem.clone(),
        landlock: policy.landlock.clone(),
        process: policy.process.clone(),
        ..v1::SandboxPolicy::default()
    }
}
