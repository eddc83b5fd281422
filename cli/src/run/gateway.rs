//! `run` with a gateway: the sandbox's record there, what its providers supply, and the stream that brings policy and
//! routes (CLI-1a, POL-10, DPL).
//!
//! Apart from `run`, which starts a sandbox with or without one. In the order of a start: `place` (which gateway, as whom),
//! `calls` (what is asked of it as an operator), `site` (how what it says is put in force), `clerk` (what goes on beside
//! the command: a record that could not be made yet, a policy that is written back).
//!
//! Invariants: a sandbox without a gateway never waits for one; the usual gateway keeps no sandbox from starting when it
//! does not answer, unless something of it was asked for; without one that was named a sandbox starts by a policy that was
//! named, or not at all, as the gateway may have a stricter one than the default; a record of an unnamed run is deleted
//! with its run.

mod calls;
mod clerk;
mod place;
mod site;

use std::ffi::OsString;
use std::time::Duration;

use link::{Claim, Gateway, Subscription, Timing};
use policy::custom::Rules;
use policy::{PolicyDocument, SandboxId};
use proto::v1::{SandboxPolicy, SandboxReport};

use super::Stop;
use crate::args::RunArgs;
use crate::inputs;
use crate::print::{self, USAGE};
use crate::settings::{Chosen, Settings};
use calls::{CallError, Calls, Claimed, Wanted};
use clerk::{Clerk, Job, Last};
use place::Place;
pub(super) use site::Later;
use site::{RoutesOf, RunSite};

/// A sandbox whose record is at a gateway, or will be.
pub(super) struct Joined {
    place: Place,
    calls: Calls,
    wanted: Wanted,
    claimed: Option<Claimed>,
}

impl Joined {
    /// Finds the gateway that is meant and makes the record. `None` without one.
    pub(super) fn begin(
        args: &RunArgs,
        settings: &Settings,
        name: &str,
        document: &PolicyDocument,
    ) -> Result<Option<Joined>, Stop> {
        let Some(place) = place::of(args, settings, name)? else {
            return match args.providers.is_empty() {
                true => Ok(None),
                false => Err(Stop {
                    code: USAGE,
                    why: "--provider needs a gateway; start one with `ringfence gateway`, or name one with --gateway".to_owned(),
                }),
            };
        };
        let wanted = Wanted {
            name: name.to_owned(),
            stays: args.name.is_some(),
            policy: message(args, document)?,
            providers: args.providers.clone(),
        };
        let calls = Calls::new(&place);
        let claimed = match calls.claim(&wanted) {
            Ok(claimed) => Some(claimed),
            Err(CallError::Away(why)) if wanted.providers.is_empty() => {
                let address = &place.operator.address;
                match (place.chosen, &args.policy) {
                    (Chosen::ByDefault, _) => {
                        print::message(format_args!(
                            "warning: no gateway answers at {address}; running from files"
                        ));
                        return Ok(None);
                    }
                    (Chosen::ByName, Some(_)) => print::message(format_args!(
                        "warning: the gateway at {address} does not answer, and is tried again: {why}"
                    )),
                    (Chosen::ByName, None) => {
                        return Err(Stop::own(format_args!(
                            "the gateway at {address} does not answer, and which policy it has is not known: {why}; start it, or say with --policy what holds until it is there"
                        )));
                    }
                }
                None
            }
            Err(error) => return Err(error.stop(&place)),
        };
        Ok(Some(Joined {
            place,
            calls,
            wanted,
            claimed,
        }))
    }

    /// The id of the record, when there is one.
    pub(super) fn id(&self) -> Option<&str> {
        self.claimed.as_ref().map(|claimed| claimed.id.as_str())
    }

    /// The start ends here, before the gateway is followed: an unnamed sandbox is forgotten.
    pub(super) fn give_up(self) {
        clerk::forget(&self.calls, &self.wanted, self.claimed.as_ref());
    }

    /// Says that a policy that was given is not the one in force, when it is another one (POL-10).
    pub(super) fn compare(&self, args: &RunArgs, given: &PolicyDocument, stored: &PolicyDocument) {
        let claimed = self.claimed.as_ref();
        let stored_rego = claimed
            .and_then(|claimed| claimed.policy.as_ref())
            .map_or("", |policy| &policy.rego);
        let hash = |document: &PolicyDocument, rego: &str| {
            let mut complete = document.clone();
            complete.complete();
            policy_proto::hash(&complete, rego)
        };
        let is_same = hash(given, &self.wanted.policy.rego) == hash(stored, stored_rego);
        let flags = [
            ("--policy", &args.policy),
            ("--policy-rules", &args.policy_rules),
        ];
        let given: String = flags
            .iter()
            .filter_map(|(flag, file)| Some(format!(" {flag} {}", file.as_ref()?.display())))
            .collect();
        if !is_same && !given.is_empty() {
            print::message(format_args!(
                "warning: the gateway has another policy of {name}, and that one is in force; `ringfence policy set {name}{given}` replaces it",
                name = self.wanted.name
            ));
        }
    }

    /// The gateway, for people.
    pub(super) fn address(&self) -> String {
        self.place.operator.address.to_string()
    }

