//! A program that wants to be taken for another one, and the other one: the same file under several names.
//!
//! `impostor rounds KIND COUNT` plays one attack COUNT times and prints how the gate judged the connections. The other
//! verbs are the parts that processes of their own play; they say the verdict with their exit code. Never run outside of
//! a sandbox: there is nobody to ask.

mod alone;
mod calls;
mod gate;
mod together;

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use gate::{Verdict, ask, connect};

/// The name that the policy lists.
const LISTED: &str = "/mnt/bin/listed";
/// The name that it does not list.
const EVIL: &str = "/mnt/bin/evil";

fn main() -> ExitCode {
    if let Some(ringfence) = std::env::var_os("RINGFENCE_BENEATH") {
        return beneath_a_listener(&ringfence);
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<i32>().unwrap_or(-1);
    match words.as_slice() {
        ["rounds", kind, count] => rounds(kind, count.parse().unwrap_or(0)),
        ["call"] => code(ask(&connect(), gate::HOST)),
        // As a script is started: with its own name as the last argument.
        ["call", _script] => code(ask(&connect(), gate::HOST)),
        ["i386"] => {
            calls::connect_as_i386();
            ExitCode::SUCCESS
        }
        ["call-later"] => {
            drop(std::io::read_to_string(std::io::stdin()));
            code(ask(&connect(), gate::HOST))
        }
        ["speak", fd] => code(ask(&calls::inherited(number(fd)), gate::HOST)),
        ["answer", fd] => code(gate::answer(&calls::inherited(number(fd)))),
        ["take", queue] => match calls::take(&calls::inherited(number(queue))) {
            Some(socket) => code(ask(&socket, gate::HOST)),
            None => code(Verdict::Nothing),
        },
        ["give", queue] => {
            calls::give(&calls::inherited(number(queue)), &connect());
            ExitCode::SUCCESS
        }
        ["leave-behind", queue] => together::leave_behind(queue),
        ["tell", queue] => {
            let verdict = ask(&connect(), gate::HOST);
            let queue = calls::inherited(number(queue));
            rustix::io::write(&queue, &[verdict.code()]).expect("a reader");
            ExitCode::SUCCESS
        }
        ["connect-and-execute", then @ ..] => connect_and_execute(then),
        ["park-and-execute", queue, then @ ..] => {
            let queue = calls::inherited(number(queue));
            let socket = connect();
            gate::request(&socket, gate::HOST);
            calls::give(&queue, &socket);
            drop(socket);
            execute(then)
        }
        ["execute-beside", then @ ..] => together::execute_beside(then),
        ["join", socket, start] => together::join(number(socket), number(start)),
        ["port", port, door] => alone::from_port(number(port), number(door)),
        ["wait"] => {
            drop(std::io::read_to_string(std::io::stdin()));
            ExitCode::SUCCESS
        }
        _ => ExitCode::from(2),
    }
}

/// Becomes ringfence in a process whose calls a supervisor listens to, as some container runtimes do.
fn beneath_a_listener(ringfence: &std::ffi::OsStr) -> ExitCode {
    rustix::thread::set_no_new_privs(true).expect("a bit");
    // A filter that tells nothing, with a listener that lives on.
    calls::listen_to_nothing();
    let error = Command::new(ringfence)
        .env_remove("RINGFENCE_BENEATH")
        .args(std::env::args_os().skip(1))
        .exec();
    drop(error);
    ExitCode::from(3)
}

/// Connects with a descriptor that survives, and becomes another program.
fn connect_and_execute(then: &[&str]) -> ExitCode {
    let socket = connect();
    calls::keep_over_exec(&socket);
    execute(then)
}

/// Becomes the listed program.
fn execute(words: &[&str]) -> ExitCode {
    let error = Command::new(LISTED).args(words).exec();
    drop(error);
    ExitCode::from(3)
}

/// Plays one kind of round `count` times and says what came out.
fn rounds(kind: &str, count: usize) -> ExitCode {
    let Some(round) = alone::round(kind).or_else(|| together::round(kind)) else {
        return ExitCode::from(2);
    };
    let mut seen = [0; Verdict::ALL.len()];
    for _ in 0..count {
        seen[round() as usize] += 1;
    }
    let said: Vec<String> = Verdict::ALL
        .iter()
        .zip(seen)
        .filter(|(_, count)| *count > 0)
        .map(|(verdict, count)| format!("{verdict:?}={count}"))
        .collect();
    calls::say(&format!("{kind} {}", said.join(" ")));
    ExitCode::SUCCESS
}

fn code(verdict: Verdict) -> ExitCode {
    ExitCode::from(verdict.code())
}
