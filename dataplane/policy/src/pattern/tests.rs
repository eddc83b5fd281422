//! Globs against their definition, host patterns against POL-3.

use proptest::prelude::*;
use wire::Host;

use super::{Glob, HostPattern, HostPatternError};

fn matches(glob: &str, text: &str) -> bool {
    Glob::new(glob).matches(text.as_bytes())
}

/// L7-11
#[test]
fn one_star_stops_at_a_slash_and_two_do_not() {
    assert!(matches("/repos/*/issues", "/repos/myorg/issues"));
    assert!(!matches("/repos/*/issues", "/repos/a/b/issues"));
    assert!(matches("/a/**", "/a/b/c") && matches("/a/**", "/a/"));
    assert!(!matches("/a/**", "/a"));
    assert!(matches("**", "") && matches("**", "/anything/at/all"));
    assert!(!matches("/a", "/A"));
}

/// LR-8
#[test]
fn a_glob_finds_its_literal_behind_any_run() {
    assert!(matches("/**/info/refs*", "/o/r.git/info/refs"));
    assert!(!matches("/**/info/refs*", "/o/r.git/info/refs/x"));
}

/// L4-9, L4-12
#[test]
fn binary_globs_cover_a_directory_or_all_of_them() {
    assert!(matches("/usr/bin/*", "/usr/bin/node"));
    assert!(!matches("/usr/bin/*", "/usr/bin/sub/node"));
    assert!(matches("/**", "/usr/bin/sub/node"));
}

/// IDN-7: bytes that are no text are covered by wildcards only.
#[test]
fn wildcards_cover_bytes_that_are_no_utf_8() {
    assert!(Glob::new("/opt/*").matches(b"/opt/\xff\xfe"));
    assert!(!Glob::new("/opt/x").matches(b"/opt/\xff\xfe"));
}

/// What L7-11 says, word by word.
fn by_definition(glob: &[u8], text: &[u8]) -> bool {
    match glob {
        [] => text.is_empty(),
        [b'*', b'*', rest @ ..] => (0..=text.len()).any(|skip| by_definition(rest, &text[skip..])),
        [b'*', rest @ ..] => {
            let run = text.iter().take_while(|byte| **byte != b'/').count();
            (0..=run).any(|skip| by_definition(rest, &text[skip..]))
        }
        [byte, rest @ ..] => text.first() == Some(byte) && by_definition(rest, &text[1..]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    /// TR-071: the matcher does what the language says.
    #[test]
    fn matching_agrees_with_the_definition(glob in "[ab/*]{0,9}", text in "[ab/]{0,12}") {
        prop_assert_eq!(matches(&glob, &text), by_definition(glob.as_bytes(), text.as_bytes()));
    }
}

fn host_matches(pattern: &str, host: &str) -> bool {
    HostPattern::parse(pattern)
        .unwrap()
        .matches(&Host::parse(host.as_bytes()).unwrap())
}

/// L4-13, L4-14
#[test]
fn one_star_is_one_label_and_two_are_one_or_more() {
    assert!(host_matches("*.example.com", "a.example.com"));
    assert!(!host_matches("*.example.com", "a.b.example.com"));
    assert!(!host_matches("*.example.com", "example.com"));
    assert!(host_matches("**.example.com", "a.example.com"));
    assert!(host_matches("**.example.com", "a.b.example.com"));
    assert!(!host_matches("**.example.com", "example.com"));
    assert!(!host_matches("**.example.com", "aexample.com"));
}

/// POL-3
#[test]
fn letter_case_and_one_trailing_dot_do_not_matter() {
    assert!(host_matches("API.Example.com.", "api.example.COM"));
    assert!(host_matches("*.EXAMPLE.com", "a.example.com."));
    assert!(
        host_matches("2001:DB8::1", "[2001:db8:0::1]")
            && host_matches("[2001:db8::1]", "[2001:db8::1]")
    );
}

/// PD-9, POL-1
#[test]
fn patterns_that_are_too_wide_or_misplaced_are_refused() {
    let rows = [
        ("*.com", HostPatternError::TooWide),
        ("**.com", HostPatternError::TooWide),
        ("a.*.com", HostPatternError::MisplacedWildcard),
        ("*", HostPatternError::MisplacedWildcard),
        ("a*.example.com", HostPatternError::MisplacedWildcard),
        ("***.example.com", HostPatternError::MisplacedWildcard),
        ("*.*.example.com", HostPatternError::MisplacedWildcard),
        ("inference.local", HostPatternError::Inference),
        ("Inference.Local.", HostPatternError::Inference),
        ("127.1", HostPatternError::NotAHost),
        ("*.0.0.1", HostPatternError::NotAHost),
        ("*.10.0.0.1", HostPatternError::NotAHost),
        ("a_b..c", HostPatternError::NotAHost),
        ("exa mple.com", HostPatternError::NotAHost),
        ("", HostPatternError::NotAHost),
    ];
    for (text, error) in rows {
        assert_eq!(HostPattern::parse(text), Err(error), "{text}");
    }
}

/// POL-6
#[test]
fn the_literal_prefix_ends_at_the_first_star() {
    assert_eq!(Glob::new("/api/v1/**").literal_prefix(), b"/api/v1/");
    assert_eq!(Glob::new("**").literal_prefix(), b"");
    assert_eq!(Glob::new("/x").literal_prefix(), b"/x");
}
