//! What wins, and what is refused.

use super::*;

fn typed(gateway: Option<&str>, cluster: Option<&str>) -> Global {
    Global {
        cluster: cluster.map(str::to_owned),
        gateway: gateway.map(str::to_owned),
        verbose: 0,
    }
}

fn around(user: User) -> Surroundings {
    Surroundings {
        user,
        config: Some("/c/ringfence".into()),
        state: Some("/s/ringfence".into()),
    }
}

fn of(typed: &Global, file: &str) -> Result<Settings, Stop> {
    let file = file::parse(file, "config.yaml").map_err(Stop::usage)?;
    Settings::of(typed, file, &around(User::Other))
}

/// CLI-1a
#[test]
fn the_usual_gateway_is_the_socket_in_the_users_state_directory() {
    let lift = |user| {
        let settings = Settings::of(&Global::default(), FileSettings::default(), &around(user));
        settings.unwrap().gateway().unwrap().clone()
    };
    let usual = |path: &str| Gateway {
        address: Address::Unix(path.into()),
        chosen: Chosen::ByDefault,
    };
    assert_eq!(lift(User::Other), usual("/s/ringfence/gateway.sock"));
    assert_eq!(lift(User::Root), usual("/var/lib/ringfence/gateway.sock"));
    let homeless = Settings::of(
        &Global::default(),
        FileSettings::default(),
        &Surroundings::default(),
    );
    let why = homeless.unwrap().gateway().unwrap_err();
    assert!(
        why.code == crate::print::USAGE && why.why.contains("--gateway unix:PATH"),
        "{why:?}"
    );
}

/// CLI-1a
#[test]
fn the_state_directory_is_the_users_own() {
    let state = |variable: fn(&'static str) -> Option<OsString>| {
        below_home("XDG_STATE_HOME", ".local/state", variable)
    };
    assert_eq!(state(|_| None), None);
    assert_eq!(
        state(|name| (name == "HOME").then(|| "/home/a".into())),
        Some("/home/a/.local/state/ringfence".into())
    );
    assert_eq!(
        state(|name| Some(if name == "HOME" { "/h" } else { "/s" }.into())),
        Some("/s/ringfence".into())
    );
    assert_eq!(
        state(|name| Some(if name == "HOME" { "/h" } else { "s" }.into())),
        Some("/h/.local/state/ringfence".into())
    );
}

/// CLI-1
#[test]
fn what_is_typed_wins_over_the_file_and_the_file_over_the_default() {
    let file = "# mine\ngateway: https://file.test:1\ncluster: 'prod'\noutput: yaml\n";
    let https = |settings: Settings| match settings.gateway.unwrap().address {
        Address::Https { url, certificates } => (url, certificates),
        Address::Unix(path) => panic!("{}", path.display()),
    };
    let by_file = of(&Global::default(), file).unwrap();
    assert_eq!(
        by_file.form(Printed { output: None }),
        Form::Data(Encoding::Yaml)
    );
    assert_eq!(
        by_file.form(Printed {
            output: Some(Output::Table)
        }),
        Form::Table
    );
    let expected = (
        "https://file.test:1".to_owned(),
        "/c/ringfence/clusters/prod/mtls".into(),
    );
    assert_eq!(https(by_file), expected);
    let by_flag = of(&typed(Some("https://[::1]:2/"), Some("lab")), file).unwrap();
    let expected = (
        "https://[::1]:2".to_owned(),
        "/c/ringfence/clusters/lab/mtls".into(),
    );
    assert_eq!(https(by_flag), expected);
    let by_default = of(&typed(Some("https://g.test:3"), None), "").unwrap();
    assert_eq!(by_default.form(Printed { output: None }), Form::Table);
    let expected = (
        "https://g.test:3".to_owned(),
        "/c/ringfence/clusters/default/mtls".into(),
    );
    assert_eq!(https(by_default), expected);
}

/// CLI-1a
#[test]
fn a_gateway_is_a_socket_or_a_host_with_port_and_nothing_else() {
    let unix = |named: &str| {
        of(&typed(Some(named), None), "")
            .unwrap()
            .gateway
            .unwrap()
            .address
    };
    assert_eq!(
        unix("unix:/run/g.sock"),
        Address::Unix("/run/g.sock".into())
    );
    assert_eq!(
        unix("unix:///run/g.sock"),
        Address::Unix("/run/g.sock".into())
    );
    assert_eq!(
        of(&typed(Some(""), Some("")), ""),
        of(&Global::default(), "")
    );
    for named in [
        "unix:",
        "unix://",
        "/run/g.sock",
        "http://g.test:1",
        "https://",
        "https://g.test",
        "https://g.test:0",
        "https://g.test:70000",
        "https://g.test:1/path",
        "https://u@g.test:1",
        "g.test:1",
        "HTTPS://g.test:1",
    ] {
        let stop = of(&typed(Some(named), None), "").unwrap_err();
        assert_eq!(stop.code, crate::print::USAGE, "{named}");
        assert!(
            stop.why.contains("expected unix:PATH or https://HOST:PORT"),
            "{named}: {}",
            stop.why
        );
    }
}

#[test]
fn the_name_of_a_cluster_cannot_lead_out_of_its_directory() {
    for name in ["..", ".", "a/b", "/etc", "a b", ".x"] {
        let stop = of(&typed(Some("https://g.test:1"), Some(name)), "").unwrap_err();
        assert!(
            stop.code == crate::print::USAGE && stop.why.contains("--cluster"),
            "{name}"
        );
    }
}

/// H4
#[test]
fn a_key_that_is_not_known_is_refused_with_its_place() {
    for (text, at) in [
        (
            "gateway: unix:/g\noutputs: json\n",
            "config.yaml:2:1: unknown key `outputs`; known here: gateway, cluster, output",
        ),
        (
            "output: xml\n",
            "config.yaml:1:9: output: expected table, json or yaml",
        ),
        (
            "cluster: a\ncluster: b\n",
            "config.yaml:2:10: cluster: is there already",
        ),
        ("cluster:\n", "config.yaml:1:8: cluster: expected a text"),
        (
            "cluster: [a]\n",
            "config.yaml:1:10: expected one mapping of keys to texts",
        ),
        ("cluster: *a\n", "config.yaml:1:10: "),
        ("- a\n", "config.yaml:1:1: expected one mapping"),
        ("text\n", "config.yaml:1:1: expected one mapping"),
        ("cluster: 'a\n", "config.yaml:"),
        (
            "cluster: a\n---\ncluster: b\n",
            "config.yaml:3:1: expected one mapping",
        ),
    ] {
        let why = file::parse(text, "config.yaml").unwrap_err();
        assert!(why.starts_with(at), "{text:?}: {why}");
    }
    for text in ["", "# nothing\n", "{}\n"] {
        assert_eq!(
            file::parse(text, "f"),
            Ok(FileSettings::default()),
            "{text:?}"
        );
    }
}
