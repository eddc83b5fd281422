//! One question evaluated by the rules, with nothing to stop it.
//!
//! Apart from everything a data plane runs: a single call of a builtin may take seconds or gigabytes, and nothing
//! inside the engine ends it (docs/decisions/0013). So whoever calls [`Evaluator::answer`] does it where time and
//! memory are taken away from outside. The interpreter is the engine of the built-in rules; its bytecode twin is
//! faster and does not take, or answers differently, modules that it takes.
//!
//! Invariants: no builtin with a clock, I/O or randomness answers; every rule of RGO-3 is asked in one evaluation,
//! so verdict, configuration and reasons are of one piece (RGO-5).

use std::fmt::Write;

use regorus::languages::rego::compiler::{Compiler, CompilerError, SpannedCompilerError};
use regorus::{Engine, Rc, Value};
use serde_json::{Map, json};

use super::question;
use super::rules::{Rules, problem};
use crate::rego::glob_matches;
use crate::source::Problem;

/// Rules, ready to be asked.
pub struct Evaluator {
    engine: Engine,
}

impl Evaluator {
    /// Prepares the engine.
    ///
    /// # Errors
    /// As [`Rules::check`], as far as the engine tells at once.
    pub fn new(rules: &Rules) -> Result<Evaluator, Problem> {
        let mut engine = Engine::new();
        let fault = |error: &dyn std::fmt::Display| located(rules.file(), &error.to_string());
        let globs = Box::new(|arguments: Vec<Value>| Ok(glob_matches(&arguments)));
        // An extension stands before a builtin of its name: the one source of chance has no answer.
        let chance = Box::new(|_: Vec<Value>| {
            Err(std::io::Error::other("rand.intn is not available").into())
        });
        engine
            .add_extension("glob_matches".to_owned(), 2, globs)
            .map_err(|error| fault(&error))?;
        engine
            .add_extension(CHANCE.to_owned(), 2, chance)
            .map_err(|error| fault(&error))?;
        let package = engine
            .add_policy(rules.file().to_owned(), rules.text().to_owned())
            .map_err(|error| fault(&error))?;
        if package != "data.ringfence.sandbox" {
            let line = rules
                .text()
                .lines()
                .position(|line| line.trim_start().starts_with("package"))
                .and_then(|line| u32::try_from(line + 1).ok());
            let message = format!("expected package ringfence.sandbox, found {package}");
            return Err(problem(rules.file(), line.map(|line| (line, 1)), message));
        }
        let gate = gate(|rule| {
            engine
                .has_declared_rule_rooted_at(rules.file(), rule)
                .unwrap_or(false)
        });
        let Some(gate) = gate else {
            let message = "the module must define network_action, which is \"allow\" or \"deny\"";
            return Err(problem(rules.file(), Some((1, 1)), message.to_owned()));
        };
        engine
            .add_policy("ringfence-gate.rego".to_owned(), gate)
            .map_err(|error| fault(&error))?;
        engine
            .add_data(rules.data()?)
            .map_err(|error| fault(&error))?;
        // The engine prepares everything at its first question, which is none of anybody's.
        engine
            .eval_rule(READY.to_owned())
            .map_err(|error| fault(&error))?;
        Ok(Evaluator { engine })
    }

    /// Answers one question, as [`super::Ruling::read`] takes it. Takes as long and as much as the rules do.
    pub fn answer(&mut self, question: &[u8]) -> Vec<u8> {
        let answer = match self.evaluate(question) {
            Ok(answer) => answer,
            Err(failed) => json!({ "failed": failed }),
        };
        let bytes = serde_json::to_vec(&answer).unwrap_or_default();
        if bytes.len() > ANSWER_BYTES_MAX {
            return serde_json::to_vec(&json!({"failed": "the answer is too long"}))
                .unwrap_or_default();
        }
        bytes
    }

    fn evaluate(&mut self, question: &[u8]) -> Result<serde_json::Value, String> {
        let input = question::input(question).ok_or("the question is not readable")?;
        self.engine.set_input(Value::from(input));
        let value = self
            .engine
            .eval_rule(ENTRY.to_owned())
            .map_err(|error| error.to_string())?;
        let pairs = value.as_set().map_err(|error| error.to_string())?;
        let mut answer = Map::new();
        for pair in pairs.iter() {
            let mut pair = pair.as_array().map_err(|error| error.to_string())?.iter();
            if let (Some(name), Some(value)) = (pair.next(), pair.next()) {
                let name = name.as_string().map_err(|error| error.to_string())?;
                let value = serde_json::to_value(value).map_err(|error| error.to_string())?;
                answer.insert(name.to_string(), value);
            }
        }
        Ok(serde_json::Value::Object(answer))
    }
}

