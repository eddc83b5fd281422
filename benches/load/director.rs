//! The run: starts the processes, measures every line of the suite in turns, prints.
//!
//! The ways of a line take turns, so that a slow minute of the machine hits all of them; what is printed is the run
//! with the median figure. A run that was disturbed is repeated, and marked when it stays so.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime};

use crate::client::{self, Job};
use crate::cpu::{self, Threads};
use crate::report::{self, Measured, Report};
use crate::scenario::{Kind, SUITE, Scenario, Way};
use crate::tally::Tally;
use crate::{Outcome, cell, gate, origin, relay, stage, sys};

/// Measures what `words` name: all of the suite when they name nothing.
pub(crate) fn run(words: &[&str]) -> Outcome<()> {
    let plan = Plan::of(words);
    sys::pin(stage::ENDS_CORE)?;
    let unset = stage::set()?;
    let directory = Directory::new()?;
    settle()?;
    let mut world = World::start(&directory.0)?;
    let mut report = Report::new();
    report.line(&report::heading(&unset, &plan.says()))?;
    for scenario in SUITE {
        if plan.names.iter().any(|name| scenario.name == name) || plan.names.is_empty() {
            measure(&mut world, scenario, &plan, &mut report)?;
        }
    }
    report.save()
}

/// Waits until this program is no longer a young file, which the gate would hash anew for every connection.
fn settle() -> Outcome<()> {
    let changed = fs::metadata(std::env::current_exe()?)?.modified()?;
    let age = SystemTime::now()
        .duration_since(changed)
        .unwrap_or_default();
    std::thread::sleep(YOUNG.saturating_sub(age));
    Ok(())
}

const YOUNG: Duration = Duration::from_secs(4);

/// How long and how often.
struct Plan {
    names: Vec<String>,
    runs: usize,
    warm_ms: u64,
    run_ms: u64,
}

impl Plan {
    fn of(words: &[&str]) -> Plan {
        let quick =
            words.contains(&"--quick") || std::env::var_os("RINGFENCE_BENCH_QUICK").is_some();
        let seconds = words
            .iter()
            .find_map(|word| word.strip_prefix("--seconds="));
        let names = words
            .iter()
            .filter(|word| !word.starts_with('-'))
            .map(|word| (*word).to_owned())
            .collect();
        let (runs, warm_ms, run_ms) = if quick { (1, 100, 300) } else { (3, 250, 1500) };
        let run_ms = seconds
            .and_then(|seconds| seconds.parse::<u64>().ok())
            .map_or(run_ms, |seconds| seconds * 1000);
        Plan {
            names,
            runs,
            warm_ms,
            run_ms,
        }
    }

    fn says(&self) -> String {
        format!(
            "{} runs of {} ms each; the one with the median figure is shown",
            self.runs, self.run_ms
        )
    }
}

fn measure(
    world: &mut World,
    scenario: &Scenario,
    plan: &Plan,
    report: &mut Report,
) -> Outcome<()> {
    report.line(&format!("\n{}: {}", scenario.name, scenario.question))?;
    report.line(report::COLUMNS)?;
    let mut runs: Vec<Vec<Measured>> = scenario.ways.iter().map(|_| Vec::new()).collect();
    let mut repeats = vec![plan.runs - 1; runs.len()];
    for _ in 0..plan.runs {
        for ((way, runs), repeats) in scenario.ways.iter().zip(&mut runs).zip(&mut repeats) {
            let mut measured = world.measure(scenario, *way, plan)?;
            if measured.is_disturbed() && *repeats > 0 {
                *repeats -= 1;
                measured = world.measure(scenario, *way, plan)?;
            }
            runs.push(measured);
        }
    }
    let mut shown: Vec<(Way, Measured)> = Vec::new();
    for (way, mut runs) in scenario.ways.iter().zip(runs) {
        runs.sort_by(|one, other| {
            one.figure(scenario.figure)
                .total_cmp(&other.figure(scenario.figure))
        });
        let median = runs.swap_remove(runs.len() / 2);
        report.measured(scenario, *way, &median, &shown)?;
        shown.push((*way, median));
    }
    Ok(())
}

/// The processes of a run. They end with the namespace.
struct World {
    directory: PathBuf,
    origin: Process,
    copy: Process,
    splice: Process,
    gate: Process,
    /// The load that goes through the gate as a sandbox does.
    seen: Load,
    /// The load that goes all other ways.
    unseen: Load,
}

impl World {
    fn start(directory: &Path) -> Outcome<World> {
        let text = directory.display().to_string();
        let origin = Process::start(&[origin::ROLE, &text], directory)?.ready()?;
        let seen = Load::start(client::SEEN, directory)?;
        let unseen = Load::start(client::UNSEEN, directory)?;
        let copy_port = relay::COPY_PORT.to_string();
        let splice_port = relay::SPLICE_PORT.to_string();
        Ok(World {
            copy: Process::start(&[relay::ROLE, &copy_port, relay::COPY], directory)?.ready()?,
            splice: Process::start(&[relay::ROLE, &splice_port, relay::SPLICE], directory)?
                .ready()?,
            gate: Process::start(&[gate::ROLE, &seen.name, &unseen.name, &text], directory)?
                .ready()?,
            directory: directory.to_owned(),
            origin,
            seen,
            unseen,
        })
    }

