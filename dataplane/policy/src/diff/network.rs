//! Connections, requests and addresses, piece by piece.
//!
//! Apart from `sections`, whose fields are compared as they stand.

use std::collections::{BTreeMap, BTreeSet};

use wire::{Authority, Port, Slashes};

use super::atoms::{self, Piece};
use super::{Change, Difference, Pair, Proof, Subject};
use crate::address::Block;
use crate::answer::{Answer, Entry, Outcome, Question, RequestLine};
use crate::caller::{Caller, Executable};
use crate::document::{Endpoint, Grant, Inspection, NetworkPolicy, Rule, Tls};
use crate::pattern::Glob;
use crate::witness::{self, Domain, Extent, Search};

/// Finds all there are, or says that it gave up.
pub(super) fn differences(pair: &Pair, found: &mut Vec<Difference>) -> Extent {
    let (programs, mut extent) = programs(pair);
    let endpoints: Vec<&Endpoint> = pair
        .documents()
        .into_iter()
        .flat_map(atoms::endpoints)
        .collect();
    let ports: BTreeSet<u16> = endpoints
        .iter()
        .map(|endpoint| endpoint.port.number())
        .collect();
    let mut asked = 0;
    for port in ports.into_iter().filter_map(Port::new) {
        for host in atoms::hosts(&endpoints, port) {
            for program in &programs {
                let spot = Spot {
                    pair,
                    program,
                    target: Authority {
                        host: host.member.clone(),
                        port,
                    },
                    label: format!("{}:{port}", host.label),
                };
                connection(&spot, found);
                addresses(&spot, found);
                let (questions, whole) =
                    requests(&spot, found, QUESTIONS_MAX.saturating_sub(asked));
                asked += questions;
                if whole == Extent::Cut || asked >= QUESTIONS_MAX {
                    extent = Extent::Cut;
                }
            }
        }
    }
    extent
}

/// Programs that the same policies of both documents list.
struct Programs {
    labels: Vec<String>,
    caller: Caller,
}

fn programs(pair: &Pair) -> (Vec<Programs>, Extent) {
    let policies: Vec<&NetworkPolicy> = pair
        .documents()
        .into_iter()
        .flat_map(|document| document.network_policies.values())
        .collect();
    let globs: Vec<&Glob> = policies
        .iter()
        .flat_map(|policy| policy.binaries.iter().map(|binary| &binary.path))
        .collect();
    let (pieces, extent) = atoms::globs(Domain::Program, &globs);
    let mut grouped: BTreeMap<Vec<bool>, Programs> = BTreeMap::new();
    for Piece { label, member } in pieces {
        let lists = |policy: &&NetworkPolicy| {
            policy
                .binaries
                .iter()
                .any(|binary| binary.path.matches(&member))
        };
        let listed: Vec<bool> = policies.iter().map(lists).collect();
        let group = grouped.entry(listed).or_insert_with(|| Programs {
            labels: Vec::new(),
            caller: caller(&member),
        });
        if !group.labels.contains(&label) {
            group.labels.push(label);
        }
    }
    (grouped.into_values().collect(), extent)
}

fn caller(path: &[u8]) -> Caller {
    let exe = Executable {
        path: path.into(),
        sha256: [0; 32],
    };
    Caller {
        exe,
        ..Caller::from_paths("/", &[])
    }
}

/// Programs and a host with its port.
struct Spot<'p> {
    pair: &'p Pair,
    program: &'p Programs,
    target: Authority,
    label: String,
}

impl Spot<'_> {
    fn question(&self) -> Question {
        Question {
            caller: self.program.caller.clone(),
            target: self.target.clone(),
            entry: Entry::Tunnel,
            request: None,
            addresses: None,
        }
    }

    fn difference(&self, subject: Subject, change: Change, proof: Proof) -> Difference {
        Difference {
            change,
            subject,
            programs: self.program.labels.clone(),
            targets: vec![self.label.clone()],
            methods: Vec::new(),
            what: None,
            before: words(&proof.before),
            after: words(&proof.after),
            witness: Some(proof.witness),
        }
    }

    /// Endpoints of both policies that matter here.
    fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        let documents = self.pair.documents().into_iter();
        let policies = documents.flat_map(|document| document.network_policies.values());
        let holds = |policy: &&NetworkPolicy| {
            let paths = || self.program.caller.paths();
            policy
                .binaries
                .iter()
                .any(|binary| paths().any(|path| binary.path.matches(path)))
        };
        policies
            .filter(holds)
            .flat_map(|policy| &policy.endpoints)
            .filter(|endpoint| {
                let host = endpoint.destination.host();
                endpoint.port == self.target.port
                    && host.is_none_or(|host| host.matches(&self.target.host))
            })
    }
}

fn words(answer: &Answer) -> String {
    match (answer.outcome, &answer.connection) {
        (Outcome::Deny, _) if answer.reason.is_empty() => {
            answer.code.map_or("deny", wire::Code::as_str).to_owned()
        }
        (Outcome::Deny, _) => answer.reason.clone(),
        (Outcome::Audit, _) => "audit".to_owned(),
        (Outcome::Allow, Some(connection)) => match connection.inspection {
            None => "allow, uninspected".to_owned(),
            Some(Tls::Passthrough) => "allow, inspected in plain HTTP".to_owned(),
            Some(Tls::Terminate) => "allow, inspected".to_owned(),
        },
        (Outcome::Allow, None) => "allow".to_owned(),
    }
}

fn connection(spot: &Spot<'_>, found: &mut Vec<Difference>) {
    let question = spot.question();
    if let Some(proof) = spot.pair.ask(&question, |answer| answer.outcome) {
        let change = proof.change();
        found.push(spot.difference(Subject::Connection, change, proof));
        return;
    }
    let inspection = |answer: &Answer| {
        answer
            .connection
            .as_ref()
            .map(|connection| connection.inspection)
    };
    if let Some(proof) = spot.pair.ask(&question, inspection) {
        found.push(spot.difference(Subject::Inspection, Change::Changes, proof));
    }
}

