//! The reference of every verb and flag in `docs/cli.md`, made from `args`.
//!
//! A test and no verb: what is committed is what the binary knows, or the test fails. `UPDATE=1` writes it anew.

use std::fmt::Write;
use std::path::Path;

use clap::{Arg, ArgAction, Command, CommandFactory};

use crate::args::Cli;

/// CLI-1 to CLI-24, as far as they are verbs and flags.
#[test]
fn the_reference_in_the_docs_is_what_the_binary_knows() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md");
    let committed = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = committed.split_once(BEGIN).expect("a begin mark");
    let (_, after) = rest.split_once(END).expect("an end mark");
    let whole = format!("{before}{BEGIN}\n{}{END}{after}", reference());
    if std::env::var_os("UPDATE").is_some_and(|update| update == "1") {
        std::fs::write(&path, whole).unwrap();
        return;
    }
    assert!(
        committed == whole,
        "docs/cli.md is not what `ringfence --help` says; UPDATE=1 cargo test -p ringfence reference"
    );
}

/// A secret in a variable must not be in a help text.
#[test]
fn no_help_text_shows_the_value_of_a_variable_but_those_of_run() {
    let mut command = Cli::command();
    command.build();
    for (path, command) in verbs(&command) {
        let shown = command
            .get_arguments()
            .filter(|arg| arg.get_env().is_some() && !arg.is_hide_env_values_set());
        if path != "ringfence run" {
            let shown: Vec<_> = shown.map(|arg| arg.get_id().as_str()).collect();
            assert!(shown.is_empty(), "{path}: {shown:?}");
        }
    }
}

fn reference() -> String {
    let mut command = Cli::command();
    command.build();
    let mut out = String::new();
    write!(out, "\nFlags of every verb:\n\n{}", flags(&command)).unwrap();
    for (path, command) in verbs(&command) {
        let about = command
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        write!(out, "\n### `{path}{}`\n\n{about}.\n", operands(command)).unwrap();
        let flags = flags(command);
        if !flags.is_empty() {
            write!(out, "\n{flags}").unwrap();
        }
    }
    out.push('\n');
    out
}

/// Every verb that does something, with all the words that lead to it.
fn verbs(command: &Command) -> Vec<(String, &Command)> {
    fn walk<'a>(path: &str, command: &'a Command, all: &mut Vec<(String, &'a Command)>) {
        for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
            let path = format!("{path} {}", verb.get_name());
            // The same verbs as `cluster inference`, under their short name.
            if path.starts_with("ringfence inference") {
                continue;
            }
            if !verb.is_subcommand_required_set() {
                all.push((path.clone(), verb));
            }
            walk(&path, verb, all);
        }
    }
    let mut all = Vec::new();
    walk(command.get_name(), command, &mut all);
    all
}

fn operands(command: &Command) -> String {
    let operand = |arg: &Arg| {
        let name = value(arg);
        let many = arg
            .get_num_args()
            .is_some_and(|range| range.max_values() > 1)
            || matches!(arg.get_action(), ArgAction::Append);
        let dots = if many { "…" } else { "" };
        let dashes = if arg.is_last_set() { "-- " } else { "" };
        match arg.is_required_set() {
            true => format!(" {dashes}{name}{dots}"),
            false => format!(" [{dashes}{name}{dots}]"),
        }
    };
    command.get_positionals().map(operand).collect()
}

fn value(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
    names.join(" ")
}

/// The flags of one verb, without those of every verb.
fn flags(command: &Command) -> String {
    let is_root = command.get_name() == "ringfence";
    let mut rows = String::new();
    for arg in command.get_arguments() {
        let told = matches!(arg.get_id().as_str(), "help" | "version");
        if arg.is_hide_set() || told || arg.is_global_set() != is_root {
            continue;
        }
        let long = arg.get_long().map(|long| format!("--{long}"));
        let short = arg.get_short().map(|short| format!("-{short}"));
        let spelled: Vec<String> = short.into_iter().chain(long).collect();
        let takes = arg.get_action().takes_values();
        let flag = match (spelled.is_empty(), takes) {
            (true, _) => value(arg),
            (false, true) => format!("{} {}", spelled.join(", "), value(arg)),
            (false, false) => spelled.join(", "),
        };
        let variable = match arg.get_env() {
            Some(name) => format!("`{}`", name.to_string_lossy()),
            None => String::new(),
        };
        let what = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let (flag, what) = (cell(&flag), cell(&(what + &possible(arg) + &default(arg))));
        writeln!(rows, "| `{flag}` | {variable} | {what} |").unwrap();
    }
    match rows.is_empty() {
        true => rows,
        false => format!("| flag | variable | what |\n|---|---|---|\n{rows}"),
    }
}

fn possible(arg: &Arg) -> String {
    let values = arg.get_possible_values();
    if values.is_empty() || !arg.get_action().takes_values() {
        return String::new();
    }
    let names: Vec<&str> = values.iter().map(|value| value.get_name()).collect();
    format!(": {}", names.join(", "))
}

fn default(arg: &Arg) -> String {
    let values = arg.get_default_values();
    if values.is_empty() || !arg.get_action().takes_values() {
        return String::new();
    }
    let values: Vec<_> = values.iter().map(|value| value.to_string_lossy()).collect();
    format!(" [default: {}]", values.join(" "))
}

/// A bar would end the cell; an angle bracket would be taken for HTML.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
        .replace('<', "&lt;")
        .replace('\n', " ")
}

const BEGIN: &str =
    "<!-- reference: made from the flags by cli/src/reference.rs; UPDATE=1 rewrites it -->";
const END: &str = "<!-- end of the reference -->";
