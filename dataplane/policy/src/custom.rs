//! An operator's own Rego in place of the built-in rules (RGO-6).
//!
//! Apart from `rego`, which is the specification of the table, because this text comes from outside: it may be
//! wrong, slow or hostile. So it is never evaluated where connections are served. What is here is pure: the text
//! and its data as a value ([`Rules`]), what is asked of them as bytes ([`question`]), the evaluation of one
//! question ([`Evaluator`], for a process that may be killed), and what its answer means ([`Ruling`]). Who runs
//! the process and for how long is not known here.
//!
//! Invariants: the bytes of a question are all that the rules see of a caller and a target, so that they may be
//! the key of a cache; an answer that is missing, undefined or malformed is a denial (RGO-4); and rules open
//! nothing that no policy can open: names, addresses and ports are judged behind them as behind the table.

mod evaluator;
pub mod question;
mod rules;
mod ruling;
#[cfg(test)]
mod tests;

pub use evaluator::Evaluator;
pub use rules::{Rules, data_file};

use crate::answer::{Answer, Question, answer_by};
use crate::compile::Policy;

/// What the gate answers to a question under `policy`, whose rules `ask` puts it to (CLI-17).
pub fn answer(policy: &Policy, asked: &Question, ask: impl Fn(&[u8]) -> Ruling) -> Answer {
    let Question { caller, target, .. } = asked;
    let connection = || {
        let mut bytes = Vec::new();
        question::connect(&mut bytes, caller, target);
        connect(policy, target, &ask(&bytes))
    };
    answer_by(policy, asked, connection, |line| {
        let mut bytes = Vec::new();
        let path = line.path.as_bytes();
        question::request(&mut bytes, caller, target, line.method, path, line.query);
        request(policy, target, line, &ask(&bytes))
    })
}
pub use ruling::{Ruling, connect, request};
