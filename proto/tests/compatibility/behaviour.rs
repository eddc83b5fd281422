//! The tables of BEHAVIOUR 19 beside the schema: what they list is there with its number, and nothing else is.
//!
//! The tables are kept in their own words: `name=number`, `[]` repeated, `{}` map to string; a type where they name one.
//! Types they leave out are held by `released.txt`.

use std::collections::{BTreeMap, BTreeSet};

use super::descriptors;
use super::schema::{Field, Schema};

/// RPC-4: service, method, request, response.
const METHODS: &str = "
inference.v1.Inference | GetInferenceBundle | – | routes=1 [] ResolvedRoute, revision=2 string, generated_at_ms=3 int64, generation=4 uint64
inference.v1.Inference | SetClusterInference | provider_name=1, model_id=2, expected_version=3 uint64, deadlines=4, verify=5 bool | provider_name=1, model_id=2, version=3 uint64, deadlines=4, source=5 RouteSource, status=6 RouteStatus, error_code=7
inference.v1.Inference | GetClusterInference | – | provider_name=1, model_id=2, version=3 uint64, deadlines=4, source=5 RouteSource, status=6 RouteStatus, error_code=7
inference.v1.Inference | UnsetClusterInference | expected_version=1 | removed=1 bool
v1.Ringfence | Health | – | status=1, version=2
v1.Ringfence | GetClusterStatus | – | version=1, generation=2, data_planes=3 [] DataPlaneStatus
v1.Ringfence | CreateSandbox | spec=1, name=2 | sandbox=1
v1.Ringfence | GetSandbox | name=1 | sandbox=1
v1.Ringfence | DeleteSandbox | name=1 | deleted=1 bool
v1.Ringfence | ListSandboxes | limit=1 uint32, offset=2 uint32 | sandboxes=1 []
v1.Ringfence | GetSandboxPolicy | sandbox_id=1 | policy=1, version=2 uint32, policy_hash=3
v1.Ringfence | UpdateSandboxPolicy | name=1, policy=2 | version=1, policy_hash=2
v1.Ringfence | GetSandboxPolicyStatus | name=1, version=2 | revision=1, active_version=2
v1.Ringfence | ListSandboxPolicies | name=1, limit=2, offset=3 | revisions=1 []
v1.Ringfence | ReportPolicyStatus | sandbox_id=1, version=2, status=3, load_error=4 | –
v1.Ringfence | GetSandboxLogs | sandbox_id=1, lines=2, since_ms=3, sources=4 [], min_level=5 | logs=1 [] SandboxLogLine, buffer_total=2
v1.Ringfence | GetSandboxProviderEnvironment | sandbox_id=1 | environment=1 {}
v1.Ringfence | CreateProvider | provider=1 | provider=1
v1.Ringfence | UpdateProvider | provider=1 | provider=1
v1.Ringfence | GetProvider | name=1 | provider=1
v1.Ringfence | ListProviders | limit=1, offset=2 | providers=1 []
v1.Ringfence | DeleteProvider | name=1, force=2 bool | deleted=1 bool, unconfirmed_hosts=2 []
v1.DataPlane | Subscribe | host_id=1, applied_generation=2 uint64, sandbox_ids=3 [], version=4 | stream of Snapshot
v1.DataPlane | Report | host_id=1, applied_generation=2, policies=3 [] PolicyReport, sandboxes=4 [] SandboxReport, routes=5 [] RouteReport, records=6 [] SandboxLogLine | –
";