fn addresses(spot: &Spot<'_>, found: &mut Vec<Difference>) {
    let plain = spot.question();
    let allowed = |policy| crate::answer::answer(policy, &plain).outcome != Outcome::Deny;
    if spot.target.host.literal().is_some() || !allowed(&spot.pair.old) || !allowed(&spot.pair.new)
    {
        return;
    }
    let lists = spot
        .endpoints()
        .filter_map(|endpoint| endpoint.destination.allowed_ips());
    let blocks: Vec<&Block> = lists.flat_map(|list| list.blocks()).collect();
    let mut named: Vec<(Change, String)> = Vec::new();
    for Piece { label, member } in atoms::addresses(&blocks) {
        let question = Question {
            addresses: Some(vec![member]),
            ..spot.question()
        };
        let Some(proof) = spot.pair.ask(&question, |answer| answer.outcome) else {
            continue;
        };
        let change = proof.change();
        if !named.contains(&(change, label.clone())) {
            named.push((change, label.clone()));
            let what = Some(label);
            found.push(Difference {
                what,
                ..spot.difference(Subject::Addresses, change, proof)
            });
        }
    }
}

/// Requests: how many questions were asked, and whether those were all.
fn requests(spot: &Spot<'_>, found: &mut Vec<Difference>, budget: usize) -> (usize, Extent) {
    // That a connection is closed says all about its requests.
    if crate::answer::answer(&spot.pair.new, &spot.question()).outcome == Outcome::Deny {
        return (0, Extent::Whole);
    }
    let inspections: Vec<&Inspection> = spot
        .endpoints()
        .filter_map(|endpoint| endpoint.inspection.as_ref())
        .collect();
    if inspections.is_empty() {
        return (0, Extent::Whole);
    }
    let rules: Vec<&Rule> = inspections
        .iter()
        .flat_map(|inspection| rules(inspection))
        .collect();
    let everything = Glob::new("**");
    let paths = inspections.iter().map(|inspection| &inspection.path);
    let globs: Vec<&Glob> = paths
        .chain(rules.iter().map(|rule| &rule.path))
        .chain([&everything])
        .collect();
    let (pieces, extent) = atoms::globs(Domain::Path(Slashes::Escaped), &globs);
    let (methods, queries) = (methods(&rules), queries(&rules));
    let mut asked = 0;
    for Piece { label, member } in &pieces {
        for (query, query_label) in &queries {
            for (method, method_label) in &methods {
                if asked >= budget {
                    return (asked, Extent::Cut);
                }
                asked += 1;
                let request = RequestLine {
                    method: method.clone(),
                    path: String::from_utf8_lossy(member).into_owned(),
                    query: query.clone(),
                };
                let question = Question {
                    request: Some(request),
                    ..spot.question()
                };
                let Some(proof) = spot.pair.ask(&question, |answer| answer.outcome) else {
                    continue;
                };
                let change = proof.change();
                let difference = spot.difference(Subject::Request, change, proof);
                found.push(Difference {
                    methods: vec![method_label.clone()],
                    what: Some(format!("{label}{query_label}")),
                    ..difference
                });
            }
        }
    }
    (asked, extent)
}

fn rules(inspection: &Inspection) -> impl Iterator<Item = &Rule> {
    let granted = match &inspection.grant {
        Grant::Access(_) => &[][..],
        Grant::Rules(rules) => rules,
    };
    granted.iter().chain(&inspection.deny_rules)
}

/// Every method that a rule or a preset names, and one that none does.
fn methods(rules: &[&Rule]) -> Vec<(String, String)> {
    let preset = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];
    let mut methods: Vec<String> = preset.iter().map(|method| (*method).to_owned()).collect();
    for rule in rules {
        if rule.method != "*" && !methods.contains(&rule.method) {
            methods.push(rule.method.clone());
        }
    }
    let fresh = ["PURGE".to_owned(), "X-OTHER".to_owned()];
    let other = fresh.into_iter().find(|method| !methods.contains(method));
    let mut labelled: Vec<(String, String)> = methods
        .into_iter()
        .map(|method| (method.clone(), method))
        .collect();
    labelled.extend(other.map(|method| (method, "any other method".to_owned())));
    labelled
}

/// No query, and for every rule that asks for one a query that satisfies it.
fn queries(rules: &[&Rule]) -> Vec<(Option<String>, String)> {
    let mut queries = vec![(None, String::new())];
    for rule in rules.iter().filter(|rule| !rule.query.is_empty()) {
        let pair = |(name, glob): (&String, &Glob)| match witness::find(Domain::Text, &[glob], &[])
        {
            Search::Found(value) => {
                Some(format!("{}={}", encoded(name.as_bytes()), encoded(&value)))
            }
            Search::Nothing | Search::Unknown => None,
        };
        let pairs: Option<Vec<String>> = rule.query.iter().map(pair).collect();
        let Some(pairs) = pairs else {
            continue;
        };
        let shown: Vec<String> = rule
            .query
            .iter()
            .map(|(name, glob)| format!("{name}={glob}"))
            .collect();
        let query = (Some(pairs.join("&")), format!("?{}", shown.join("&")));
        if !queries.contains(&query) {
            queries.push(query);
        }
    }
    queries
}

fn encoded(text: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: &u8| match plain(*byte) {
        true => char::from(*byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.iter().map(one).collect()
}

/// Questions about requests in one comparison: some seconds of work.
const QUESTIONS_MAX: usize = 1_000_000;
