//! What reaches the gateway, and what never reaches a screen.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::*;
use crate::args::Printed;
use crate::print::{FAILED, USAGE};

const CANARY: &str = "sk-canary-1f3870be274f6c49b3e31a0c6728957f";

fn create(kind: &str, flags: &[&str]) -> ProviderCreate {
    let credential = flags.iter().filter(|flag| **flag != "--from-existing");
    ProviderCreate {
        name: Some("p".to_owned()),
        kind: kind.to_owned(),
        content: Content {
            from_existing: flags.contains(&"--from-existing"),
            credential: credential.map(OsString::from).collect(),
            config: Vec::new(),
        },
        allow_private_endpoint: false,
        printed: Printed::default(),
    }
}

fn env(name: &str) -> Option<OsString> {
    match name {
        "OPENAI_API_KEY" | "GH_TOKEN" => Some(CANARY.into()),
        "BLANK" | "GITHUB_TOKEN" => Some(" \t".into()),
        "BYTES" => Some(OsString::from_vec(vec![0xff])),
        _ => None,
    }
}

/// PV-1
#[test]
fn an_alias_is_its_type_and_an_unknown_type_is_refused_with_the_known_ones() {
    for (typed, kind) in [("glab", "gitlab"), ("gh", "github"), ("OpenAI", "openai")] {
        assert_eq!(new(&create(typed, &["A=1"]), &env).unwrap().r#type, kind);
    }
    let stop = new(&create("foo", &["A=1"]), &env).unwrap_err();
    assert_eq!(stop.code, USAGE);
    assert!(
        stop.why.contains("claude") && stop.why.contains("outlook"),
        "{}",
        stop.why
    );
}

/// PV-2, CLI-10
#[test]
fn a_bare_key_that_is_unset_or_blank_ends_with_two_and_its_name() {
    for key in ["ABSENT", "BLANK", "BYTES"] {
        let stop = new(&create("openai", &[key]), &env).unwrap_err();
        assert!(stop.code == USAGE && stop.why.contains(key), "{stop:?}");
    }
    let provider = new(&create("openai", &["OPENAI_API_KEY", "B=x=y"]), &env).unwrap();
    assert_eq!(provider.credentials["OPENAI_API_KEY"], CANARY);
    assert_eq!(provider.credentials["B"], "x=y");
}

/// PV-2
#[test]
fn a_provider_without_a_credential_is_not_asked_for() {
    let stop = new(&create("openai", &[]), &env).unwrap_err();
    assert_eq!(stop.code, USAGE);
    let stop = new(&create("openai", &["A="]), &env).unwrap_err();
    assert!(stop.code == USAGE && stop.why.contains('A'), "{stop:?}");
}

/// PRV-1, CLI-10
#[test]
fn discovery_takes_what_is_set_and_ends_with_one_when_nothing_is() {
    let found = new(&create("github", &["--from-existing"]), &env).unwrap();
    assert_eq!(found.credentials.keys().collect::<Vec<_>>(), ["GH_TOKEN"]);
    assert!(found.config.is_empty());
    let stop = new(&create("anthropic", &["--from-existing"]), &env).unwrap_err();
    assert!(
        stop.code == FAILED && stop.why.contains("ANTHROPIC_API_KEY"),
        "{stop:?}"
    );
    let stop = new(&create("generic", &["--from-existing"]), &env).unwrap_err();
    assert_eq!(stop.code, USAGE);
}

/// TR-087: a secret typed in the wrong place is not repeated either.
#[test]
fn no_refusal_holds_a_value() {
    let typed = [
        CANARY.to_owned(),
        format!("={CANARY}"),
        format!("1A={CANARY}"),
        format!("A-B={CANARY}"),
        format!("A ={CANARY}"),
    ];
    for typed in typed {
        for flags in [vec![typed.as_str()], vec!["A=1", "A=2", &typed]] {
            let stop = new(&create("openai", &flags), &env).unwrap_err();
            assert!(
                stop.code == USAGE && !stop.why.contains("canary"),
                "{}",
                stop.why
            );
        }
    }
    let twice = [format!("A={CANARY}"), format!("A={CANARY}")];
    let stop = new(&create("openai", &[&twice[0], &twice[1]]), &env).unwrap_err();
    assert!(stop.why.contains("given twice") && !stop.why.contains("canary"));
    let bytes = [OsString::from_vec(
        [b"A=canary".as_slice(), &[0xff]].concat(),
    )];
    let stop = entries::config(&bytes, Blank::Refused).unwrap_err();
    assert!(stop.why.contains("UTF-8") && !stop.why.contains("canary"));
}

/// CLI-12
#[test]
fn an_empty_value_deletes_on_update_and_a_bare_key_never_does() {
    let gone = entries::credentials(&["A=".into()], &env, Blank::Deletes).unwrap();
    assert_eq!(gone["A"], "");
    let stop = entries::credentials(&["BLANK".into()], &env, Blank::Deletes).unwrap_err();
    assert_eq!(stop.code, USAGE);
    assert_eq!(
        entries::config(&["A=".into()], Blank::Deletes).unwrap()["A"],
        ""
    );
    assert!(entries::config(&["A".into()], Blank::Deletes).is_err());
}

/// PV-7: even for a gateway that forgets to redact.
#[test]
fn a_provider_is_shown_with_its_keys_and_without_a_value() {
    let provider = v1::Provider {
        name: "p".to_owned(),
        r#type: "openai".to_owned(),
        credentials: BTreeMap::from([("OPENAI_API_KEY".to_owned(), CANARY.to_owned())]),
        config: BTreeMap::from([("OPENAI_BASE_URL".to_owned(), "https://x.test".to_owned())]),
        ..v1::Provider::default()
    };
    let value = tell::view(&provider);
    assert_eq!(value["credentials"]["OPENAI_API_KEY"], "<redacted>");
    assert_eq!(value["config"]["OPENAI_BASE_URL"], "https://x.test");
    let people = tell::table(std::slice::from_ref(&provider));
    assert!(
        people.contains("OPENAI_API_KEY") && !people.contains("canary"),
        "{people}"
    );
    let keys: Vec<_> = value.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "allow_private_endpoint",
            "config",
            "credentials",
            "id",
            "name",
            "type"
        ]
    );
}
