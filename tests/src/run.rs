//! `ringfence run`, started as a user would.
//!
//! The command gets an environment of its own and, in a scene without root, none of the scene's capabilities:
//! what is tested is a plain user's start.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::raw::Fence;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A `ringfence run` to be filled in and started.
#[derive(Debug)]
pub struct Run {
    program: PathBuf,
    dir: PathBuf,
    flags: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    command: Vec<OsString>,
    limit: Duration,
    stdin: Vec<u8>,
    record: PathBuf,
}

/// What a run left behind.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The exit status of `ringfence run`.
    pub status: ExitStatus,
    /// Its standard output: the child's.
    pub stdout: Vec<u8>,
    /// Its standard error: the child's and ringfence's own.
    pub stderr: Vec<u8>,
    /// The lines of the record, in order.
    pub records: Vec<Value>,
    /// The record as text.
    pub record_text: String,
}

/// A started run.
#[derive(Debug)]
pub struct Running {
    child: Child,
    limit: Duration,
    record: PathBuf,
    stdout: Arc<Mutex<Vec<u8>>>,
    stderr: Arc<Mutex<Vec<u8>>>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Run {
    pub(crate) fn new(program: &Path) -> Run {
        let dir = PathBuf::from(format!(
            "/mnt/private/run{}",
            NEXT.fetch_add(1, Ordering::SeqCst)
        ));
        fs::create_dir(&dir).expect("a directory for the run's files");
        let record = dir.join("record.jsonl");
        Run {
            program: program.to_path_buf(),
            dir,
            flags: vec!["--record".into(), record.clone().into()],
            env: Vec::new(),
            command: Vec::new(),
            limit: Duration::from_secs(60),
            stdin: Vec::new(),
            record,
        }
    }

    /// `--record` to a pipe whose reader is the test's; nothing is kept of it.
    #[must_use]
    pub fn record_to(mut self, pipe: &Path) -> Run {
        for flag in &mut self.flags {
            if flag.as_os_str() == self.record.as_os_str() {
                *flag = pipe.into();
            }
        }
        self.record = self.dir.join("no-record");
        self
    }

    /// `--policy` with a file of this text.
    #[must_use]
    pub fn policy(self, text: &str) -> Run {
        let path = self.file("policy.yaml", text);
        self.flag("--policy").flag(path)
    }

    /// `--policy-rules` with a file of this text behind the package.
    #[must_use]
    pub fn rules(self, body: &str) -> Run {
        let text = format!("package ringfence.sandbox\n\nimport rego.v1\n\n{body}\n");
        let path = self.file("own.rego", &text);
        self.flag("--policy-rules").flag(path)
    }

    /// `--policy-data` with a file of this text.
    #[must_use]
    pub fn data(self, text: &str) -> Run {
        let path = self.file("data.yaml", text);
        self.flag("--policy-data").flag(path)
    }

    /// `--routes` with a file of this text.
    #[must_use]
    pub fn routes(self, text: &str) -> Run {
        let path = self.file("routes.yaml", text);
        self.flag("--routes").flag(path)
    }

    /// Another word before `--`.
    #[must_use]
    pub fn flag(mut self, word: impl AsRef<OsStr>) -> Run {
        self.flags.push(word.as_ref().to_owned());
        self
    }

    /// Starts `program` in the place of ringfence, which it is to become; it finds the path in `RINGFENCE_BENEATH`.
    #[must_use]
    pub fn beneath(mut self, program: &str) -> Run {
        let ringfence = std::mem::replace(&mut self.program, program.into());
        self.env
            .push(("RINGFENCE_BENEATH".into(), ringfence.into()));
        self
    }

    /// `--env NAME=VALUE`.
    #[must_use]
    pub fn env(self, name: &str, value: &str) -> Run {
        self.flag("--env").flag(format!("{name}={value}"))
    }

    /// A variable of ringfence's own environment.
    #[must_use]
    pub fn outer_env(mut self, name: &str, value: &str) -> Run {
        self.env.push((name.into(), value.into()));
        self
    }

    /// The command and its arguments.
    #[must_use]
    pub fn command<W: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = W>) -> Run {
        self.command = words
            .into_iter()
            .map(|word| word.as_ref().to_owned())
            .collect();
        self
    }

    /// `sh -c` with this script.
    #[must_use]
    pub fn sh(self, script: &str) -> Run {
        self.command(["sh", "-c", script])
    }

    /// Bytes for the command's standard input.
    #[must_use]
    pub fn stdin(mut self, bytes: &[u8]) -> Run {
        self.stdin = bytes.to_vec();
        self
    }

