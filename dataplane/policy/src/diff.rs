//! What one policy grants and another does not (`policy diff`).
//!
//! Apart from a comparison of texts because two texts can grant the same and one character can grant
//! the world. The patterns of both policies cut programs, hosts, paths and addresses into pieces on
//! which neither policy changes its mind (`atoms`); each piece is asked about once under both.
//! Invariant: no line without a witness: a question that `answer` answers differently under the two
//! policies is part of every difference of the network, and `Proof` is the only way to one.
//!
//! Callers are asked about with one program and no ancestors. Which connections are allowed is settled
//! by that; a process with several listed ancestors is also bound by the deny rules of all of them.

mod atoms;
mod network;
mod print;
mod sections;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use serde::Serialize;

use crate::answer::{Answer, Entry, Outcome, Question, answer};
use crate::compile::Policy;
use crate::document::PolicyDocument;

/// All differences, and whether everything was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// What differs; what opens something first.
    pub differences: Vec<Difference>,
    /// Whether there may be more: the policies have too many pieces to ask about all.
    pub cut: bool,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What the second policy does to it.
    pub change: Change,
    /// What it is about.
    pub subject: Subject,
    /// Programs: patterns, each for what it matches and no narrower one does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<String>,
    /// Hosts with their ports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
    /// Methods, where it is about requests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// What else it is about: a path pattern, an address block, a field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    /// What the first policy says.
    pub before: String,
    /// What the second says.
    pub after: String,
    /// A question the two answer differently; fields of the policy itself have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witness: Option<Witness>,
}

/// What the second policy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Grants more.
    Opens,
    /// Grants the same otherwise, or something that is neither more nor less.
    Changes,
    /// Grants less.
    Closes,
}

/// What a difference is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// Whether a connection is allowed.
    Connection,
    /// Whether requests on it are judged.
    Inspection,
    /// Whether a request is allowed.
    Request,
    /// Which addresses may be dialled.
    Addresses,
    /// The `inference` section.
    Inference,
    /// The files.
    Filesystem,
    /// As whom, and how strictly.
    Process,
}

/// A question, in the words of `policy explain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Witness {
    /// Executable.
    pub binary: String,
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Method of a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Its path, with its query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Address of the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
}

/// Compares two policies.
pub fn diff(old: &PolicyDocument, new: &PolicyDocument) -> Comparison {
    let pair = Pair {
        old: Policy::compile(old.clone()),
        new: Policy::compile(new.clone()),
    };
    let mut differences = Vec::new();
    let extent = network::differences(&pair, &mut differences);
    sections::differences(old, new, &mut differences);
    let mut differences = merged(differences);
    differences.sort_by_key(|difference| (difference.change, difference.subject));
    Comparison {
        differences,
        cut: extent == crate::witness::Extent::Cut,
    }
}

/// Both policies, compiled.
struct Pair {
    old: Policy,
    new: Policy,
}

/// A question with its two answers, which differ.
struct Proof {
    witness: Witness,
    before: Answer,
    after: Answer,
}

impl Pair {
    fn documents(&self) -> [&PolicyDocument; 2] {
        [self.old.document(), self.new.document()]
    }

    /// Asks both; a proof only when they answer differently in what `differs` looks at.
    fn ask<T: PartialEq>(
        &self,
        question: &Question,
        differs: impl Fn(&Answer) -> T,
    ) -> Option<Proof> {
        let (before, after) = (answer(&self.old, question), answer(&self.new, question));
        (differs(&before) != differs(&after)).then(|| Proof {
            witness: Witness::of(question),
            before,
            after,
        })
    }
}

impl Proof {
    /// The direction of a change of outcome: what is forwarded and recorded is open.
    fn change(&self) -> Change {
        let open = |answer: &Answer| answer.outcome != Outcome::Deny;
        match (open(&self.before), open(&self.after)) {
            (false, true) => Change::Opens,
            (true, false) => Change::Closes,
            (true, true) | (false, false) => Change::Changes,
        }
    }
}

impl Witness {
    fn of(question: &Question) -> Witness {
        let line = question.request.as_ref();
        let target = |line: &crate::answer::RequestLine| match &line.query {
            Some(query) => format!("{}?{query}", line.path),
            None => line.path.clone(),
        };
        let addresses = question.addresses.as_deref();
        debug_assert_eq!(question.entry, Entry::Tunnel, "witnesses are tunnels");
        Witness {
            binary: String::from_utf8_lossy(&question.caller.exe.path).into_owned(),
            host: question.target.host.to_string(),
            port: question.target.port.number(),
            method: line.map(|line| line.method.clone()),
            path: line.map(target),
            ip: addresses.and_then(|addresses| addresses.first().copied()),
        }
    }
}

/// Differences that say the same of several methods or targets, as one; the first witness stays.
fn merged(differences: Vec<Difference>) -> Vec<Difference> {
    let by_target = joined(
        differences,
        |known, new| known.targets == new.targets,
        |known, new| {
            for method in new.methods {
                if !known.methods.contains(&method) {
                    known.methods.push(method);
                }
            }
        },
    );
    joined(
        by_target,
        |known, new| known.methods == new.methods,
        |known, new| known.targets.extend(new.targets),
    )
}

/// Joins differences that say the same into the first of them, where `alike` holds as well.
fn joined(
    differences: Vec<Difference>,
    alike: impl Fn(&Difference, &Difference) -> bool,
    join: impl Fn(&mut Difference, Difference),
) -> Vec<Difference> {
    let mut joined: Vec<Difference> = Vec::new();
    for difference in differences {
        let same =
            |known: &&mut Difference| known.says_as(&difference) && alike(known, &difference);
        match joined.iter_mut().find(same) {
            Some(known) => join(known, difference),
            None => joined.push(difference),
        }
    }
    joined
}

impl Difference {
    /// Whether both say the same of the network, wherever it is about. Fields of the policy stand for themselves.
    fn says_as(&self, other: &Difference) -> bool {
        self.witness.is_some()
            && other.witness.is_some()
            && (self.change, self.subject) == (other.change, other.subject)
            && self.programs == other.programs
            && self.what == other.what
            && (&self.before, &self.after) == (&other.before, &other.after)
    }
}
