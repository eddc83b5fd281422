//! PD-11, PD-12: what a live sandbox takes and what it does not.

use super::*;

fn document(yaml: &str) -> PolicyDocument {
    let text = format!("version: 1\n{yaml}");
    crate::parse(&text, "policy.yaml")
        .unwrap_or_else(|problems| panic!("{problems}\n{text}"))
        .document
}

fn refused(created: &str, next: &str) -> Vec<String> {
    let changes = update(&document(created), &document(next)).unwrap_err();
    changes
        .iter()
        .map(|change| format!("{}: {}", change.path, change.message))
        .collect()
}

fn taken(created: &str, next: &str) -> Vec<String> {
    let added = update(&document(created), &document(next))
        .unwrap_or_else(|changes| panic!("{created:?} → {next:?}: {changes:?}"));
    added.iter().map(ToString::to_string).collect()
}

const FILES: &str =
    "filesystem_policy: {include_workdir: true, read_only: [/srv, /opt], read_write: [/data]}\n";
const NETWORK: &str = "network_policies:\n  git:\n    endpoints: [{host: github.com, port: 443}]\n    binaries: [{path: /usr/bin/git}]\n";

/// PD-11, LIV-4
#[test]
fn what_only_adds_is_taken() {
    let more = "filesystem_policy: {include_workdir: true, read_only: [/opt, /srv/, /new], read_write: [/data, /more]}\n";
    assert_eq!(taken(FILES, more), ["/new", "/more"]);
    assert_eq!(taken("", FILES), ["/srv", "/opt", "/data"]);
    let without_workdir = "filesystem_policy: {read_only: [/srv]}\n";
    assert_eq!(taken("", without_workdir), ["/srv"]);
    for (created, next) in [
        (FILES.to_owned(), format!("{FILES}{NETWORK}")),
        (format!("{FILES}{NETWORK}"), FILES.to_owned()),
        (
            FILES.to_owned(),
            format!("{FILES}inference: {{models: [m]}}\n"),
        ),
        (format!("{FILES}inference: {{}}\n"), FILES.to_owned()),
        (String::new(), String::new()),
        (String::new(), "landlock: {}\nprocess: {}\n".to_owned()),
    ] {
        assert_eq!(taken(&created, &next), [""; 0]);
    }
}

/// LIV-3: a baseline path that the author now lists is neither removed nor added.
#[test]
fn sections_are_compared_completed_and_normalised() {
    let listed = "filesystem_policy: {include_workdir: true, read_only: [/srv//, /usr/./, /opt], read_write: [/data, /tmp]}\n";
    assert_eq!(taken(FILES, listed), [""; 0]);
    assert_eq!(taken(listed, FILES), [""; 0]);
    // `/usr` was granted read-only by the baseline; a list that takes its place is a move.
    let moved = "filesystem_policy: {include_workdir: true, read_only: [/srv, /opt], read_write: [/data, /usr]}\n";
    assert_eq!(
        refused(FILES, moved),
        [
            "filesystem_policy.read_only: `/usr` cannot be removed on a live sandbox, nor move to read_write"
        ]
    );
}

/// PD-12, LIV-3
#[test]
fn what_was_fixed_at_the_start_is_refused_by_name() {
    let cases: [(&str, &str, &[&str]); 8] = [
        (
            FILES,
            "filesystem_policy: {include_workdir: true, read_only: [/srv], read_write: [/data]}\n",
            &["filesystem_policy.read_only: `/opt` cannot be removed on a live sandbox"],
        ),
        (
            FILES,
            "filesystem_policy: {include_workdir: true, read_only: [/srv], read_write: [/data, /opt]}\n",
            &[
                "filesystem_policy.read_only: `/opt` cannot be removed on a live sandbox, nor move to read_write",
            ],
        ),
        (
            FILES,
            "filesystem_policy: {include_workdir: true, read_only: [/srv, /opt, /data]}\n",
            &[
                "filesystem_policy.read_write: `/data` cannot be removed on a live sandbox, nor move to read_only",
            ],
        ),
        (
            FILES,
            "",
            &["filesystem_policy: the section cannot be removed on a live sandbox"],
        ),
        (
            FILES,
            "filesystem_policy: {read_only: [/srv, /opt], read_write: [/data]}\n",
            &[
                "filesystem_policy.include_workdir: cannot change from true to false on a live sandbox",
            ],
        ),
        (
            "",
            "landlock: {compatibility: hard_requirement}\n",
            &[
                "landlock.compatibility: cannot change from best_effort to hard_requirement on a live sandbox",
            ],
        ),
        (
            "process: {run_as_user: a}\n",
            "process: {run_as_user: b, run_as_group: g}\n",
            &[
                "process.run_as_user: cannot change from `a` to `b` on a live sandbox",
                "process.run_as_group: cannot change from `` to `g` on a live sandbox",
            ],
        ),
        (
            "process: {run_as_user: a}\n",
            NETWORK,
            &["process.run_as_user: cannot change from `a` to `` on a live sandbox"],
        ),
    ];
    for (created, next, expected) in cases {
        assert_eq!(refused(created, next), expected, "{created:?} → {next:?}");
    }
}

/// LIV-3: the measure is the policy of the creation, so what a later version added may go again.
#[test]
fn a_path_that_came_later_may_go() {
    let more = "filesystem_policy: {include_workdir: true, read_only: [/srv, /opt, /new], read_write: [/data]}\n";
    assert_eq!(taken(FILES, more), ["/new"]);
    assert_eq!(taken(FILES, FILES), [""; 0]);
}

/// PD-13, LIV-5
#[test]
fn the_order_of_a_map_changes_no_hash() {
    let entry = |key: &str| {
        format!(
            "  {key}: {{endpoints: [{{host: {key}.example, port: 443}}], binaries: [{{path: /x}}]}}\n"
        )
    };
    let policy = |first: &str, second: &str| {
        document(&format!(
            "network_policies:\n{}{}",
            entry(first),
            entry(second)
        ))
    };
    assert_eq!(policy("a", "b").hash(), policy("b", "a").hash());
    assert_ne!(policy("a", "b").hash(), policy("a", "c").hash());
}
