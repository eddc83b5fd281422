//! What is printed and kept: one line a way, with its noise beside it.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Outcome;
use crate::cpu::Used;
use crate::scenario::{Figure, Scenario, Way};
use crate::tally::Tally;

/// One run of one way.
pub(crate) struct Measured {
    pub(crate) tally: Tally,
    /// The process in the middle; for a direct connection the origin.
    pub(crate) middle: Used,
    /// Of the middle, at the end of the run.
    pub(crate) resident_kib: u64,
    pub(crate) load_ns: u64,
    pub(crate) origin_ns: u64,
    /// Time that the load used on the same core as the process that is measured.
    pub(crate) beside_ns: u64,
    /// Time of the middle's core that others used, or that was stolen from the machine.
    pub(crate) others_ns: u64,
}

impl Measured {
    fn cpu_seconds(&self) -> f64 {
        self.middle.ran_ns as f64 / 1e9
    }

    fn share(&self, ns: u64) -> f64 {
        ns as f64 / 1e7 / self.tally.seconds
    }

    /// The figure that decides which run is the median.
    pub(crate) fn figure(&self, figure: Figure) -> f64 {
        match figure {
            Figure::PerCpu => self.tally.count as f64 / self.cpu_seconds(),
            Figure::Gigabytes => self.tally.bytes as f64 / 1e9 / self.cpu_seconds(),
            Figure::Median => self.tally.time.p50,
        }
    }

    /// More than a quarter of the time in the queue for a core, or a quarter of the core used by others. Threads of
    /// the process itself, and the load where it shares the core by design, are no disturbance.
    pub(crate) fn is_disturbed(&self) -> bool {
        self.share(self.middle.disturbed_ns.saturating_sub(self.beside_ns)) > 25.0
            || self.share(self.others_ns) > 25.0
    }
}

/// Above every table. `wait` is time in the queue for a core, all threads together; `others` is what other processes
/// and other machines took of it.
pub(crate) const COLUMNS: &str = "  way             rate/s  per cpu-s   p50 us   p90 us   p99 us  1st p50  1st p99  cpu%  wait% others%  load% origin%";

/// Lines, on standard output and for the file.
pub(crate) struct Report {
    text: String,
}

impl Report {
    pub(crate) fn new() -> Report {
        Report {
            text: String::new(),
        }
    }

    pub(crate) fn line(&mut self, line: &str) -> Outcome<()> {
        self.text.push_str(line);
        self.text.push('\n');
        writeln!(std::io::stdout(), "{line}")?;
        Ok(())
    }

    /// One way of a scenario, and how it compares with those before it.
    pub(crate) fn measured(
        &mut self,
        scenario: &Scenario,
        way: Way,
        run: &Measured,
        before: &[(Way, Measured)],
    ) -> Outcome<()> {
        let tally = &run.tally;
        let unit = |amount: f64| match scenario.figure {
            Figure::Gigabytes => format!("{amount:.2} GB"),
            Figure::PerCpu | Figure::Median => format!("{amount:.0}"),
        };
        let amount = match scenario.figure {
            Figure::Gigabytes => tally.bytes as f64 / 1e9,
            Figure::PerCpu | Figure::Median => tally.count as f64,
        };
        self.line(&format!(
            "  {:<14}{:>8} {:>10} {:>8} {:>8} {:>8} {:>8} {:>8}  {:>4.0} {:>6.0} {:>6.0}   {:>4.0} {:>6.0}{}",
            way.name(),
            unit(amount / tally.seconds),
            unit(amount / run.cpu_seconds()),
            time(tally.time.p50),
            time(tally.time.p90),
            time(tally.time.p99),
            time(tally.first_byte.p50),
            time(tally.first_byte.p99),
            run.share(run.middle.ran_ns),
            run.share(run.middle.waited_ns),
            run.share(run.others_ns),
            run.share(run.load_ns),
            run.share(run.origin_ns),
            if run.is_disturbed() { "  ! disturbed" } else { "" },
        ))?;
        if tally.failed > 0 {
            let why = tally.first_failure.as_deref().unwrap_or_default();
            self.line(&format!("    ! {} failed, the first: {why}", tally.failed))?;
        }
        if matches!(way, Way::Gate | Way::GateUnseen) {
            self.compared(scenario, run, before)?;
        }
        Ok(())
    }

    fn compared(
        &mut self,
        scenario: &Scenario,
        run: &Measured,
        before: &[(Way, Measured)],
    ) -> Outcome<()> {
        let own = run.figure(scenario.figure);
        let mut parts: Vec<String> = before
            .iter()
            .map(|(way, other)| {
                let other = other.figure(scenario.figure);
                match scenario.figure {
                    Figure::Median => format!(
                        "{:.2} x {} ({:+.0} us)",
                        own / other,
                        way.name(),
                        own - other
                    ),
                    Figure::PerCpu | Figure::Gigabytes => {
                        format!("{:.2} x {}", own / other, way.name())
                    }
                }
            })
            .collect();
        let total = run.middle.ran_ns.max(1) as f64;
        parts.push(
            run.middle
                .by_name
                .iter()
                .filter(|(_, ns)| **ns as f64 / total > 0.005)
                .map(|(name, ns)| {
                    let each_us = *ns as f64 / 1e3 / run.tally.count.max(1) as f64;
                    format!(
                        "{name} {:.0} % ({each_us:.1} us)",
                        *ns as f64 / total * 100.0
                    )
                })
                .collect::<Vec<_>>()
                .join(", "),
        );
        if scenario.figure != Figure::Gigabytes && run.tally.count > 0 {
            parts.push(format!(
                "{:.1} us of cpu each",
                total / 1e3 / run.tally.count as f64
            ));
        }
        parts.push(format!(
            "{:.1} MiB resident",
            run.resident_kib as f64 / 1024.0
        ));
        self.line(&format!("    = {}", parts.join("; ")))
    }

    /// Keeps the text under `benches/results` where it was asked for.
    pub(crate) fn save(&self) -> Outcome<()> {
        if std::env::var_os("RINGFENCE_BENCH_SAVE").is_none() {
            return Ok(());
        }
        let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("results")
            .join(format!("{}-{}", date(), machine()));
        fs::create_dir_all(&directory)?;
        fs::write(directory.join("load.txt"), &self.text)?;
        Ok(())
    }
}

fn time(us: f64) -> String {
    match us {
        0.0 => "-".to_owned(),
        us if us < 10.0 => format!("{us:.1}"),
        us => format!("{us:.0}"),
    }
}

/// Machine, kernel, date and what is unusual.
pub(crate) fn heading(unset: &[String], plan: &str) -> String {
    let mut text = format!(
        "ringfence {} on {}, {}; {plan}\nper cpu-s: user and system time of the process in the middle (for direct: of the origin)",
        env!("CARGO_PKG_VERSION"),
        machine(),
        date(),
    );
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.push_str(&format!("\nload average at the start: {}", load.trim_end()));
    for line in unset {
        text.push_str(&format!("\n! {line}"));
    }
    text
}

/// `2vcpu-linux-6.18`: nothing that names a machine.
fn machine() -> String {
    let cores = fs::read_to_string("/proc/cpuinfo")
        .map(|info| info.matches("processor\t").count())
        .unwrap_or(0);
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let version: Vec<&str> = release.split(['.', '-']).take(2).collect();
    format!("{cores}vcpu-linux-{}", version.join("."))
}

/// Today, in UTC.
fn date() -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    // Days to a civil date, after the algorithm of proleptic Gregorian eras of 400 years.
    let days = (seconds / 86_400) as i64 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}
