//! Policy texts and what is said of them, by the rows of VECTORS 11.

mod network;
mod text;

use super::{Loaded, Problems, from_data, parse, value};

fn load(text: &str) -> Result<Loaded, String> {
    parse(&format!("version: 1\n{text}"), "p.yaml").map_err(|problems| problems.to_string())
}

/// One message a line, each with the key's path.
fn errors(text: &str) -> Vec<String> {
    let problems = parse(&format!("version: 1\n{text}"), "p.yaml").unwrap_err();
    problems
        .as_slice()
        .iter()
        .map(|problem| format!("{}: {}", problem.path, problem.message))
        .collect()
}

fn warnings(text: &str) -> Vec<String> {
    let loaded = load(text).unwrap_or_else(|problems| panic!("{problems}"));
    loaded
        .warnings
        .iter()
        .map(|problem| format!("{}: {}", problem.path, problem.message))
        .collect()
}

#[track_caller]
fn assert_error(text: &str, expected: &str) {
    let errors = errors(text);
    assert!(
        errors.iter().any(|error| error.starts_with(expected)),
        "{text}\n{errors:#?}\nlack {expected}"
    );
}

fn endpoint(fields: &str) -> String {
    format!("network_policies: {{p: {{endpoints: [{{{fields}}}], binaries: [{{path: /x}}]}}}}")
}

const EP: &str = "network_policies.p.endpoints[0]";

/// PD-1
#[test]
fn a_version_is_all_a_policy_needs() {
    let document = load("").unwrap().document;
    assert!(document.network_policies.is_empty() && document.filesystem.is_none());
    for text in [
        "version: 2",
        "version: '1'",
        "version: 1.0",
        "{}",
        "",
        "# nothing\n",
        "[]",
        "text",
        "version:",
    ] {
        assert!(parse(text, "p.yaml").is_err(), "{text}");
    }
    assert_eq!(
        parse("{}", "p.yaml").unwrap_err().to_string(),
        "p.yaml:1:1: version: required, but missing"
    );
}

/// PD-2
#[test]
fn nobody_runs_as_root() {
    for user in ["root", "' root '", "0", "'0'", "00", "'+0'", "0x0", "-1"] {
        assert_error(
            &format!("process: {{run_as_user: {user}}}"),
            "process.run_as_user: ",
        );
    }
    assert_error(
        "process: {run_as_group: 0}",
        "process.run_as_group: must not be root",
    );
    assert_eq!(
        errors("process: {run_as_user: root, run_as_group: 0}").len(),
        2
    );
    let process = load("process: {run_as_user: ' agent ', run_as_group: 1000}")
        .unwrap()
        .document
        .process;
    assert_eq!(
        (process.run_as_user.as_str(), process.run_as_group.as_str()),
        ("agent", "1000")
    );
}

/// PD-3
#[test]
fn filesystem_paths_must_be_absolute_and_fit_together() {
    let section = |read_only: &str, read_write: &str| {
        format!("filesystem_policy: {{read_only: [{read_only}], read_write: [{read_write}]}}")
    };
    assert_error(
        &section("/usr/../etc/shadow", ""),
        "filesystem_policy.read_only[0]: must not contain `..`",
    );
    assert_error(
        &section("usr/lib", ""),
        "filesystem_policy.read_only[0]: must be an absolute path",
    );
    assert_error(
        &section("", "/"),
        "filesystem_policy.read_write[0]: `/` must not be writable",
    );
    assert_error(
        &section("", "///"),
        "filesystem_policy.read_write[0]: `/` must not be writable",
    );
    let many: Vec<String> = (0..300).map(|number| format!("/p{number}")).collect();
    assert_error(
        &section(&many.join(", "), ""),
        "filesystem_policy: more than 256 paths",
    );
    assert_error(
        &section(&format!("/{}", "x".repeat(5_000)), ""),
        "filesystem_policy.read_only[0]: is longer",
    );
    assert_error(
        &section("/opt", "/opt/"),
        "filesystem_policy.read_only[0]: `/opt` is also in read_write",
    );
    assert_error(
        &section("/opt/x", "/opt"),
        "filesystem_policy.read_only[0]: `/opt/x` lies below `/opt`",
    );
    assert_error(
        &section("/tmp/x", ""),
        "filesystem_policy.read_only[0]: `/tmp/x` lies in `/tmp`",
    );
    assert!(load(&section("/, /dev/urandom", "/opt/x")).is_ok());
}

