//! Searches against the matcher and the path parser they speak of.

use proptest::prelude::*;
use wire::{CanonicalPath, Slashes};

use super::{Domain, Extent, Search, classes, covered, find};
use crate::pattern::Glob;

fn globs(texts: &[&str]) -> Vec<Glob> {
    texts.iter().map(|text| Glob::new(text)).collect()
}

fn search(domain: Domain, include: &[&str], exclude: &[&str]) -> Option<String> {
    let (include, exclude) = (globs(include), globs(exclude));
    let include: Vec<&Glob> = include.iter().collect();
    let exclude: Vec<&Glob> = exclude.iter().collect();
    match find(domain, &include, &exclude) {
        Search::Found(text) => Some(String::from_utf8(text).unwrap()),
        Search::Nothing => None,
        Search::Unknown => panic!("too many states"),
    }
}

const PLAIN: Domain = Domain::Path(Slashes::Plain);
const ESCAPED: Domain = Domain::Path(Slashes::Escaped);

/// L7-5, TR-071
#[test]
fn globs_that_no_canonical_path_matches_are_found() {
    for empty in [
        "/a//b", "/a/../b", "/a/./b", "/a b", "/%7Euser", "/a%2fb", "/a\\b", "/é", "/a%", "/a%2",
        "/.;x", "/a%0A",
    ] {
        assert_eq!(search(ESCAPED, &[empty], &[]), None, "{empty}");
    }
    for (glob, text) in [
        ("/a/**", "/a/"),
        ("**", "/"),
        ("/a%20*", "/a%20"),
        ("/a%2*", "/a%20"),
        ("/a/*/b", "/a/x/b"),
        ("/a/.*", "/a/.x"),
    ] {
        assert_eq!(search(PLAIN, &[glob], &[]).as_deref(), Some(text), "{glob}");
    }
    assert_eq!(search(PLAIN, &["/a%2Fb"], &[]), None);
    assert_eq!(search(ESCAPED, &["/a%2Fb"], &[]).as_deref(), Some("/a%2Fb"));
}

/// L7-11
#[test]
fn one_glob_covers_another_when_no_text_tells_them_apart() {
    assert_eq!(search(PLAIN, &["/a/*"], &["/a/**"]), None);
    assert_eq!(
        search(PLAIN, &["/a/**"], &["/a/*"]).as_deref(),
        Some("/a/x/")
    );
    assert_eq!(search(PLAIN, &["/**"], &["**"]), None);
    assert_eq!(
        search(PLAIN, &["**"], &["/**"]),
        None,
        "a path always begins with a slash"
    );
    assert_eq!(search(Domain::Text, &["**"], &["/**"]).as_deref(), Some(""));
    assert_eq!(
        search(PLAIN, &["/**"], &["/", "/*", "/*/**"]),
        None,
        "covered by several together"
    );
    assert_eq!(search(Domain::Program, &["/"], &[]), None);
    assert_eq!(
        search(Domain::Program, &["/usr/bin/*"], &[]).as_deref(),
        Some("/usr/bin/x")
    );
    let (inner, outer) = (Glob::new("/repos/*/issues"), Glob::new("/repos/**"));
    assert!(covered(PLAIN, &[&inner], &[&outer]) && !covered(PLAIN, &[&outer], &[&inner]));
}

#[test]
fn every_combination_of_overlapping_globs_has_one_witness() {
    let globs = globs(&["/a/*", "/*/b"]);
    let all: Vec<&Glob> = globs.iter().collect();
    let found = classes(PLAIN, &all);
    assert_eq!(found.extent, Extent::Whole);
    let texts: Vec<String> = found
        .witnesses
        .into_iter()
        .map(|text| String::from_utf8(text).unwrap())
        .collect();
    assert_eq!(texts, ["/", "/a/", "/a/b", "/x/b"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    /// L7-5: the automaton knows exactly the paths the parser writes.
    #[test]
    fn the_domain_of_paths_is_what_the_parser_returns(text in "/?[ab./;%20FfE5C7/]{0,10}") {
        let mut spot = Some(ESCAPED.start());
        for byte in text.bytes() {
            spot = spot.and_then(|spot| ESCAPED.step(spot, byte));
        }
        let accepted = spot.is_some_and(|spot| ESCAPED.accepts(spot));
        let canonical = CanonicalPath::parse(text.as_bytes()).is_ok_and(|path| path.as_bytes() == text.as_bytes());
        prop_assert_eq!(accepted, canonical);
    }

    /// A witness is what was asked for, and "nothing" means that no text found by chance is one.
    #[test]
    fn witnesses_match_and_nothing_means_nothing(include in "/[ab/*]{0,6}", exclude in "/[ab/*]{0,6}", text in "/[abc/]{0,8}") {
        let (wanted, unwanted) = (Glob::new(&include), Glob::new(&exclude));
        match find(PLAIN, &[&wanted], &[&unwanted]) {
            Search::Found(text) => {
                prop_assert!(wanted.matches(&text) && !unwanted.matches(&text));
                prop_assert!(CanonicalPath::parse(&text).is_ok_and(|path| path.as_bytes() == text));
            }
            Search::Nothing => {
                let canonical = CanonicalPath::parse(text.as_bytes()).unwrap();
                let path = canonical.as_bytes();
                prop_assert!(!wanted.matches(path) || unwanted.matches(path));
            }
            Search::Unknown => prop_assert!(false, "too many states"),
        }
    }
}
