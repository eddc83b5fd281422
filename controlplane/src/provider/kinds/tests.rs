//! What a type is called, and what is found for it.

use policy::route::Profile;

use super::*;

/// PV-1
#[test]
fn aliases_and_letter_case_lead_to_the_stored_name() {
    let stored = |text| kind(text).map(|kind| kind.name);
    assert_eq!(stored("glab"), Some("gitlab"));
    assert_eq!(stored("GH"), Some("github"));
    assert_eq!(stored(" OpenAI "), Some("openai"));
    assert_eq!(stored("foo"), None);
    assert_eq!(stored(""), None);
}

/// PRV-1: all that are set and not blank, and nothing else.
#[test]
fn only_variables_that_are_set_and_not_blank_are_discovered() {
    let env = |name: &str| match name {
        "GITLAB_TOKEN" => Some("one".to_owned()),
        "GLAB_TOKEN" => Some("  ".to_owned()),
        "GITHUB_TOKEN" => Some("another vendor's".to_owned()),
        _ => None,
    };
    let found = discover(kind("glab").unwrap(), &env);
    let found: Vec<_> = found
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    assert_eq!(found, [("GITLAB_TOKEN", "one")]);
}

/// PRV-1: `generic` and `outlook` have nothing that could be found.
#[test]
fn two_types_have_no_variables() {
    let without: Vec<_> = KINDS
        .iter()
        .filter(|kind| kind.variables.is_empty())
        .map(|kind| kind.name)
        .collect();
    assert_eq!(without, ["generic", "outlook"]);
    let env = |_: &str| Some("x".to_owned());
    assert!(discover(kind("generic").unwrap(), &env).is_empty());
}

/// RB-1, RTE-3: the two tables agree on what backs inference, and on the name of its credential.
#[test]
fn three_types_back_inference_with_the_variable_that_is_discovered() {
    let backing: Vec<_> = KINDS
        .iter()
        .filter_map(|kind| Some((kind, Profile::of(kind.name)?)))
        .collect();
    let names: Vec<_> = backing.iter().map(|(kind, _)| kind.name).collect();
    assert_eq!(names, ["openai", "anthropic", "nvidia"]);
    for (kind, profile) in backing {
        assert_eq!(kind.variables, [profile.credential_key]);
    }
}
