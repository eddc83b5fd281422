//! Document → message.
//!
//! Apart from `shape`, which goes the other way, because a document is typed more closely than a message. Invariant: what
//! is a default of POL-1 by its absence is left out, so a message is not much longer than the text it came from.

use policy::document::{
    Access, Binary, Compatibility, Destination, EncodedSlash, Endpoint, Enforcement, Filesystem,
    Grant, Inference, Inspection, Landlock, NetworkPolicy, PolicyDocument, PolicyPath, Process,
    Rule, Tls,
};
use proto::v1;

/// The message of a document; `rego` is left empty. A limit that 32 bits cannot hold becomes the greatest they can, which
/// nobody reaches in a minute either.
pub fn message(document: &PolicyDocument) -> v1::SandboxPolicy {
    let PolicyDocument {
        filesystem,
        landlock: Landlock { compatibility },
        process,
        network_policies,
        inference,
    } = document;
    let network_policies = network_policies.iter();
    v1::SandboxPolicy {
        version: VERSION,
        filesystem: filesystem.as_ref().map(filesystem_policy),
        landlock: Some(v1::LandlockPolicy {
            compatibility: match compatibility {
                Compatibility::BestEffort => "best_effort".to_owned(),
                Compatibility::HardRequirement => "hard_requirement".to_owned(),
            },
        }),
        process: process_policy(process),
        network_policies: network_policies
            .map(|(key, policy)| (key.clone(), network_policy(key, policy)))
            .collect(),
        inference: inference.as_ref().map(inference_policy),
        rego: String::new(),
    }
}

fn process_policy(section: &Process) -> Option<v1::ProcessPolicy> {
    let Process {
        run_as_user,
        run_as_group,
    } = section;
    (*section != Process::default()).then(|| v1::ProcessPolicy {
        run_as_user: run_as_user.clone(),
        run_as_group: run_as_group.clone(),
    })
}

fn filesystem_policy(section: &Filesystem) -> v1::FilesystemPolicy {
    let Filesystem {
        include_workdir,
        read_only,
        read_write,
    } = section;
    let texts = |paths: &[PolicyPath]| paths.iter().map(ToString::to_string).collect();
    v1::FilesystemPolicy {
        include_workdir: *include_workdir,
        read_only: texts(read_only),
        read_write: texts(read_write),
    }
}

fn network_policy(key: &str, policy: &NetworkPolicy) -> v1::NetworkPolicyRule {
    let NetworkPolicy {
        name,
        endpoints,
        binaries,
    } = policy;
    v1::NetworkPolicyRule {
        name: unless(name, key),
        endpoints: endpoints.iter().map(endpoint).collect(),
        binaries: binaries.iter().map(binary).collect(),
    }
}

fn endpoint(endpoint: &Endpoint) -> v1::NetworkEndpoint {
    let Endpoint {
        destination,
        port,
        inspection,
    } = endpoint;
    let (host, list) = match destination {
        Destination::Host(host) => (Some(host), None),
        Destination::HostAt(host, list) => (Some(host), Some(list)),
        Destination::AnyHostAt(list) => (None, Some(list)),
    };
    let blocks = list.map_or(&[][..], |list| list.blocks());
    let bare = v1::NetworkEndpoint {
        host: host.map(ToString::to_string).unwrap_or_default(),
        port: u32::from(port.number()),
        allowed_ips: blocks.iter().map(ToString::to_string).collect(),
        ..v1::NetworkEndpoint::default()
    };
    match inspection {
        Some(inspection) => inspected(bare, inspection),
        None => bare,
    }
}

fn inspected(bare: v1::NetworkEndpoint, inspection: &Inspection) -> v1::NetworkEndpoint {
    let Inspection {
        path,
        tls,
        enforcement,
        grant,
        deny_rules,
        encoded_slash,
    } = inspection;
    let (access, rules) = match grant {
        Grant::Access(Access::ReadOnly) => ("read-only", &[][..]),
        Grant::Access(Access::ReadWrite) => ("read-write", &[][..]),
        Grant::Access(Access::Full) => ("full", &[][..]),
        Grant::Rules(rules) => ("", rules.as_slice()),
    };
    v1::NetworkEndpoint {
        protocol: "rest".to_owned(),
        tls: match tls {
            Tls::Terminate => "terminate".to_owned(),
            Tls::Passthrough => String::new(),
        },
        // Written out: rules without it are warned of.
        enforcement: match enforcement {
            Enforcement::Enforce => "enforce".to_owned(),
            Enforcement::Audit => "audit".to_owned(),
        },
        access: access.to_owned(),
        rules: rules.iter().map(allow).collect(),
        path: unless(path.as_str(), ANY_PATH),
        deny_rules: deny_rules.iter().map(deny).collect(),
        allow_encoded_slash: match encoded_slash {
            EncodedSlash::Allow => true,
            EncodedSlash::Refuse => false,
        },
        ..bare
    }
}

fn allow(rule: &Rule) -> v1::L7Rule {
    let Rule {
        method,
        path,
        query,
    } = rule;
    let query = query.iter();
    v1::L7Rule {
        allow: Some(v1::L7Allow {
            method: unless(method, ANY_METHOD),
            path: unless(path.as_str(), ANY_PATH),
            query: query
                .map(|(name, glob)| (name.clone(), glob.to_string()))
                .collect(),
        }),
    }
}

fn deny(rule: &Rule) -> v1::L7Deny {
    let v1::L7Allow {
        method,
        path,
        query,
    } = allow(rule).allow.unwrap_or_default();
    v1::L7Deny {
        method,
        path,
        query,
    }
}

fn binary(binary: &Binary) -> v1::NetworkBinary {
    let Binary { path } = binary;
    v1::NetworkBinary {
        path: path.to_string(),
    }
}

fn inference_policy(section: &Inference) -> v1::InferencePolicy {
    let Inference {
        binaries,
        models,
        requests_per_minute,
        tokens_per_minute,
        max_concurrent,
    } = section;
    let narrow =
        |limit: &Option<u64>| limit.map_or(0, |limit| u32::try_from(limit).unwrap_or(u32::MAX));
    let models = models.iter().flatten();
    v1::InferencePolicy {
        binaries: binaries.iter().flatten().map(binary).collect(),
        models: models.map(ToString::to_string).collect(),
        requests_per_minute: narrow(requests_per_minute),
        tokens_per_minute: tokens_per_minute.unwrap_or_default(),
        max_concurrent: narrow(max_concurrent),
    }
}

/// Nothing for the default.
fn unless(text: &str, default: &str) -> String {
    if text == default {
        return String::new();
    }
    text.to_owned()
}

/// The only version of the language.
const VERSION: u32 = 1;

/// POL-1: `method` and `path` of a rule that names none.
const ANY_METHOD: &str = "*";
const ANY_PATH: &str = "**";
