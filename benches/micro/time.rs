//! Batches, medians, one line a case.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use rustix::thread::CpuSet;

use crate::allocations;

/// One thing that is measured.
pub(crate) struct Case {
    pub(crate) name: String,
    /// What a call works through; 0 where bytes are no measure.
    pub(crate) bytes: usize,
    pub(crate) call: Box<dyn FnMut()>,
}

impl Case {
    pub(crate) fn new(name: impl Into<String>, bytes: usize, call: impl FnMut() + 'static) -> Case {
        Case {
            name: name.into(),
            bytes,
            call: Box::new(call),
        }
    }

    /// Runs it for a while.
    pub(crate) fn measure(self, effort: Effort) -> Line {
        let Case {
            name,
            bytes,
            mut call,
        } = self;
        let batch = calls_in(BATCH, &mut call);
        let batches = match effort {
            Effort::Full => 201,
            Effort::Smoke => 21,
        };
        let mut times: Vec<f64> = (0..batches)
            .map(|_| {
                let begun = Instant::now();
                (0..batch).for_each(|_| call());
                begun.elapsed().as_nanos() as f64 / batch as f64
            })
            .collect();
        times.sort_by(f64::total_cmp);
        let before = allocations::so_far();
        (0..batch).for_each(|_| call());
        let allocated = allocations::so_far() - before;
        Line {
            name,
            bytes,
            median: times[batches / 2],
            fast: times[batches / 10],
            slow: times[batches * 9 / 10],
            allocations: allocated as f64 / batch as f64,
        }
    }
}

/// How long to measure.
#[derive(Clone, Copy)]
pub(crate) enum Effort {
    /// To be quoted.
    Full,
    /// To see that it runs.
    Smoke,
}

/// As many calls as fill `time`, at least one; also warms up.
fn calls_in(time: Duration, call: &mut dyn FnMut()) -> u64 {
    let mut calls = 1;
    loop {
        let begun = Instant::now();
        (0..calls).for_each(|_| call());
        if begun.elapsed() >= time {
            return calls;
        }
        calls *= 2;
    }
}

/// What was measured.
pub(crate) struct Line {
    name: String,
    bytes: usize,
    median: f64,
    fast: f64,
    slow: f64,
    allocations: f64,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<44} {:>12.1} {:>12.1} {:>12.1} {:>9.2}",
            self.name, self.median, self.fast, self.slow, self.allocations
        )?;
        if self.bytes > 0 {
            write!(f, " {:>8.2}", self.bytes as f64 / self.median)?;
        }
        Ok(())
    }
}

/// Above the lines.
pub(crate) const COLUMNS: &str = "case                                                ns/op     fast 10%     slow 10%  alloc/op     GB/s";

/// Long beside the clock, short beside a time slice.
const BATCH: Duration = Duration::from_millis(2);

/// Keeps this process on one core.
pub(crate) fn pin() -> io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(0);
    Ok(rustix::thread::sched_setaffinity(None, &cores)?)
}
