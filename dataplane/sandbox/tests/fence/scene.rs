//! A world on the host with listed and unlisted paths, and a sandbox started in it by root or by a person.

#![expect(
    clippy::unwrap_used,
    reason = "a scene that cannot be set ends its test"
)]

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use ringfence_sandbox::{
    Compatibility, Filesystem, LaunchOptions, Listed, Observe, Spec, Terminal,
};
use serde_json::Value;

/// `nobody`, whom every system has.
pub(crate) const PERSON: u32 = 65534;

/// Who starts ringfence.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Starter {
    Root,
    Person,
}

/// Whom this machine can play: both for root, else only a person.
pub(crate) fn starters() -> Vec<Starter> {
    if is_root() {
        vec![Starter::Root, Starter::Person]
    } else {
        vec![Starter::Person]
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Directories of one test, removed with it. All of it is readable and writable for everybody, so that only the
/// fence can refuse.
pub(crate) struct Scene {
    pub(crate) starter: Starter,
    pub(crate) root: PathBuf,
}

impl Scene {
    pub(crate) fn new(starter: Starter) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Whoever runs the tests may keep more to themselves than a person plays along with.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        let name = format!(
            "ringfence-scene-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let root = std::env::temp_dir().join(name);
        let scene = Self { starter, root };
        for dir in ["", "work", "listed", "secret", "base/one", "base/neighbour"] {
            fs::create_dir_all(scene.path(dir)).unwrap();
        }
        for file in [
            "listed/file",
            "secret/file",
            "secret-file",
            "base/neighbour/ca.pem",
        ] {
            fs::write(scene.path(file), "secret").unwrap();
        }
        for file in ["ca.pem", "ca-bundle.pem", "inference.json"] {
            fs::write(scene.path("base/one").join(file), "x").unwrap();
        }
        fs::write(
            scene.path("base/one/hosts"),
            "127.0.0.1 localhost\n127.0.0.1 inference.local\n",
        )
        .unwrap();
        scene.open(&scene.root);
        scene
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() {
            self.root.clone()
        } else {
            self.root.join(name)
        }
    }

    /// Gives a tree to the starter, open for everybody.
    fn open(&self, path: &Path) {
        if is_root() && self.starter == Starter::Person {
            chown(path, Some(PERSON), Some(PERSON)).unwrap();
        }
        if path.is_dir() {
            fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
            for entry in fs::read_dir(path).unwrap() {
                self.open(&entry.unwrap().path());
            }
        } else {
            fs::set_permissions(path, Permissions::from_mode(0o666)).unwrap();
        }
    }

    /// A command with the system, `listed` and `work`.
    pub(crate) fn spec(&self, command: &[&str]) -> Spec {
        let probe = Path::new(PROBE).parent().unwrap();
        let read_only = ["/usr", "/lib", "/etc", "/proc"]
            .map(PathBuf::from)
            .into_iter()
            .chain([probe.to_owned(), self.path("listed")]);
        Spec {
            command: command.iter().map(OsString::from).collect(),
            env: vec![
                ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
                ("RINGFENCE_RUNTIME_DIR".into(), self.path("base/one").into()),
            ],
            workdir: self.path("work"),
            filesystem: Filesystem {
                read_only: read_only.map(Listed::author).collect(),
                read_write: vec![],
                include_workdir: true,
            },
            hidden: vec![],
            compatibility: Compatibility::BestEffort,
            run_as_user: (self.starter == Starter::Root).then(|| "nobody".to_owned()),
            run_as_group: None,
            runtime_dir: self.path("base/one"),
            terminal: Terminal::Detached,
            observe: Observe::Nothing("no data plane".to_owned()),
        }
    }

    /// Runs a spec to its end with the starter's rights.
    pub(crate) fn run(&self, spec: &Spec) -> Run {
        let output = self.driver(spec, &[]).output().unwrap();
        self.told(output)
    }

    pub(crate) fn told(&self, output: Output) -> Run {
        let told = fs::read(self.path("told.json"))
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or(Value::Null);
        Run { output, told }
    }

    /// A launcher process with the starter's rights.
    pub(crate) fn driver(&self, spec: &Spec, more: &[&str]) -> Command {
        let order = self.path("order.json");
        fs::write(&order, serde_json::to_vec(spec).unwrap()).unwrap();
        let mut command = Command::new(PROBE);
        command
            .arg("drive")
            .arg(order)
            .arg(self.path("told.json"))
            .args(more);
        // Why: what is here must not get in.
        command.env("LAUNCHER_SECRET", "sk-launcher");
        if is_root() && self.starter == Starter::Person {
            command.uid(PERSON).gid(PERSON);
        }
        command
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.root).ok();
    }
}

/// What a launcher process did.
pub(crate) struct Run {
    pub(crate) output: Output,
    pub(crate) told: Value,
}

impl Run {
    pub(crate) fn code(&self) -> i32 {
        self.output.status.code().unwrap_or(-1)
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout)
            .trim_end()
            .to_owned()
    }

    pub(crate) fn error(&self) -> String {
        self.told["error"].as_str().unwrap_or_default().to_owned()
    }
}

/// For a launcher inside the test process.
pub(crate) fn options() -> LaunchOptions {
    LaunchOptions {
        executable: PathBuf::from(PROBE),
        ..LaunchOptions::default()
    }
}

/// Host processes with `mark` in their arguments.
pub(crate) fn processes_with(mark: &str) -> usize {
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .filter(|line| {
            String::from_utf8_lossy(line).contains(mark) && !line.starts_with(PROBE.as_bytes())
        })
        .count()
}

pub(crate) const PROBE: &str = env!("CARGO_BIN_EXE_fence-probe");