/// RPC-5 to RPC-9: messages.
const MESSAGES: &str = "
inference.v1.ResolvedRoute name=1, base_url=2, protocols=3 [], api_key=4, model_id=5, provider_type=6, auth_header=7, default_headers=8 {}, deadlines=9, allow_private_endpoint=10, status=11, error_code=12, version=13 uint64
inference.v1.Deadlines connect_ms=1 uint32, header_ms=2 uint32, idle_ms=3 uint32, total_ms=4 uint32
inference.v1.ClusterInferenceConfig provider_name=1, model_id=2, deadlines=3
inference.v1.InferenceRoute id=1, config=2, name=3, version=4 uint64
v1.SandboxPolicy version=1 uint32, filesystem=2, landlock=3, process=4, network_policies=5 map, inference=6, rego=7 string
v1.FilesystemPolicy include_workdir=1, read_only=2 [], read_write=3 []
v1.LandlockPolicy compatibility=1
v1.ProcessPolicy run_as_user=1, run_as_group=2
v1.NetworkPolicyRule name=1, endpoints=2 [], binaries=3 []
v1.NetworkEndpoint host=1, port=2 uint32, protocol=3, tls=4, enforcement=5, access=6, rules=7 [], allowed_ips=8 [], path=9, deny_rules=10 [], allow_encoded_slash=11
v1.L7Rule allow=1
v1.L7Allow method=1, path=2, query=4 {}
v1.L7Deny method=1, path=2, query=4 {}
v1.NetworkBinary path=1
v1.InferencePolicy binaries=1 [], models=2 [], requests_per_minute=3 uint32, tokens_per_minute=4 uint64, max_concurrent=5 uint32
v1.SandboxPolicyRevision version=1, policy_hash=2, status=3, load_error=4, created_at_ms=5, loaded_at_ms=6, policy=7
v1.Provider id=1, name=2, type=3, credentials=4 {}, config=5 {}, allow_private_endpoint=6 optional bool
v1.Sandbox id=1, name=2, spec=4, status=5, phase=6, created_at_ms=7, current_policy_version=8
v1.SandboxSpec log_level=1, environment=5 {}, policy=7, providers=8 []
v1.SandboxStatus landlock=1, skipped_paths=2 [], message=3, host_id=4
v1.Snapshot generation=1 uint64, base_generation=2 uint64, routes=3 [] ResolvedRoute, routes_changed=4 bool, sandboxes=5 [] SandboxSnapshot, removed_sandbox_ids=6 [], more=7 bool, sent_at_ms=8
v1.SandboxSnapshot sandbox_id=1, name=2, policy=3, policy_version=4, policy_hash=5, error_code=6
v1.PolicyReport sandbox_id=1, version=2, status=3, load_error=4
v1.SandboxReport sandbox_id=1, phase=2, landlock=3 LandlockState, skipped_paths=4 [], open_connections=5 uint32, message=6
v1.RouteReport name=1, version=2, status=3, error_code=4
v1.DataPlaneStatus host_id=1, connected=2, applied_generation=3, last_seen_ms=4, sandboxes=5
v1.SandboxLogLine sandbox_id=1, timestamp_ms=2, level=3, target=4, message=5, source=6, fields=7 {}
";

/// RPC-6, RPC-8: what is not given again.
const RESERVED: &str = "
v1.L7Allow 3
v1.L7Allow command
v1.NetworkBinary 2
v1.Sandbox 3
v1.SandboxSpec 2
v1.SandboxSpec 3
v1.SandboxSpec 4
v1.SandboxSpec 6
";

/// RPC-5, RPC-7 to RPC-9: values, without the name of their enumeration.
const ENUMS: &str = "
inference.v1.RouteStatus UNSPECIFIED 0, READY 1, BROKEN 2
inference.v1.RouteSource UNSPECIFIED 0, CONFIGURED 1, NVIDIA_DEFAULT 2
v1.PolicyStatus UNSPECIFIED 0, PENDING 1, LOADED 2, FAILED 3, SUPERSEDED 4
v1.SandboxPhase UNSPECIFIED 0, PROVISIONING 1, READY 2, ERROR 3, DELETING 4, UNKNOWN 5
v1.LandlockState UNSPECIFIED 0, FULL 1, PARTIAL 2, NONE 3
";

/// What the schema has beyond the tables, each for a reason it states itself.
const BEYOND: &[&str] = &[
    "v1.DataPlaneStatus.routes",
    "v1.UpdateSandboxPolicyRequest.completes",
    "v1.UpdateSandboxPolicyResponse.warnings",
    "v1.Ringfence/TestProvider",
    "v1.TestProviderRequest",
    "v1.TestProviderResponse",
];

fn schema() -> Schema {
    Schema::of(&descriptors())
}

fn lines(table: &str) -> impl Iterator<Item = &str> {
    table.lines().filter(|line| !line.is_empty())
}

