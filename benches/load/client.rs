//! The load: one thread, told what to do by the director, line by line.
//!
//! A job begins with a moment that is not counted; then `begin` is printed, and the tally at the end of the measured
//! time. Every answer is checked, and what fails is counted and named.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::process::{Child, Command};
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::task::LocalSet;

use crate::scenario::Kind;
use crate::tally::{Spread, Tally};
use crate::{Outcome, chat, origin, plain, stage, sys};

/// This process.
pub(crate) const ROLE: &str = "__load";

/// One measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) kind: Kind,
    /// At once.
    pub(crate) connections: usize,
    /// Gate or relay; none for a direct connection.
    pub(crate) through: Option<SocketAddr>,
    /// PEM file with the authority that the TLS peer is trusted by.
    pub(crate) authority: String,
    /// Open and silent all the while.
    pub(crate) idle: usize,
    /// Other processes in the pid namespace of the load; it has twice as many files open itself.
    pub(crate) crowd: usize,
    pub(crate) warm_ms: u64,
    pub(crate) run_ms: u64,
}

/// Prints a line at once.
pub(crate) fn say(line: &str) -> Outcome<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// A load whose calls of connect(2) are told. The other is [`UNSEEN`].
pub(crate) const SEEN: &str = "seen";

/// A load that connects as any process does.
pub(crate) const UNSEEN: &str = "unseen";

/// Does the jobs on standard input until it ends.
pub(crate) fn run(load: &str) -> Outcome<()> {
    // Kept open: the gate takes a copy.
    let _calls = if load == SEEN {
        let calls = sys::observe_connects()?;
        say(&format!(
            "calls {}",
            std::os::fd::AsRawFd::as_raw_fd(&calls)
        ))?;
        Some(calls)
    } else {
        None
    };
    say("ready")?;
    for line in std::io::stdin().lock().lines() {
        let job: Job = serde_json::from_str(&line?)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let tally = LocalSet::new().block_on(&runtime, work(job))?;
        say(&serde_json::to_string(&tally)?)?;
        // Dropping the runtime drops the connections: after the tally, so that it is not measured.
    }
    Ok(())
}

async fn work(job: Job) -> Outcome<Tally> {
    let (job, count) = (Rc::new(job), Rc::new(Count::new()));
    let trust = Rc::new(chat::Trust::of(&job)?);
    let crowd = Crowd::of(job.crowd)?;
    let mut idle = Vec::with_capacity(job.idle);
    for _ in 0..job.idle {
        let target = stage::origin(origin::ECHO).to_string();
        idle.push(plain::open(job.through, &target).await?);
    }
    for _ in 0..job.connections {
        let (job, count, trust) = (Rc::clone(&job), Rc::clone(&count), Rc::clone(&trust));
        tokio::task::spawn_local(async move {
            loop {
                let ended = match job.kind {
                    Kind::SetUp => plain::set_ups(&job, &count).await,
                    Kind::Fresh => plain::fresh(&job, &count).await,
                    Kind::Pull => plain::pull(&job, &count).await,
                    Kind::PingPong => plain::ping_pong(&job, &count).await,
                    Kind::Chat(ref chat) => chat::talk(&job, chat, &trust, &count).await,
                };
                if let Err(error) = ended {
                    count.failed(error.to_string());
                    // A middle that refuses everything is not hammered.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        });
    }
    tokio::time::sleep(Duration::from_millis(job.warm_ms)).await;
    say("begin")?;
    count.begin();
    tokio::time::sleep(Duration::from_millis(job.run_ms)).await;
    let tally = count.tally();
    drop((idle, crowd));
    Ok(tally)
}

/// Processes that are there and do nothing, and files that are open.
struct Crowd {
    processes: Vec<Child>,
    _files: Vec<File>,
}

impl Crowd {
    fn of(count: usize) -> Outcome<Crowd> {
        let processes = (0..count)
            .map(|_| Command::new("sleep").arg("600").spawn())
            .collect::<Result<_, _>>()?;
        let files = (0..2 * count)
            .map(|_| File::open("/dev/null"))
            .collect::<Result<_, _>>()?;
        Ok(Crowd {
            processes,
            _files: files,
        })
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // One that has ended by itself is gone as well.
            drop(process.kill());
            drop(process.wait());
        }
    }
}

/// Counts what happens in the measured time.
pub(crate) struct Count {
    origin: Instant,
    begun_ns: Cell<u64>,
    tally: RefCell<Tally>,
    times: RefCell<Vec<u64>>,
    first_bytes: RefCell<Vec<u64>>,
}

impl Count {
    fn new() -> Count {
        Count {
            origin: Instant::now(),
            begun_ns: Cell::new(u64::MAX),
            tally: RefCell::default(),
            times: RefCell::default(),
            first_bytes: RefCell::default(),
        }
    }

    fn begin(&self) {
        self.begun_ns.set(self.now());
    }

    fn is_on(&self) -> bool {
        self.begun_ns.get() != u64::MAX
    }

    /// ns since some moment.
    pub(crate) fn now(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    /// An operation that began at `begun` is complete.
    pub(crate) fn done(&self, begun: u64) {
        self.took(self.now() - begun);
    }

    /// An operation that took `ns` is complete.
    pub(crate) fn took(&self, ns: u64) {
        if self.is_on() {
            self.tally.borrow_mut().count += 1;
            self.times.borrow_mut().push(ns);
        }
    }

    /// Operations whose time is not taken.
    pub(crate) fn more(&self, count: u64) {
        if self.is_on() {
            self.tally.borrow_mut().count += count;
        }
    }

    /// The first byte of an answer came.
    pub(crate) fn first_byte(&self, begun: u64) {
        if self.is_on() {
            self.first_bytes.borrow_mut().push(self.now() - begun);
        }
    }

    pub(crate) fn received(&self, bytes: u64) {
        if self.is_on() {
            self.tally.borrow_mut().bytes += bytes;
        }
    }

    /// Counted from the start: what fails before the measured time is no less wrong.
    fn failed(&self, why: String) {
        let mut tally = self.tally.borrow_mut();
        tally.failed += 1;
        tally.first_failure.get_or_insert(why);
    }

    fn tally(&self) -> Tally {
        let mut tally = self.tally.take();
        tally.seconds = (self.now() - self.begun_ns.get()) as f64 / 1e9;
        tally.time = Spread::of(&mut self.times.borrow_mut());
        tally.first_byte = Spread::of(&mut self.first_bytes.borrow_mut());
        tally
    }
}
