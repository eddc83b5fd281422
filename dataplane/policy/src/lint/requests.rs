//! Request rules that never match, or that others make pointless.
//!
//! Apart from `endpoints` because these look at one endpoint alone.

use wire::Slashes;

use super::{Effect, Findings, cover};
use crate::document::{EncodedSlash, Grant, Inspection, Rule};
use crate::pattern::Glob;
use crate::witness::{self, Domain, Search};

/// A rule, and how its problem names it.
struct Placed<'d> {
    rule: &'d Rule,
    path: String,
    /// `rules[2]`
    name: String,
}

pub(super) fn rules(findings: &mut Findings, at: &str, inspection: &Inspection) {
    if never(&[&inspection.path], Slashes::Escaped) {
        let message = "no canonical path matches: the endpoint covers no request";
        findings.add(format!("{at}.path"), Effect::Some, message);
        return;
    }
    let list = match &inspection.grant {
        Grant::Access(_) => &[][..],
        Grant::Rules(rules) => rules,
    };
    let place = |name: &str, behind: &str, rules: &'_ [Rule]| -> Vec<(String, String)> {
        (0..rules.len())
            .map(|index| {
                let name = format!("{name}[{index}]");
                (format!("{at}.{name}{behind}"), name)
            })
            .collect()
    };
    let placed = |rules, names: Vec<(String, String)>| -> Vec<Placed<'_>> {
        std::iter::zip::<&[Rule], _>(rules, names)
            .map(|(rule, (path, name))| Placed { rule, path, name })
            .collect()
    };
    let grants = placed(list, place("rules", ".allow", list));
    let refusals = placed(
        &inspection.deny_rules,
        place("deny_rules", "", &inspection.deny_rules),
    );
    let grants = living(findings, inspection, grants);
    slashed(findings, inspection, &grants);
    let refusals = living(findings, inspection, refusals);
    let grants = unshadowed(findings, inspection, grants);
    let refusals = unshadowed(findings, inspection, refusals);
    overruled(findings, at, inspection, &grants, &refusals);
}

/// Reports rules that match nothing, and gives the others back.
fn living<'d>(
    findings: &mut Findings,
    inspection: &Inspection,
    rules: Vec<Placed<'d>>,
) -> Vec<Placed<'d>> {
    rules
        .into_iter()
        .filter(|Placed { rule, path, .. }| {
            let message = if rule.method == "CONNECT" {
                "never matches: a CONNECT on an inspected connection is refused before any rule"
                    .to_owned()
            } else if never(&[&rule.path], Slashes::Escaped) {
                format!(
                    "never matches: no canonical path looks like `{}`{}",
                    rule.path,
                    hint(&rule.path)
                )
            } else if never(&[&rule.path, &inspection.path], Slashes::Escaped) {
                format!(
                    "never matches: the endpoint covers `{}` only",
                    inspection.path
                )
            } else {
                return true;
            };
            findings.add(path.clone(), Effect::None, message);
            false
        })
        .collect()
}

/// Reports grants of nothing but paths with `%2F` that the endpoint does not let through.
fn slashed(findings: &mut Findings, inspection: &Inspection, grants: &[Placed<'_>]) {
    if inspection.encoded_slash == EncodedSlash::Allow {
        return;
    }
    for Placed { rule, path, .. } in grants {
        if never(&[&rule.path, &inspection.path], Slashes::Plain) {
            let message =
                "allows nothing: `%2F` is refused unless the endpoint sets `allow_encoded_slash`";
            findings.add(path.clone(), Effect::Some, message);
        }
    }
}

/// Reports rules that others of the same list make pointless, from the last to the first, each judged
/// by those that remain: all that are reported can be taken out together. First those that one other
/// hides, so that the widest stay.
fn unshadowed<'d>(
    findings: &mut Findings,
    inspection: &Inspection,
    mut rules: Vec<Placed<'d>>,
) -> Vec<Placed<'d>> {
    let hides = |outer: &[&Rule], inner: &Rule| cover::rule(outer, inner, &inspection.path);
    for index in (0..rules.len()).rev() {
        let found = rules.get(index).and_then(|inner| {
            let mut others = others(&rules, index);
            let outer = others.find(|outer| hides(&[outer.rule], inner.rule))?;
            Some(if outer.rule == inner.rule {
                format!("says the same as `{}`", outer.name)
            } else {
                format!("adds nothing: `{}` is wider", outer.name)
            })
        });
        report(findings, &mut rules, index, found);
    }
    for index in (0..rules.len()).rev() {
        let found = rules.get(index).and_then(|inner| {
            let others: Vec<&Rule> = others(&rules, index).map(|other| other.rule).collect();
            let message = "adds nothing: the other rules together are wider";
            hides(&others, inner.rule).then(|| message.to_owned())
        });
        report(findings, &mut rules, index, found);
    }
    rules
}

fn others<'r, 'd>(rules: &'r [Placed<'d>], index: usize) -> impl Iterator<Item = &'r Placed<'d>> {
    let others = rules.iter().enumerate();
    others
        .filter(move |(other, _)| *other != index)
        .map(|(_, other)| other)
}

/// Takes a rule out of the list and reports it, when something was found about it.
fn report(
    findings: &mut Findings,
    rules: &mut Vec<Placed<'_>>,
    index: usize,
    found: Option<String>,
) {
    if let Some(message) = found {
        let rule = rules.remove(index);
        findings.add(rule.path, Effect::None, message);
    }
}

/// Reports grants that deny rules take back whole.
fn overruled(
    findings: &mut Findings,
    at: &str,
    inspection: &Inspection,
    grants: &[Placed<'_>],
    refusals: &[Placed<'_>],
) {
    let everything = Rule {
        method: "*".to_owned(),
        path: Glob::new("**"),
        query: std::collections::BTreeMap::new(),
    };
    let wins = |refusal: &Rule, grant: &Rule| cover::rule(&[refusal], grant, &inspection.path);
    if let Some(all) = refusals
        .iter()
        .find(|refusal| wins(refusal.rule, &everything))
    {
        let message = format!("refuses every request that `{at}` covers, whoever allows it");
        findings.add(all.path.clone(), Effect::Some, message);
        return;
    }
    for grant in grants {
        if let Some(refusal) = refusals
            .iter()
            .find(|refusal| wins(refusal.rule, grant.rule))
        {
            let message = format!("allows nothing: `{}` refuses all of it", refusal.name);
            findings.add(grant.path.clone(), Effect::None, message);
        }
    }
}

fn never(globs: &[&Glob], slashes: Slashes) -> bool {
    witness::find(Domain::Path(slashes), globs, &[]) == Search::Nothing
}

/// What a canonical path would say instead.
fn hint(path: &Glob) -> &'static str {
    let text = path.as_str();
    if text.contains("//") {
        "; repeated slashes are collapsed first"
    } else if text.contains("/./")
        || text.contains("/../")
        || text.ends_with("/.")
        || text.ends_with("/..")
    {
        "; dot segments are resolved first"
    } else if text.contains('%') {
        "; escapes of plain characters are decoded first, others are in upper case"
    } else {
        "; a path holds this as an escape such as `%20`"
    }
}
