//! Message → data in the shape of the YAML (POL-1).
//!
//! Apart from `encode`, its inverse, and from `policy`, which judges what comes out. Invariant: nothing is judged here and
//! nothing filled in: what the message leaves out is left out, and what it holds is passed on, right or wrong.

use std::collections::BTreeMap;

use proto::v1;
use serde_json::{Map, Value};

/// The whole policy. Own rules are no part of a document.
pub(crate) fn policy(message: &v1::SandboxPolicy) -> Value {
    let v1::SandboxPolicy {
        version,
        filesystem,
        landlock,
        process,
        network_policies,
        inference,
        rego: _,
    } = message;
    let mut fields = Fields::default();
    fields.value("version", (*version).into());
    fields.section("filesystem_policy", filesystem.as_ref(), filesystem_policy);
    fields.section("landlock", landlock.as_ref(), landlock_policy);
    fields.section("process", process.as_ref(), process_policy);
    if !network_policies.is_empty() {
        let entries = network_policies.iter();
        let entries = entries.map(|(key, policy)| (key.clone(), network_policy(policy)));
        fields.value("network_policies", Value::Object(entries.collect()));
    }
    fields.section("inference", inference.as_ref(), inference_policy);
    fields.done()
}

fn filesystem_policy(section: &v1::FilesystemPolicy) -> Value {
    let v1::FilesystemPolicy {
        include_workdir,
        read_only,
        read_write,
    } = section;
    let mut fields = Fields::default();
    fields.flag("include_workdir", *include_workdir);
    fields.texts("read_only", read_only);
    fields.texts("read_write", read_write);
    fields.done()
}

fn landlock_policy(section: &v1::LandlockPolicy) -> Value {
    let v1::LandlockPolicy { compatibility } = section;
    let mut fields = Fields::default();
    fields.text("compatibility", compatibility);
    fields.done()
}

fn process_policy(section: &v1::ProcessPolicy) -> Value {
    let v1::ProcessPolicy {
        run_as_user,
        run_as_group,
    } = section;
    let mut fields = Fields::default();
    fields.text("run_as_user", run_as_user);
    fields.text("run_as_group", run_as_group);
    fields.done()
}

fn network_policy(policy: &v1::NetworkPolicyRule) -> Value {
    let v1::NetworkPolicyRule {
        name,
        endpoints,
        binaries,
    } = policy;
    let mut fields = Fields::default();
    fields.text("name", name);
    fields.list("endpoints", endpoints, endpoint);
    fields.list("binaries", binaries, binary);
    fields.done()
}

fn endpoint(endpoint: &v1::NetworkEndpoint) -> Value {
    let v1::NetworkEndpoint {
        host,
        port,
        protocol,
        tls,
        enforcement,
        access,
        rules,
        allowed_ips,
        path,
        deny_rules,
        allow_encoded_slash,
    } = endpoint;
    let mut fields = Fields::default();
    fields.text("host", host);
    // Required, so a port of 0 is shown as what it is.
    fields.value("port", (*port).into());
    fields.text("path", path);
    fields.text("protocol", protocol);
    fields.text("tls", tls);
    fields.text("enforcement", enforcement);
    fields.text("access", access);
    fields.list("rules", rules, allow);
    fields.list("deny_rules", deny_rules, deny);
    fields.flag("allow_encoded_slash", *allow_encoded_slash);
    fields.texts("allowed_ips", allowed_ips);
    fields.done()
}

fn allow(entry: &v1::L7Rule) -> Value {
    let v1::L7Rule { allow } = entry;
    let mut fields = Fields::default();
    fields.section("allow", allow.as_ref(), |allow| {
        let v1::L7Allow {
            method,
            path,
            query,
        } = allow;
        rule(method, path, query)
    });
    fields.done()
}

fn deny(entry: &v1::L7Deny) -> Value {
    let v1::L7Deny {
        method,
        path,
        query,
    } = entry;
    rule(method, path, query)
}

fn rule(method: &str, path: &str, query: &BTreeMap<String, String>) -> Value {
    let mut fields = Fields::default();
    fields.text("method", method);
    fields.text("path", path);
    if !query.is_empty() {
        let entries = query.iter();
        let entries = entries.map(|(name, glob)| (name.clone(), glob.as_str().into()));
        fields.value("query", Value::Object(entries.collect()));
    }
    fields.done()
}

fn binary(binary: &v1::NetworkBinary) -> Value {
    let v1::NetworkBinary { path } = binary;
    let mut fields = Fields::default();
    fields.text("path", path);
    fields.done()
}

fn inference_policy(section: &v1::InferencePolicy) -> Value {
    let v1::InferencePolicy {
        binaries,
        models,
        requests_per_minute,
        tokens_per_minute,
        max_concurrent,
    } = section;
    let mut fields = Fields::default();
    fields.list("binaries", binaries, binary);
    fields.texts("models", models);
    fields.number("requests_per_minute", (*requests_per_minute).into());
    fields.number("tokens_per_minute", *tokens_per_minute);
    fields.number("max_concurrent", (*max_concurrent).into());
    fields.done()
}

/// A map that takes what is there.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn value(&mut self, key: &str, value: Value) {
        self.0.insert(key.to_owned(), value);
    }

    fn text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.value(key, text.into());
        }
    }

    fn number(&mut self, key: &str, number: u64) {
        if number != 0 {
            self.value(key, number.into());
        }
    }

    fn flag(&mut self, key: &str, flag: bool) {
        if flag {
            self.value(key, true.into());
        }
    }

    fn texts(&mut self, key: &str, texts: &[String]) {
        self.list(key, texts, |text| text.as_str().into());
    }

    fn list<T>(&mut self, key: &str, items: &[T], shape: impl Fn(&T) -> Value) {
        if !items.is_empty() {
            self.value(key, items.iter().map(shape).collect());
        }
    }

    fn section<T>(&mut self, key: &str, section: Option<&T>, shape: impl Fn(&T) -> Value) {
        if let Some(section) = section {
            self.value(key, shape(section));
        }
    }

    fn done(self) -> Value {
        Value::Object(self.0)
    }
}
