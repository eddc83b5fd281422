//! The types of providers (PRV-1): a table, for the gateway and for the command line.
//!
//! Apart from `policy::route::Profile`, which says how three of them back inference: here is what a type is called and
//! which variables of an environment are its credentials. Pure: the environment comes as a function.

use std::collections::BTreeMap;

/// One row of PRV-1.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// The type as it is stored.
    pub name: &'static str,
    /// Another spelling of it.
    pub alias: Option<&'static str>,
    /// What `--from-existing` takes; without any it is an error.
    pub variables: &'static [&'static str],
}

/// Every type there is.
pub static KINDS: [Kind; 10] = [
    row("claude", None, &["ANTHROPIC_API_KEY", "CLAUDE_API_KEY"]),
    row("codex", None, &["OPENAI_API_KEY"]),
    row(
        "opencode",
        None,
        &["OPENCODE_API_KEY", "OPENROUTER_API_KEY", "OPENAI_API_KEY"],
    ),
    row("openai", None, &["OPENAI_API_KEY"]),
    row("anthropic", None, &["ANTHROPIC_API_KEY"]),
    row("nvidia", None, &["NVIDIA_API_KEY"]),
    row(
        "gitlab",
        Some("glab"),
        &["GITLAB_TOKEN", "GLAB_TOKEN", "CI_JOB_TOKEN"],
    ),
    row("github", Some("gh"), &["GITHUB_TOKEN", "GH_TOKEN"]),
    row("generic", None, &[]),
    row("outlook", None, &[]),
];

/// The type of a name or alias: trimmed, letter case ignored.
pub fn kind(text: &str) -> Option<&'static Kind> {
    let text = text.trim();
    let is = |name: &str| name.eq_ignore_ascii_case(text);
    KINDS
        .iter()
        .find(|kind| is(kind.name) || kind.alias.is_some_and(is))
}

/// The variables of a type that are set and not blank (PRV-2).
pub fn discover(kind: &Kind, env: &dyn Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
    let set = |name: &&str| env(name).filter(|value| !value.trim().is_empty());
    kind.variables
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), set(name)?)))
        .collect()
}

/// Every type, for messages and completions.
pub fn names() -> String {
    KINDS.each_ref().map(|kind| kind.name).join(", ")
}

const fn row(
    name: &'static str,
    alias: Option<&'static str>,
    variables: &'static [&'static str],
) -> Kind {
    Kind {
        name,
        alias,
        variables,
    }
}

#[cfg(test)]
mod tests;