    fn measure(&mut self, scenario: &Scenario, way: Way, plan: &Plan) -> Outcome<Measured> {
        let is_chat = matches!(scenario.kind, Kind::Chat(_));
        let (middle, port, authority) = match way {
            Way::Direct => (self.origin.id(), None, origin::CA_FILE),
            Way::RelayCopy => (self.copy.id(), Some(relay::COPY_PORT), origin::CA_FILE),
            Way::RelaySplice => (self.splice.id(), Some(relay::SPLICE_PORT), origin::CA_FILE),
            Way::Gate => (self.gate.id(), Some(gate::PORT), gate::CA_FILE),
            Way::GateUnseen => (self.gate.id(), Some(gate::UNSEEN_PORT), gate::CA_FILE),
        };
        let job = Job {
            kind: scenario.kind.clone(),
            connections: scenario.connections,
            through: port.map(|port| -> SocketAddr { stage::middle(port) }),
            authority: self.directory.join(authority).display().to_string(),
            idle: scenario.idle,
            crowd: scenario.crowd,
            // Streams take their time to be in step, TLS to be open.
            warm_ms: plan.warm_ms * if is_chat { 2 } else { 1 },
            run_ms: plan.run_ms,
        };
        let load = match way {
            Way::Gate => &mut self.seen,
            Way::Direct | Way::RelayCopy | Way::RelaySplice | Way::GateUnseen => &mut self.unseen,
        };
        let load_process = load.process;
        load.cell.say(&serde_json::to_string(&job)?)?;
        let line = load.cell.hear()?;
        if line != "begin" {
            return Err(format!("the load said {line:?}").into());
        }
        let before = self.sample(middle, load_process)?;
        let load = match way {
            Way::Gate => &mut self.seen,
            Way::Direct | Way::RelayCopy | Way::RelaySplice | Way::GateUnseen => &mut self.unseen,
        };
        let tally: Tally = serde_json::from_str(&load.cell.hear()?)?;
        let after = self.sample(middle, load_process)?;
        let middle = after.middle.since(&before.middle);
        let core_ns = (after.core_ticks - before.core_ticks) * 10_000_000;
        let load_ns = after.load.since(&before.load).ran_ns;
        Ok(Measured {
            load_ns,
            beside_ns: match way {
                Way::Direct => load_ns,
                Way::RelayCopy | Way::RelaySplice | Way::Gate | Way::GateUnseen => 0,
            },
            origin_ns: after.origin.since(&before.origin).ran_ns,
            others_ns: match way {
                Way::Direct => 0,
                Way::RelayCopy | Way::RelaySplice | Way::Gate | Way::GateUnseen => {
                    core_ns.saturating_sub(middle.ran_ns)
                }
            },
            middle,
            resident_kib: after.resident_kib,
            tally,
        })
    }

    fn sample(&self, middle: u32, load: u32) -> Outcome<Sample> {
        Ok(Sample {
            middle: Threads::of(middle)?,
            load: Threads::of(load)?,
            origin: Threads::of(self.origin.id())?,
            resident_kib: cpu::resident_kib(middle),
            core_ticks: cpu::core_busy_ticks(stage::MIDDLE_CORE)?,
        })
    }
}

/// A load and the cell it lives in.
struct Load {
    /// Starts the load, whose lines come through it.
    cell: Process,
    process: u32,
    /// As the gate is told.
    name: String,
}

impl Load {
    fn start(kind: &str, directory: &Path) -> Outcome<Load> {
        let mut cell = Process::start(&[cell::ROLE, kind], directory)?;
        let init = cell.hear()?;
        let calls = match kind {
            client::SEEN => cell.hear()?.replace("calls ", ":"),
            _ => String::new(),
        };
        let cell = cell.ready()?;
        let children = fs::read_to_string(format!("/proc/{init}/task/{init}/children"))?;
        let process = children.trim().parse()?;
        Ok(Load {
            cell,
            process,
            name: format!("{init}:{process}{calls}"),
        })
    }
}

struct Sample {
    middle: Threads,
    load: Threads,
    origin: Threads,
    core_ticks: u64,
    resident_kib: u64,
}

/// One role of this program, and the lines it is told and says.
struct Process {
    child: Child,
    told: ChildStdin,
    says: BufReader<ChildStdout>,
}

impl Process {
    fn start(words: &[&str], directory: &Path) -> Outcome<Process> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(words)
            // The gate trusts the origin as a host trusts its authorities.
            .env("SSL_CERT_FILE", directory.join(origin::CA_FILE))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (told, says) = (child.stdin.take(), child.stdout.take());
        Ok(Process {
            child,
            told: told.ok_or("standard input is piped")?,
            says: BufReader::new(says.ok_or("standard output is piped")?),
        })
    }

    fn ready(mut self) -> Outcome<Process> {
        match self.hear()?.as_str() {
            "ready" => Ok(self),
            other => Err(format!("{other:?} instead of ready").into()),
        }
    }

    fn say(&mut self, line: &str) -> Outcome<()> {
        writeln!(self.told, "{line}")?;
        Ok(self.told.flush()?)
    }

    fn hear(&mut self) -> Outcome<String> {
        let mut line = String::new();
        match self.says.read_line(&mut line)? {
            0 => Err("a process of the run ended".into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }

    fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Whatever it is doing: the run is over.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A directory that goes away with the run.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Outcome<Directory> {
        let path = std::env::temp_dir().join(format!("ringfence-bench-{}", clock_name()));
        fs::create_dir(&path)?;
        Ok(Directory(path))
    }
}

/// The number of this process is 1 in every run.
fn clock_name() -> u64 {
    origin::clock_ns()
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}
