//! The entry that decided, and those that nearly did.
//!
//! Apart from `words` because these point at entries of the document, with their lines. Invariant:
//! what is said of an entry is true of it; which entries are near is a matter of taste.

use super::placed::{Placed, admitting, all, matching};
use super::request::{Request, allows, preset, shown};
use super::words::{self, reaches};
use super::{Matched, Near};
use crate::answer::{Answer, Outcome, Question, Stage};
use crate::document::Grant;
use crate::lint::policy_path;
use crate::pattern::HostPattern;
use crate::source::Loaded;

/// The entry that decided.
pub(super) fn matched(loaded: &Loaded, question: &Question, answer: &Answer) -> Option<Matched> {
    let point = |path: String, detail: String| Matched {
        line: loaded.places.line(&path),
        path,
        detail,
    };
    let matching = matching(loaded, question, answer);
    if answer.outcome == Outcome::Deny && answer.reason != crate::decision::DENY_RULE {
        return None;
    }
    let request = Request::of(question);
    for placed in &matching {
        let at = placed.path();
        let Some((inspection, request)) = placed.endpoint.inspection.as_ref().zip(request.as_ref())
        else {
            let endpoint = words::place(placed.endpoint);
            let detail = match &placed.endpoint.inspection {
                None => format!("{endpoint}, every request on it"),
                Some(_) => format!("{endpoint}, its requests judged one by one"),
            };
            if answer.outcome == Outcome::Allow {
                return Some(point(at, detail));
            }
            continue;
        };
        if !request.is_covered_by(inspection) {
            continue;
        }
        match (
            answer.outcome,
            request.denied(inspection),
            &inspection.grant,
        ) {
            (Outcome::Deny, Some((index, rule)), _) => {
                return Some(point(format!("{at}.deny_rules[{index}]"), shown(rule)));
            }
            (Outcome::Allow, None, Grant::Access(access)) if allows(*access, request.method) => {
                return Some(point(format!("{at}.access"), preset(*access)));
            }
            (Outcome::Allow, None, Grant::Rules(rules)) => {
                let mut rules = rules.iter().enumerate();
                let fits = rules.find(|(_, rule)| request.differences(rule).is_empty());
                if let Some((index, rule)) = fits {
                    return Some(point(format!("{at}.rules[{index}].allow"), shown(rule)));
                }
            }
            (Outcome::Audit, None, _) => {
                return Some(point(at, "its `enforcement` is `audit`".to_owned()));
            }
            (Outcome::Allow | Outcome::Audit | Outcome::Deny, _, _) => {}
        }
    }
    None
}

/// The entries that nearly matched a denied question.
pub(super) fn near(loaded: &Loaded, question: &Question, answer: &Answer) -> Vec<Near> {
    let mut near = match answer.failed {
        Some(Stage::Endpoint) => endpoints(loaded, question),
        Some(Stage::Binary) => binaries(loaded, question),
        Some(Stage::Request) => requests(loaded, question, answer),
        Some(Stage::Address | Stage::RequestAddress) => addresses(loaded, question, answer),
        Some(
            Stage::Inference
            | Stage::InferenceBinaries
            | Stage::NetworkPolicies
            | Stage::SpecialName
            | Stage::Path
            | Stage::AllowedIps
            | Stage::Private,
        )
        | None => Vec::new(),
    };
    near.truncate(NEAR_MAX);
    near
}

fn endpoints(loaded: &Loaded, question: &Question) -> Vec<Near> {
    let target = &question.target;
    let mut near = Vec::new();
    for placed in all(loaded) {
        let endpoint = placed.endpoint;
        let Some(pattern) = endpoint.destination.host() else {
            continue;
        };
        let port = endpoint.port == target.port;
        let relation = if pattern.matches(&target.host) {
            format!("the port is {}", target.port)
        } else if let Some(relation) = related(pattern, target.host.as_str()).filter(|_| port) {
            relation
        } else {
            continue;
        };
        let missing = format!(
            "policy `{}` reaches {}, {relation}",
            placed.key,
            words::place(endpoint)
        );
        near.push((!port, placed.near(loaded, placed.path(), missing)));
    }
    near.sort_by_key(|(other_port, _)| *other_port);
    near.into_iter().map(|(_, near)| near).collect()
}

/// How a host that a pattern does not match is still like it.
fn related(pattern: &HostPattern, host: &str) -> Option<String> {
    let below = |name: &str, root: &str| {
        let front = name.strip_suffix(root)?.strip_suffix('.')?;
        (!front.is_empty()).then(|| front.to_owned())
    };
    match pattern {
        HostPattern::OneLabel(suffix) | HostPattern::AnyLabels(suffix)
            if suffix.as_str() == host =>
        {
            Some(format!("which is not {host} itself"))
        }
        HostPattern::OneLabel(suffix) => below(host, suffix.as_str()).map(|front| {
            format!("which is one label, and `{front}` is more; `**.{suffix}` is any number")
        }),
        HostPattern::AnyLabels(_) => None,
        HostPattern::Exact(exact) if below(host, exact.as_str()).is_some() => {
            Some(format!("and {host} is a name below it"))
        }
        HostPattern::Exact(exact) if below(exact.as_str(), host).is_some() => {
            Some(format!("which is a name below {host}"))
        }
        HostPattern::Exact(exact) => {
            let parent = |name: &str| name.split_once('.').map(|(_, parent)| parent.to_owned());
            let shared = parent(exact.as_str()).filter(|parent| parent.contains('.'));
            (shared.is_some() && shared == parent(host) && exact.literal().is_none())
                .then(|| format!("which is a name beside {host}"))
        }
    }
}

