//! The index finds what a look at every rule finds.

use proptest::prelude::*;

use super::{PathRule, RuleSet};
use crate::pattern::Glob;
use crate::request::Query;

fn rule(path: &str) -> PathRule {
    PathRule {
        path: Glob::new(path),
        query: Box::default(),
    }
}

fn found(rules: &[(&str, &str)], method: &str, path: &str) -> bool {
    let set = RuleSet::new(
        rules
            .iter()
            .map(|(method, path)| (*method, rule(path)))
            .collect(),
    );
    let query = Query::new(None);
    set.any(method.as_bytes(), path.as_bytes(), |matchers| {
        query.satisfies(matchers)
    })
}

/// L7-10
#[test]
fn a_shorter_prefix_is_found_behind_a_longer_one() {
    let rules = [
        ("GET", "/a*"),
        ("GET", "/a/b/c"),
        ("GET", "/a/b/d"),
        ("GET", "/a/**"),
        ("*", "/z"),
    ];
    for path in [
        "/a/b/c", "/a/b/d", "/a/b/cc", "/a/b/", "/ab", "/a/x/y", "/z",
    ] {
        assert!(found(&rules, "GET", path), "{path}");
    }
    for path in ["/", "/b", "/z/", "/zz", ""] {
        assert!(!found(&rules, "GET", path), "{path}");
    }
    assert!(found(&rules, "PUT", "/z") && !found(&rules, "PUT", "/a/b/c"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// L7-10, L7-11
    #[test]
    fn the_index_agrees_with_a_look_at_every_rule(
        rules in prop::collection::vec((prop::sample::select(&["GET", "HEAD", "PUT", "*"][..]), "/[ab/*]{0,5}|\\*\\*[ab/]{0,3}"), 0..24),
        questions in prop::collection::vec((prop::sample::select(&["GET", "HEAD", "PUT", "get"][..]), "/[ab/]{0,6}"), 16),
    ) {
        let borrowed: Vec<_> = rules.iter().map(|(method, path)| (*method, path.as_str())).collect();
        for (method, path) in &questions {
            let expected = rules.iter().any(|(listed, glob)| {
                let covers = *listed == "*" || listed == method || *listed == "GET" && *method == "HEAD";
                covers && Glob::new(glob).matches(path.as_bytes())
            });
            prop_assert_eq!(found(&borrowed, method, path), expected, "{} {}", method, path);
        }
    }
}