/// Compares the fields of a message with a list in the words of the tables.
fn compare(schema: &Schema, message: &str, listed: &str) {
    let short = message.trim_start_matches("ringfence.");
    let fields = &schema.messages[message];
    let mut expected = BTreeSet::new();
    for item in listed.split(", ").filter(|item| *item != "–") {
        let mut words = item.split(' ');
        let (name, number) = words.next().unwrap().split_once('=').unwrap();
        let field = fields.iter().find(|field| field.name == name);
        let field = field.unwrap_or_else(|| panic!("{short} has no {name}"));
        assert_eq!(field.number.to_string(), number, "{short}.{name}");
        let mut label = "singular";
        for word in words {
            match word {
                "[]" => label = "repeated",
                "map" => label = "map",
                "optional" => label = "optional",
                "{}" => {
                    label = "map";
                    assert_eq!(field.kind, "map<string,string>", "{short}.{name}");
                }
                kind => {
                    let simple = field.kind.rsplit('.').next().unwrap();
                    assert_eq!(simple, kind, "{short}.{name}");
                }
            }
        }
        assert_eq!(field.label, label, "{short}.{name}");
        expected.insert(name);
    }
    for Field { name, number, .. } in fields {
        let is_known = expected.contains(name.as_str());
        let is_beyond = BEYOND.contains(&format!("{short}.{name}").as_str());
        assert!(
            is_known || is_beyond,
            "{short}.{name} = {number} is in no table"
        );
    }
}

/// RPC-5 to RPC-9
#[test]
fn every_message_has_the_fields_of_the_tables_and_no_others() {
    let schema = schema();
    for line in lines(MESSAGES) {
        let (message, fields) = line.split_once(' ').unwrap();
        compare(&schema, &format!("ringfence.{message}"), fields);
    }
}

/// RPC-4
#[test]
fn every_method_takes_and_gives_what_the_table_says() {
    let schema = schema();
    let mut named: BTreeSet<String> = lines(MESSAGES)
        .map(|line| format!("ringfence.{}", line.split(' ').next().unwrap()))
        .collect();
    let mut methods = BTreeSet::new();
    for line in lines(METHODS) {
        let [service, method, request, response] = line.split(" | ").collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let name = format!("ringfence.{service}/{method}");
        let found = &schema.methods[&name];
        compare(&schema, &found.request, request);
        named.insert(found.request.clone());
        match response.strip_prefix("stream of ") {
            Some(item) => {
                assert_eq!(found.response, format!("ringfence.v1.{item}"));
                assert_eq!(found.shape, "stream", "{name}");
            }
            None => {
                compare(&schema, &found.response, response);
                named.insert(found.response.clone());
                assert_eq!(found.shape, "unary", "{name}");
            }
        }
        methods.insert(name);
    }
    let beyond = |name: &&String| !BEYOND.contains(&name.trim_start_matches("ringfence."));
    let more: Vec<_> = schema
        .methods
        .keys()
        .filter(|name| !methods.contains(*name))
        .filter(beyond)
        .collect();
    assert!(more.is_empty(), "in no table: {more:?}");
    let more: Vec<_> = schema
        .messages
        .keys()
        .filter(|name| !named.contains(*name))
        .filter(beyond)
        .collect();
    assert!(more.is_empty(), "in no table: {more:?}");
}

/// RPC-6, RPC-8
#[test]
fn what_is_reserved_cannot_be_given_again() {
    let schema = schema();
    for line in lines(RESERVED) {
        let (message, what) = line.split_once(' ').unwrap();
        let reserved = (format!("ringfence.{message}"), what.to_owned());
        assert!(schema.reserved.contains(&reserved), "{line}");
    }
}

/// RPC-5, RPC-7, RPC-8, RPC-9
#[test]
fn every_enumeration_has_the_values_of_the_tables_and_no_others() {
    let schema = schema();
    let expected: BTreeMap<String, Vec<(i32, String)>> = lines(ENUMS)
        .map(|line| {
            let (name, values) = line.split_once(' ').unwrap();
            let prefix = prefix(name.rsplit('.').next().unwrap());
            let values = values.split(", ").map(|value| {
                let (value, number) = value.split_once(' ').unwrap();
                (number.parse().unwrap(), format!("{prefix}_{value}"))
            });
            (format!("ringfence.{name}"), values.collect())
        })
        .collect();
    assert_eq!(schema.enums, expected);
}

/// `PolicyStatus` → `POLICY_STATUS`.
fn prefix(name: &str) -> String {
    let mut prefix = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !prefix.is_empty() {
            prefix.push('_');
        }
        prefix.push(c.to_ascii_uppercase());
    }
    prefix
}