/// PD-4
#[test]
fn an_empty_section_is_its_defaults() {
    for text in [
        "process: {}",
        "process:",
        "landlock: {}",
        "landlock:",
        "network_policies:",
        "network_policies: {}",
    ] {
        assert_eq!(
            load(text).unwrap().document,
            load("").unwrap().document,
            "{text}"
        );
    }
    assert!(
        !load("filesystem_policy: {}")
            .unwrap()
            .document
            .filesystem
            .unwrap()
            .include_workdir
    );
    assert!(load("inference: {}").unwrap().document.inference.is_some());
}

/// PD-10
#[test]
fn empty_lists_and_zero_limits_of_inference_are_refused() {
    for (section, path) in [
        (
            "requests_per_minute: 0",
            "requests_per_minute: expected a number of at least 1",
        ),
        ("tokens_per_minute: -5", "tokens_per_minute: expected"),
        ("max_concurrent: '3'", "max_concurrent: expected"),
        ("models: []", "models: must not be empty"),
        ("models: ['']", "models[0]: must not be empty"),
        ("binaries: []", "binaries: must not be empty"),
        (
            "binaries: [{path: node}]",
            "binaries[0].path: must be an absolute path",
        ),
    ] {
        assert_error(
            &format!("inference: {{{section}}}"),
            &format!("inference.{path}"),
        );
    }
}

/// PD-3, BAS-3: what completing adds is not counted, so a policy as long as one may be still loads afterwards.
#[test]
fn a_completed_policy_is_not_too_long() {
    let paths: Vec<String> = (0..256).map(|number| format!("/p{number}")).collect();
    let section =
        |paths: &[String]| format!("filesystem_policy: {{read_only: [{}]}}", paths.join(", "));
    let mut document = load(&section(&paths)).unwrap().document;
    assert_eq!(document.complete().len(), 7);
    let again = from_data(&serde_json::to_value(&document).unwrap());
    assert_eq!(again.unwrap().document, document);
    let more: Vec<String> = paths.into_iter().chain(["/more".to_owned()]).collect();
    assert_error(&section(&more), "filesystem_policy: more than 256 paths");
}

/// POL-1: a message has no way to say that a name is there and empty.
#[test]
fn an_empty_name_is_the_key() {
    let policy = "network_policies: {p: {name: '', endpoints: [{host: a.test, port: 1}], binaries: [{path: /x}]}}";
    assert_eq!(
        load(policy).unwrap().document.network_policies["p"].name,
        "p"
    );
}

/// POL-8: data that was never text is read by the same checks, and its findings name no line.
#[test]
fn data_is_read_as_its_text_would_be() {
    let text = "{version: 1, process: {run_as_user: root, shell: x}, network_policies: {'a b': {endpoints: \
                [{host: 10.0.0.1, port: 70000}]}}, inference: {tokens_per_minute: 1.5}}";
    let data = value(text, "p.yaml").unwrap();
    let spoken = |problems: Problems| {
        let mut spoken: Vec<_> = problems
            .as_slice()
            .iter()
            .map(|problem| (problem.path.clone(), problem.message.clone()))
            .collect();
        spoken.sort();
        spoken
    };
    let of_data = from_data(&data).unwrap_err();
    assert!(
        of_data
            .as_slice()
            .iter()
            .all(|problem| problem.line.is_none() && problem.column.is_none())
    );
    assert_eq!(of_data.as_slice().len(), 5);
    assert_eq!(spoken(of_data), spoken(parse(text, "p.yaml").unwrap_err()));

    let data = serde_json::json!({"version": 1, "network_policies": {"p": {
        "endpoints": [{"host": "10.0.0.1", "port": 1}], "binaries": [{"path": "/x"}]}}});
    let warnings = from_data(&data).unwrap().warnings;
    assert_eq!(
        (warnings.len(), warnings[0].line, warnings[0].path.as_str()),
        (1, None, "network_policies.p.endpoints[0].host")
    );
    assert!(from_data(&serde_json::Value::Null).is_err());
}
