//! A policy's two forms: the message that travels and the document that is enforced.
//!
//! Apart from `proto`, which has no logic, and from `policy`, which knows no messages. Both planes use it, so there is one
//! translation (TR-072), and one set of checks: a message is brought into the shape of the YAML (POL-1) and read by
//! `policy`, so a fault of a message is told as a fault of a file is, by its key's path.
//!
//! What a message cannot say apart is the same here: an empty text or list and a 0 are absent, as `false` is; a section
//! that is absent and one that is empty are two things.
//!
//! Invariants: [`document`] of [`message`] is the document that went in, but for a limit beyond 32 bits (see [`message`]);
//! [`yaml`] of a message reads back as its document; every field of both forms is named in these files, so one that is
//! new and forgotten does not compile.
#![forbid(unsafe_code)]

mod encode;
mod finding;
mod shape;
#[cfg(test)]
mod tests;
mod yaml;

use policy::PolicyDocument;
use policy::custom::Rules;
use prost::Message;
use proto::v1;

pub use encode::message;
pub use finding::{Faults, Finding};
pub use yaml::yaml;

/// What a message says.
#[derive(Clone, Debug)]
pub struct Read {
    /// The policy.
    pub document: PolicyDocument,
    /// What does not keep it from being used.
    pub warnings: Vec<Finding>,
}

/// Longest message, in bytes, its rules left out: that of a policy document (LIM).
pub const BYTES_MAX: usize = 256 * 1024;

/// Reads a message with all checks of a policy file. Own rules are only measured: looking into a hostile text may take for
/// ever, so that is left to a process that may be killed (`policy::custom`).
///
/// # Errors
/// Everything that is wrong with it, together (POL-8).
pub fn document(message: &v1::SandboxPolicy) -> Result<Read, Faults> {
    let mut faults = sizes(message);
    if faults.iter().any(|fault| fault.path.is_empty()) {
        return Err(Faults::new(faults));
    }
    match policy::from_data(&shape::policy(message)) {
        Ok(loaded) if faults.is_empty() => Ok(Read {
            document: loaded.document,
            warnings: loaded.warnings.into_iter().map(Finding::from).collect(),
        }),
        Ok(_) => Err(Faults::new(faults)),
        Err(problems) => {
            faults.extend(problems.as_slice().iter().cloned().map(Finding::from));
            Err(Faults::new(faults))
        }
    }
}

/// LIV-5: lower-case hex SHA-256 of a policy with the rules that came with it; empty for the built-in ones. It is the hash
/// of the compiled policy.
pub fn hash(document: &PolicyDocument, rego: &str) -> String {
    let plain = document.hash();
    match rules(document, rego) {
        Some(rules) => rules.hash_with(&plain),
        None => plain,
    }
}

/// The rules a policy came with, not looked into; none for the built-in ones or a text that [`document`] refuses.
pub fn rules(document: &PolicyDocument, rego: &str) -> Option<Rules> {
    if rego.is_empty() {
        return None;
    }
    Rules::new(rego, RULES_FILE, &policy::rego::data(document)).ok()
}

fn sizes(message: &v1::SandboxPolicy) -> Vec<Finding> {
    let whole = message.encoded_len();
    let rego = v1::SandboxPolicy {
        rego: message.rego.clone(),
        ..v1::SandboxPolicy::default()
    };
    let own = whole.saturating_sub(rego.encoded_len());
    let over = |path: &str, max: usize| Finding {
        path: path.to_owned(),
        message: format!("is longer than {max} bytes"),
    };
    let mut faults = Vec::new();
    if own > BYTES_MAX {
        faults.push(over("", BYTES_MAX));
    }
    if message.rego.len() > Rules::TEXT_BYTES_MAX {
        faults.push(over("rego", Rules::TEXT_BYTES_MAX));
    }
    faults
}

/// How errors of rules name the text that came in a message.
pub const RULES_FILE: &str = "policy.rego";
