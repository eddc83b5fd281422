//! Asking the policy, from a worker.
//!
//! The one way to a decision in the data plane. A compiled table answers at once. An operator's own rules are
//! evaluated by a process of their own (`keeper`), so their answer is waited for; it is kept (`cache`), and asked for
//! once however many wait for it.
//!
//! Invariants: no rule is evaluated in this process; a question waits in a bounded queue of its sandbox and of no
//! other; what is not answered is denied (RGO-4); what is kept is kept by all that the rules were shown, for the
//! one version of the rules that said it.

mod asking;
mod cache;
mod frame;
mod keeper;
mod launch;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use policy::custom::{self, Rules, Ruling, question};
use policy::request::Asked;
use policy::{Caller, Decision, Denial, IdentityError, Policy, RequestDecision, SandboxId};
use wire::Authority;

pub use keeper::{RULES_VERB, rules_main};
pub use launch::{Evaluators, Prepared, RulesError};

use crate::worker::{Sandbox, Worker};
use cache::Cache;

/// May this caller connect there? Who is not known may nothing.
pub(crate) async fn connect(
    worker: &Worker,
    sandbox: &Sandbox,
    policy: &Policy,
    caller: Result<&Caller, IdentityError>,
    target: &Authority,
) -> Decision {
    let caller = match caller {
        Ok(caller) => caller,
        Err(error) => return Decision::Deny(Denial::code(error.code())),
    };
    let Some(rules) = policy.rules() else {
        return policy::connect(policy, caller, target);
    };
    // Boxed, as what a table never waits for.
    let ruling = Box::pin(ask(worker, sandbox, rules, |into| {
        question::connect(into, caller, target);
    }));
    custom::connect(policy, target, &ruling.await)
}

/// May this request on a connection of `caller` to `target` go through?
pub(crate) async fn request(
    worker: &Worker,
    sandbox: &Sandbox,
    policy: &Policy,
    caller: Result<&Caller, IdentityError>,
    target: &Authority,
    asked: &Asked<'_>,
) -> RequestDecision {
    let caller = match caller {
        Ok(caller) => caller,
        Err(error) => return RequestDecision::Deny(Denial::code(error.code())),
    };
    let Some(rules) = policy.rules() else {
        return policy::request(policy, caller, target, asked);
    };
    let ruling = Box::pin(ask(worker, sandbox, rules, |into| {
        let path = asked.path.as_bytes();
        question::request(into, caller, target, asked.method, path, asked.query);
    }));
    custom::request(policy, target, asked, &ruling.await)
}

/// What the rules say: from the cache, or from their process.
async fn ask(
    worker: &Worker,
    sandbox: &Sandbox,
    rules: &Arc<Rules>,
    write: impl FnOnce(&mut Vec<u8>),
) -> Ruling {
    let judge = worker.judges.of(worker, sandbox, rules);
    let mut asked = worker.judges.scratch.take();
    write(&mut asked);
    let known = judge.cache.borrow_mut().get(&asked);
    let waiting = match known {
        Some(ruling) => Ok(ruling),
        None => Err(judge.enqueue(&asked)),
    };
    worker.judges.scratch.replace(asked);
    match waiting {
        Ok(ruling) => ruling,
        Err(None) => Ruling::failed(),
        Err(Some(answer)) => answer
            .recv_async()
            .await
            .unwrap_or_else(|_| Ruling::failed()),
    }
}

/// The rules a worker asks, one judge for each sandbox and version.
#[derive(Default)]
pub(crate) struct Judges {
    all: RefCell<Vec<Rc<Judge>>>,
    /// Where a question is written before it is looked up.
    scratch: RefCell<Vec<u8>>,
}

/// Where an answer goes.
type Waiters = Vec<flume::Sender<Ruling>>;

/// One version of one sandbox's rules.
struct Judge {
    sandbox: SandboxId,
    rules: Arc<Rules>,
    cache: RefCell<Cache>,
    /// Who waits for which answer.
    waiting: RefCell<HashMap<Box<[u8]>, Waiters>>,
    questions: flume::Sender<Box<[u8]>>,
}

impl Judges {
    fn of(&self, worker: &Worker, sandbox: &Sandbox, rules: &Arc<Rules>) -> Rc<Judge> {
        let known =
            |judge: &&Rc<Judge>| Arc::ptr_eq(&judge.rules, rules) && judge.sandbox == sandbox.id;
        if let Some(judge) = self.all.borrow().iter().find(known) {
            return Rc::clone(judge);
        }
        self.sweep();
        let (questions, receive) = flume::bounded(worker.limits.rules_queue_max);
        let judge = Rc::new(Judge {
            sandbox: sandbox.id.clone(),
            rules: Arc::clone(rules),
            cache: RefCell::new(Cache::new(worker.limits.rules_cache_bytes_max)),
            waiting: RefCell::default(),
            questions,
        });
        self.all.borrow_mut().push(Rc::clone(&judge));
        monoio::spawn(asking::run(
            Rc::downgrade(&judge),
            receive,
            Arc::clone(rules),
            worker.evaluators.clone(),
            worker.offload.clone(),
            Rc::clone(&worker.deadlines),
        ));
        judge
    }

    /// Starts the process of a sandbox's rules before the first question.
    pub(crate) fn warm(&self, worker: &Worker, sandbox: &Sandbox, policy: &Policy) {
        if let Some(rules) = policy.rules() {
            self.of(worker, sandbox, rules);
        }
    }

    /// Lets go of rules that no snapshot holds any more; their processes end.
    pub(crate) fn sweep(&self) {
        self.all.borrow_mut().retain(|judge| {
            // One is the judge's, one the task's that asks.
            Arc::strong_count(&judge.rules) > 2 || !judge.waiting.borrow().is_empty()
        });
    }
}

impl Judge {
    /// A place among those who wait for the answer; `None` when the queue is full.
    fn enqueue(&self, question: &[u8]) -> Option<flume::Receiver<Ruling>> {
        let (answer, receive) = flume::bounded(1);
        let mut waiting = self.waiting.borrow_mut();
        match waiting.get_mut(question) {
            // As many as a sandbox has connections, at most.
            Some(others) => others.push(answer),
            None => {
                self.questions.try_send(question.into()).ok()?;
                waiting.insert(question.into(), vec![answer]);
            }
        }
        Some(receive)
    }

    /// Gives an answer to all who wait for it.
    fn settle(&self, question: &[u8], ruling: &Ruling) {
        for answer in self
            .waiting
            .borrow_mut()
            .remove(question)
            .unwrap_or_default()
        {
            // Who went away no longer wants it.
            _ = answer.try_send(ruling.clone());
        }
    }
}

#[cfg(test)]
mod tests;