    /// The policy that the record has; it is the sandbox's (POL-10).
    pub(super) fn stored(&self) -> Result<Option<(PolicyDocument, Option<Rules>)>, Stop> {
        let Some(stored) = self
            .claimed
            .as_ref()
            .and_then(|claimed| claimed.policy.as_ref())
        else {
            return Ok(None);
        };
        let unusable = |why: String| {
            let name = &self.wanted.name;
            Stop::own(format!(
                "the policy that the gateway has of {name} cannot be used; set another with `ringfence policy set {name}`:\n{why}"
            ))
        };
        let read = policy_proto::document(stored).map_err(|faults| unusable(faults.to_string()))?;
        let mut complete = read.document.clone();
        complete.complete();
        let rules = policy_proto::rules(&complete, &stored.rego);
        if let Some(rules) = &rules {
            inputs::check(rules).map_err(unusable)?;
        }
        Ok(Some((read.document, rules)))
    }

    /// Follows the gateway, and waits a while for what it has to say first.
    pub(super) fn follow(self, setting: Setting<'_>) -> Result<Following, Stop> {
        let Joined {
            place,
            calls,
            wanted,
            claimed,
        } = self;
        let (jobs, inbox) = clerk::inbox();
        let site = RunSite {
            record: String::new(),
            sandbox: setting.sandbox.clone(),
            created: setting.created.clone(),
            routes_of: match setting.args.routes.is_some() || setting.args.model.is_some() {
                true => RoutesOf::File,
                false => RoutesOf::Gateway,
            },
            snapshots: setting.data_plane.snapshots().clone(),
            records: setting.data_plane.records().clone(),
            later: setting.later.clone(),
            jobs: jobs.clone(),
            in_force: site::InForce::default(),
        };
        let follow = Follow {
            subscriber: setting.data_plane.subscriber().clone(),
            place,
            site,
        };
        let mut credentials = Ok(Vec::new());
        let (subscription, waiting) = match &claimed {
            None => (None, Some(follow)),
            Some(claimed) => {
                let subscription = follow.begin(&claimed.id, &wanted.name)?;
                if subscription.wait_ready(READY_TIME).is_none() {
                    print::message(
                        "warning: the gateway has not sent what it has yet; inference answers when it does",
                    );
                }
                if setting.later.is_elsewhere() {
                    return Err(Stop::own(format_args!(
                        "the sandbox {name} belongs to another host and is not served here; delete it with `ringfence sandbox delete {name}`, or take another name",
                        name = wanted.name
                    )));
                }
                credentials = calls
                    .environment(&claimed.id)
                    .map_err(|error| Stop::own(format!("the providers' credentials: {error}")));
                (Some(subscription), None)
            }
        };
        let clerk = Clerk {
            calls,
            wanted,
            claimed,
            subscription,
            waiting,
            said: None,
        };
        let clerk = clerk::start(clerk, jobs, inbox).map_err(Stop::own)?;
        let mut following = Following {
            credentials: Vec::new(),
            clerk,
            later: setting.later.clone(),
        };
        match credentials {
            Ok(credentials) => {
                following.credentials = credentials;
                Ok(following)
            }
            Err(stop) => {
                following.failed(&stop);
                Err(stop)
            }
        }
    }
}

/// What a start has ready when the gateway is followed.
pub(super) struct Setting<'a> {
    pub(super) args: &'a RunArgs,
    pub(super) sandbox: &'a SandboxId,
    /// The policy the sandbox is created with, as its author wrote it (LIV-3).
    pub(super) created: &'a PolicyDocument,
    pub(super) data_plane: &'a dataplane::DataPlane,
    pub(super) later: &'a Later,
}

/// A gateway that is followed.
pub(super) struct Following {
    /// Variables of attached providers (PRV-10).
    pub(super) credentials: Vec<(OsString, OsString)>,
    clerk: clerk::Running,
    later: Later,
}

impl Following {
    /// The command runs.
    pub(super) fn started(&self, report: SandboxReport) {
        self.clerk.tell(Job::Started(Box::new(report)));
    }

    /// The command has ended: an unnamed sandbox is forgotten, and of a named one nothing is known from now on.
    pub(super) fn end(self) {
        self.later.ended();
        self.clerk.end(Last::Ended);
    }

    /// The start has ended instead.
    pub(super) fn failed(self, stop: &Stop) {
        self.later.ended();
        self.clerk.end(Last::NotStarted(stop.why.clone()));
    }
}

/// Everything a stream needs but the id of the record.
struct Follow {
    subscriber: link::Subscriber,
    place: Place,
    site: RunSite,
}

impl Follow {
    fn begin(self, id: &str, name: &str) -> Result<Subscription, Stop> {
        let Follow {
            subscriber,
            place,
            mut site,
        } = self;
        id.clone_into(&mut site.record);
        let gateway = Gateway {
            peer: place.host,
            host_id: place.host_id,
            claims: vec![Claim {
                id: id.to_owned(),
                local: name.to_owned(),
            }],
            max_stale: place.max_stale,
            timing: Timing::default(),
            site: Box::new(site),
        };
        subscriber.follow(gateway).map_err(Stop::own)
    }
}

/// What POL-9 gave, as it is stored. A gateway takes own rules, and makes what they judge by from the policy.
fn message(args: &RunArgs, document: &PolicyDocument) -> Result<SandboxPolicy, Stop> {
    let mut message = policy_proto::message(document);
    if let Some(path) = &args.policy_rules {
        message.rego = inputs::read(path).map_err(Stop::own)?;
    }
    Ok(message)
}

/// How long a start waits for the first generation of a gateway that answered.
const READY_TIME: Duration = Duration::from_secs(10);