fn binaries(loaded: &Loaded, question: &Question) -> Vec<Near> {
    let path = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let exe = path(&question.caller.exe.path);
    let name = |path: &str| path.rsplit('/').next().map(str::to_owned);
    let mut near: Vec<Near> = Vec::new();
    for placed in all(loaded).filter(|placed| reaches(placed.endpoint, &question.target)) {
        if near.iter().any(|near| near.policy == placed.key) {
            continue;
        }
        let patterns = placed
            .policy
            .binaries
            .iter()
            .map(|binary| binary.path.as_str());
        let same = patterns.clone().find(|pattern| name(pattern) == name(&exe));
        let ancestors = match question.caller.ancestors.len() {
            0 => String::new(),
            _ => " nor an ancestor".to_owned(),
        };
        let mut missing = format!(
            "policy `{}` reaches {}, but its binaries do not list {exe}{ancestors}",
            placed.key, question.target
        );
        if let Some(same) = same {
            missing += &format!("; it lists {same}");
        }
        let at = format!("{}.binaries", policy_path(placed.key));
        near.push(placed.near(loaded, at, missing));
    }
    near
}

fn requests(loaded: &Loaded, question: &Question, answer: &Answer) -> Vec<Near> {
    let Some(request) = Request::of(question) else {
        return Vec::new();
    };
    let asked = request.shown();
    let mut near: Vec<(usize, Near)> = Vec::new();
    for placed in matching(loaded, question, answer) {
        let (at, place) = (placed.path(), words::place(placed.endpoint));
        let Some(inspection) = &placed.endpoint.inspection else {
            continue;
        };
        if !request.is_covered_by(inspection) {
            let missing = format!("endpoint {place} covers {} only", inspection.path);
            near.push((3, placed.near(loaded, format!("{at}.path"), missing)));
            continue;
        }
        if let Some((index, rule)) = request.denied(inspection) {
            let missing = format!(
                "endpoint {place} refuses {}, which {asked} is; a deny rule wins over every grant",
                shown(rule)
            );
            near.push((
                0,
                placed.near(loaded, format!("{at}.deny_rules[{index}]"), missing),
            ));
            continue;
        }
        match &inspection.grant {
            Grant::Access(access) if !allows(*access, request.method) => {
                let missing = format!(
                    "endpoint {place} allows {}, the method is {}",
                    preset(*access),
                    request.method
                );
                near.push((1, placed.near(loaded, format!("{at}.access"), missing)));
            }
            Grant::Access(_) => near.push((0, slash(loaded, &placed))),
            Grant::Rules(rules) => {
                for (index, rule) in rules.iter().enumerate() {
                    let differences = request.differences(rule);
                    if differences.is_empty() {
                        near.push((0, slash(loaded, &placed)));
                        continue;
                    }
                    let missing = format!(
                        "endpoint {place} allows {}, {}",
                        shown(rule),
                        differences.join(" and ")
                    );
                    let path = format!("{at}.rules[{index}].allow");
                    near.push((differences.len(), placed.near(loaded, path, missing)));
                }
            }
        }
    }
    near.sort_by_key(|(distance, _)| *distance);
    let nearest = near.first().map_or(0, |(distance, _)| *distance);
    near.retain(|(distance, _)| *distance <= nearest.max(1));
    near.into_iter().map(|(_, near)| near).collect()
}

fn slash(loaded: &Loaded, placed: &Placed<'_>) -> Near {
    let missing = format!(
        "endpoint {} allows it but for `%2F`, which needs `allow_encoded_slash: true`",
        words::place(placed.endpoint)
    );
    placed.near(loaded, placed.path(), missing)
}

fn addresses(loaded: &Loaded, question: &Question, answer: &Answer) -> Vec<Near> {
    let mut near = Vec::new();
    for placed in admitting(loaded, question, answer) {
        let place = words::place(placed.endpoint);
        let (path, missing) = match placed.endpoint.destination.allowed_ips() {
            None => (
                placed.path(),
                format!(
                    "endpoint {place} has no `allowed_ips`, so it reaches public addresses only"
                ),
            ),
            Some(list) => (
                format!("{}.allowed_ips", placed.path()),
                format!(
                    "endpoint {place} reaches {} only",
                    words::list(list.blocks().iter())
                ),
            ),
        };
        near.push(placed.near(loaded, path, missing));
    }
    near
}

/// How many entries an explanation names.
const NEAR_MAX: usize = 5;