    /// How long it may take; one minute unless said.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Run {
        self.limit = limit;
        self
    }

    /// Runs to the end.
    ///
    /// # Panics
    /// When it does not end within its limit.
    pub fn end(self) -> Ended {
        self.start().wait()
    }

    /// Starts it.
    pub fn start(self) -> Running {
        let stdin = self.stdin.clone();
        let mut running = self.spawn();
        let mut input = running.child.stdin.take().expect("stdin is piped");
        // Why dropped: a command need not read its input.
        thread::spawn(move || drop(input.write_all(&stdin)));
        running.collect_stdout();
        running
    }

    /// Starts `ringfence-inside` in it, for raw conversations.
    pub fn fence(self) -> Fence {
        Fence::over(
            self.command(["/mnt/bin/inside"])
                .limit(Duration::from_secs(60))
                .spawn(),
        )
    }

    /// Starts `ringfence-inside` beside ringfence instead of in it: raw conversations without a fence, to test
    /// the harness itself.
    pub fn unfenced(mut self) -> Fence {
        self.program = PathBuf::from("/mnt/bin/inside");
        Fence::over(self.spawn_with(Vec::new()))
    }

    fn spawn(self) -> Running {
        let mut words = vec![OsString::from("run")];
        words.extend(self.flags.iter().cloned());
        words.push("--".into());
        words.extend(self.command.iter().cloned());
        self.spawn_with(words)
    }

    fn spawn_with(self, words: Vec<OsString>) -> Running {
        let mut command = Command::new(&self.program);
        command
            .args(words)
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", "/mnt/work")
            .env("LANG", "C.UTF-8")
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir("/mnt/work")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = thread::spawn(move || {
            if !rustix::process::geteuid().is_root() {
                // Ambient capabilities are the scene's, not a plain user's. They belong to a thread: this one.
                rustix::thread::clear_ambient_capability_set()
                    .expect("ambient capabilities can be cleared");
            }
            command.spawn()
        })
        .join()
        .expect("the starting thread does not panic")
        .expect("ringfence starts");
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let threads = vec![collect(
            child.stderr.take().expect("stderr is piped"),
            &stderr,
        )];
        Running {
            child,
            limit: self.limit,
            record: self.record,
            stdout: Arc::default(),
            stderr,
            threads,
        }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.join(name);
        fs::write(&path, text).expect("a file for the run");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
        path
    }
}

impl Running {
    /// The process id of `ringfence run`.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed on standard error so far.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.stderr.lock().unwrap_or_else(PoisonError::into_inner))
            .into_owned()
    }

    /// The record's text so far.
    pub fn recorded(&self) -> String {
        fs::read_to_string(&self.record).unwrap_or_default()
    }

    /// Sends a signal to `ringfence run`.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("the process can be signalled");
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// When it does not come within the limit.
    #[expect(clippy::panic, reason = "a run without an end is a failing test")]
    pub fn wait(mut self) -> Ended {
        let end = Instant::now() + self.limit;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("the run can be waited for") {
                break status;
            }
            if Instant::now() > end {
                // Why dropped: it may have ended just now.
                drop(self.child.kill());
                panic!(
                    "ringfence run did not end within {} s; stderr: {}",
                    self.limit.as_secs(),
                    self.said()
                );
            }
            thread::sleep(Duration::from_millis(2));
        };
        for thread in self.threads.drain(..) {
            thread.join().expect("a collecting thread does not panic");
        }
        let record_text = fs::read_to_string(&self.record).unwrap_or_default();
        let records = record_text
            .lines()
            .map(|line| {
                serde_json::from_str(line)
                    .unwrap_or_else(|error| unreachable!("record line {line}: {error}"))
            })
            .collect();
        let taken = |bytes: &Mutex<Vec<u8>>| {
            std::mem::take(&mut *bytes.lock().unwrap_or_else(PoisonError::into_inner))
        };
        Ended {
            status,
            stdout: taken(&self.stdout),
            stderr: taken(&self.stderr),
            records,
            record_text,
        }
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    fn collect_stdout(&mut self) {
        let stdout = self.child.stdout.take().expect("stdout is piped");
        self.threads.push(collect(stdout, &self.stdout));
    }
}

impl Ended {
    /// The exit code; 128+n stays what `ringfence run` itself says, and its own death by a signal is none.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Standard output as text.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Both outputs, the status and the record, for a failing assertion.
    pub fn story(&self) -> String {
        let signal = self.status.signal();
        format!(
            "status {:?} signal {signal:?}\n--- stdout\n{}\n--- stderr\n{}\n--- record\n{}",
            self.code(),
            self.out(),
            self.err(),
            self.record_text
        )
    }

    /// The run, when it ended with 0.
    ///
    /// # Panics
    /// When it did not.
    pub fn success(self) -> Ended {
        assert_eq!(self.code(), Some(0), "{}", self.story());
        self
    }

    /// The records with this `msg`.
    pub fn records_of(&self, msg: &str) -> Vec<&Value> {
        self.records
            .iter()
            .filter(|record| record["msg"] == msg)
            .collect()
    }
}

fn collect(
    mut stream: impl Read + Send + 'static,
    into: &Arc<Mutex<Vec<u8>>>,
) -> thread::JoinHandle<()> {
    let into = Arc::clone(into);
    thread::spawn(move || {
        let mut buf = vec![0; 16_384];
        while let Ok(read @ 1..) = stream.read(&mut buf) {
            into.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend_from_slice(&buf[..read]);
        }
    })
}
