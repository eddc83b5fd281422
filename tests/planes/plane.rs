//! A gateway in a scene, the command line beside it, and the providers' servers under their own names.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use harness::http::{Answer, Message, Reader};
use harness::model;
use harness::origin::Origin;
use harness::policy::text;
use harness::raw::{Fence, TlsRaw};
use harness::run::Run;
use harness::scene::{AGENT, PUBLIC, Scene};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::ClientConfig;
use serde_json::Value;
use std::io::Write;
use std::sync::Arc;

/// A running gateway with nothing configured, and what talks to it.
pub(crate) struct Plane<'a> {
    scene: &'a Scene,
    flags: Vec<String>,
    gateway: Option<Child>,
    /// Where the gateway's words go.
    log: PathBuf,
}

/// What a verb of the command line ended with.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl<'a> Plane<'a> {
    /// Starts a gateway as `ringfence gateway &` does: no flag, no file.
    pub(crate) fn start(scene: &'a Scene) -> Plane<'a> {
        Plane::start_with(scene, &[])
    }

    /// The same, with these flags.
    pub(crate) fn start_with(scene: &'a Scene, flags: &[&str]) -> Plane<'a> {
        if rustix::process::geteuid().is_root() {
            // Why: root's state lies in /var/lib/ringfence, and a scene leaves nothing behind.
            scene.cover("/var/lib");
        }
        let mut plane = Plane {
            scene,
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            gateway: None,
            log: scene.private().join("gateway.log"),
        };
        // A core of the gateway would lie beside it, if there were one; and a test may be a thousand hosts.
        for resource in [Resource::Core, Resource::Nofile] {
            let limit = getrlimit(resource);
            let raised = Rlimit {
                current: limit.maximum,
                ..limit
            };
            setrlimit(resource, raised).expect("a limit up to what is allowed");
        }
        plane.start_gateway();
        plane
    }

    /// Starts the gateway over the state that is there, and waits until it answers.
    pub(crate) fn start_gateway(&mut self) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .expect("the gateway's log");
        let child = self
            .command(&["gateway"], &[])
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("ringfence starts");
        self.gateway = Some(child);
        until("the gateway answers", || {
            self.cli(&["provider", "list"]).code == 0
        });
    }

    /// The gateway's process.
    pub(crate) fn pid(&self) -> u32 {
        self.gateway.as_ref().expect("a gateway runs").id()
    }

    /// Ends the gateway as a crash does.
    pub(crate) fn kill_gateway(&mut self) {
        let mut child = self.gateway.take().expect("a gateway runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }

    /// Ends the gateway as a fault does that would leave a core.
    pub(crate) fn abort_gateway(&mut self) {
        let mut child = self.gateway.take().expect("a gateway runs");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::ABORT)
            .expect("it gets SIGABRT");
        child.wait().expect("it ends");
    }

    /// Everything the gateway said.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Runs a verb to its end.
    pub(crate) fn cli(&self, words: &[&str]) -> Ended {
        self.cli_with(words, &[])
    }

    /// Runs a verb with these variables.
    pub(crate) fn cli_with(&self, words: &[&str], env: &[(&str, &str)]) -> Ended {
        let Output {
            status,
            stdout,
            stderr,
        } = self
            .command(words, env)
            .stdin(Stdio::null())
            .output()
            .expect("ringfence starts");
        Ended {
            code: status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }

    /// Runs a verb that must succeed, and gives what it printed.
    pub(crate) fn done(&self, words: &[&str]) -> String {
        self.done_with(words, &[])
    }

    /// The same, with these variables.
    pub(crate) fn done_with(&self, words: &[&str], env: &[(&str, &str)]) -> String {
        let ended = self.cli_with(words, env);
        assert_eq!(
            ended.code,
            0,
            "{words:?}: {ended:?}\ngateway: {}",
            self.said()
        );
        ended.stdout
    }

    /// Creates a provider with one credential, `KEY=VALUE`.
    pub(crate) fn provider(&self, name: &str, kind: &str, credential: &str) {
        let create = ["provider", "create", "--name", name, "--type", kind];
        self.done(&[&create[..], &["--credential", credential]].concat());
    }

    /// Sets the cluster's route.
    pub(crate) fn route(&self, provider: &str, model: &str) {
        let set = ["cluster", "inference", "set", "--provider", provider];
        self.done(&[&set[..], &["--model", model]].concat());
    }

    /// What a verb prints as JSON.
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let words: Vec<&str> = words.iter().copied().chain(["--output", "json"]).collect();
        let text = self.done(&words);
        serde_json::from_str(&text).unwrap_or_else(|error| unreachable!("{error}: {text}"))
    }

    /// A `ringfence run` that finds the gateway by itself.
    pub(crate) fn run(&self, name: &str) -> Run {
        self.unnamed().flag("--name").flag(name)
    }

    /// The same, whose sandbox has no name.
    pub(crate) fn unnamed(&self) -> Run {
        let run = self.scene.run();
        let run = run.outer_env("XDG_STATE_HOME", "/mnt/private/state");
        // Uid 0 for the child is refused, so root names one.
        match rustix::process::geteuid().is_root() {
            true => run.outer_env("RINGFENCE_USER", AGENT),
            false => run,
        }
    }

    /// A running sandbox in which the test can talk.
    pub(crate) fn fence(&self, name: &str) -> Inside {
        self.inside(self.run(name).policy(&text("", "")))
    }

    /// The same, of a run that was filled in.
    pub(crate) fn inside(&self, run: Run) -> Inside {
        let fence = run.fence();
        let trust = fence.trust();
        Inside { fence, trust }
    }

    /// The gateway's socket, where everybody finds it.
    pub(crate) fn socket(&self) -> PathBuf {
        self.state().join("gateway.sock")
    }

    /// The gateway's state directory.
    pub(crate) fn state(&self) -> PathBuf {
        match rustix::process::geteuid().is_root() {
            true => PathBuf::from("/var/lib/ringfence"),
            false => PathBuf::from("/mnt/private/state/ringfence"),
        }
    }

    fn command(&self, words: &[&str], env: &[(&str, &str)]) -> Command {
        let mut command = Command::new(self.scene.ringfence());
        command
            .args(words)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", "/mnt/private")
            .env("XDG_STATE_HOME", "/mnt/private/state")
            .env("LANG", "C.UTF-8")
            .envs(env.iter().copied())
            .current_dir("/mnt/private");
        command
    }
}

impl Drop for Plane<'_> {
    fn drop(&mut self) {
        if let Some(mut child) = self.gateway.take() {
            _ = child.kill();
            _ = child.wait();
        }
        if std::thread::panicking() {
            _ = writeln!(std::io::stderr(), "the gateway said:\n{}", self.said());
        }
    }
}