/// Finds what keeps rules from being evaluated at all.
pub(super) fn check(rules: &Rules) -> Result<(), Problem> {
    let mut evaluator = Evaluator::new(rules)?;
    let fault = |error: &dyn std::fmt::Display| located(rules.file(), &error.to_string());
    let entry: Rc<str> = ENTRY.into();
    let compiled = evaluator
        .engine
        .compile_with_entrypoint(&entry)
        .map_err(|error| fault(&error))?;
    // The interpreter finds a missing function when it is called; the compiler of the bytecode finds it now. What
    // else that compiler does not take, the interpreter may.
    match Compiler::compile_from_policy_with_host_await(&compiled, &[ENTRY], &[("glob_matches", 2)])
    {
        Ok(program) => {
            let chance = program
                .builtin_info_table
                .iter()
                .any(|builtin| builtin.name == CHANCE);
            if chance {
                let message = format!("{CHANCE} is not available: a decision has no chance in it");
                return Err(problem(
                    rules.file(),
                    place_of(rules.text(), CHANCE),
                    message,
                ));
            }
            Ok(())
        }
        Err(SpannedCompilerError {
            error: CompilerError::UnknownFunction { name },
            span,
        }) => {
            let at = span.map(|span| {
                (
                    span.line,
                    start_of(rules.text(), &name, span.line, span.col),
                )
            });
            let message = format!("there is no function {name}");
            Err(problem(rules.file(), at, message))
        }
        Err(_) => Ok(()),
    }
}

/// The module that asks the rules of RGO-3 which are defined, all at once; `None` without `network_action`.
///
/// Names are written out in full: through an import each would be evaluated with its whole package.
fn gate(defined: impl Fn(&str) -> bool) -> Option<String> {
    if !defined("network_action") {
        return None;
    }
    let mut gate = "package ringfence.gate\n\nimport rego.v1\n\nready := true\n".to_owned();
    for (rule, when) in ASKED {
        if defined(rule) {
            // Writing to a text cannot fail.
            _ = write!(
                gate,
                "\nanswer contains [\"{rule}\", data.ringfence.sandbox.{rule}]{when}\n"
            );
        }
    }
    Some(gate)
}

/// The rules of RGO-3, and when they are asked.
const ASKED: [(&str, &str); 9] = [
    ("network_action", ""),
    ("matched_network_policy", ""),
    ("matched_endpoint_config", ALLOWED),
    ("inspected", ALLOWED),
    ("deny_reason", DENIED),
    ("deny_reason", OF_A_REQUEST),
    ("allow_request", OF_A_REQUEST),
    ("deny_request", OF_A_REQUEST),
    ("request_deny_reason", OF_A_REQUEST),
];
const ALLOWED: &str = " if data.ringfence.sandbox.network_action == \"allow\"";
const DENIED: &str = " if data.ringfence.sandbox.network_action != \"allow\"";
const OF_A_REQUEST: &str = " if input.request";

/// A message of the engine with its place. The engine tells places in its text alone: `--> file:line:column`, and
/// the sentence behind `error: `; its text is kept where it has no such place.
fn located(file: &str, text: &str) -> Problem {
    let at = text
        .split_once(&format!("--> {file}:"))
        .and_then(|(_, rest)| {
            let (line, rest) = rest.split_once(':')?;
            let column: String = rest.chars().take_while(char::is_ascii_digit).collect();
            Some((line.parse().ok()?, column.parse().ok()?))
        });
    let sentence = text
        .rsplit_once("error: ")
        .map_or(text, |(_, sentence)| sentence);
    problem(file, at, sentence.trim().to_owned())
}

/// The column where a called name starts: the engine tells that, or the bracket behind a name with dots.
fn start_of(text: &str, name: &str, line: u32, column: u32) -> u32 {
    let len = u32::try_from(name.len()).unwrap_or_default();
    let before = column.saturating_sub(len);
    let starts = |column: u32| {
        let line = usize::try_from(line.checked_sub(1)?).ok()?;
        let column = usize::try_from(column.checked_sub(1)?).ok()?;
        Some(text.lines().nth(line)?.get(column..)?.starts_with(name))
    };
    if starts(before) == Some(true) {
        before
    } else {
        column
    }
}

/// Where `word` first stands in `text`.
fn place_of(text: &str, word: &str) -> Option<(u32, u32)> {
    let (line, column) = text
        .lines()
        .enumerate()
        .find_map(|(line, text)| Some((line, text.find(word)?)))?;
    Some((
        u32::try_from(line + 1).ok()?,
        u32::try_from(column + 1).ok()?,
    ))
}

const CHANCE: &str = "rand.intn";
const ENTRY: &str = "data.ringfence.gate.answer";
const READY: &str = "data.ringfence.gate.ready";

/// Longest answer: names, reasons and one endpoint.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
