//! What the kernel says a process used: every thread's time on a core, and its time in the queue for one.

use std::collections::BTreeMap;
use std::fs;

use crate::Outcome;

/// The threads of one process at one moment.
#[derive(Default)]
pub(crate) struct Threads(BTreeMap<u32, Thread>);

struct Thread {
    name: String,
    ran_ns: u64,
    waited_ns: u64,
}

/// What a process used between two moments.
#[derive(Default, Clone)]
pub(crate) struct Used {
    /// User and system time of all its threads.
    pub(crate) ran_ns: u64,
    /// Time in the queue, all threads together.
    pub(crate) waited_ns: u64,
    /// The part of it that its own other threads cannot explain.
    pub(crate) disturbed_ns: u64,
    /// Time by name of thread, numbers at the end of names left out.
    pub(crate) by_name: BTreeMap<String, u64>,
}

impl Threads {
    /// Reads `/proc/PID/task/*/schedstat`.
    pub(crate) fn of(process: u32) -> Outcome<Threads> {
        let mut threads = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{process}/task"))? {
            let path = entry?.path();
            let number = path.file_name().and_then(|name| name.to_str());
            let Some(number) = number.and_then(|name| name.parse().ok()) else {
                continue;
            };
            let (Ok(name), Ok(stat)) = (
                fs::read_to_string(path.join("comm")),
                fs::read_to_string(path.join("schedstat")),
            ) else {
                continue; // It ended meanwhile.
            };
            let mut fields = stat
                .split_ascii_whitespace()
                .map(|field| field.parse().unwrap_or(0));
            let name = name
                .trim_end()
                .trim_end_matches(|end: char| end.is_ascii_digit() || end == '-');
            threads.insert(
                number,
                Thread {
                    name: name.to_owned(),
                    ran_ns: fields.next().unwrap_or(0),
                    waited_ns: fields.next().unwrap_or(0),
                },
            );
        }
        Ok(Threads(threads))
    }

    /// What was used since `earlier`.
    pub(crate) fn since(&self, earlier: &Threads) -> Used {
        let mut used = Used::default();
        let mut each = Vec::new();
        for (number, thread) in &self.0 {
            let before = earlier.0.get(number);
            let ran = thread.ran_ns - before.map_or(0, |before| before.ran_ns);
            let waited = thread.waited_ns - before.map_or(0, |before| before.waited_ns);
            used.ran_ns += ran;
            used.waited_ns += waited;
            *used.by_name.entry(thread.name.clone()).or_default() += ran;
            each.push((ran, waited));
        }
        used.disturbed_ns = each
            .iter()
            .map(|(ran, waited)| waited.saturating_sub(used.ran_ns - ran))
            .sum();
        used
    }
}

/// Ticks (1/100 s) that a core was busy or stolen since boot.
pub(crate) fn core_busy_ticks(core: usize) -> Outcome<u64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat
        .lines()
        .find(|line| {
            line.strip_prefix("cpu")
                .is_some_and(|rest| rest.starts_with(&format!("{core} ")))
        })
        .ok_or("no such core in /proc/stat")?;
    let fields: Vec<u64> = line
        .split_ascii_whitespace()
        .skip(1)
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    // user nice system (idle iowait) irq softirq steal
    Ok([0, 1, 2, 5, 6, 7]
        .iter()
        .filter_map(|at| fields.get(*at))
        .sum())
}

/// Resident memory in KiB.
pub(crate) fn resident_kib(process: u32) -> u64 {
    fs::read_to_string(format!("/proc/{process}/status"))
        .ok()
        .and_then(|status| {
            let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
            line.split_ascii_whitespace().nth(1)?.parse().ok()
        })
        .unwrap_or(0)
}