/// A sandbox, from inside.
pub(crate) struct Inside {
    pub(crate) fence: Fence,
    trust: Arc<ClientConfig>,
}

impl Inside {
    /// A connection to inference.local.
    pub(crate) fn inference(&self) -> Reader<TlsRaw> {
        self.fence.inference(&self.trust, 65_536)
    }

    /// One chat completion on a connection of its own.
    pub(crate) fn chat(&self, prompt: &str) -> Answer {
        chat(&mut self.inference(), prompt)
    }

    /// Waits for the first snapshot.
    pub(crate) fn ready(&self) {
        until("inference is there", || self.verdict() == "200");
    }

    /// The code of a refused chat completion, or the status of one that was not.
    pub(crate) fn verdict(&self) -> String {
        let answer = self.chat("hello").message;
        match answer.status() {
            200 => "200".to_owned(),
            _ => answer.json()["error"].as_str().unwrap_or("-").to_owned(),
        }
    }
}

/// One chat completion on a connection that is open.
pub(crate) fn chat(reader: &mut Reader<TlsRaw>, prompt: &str) -> Answer {
    let body =
        format!(r#"{{"model":"anything","messages":[{{"role":"user","content":"{prompt}"}}]}}"#);
    write!(
        reader.stream,
        "POST /v1/chat/completions HTTP/1.1\r\nHost: inference.local\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("the request is sent");
    reader.final_answer("POST").expect("an answer")
}

/// The servers of all three providers, at the port and under the names that their profiles name.
pub(crate) fn backends(scene: &Scene) -> Origin {
    let tls = scene.authority().server(&[
        "integrate.api.nvidia.com",
        "api.openai.com",
        "api.anthropic.com",
    ]);
    model::start(&format!("{PUBLIC}:443"), Some(tls))
}

/// The last request a server got: host, credential, model.
pub(crate) fn last(origin: &Origin) -> (String, String, String) {
    let request = origin.take().pop().expect("a request at the provider");
    arrived(&request)
}

/// Host, credential and model of a request.
pub(crate) fn arrived(request: &Message) -> (String, String, String) {
    let credential = request
        .field("authorization")
        .or_else(|| request.field("x-api-key"))
        .unwrap_or_default();
    let model = request.json()["model"].as_str().unwrap_or("-").to_owned();
    (request.field("host").unwrap_or_default(), credential, model)
}

/// Waits until something holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A number that a variable sets, for a longer run than that of every day.
pub(crate) fn number(variable: &str, usual: usize) -> usize {
    let text = std::env::var(variable).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A file of the scene that only the operator sees.
pub(crate) fn private_file(scene: &Scene, name: &str, text: &str) -> String {
    let path = scene.private().join(name);
    std::fs::write(&path, text).expect("a file");
    Path::display(&path).to_string()
}
