//! A PostgreSQL server of this run's own: a directory, a Unix socket in it, durable as in production.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A running server. It ends with its last user.
pub(crate) struct Server {
    programs: PathBuf,
    /// Short, because a socket's path may have 107 bytes.
    dir: PathBuf,
    child: Mutex<Child>,
    settings: Vec<String>,
    databases: AtomicU32,
}

/// The server that tests share, or `None` without PostgreSQL.
///
/// # Panics
/// Without PostgreSQL when `RINGFENCE_CLIENTS=required`.
pub(crate) fn shared() -> Option<Arc<Server>> {
    static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return Some(server);
    }
    let server = Arc::new(start()?);
    *shared = Arc::downgrade(&server);
    Some(server)
}

/// One that nobody else uses.
pub(crate) fn start() -> Option<Server> {
    start_with(|_| Vec::new())
}

/// The same, with settings that are made when its directory is there.
pub(crate) fn start_with(settings: impl FnOnce(&Path) -> Vec<String>) -> Option<Server> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let programs = programs()?;
    let name = format!(
        "ringfence-pg-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    let dir = Path::new("/tmp").join(name);
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    if as_root() {
        chown(&dir, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let made = command(&programs, &dir, "initdb")
        .args(["-D", "data", "-U", "ringfence", "-A", "trust", "-E", "UTF8"])
        .args(["--locale=C", "--no-instructions", "--no-sync"])
        .output()
        .unwrap();
    assert!(made.status.success(), "initdb: {made:?}");
    let settings = settings(&dir);
    let child = Mutex::new(serve(&programs, &dir, &settings));
    Some(Server {
        programs,
        dir,
        child,
        settings,
        databases: AtomicU32::new(0),
    })
}

impl Server {
    /// The URL of a database, percent-encoded as a socket's directory must be.
    pub(crate) fn url(&self, database: &str) -> String {
        let dir = self.dir.to_str().unwrap().replace('/', "%2F");
        format!("postgres://ringfence@{dir}/{database}")
    }

    /// A connection without a store in between.
    pub(crate) async fn client(&self, database: &str) -> tokio_postgres::Client {
        let url = self.url(database);
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        client
    }

    /// The name of a new, empty database.
    pub(crate) async fn database(&self) -> String {
        let nth = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{nth}");
        let client = self.client("postgres").await;
        client
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .await
            .unwrap();
        name
    }

    /// SIGKILL.
    pub(crate) fn kill(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// After `kill`.
    pub(crate) fn restart(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        *child = serve(&self.programs, &self.dir, &self.settings);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        // "Immediate shutdown": it takes its processes with it. An error means that it is gone already.
        _ = kill_process(Pid::from_child(child), Signal::QUIT);
        _ = child.wait();
        _ = fs::remove_dir_all(&self.dir);
    }
}

/// Starts it and waits until it takes connections.
fn serve(programs: &Path, dir: &Path, settings: &[String]) -> Child {
    let deadline = Instant::now() + START_MAX;
    loop {
        let mut child = command(programs, dir, "postgres")
            .args(["-D", "data", "-c", "listen_addresses=", "-k"])
            .arg(dir)
            .args(settings)
            .args([
                "-c",
                "unix_socket_permissions=0700",
                "-c",
                "log_min_messages=log",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        for line in lines.by_ref().map_while(Result::ok) {
            said.push(line);
            if said
                .last()
                .is_some_and(|line| line.contains("ready to accept connections"))
            {
                // Read on, lest the pipe fill up.
                std::thread::spawn(move || lines.for_each(drop));
                return child;
            }
        }
        // Processes of one that was killed may still be about to end; then the memory they share is in the way.
        child.wait().unwrap();
        assert!(
            Instant::now() < deadline,
            "PostgreSQL does not start: {said:#?}"
        );
    }
}

/// A file that the server alone may read.
pub(crate) fn private_file(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    if as_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// PostgreSQL does not run as root.
fn command(programs: &Path, dir: &Path, program: &str) -> Command {
    let mut command = Command::new(programs.join(program));
    command
        .current_dir(dir)
        .env_clear()
        .env("PATH", "/usr/bin:/bin");
    if as_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn as_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Where Debian has the newest PostgreSQL. Says on standard error that there is none.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let newest = versions
        .filter_map(|version| {
            let version = version.ok()?;
            let number: u32 = version.file_name().to_str()?.parse().ok()?;
            let programs = version.path().join("bin");
            programs
                .join("initdb")
                .exists()
                .then_some((number, programs))
        })
        .max();
    if newest.is_none() {
        assert!(
            std::env::var_os("RINGFENCE_CLIENTS").is_none_or(|value| value != "required"),
            "RINGFENCE_CLIENTS=required and there is no PostgreSQL in /usr/lib/postgresql; .ci/run installs it"
        );
        // Written to the descriptor itself: what `eprintln!` says in a test that passes, nobody sees.
        _ = writeln!(
            std::io::stderr(),
            "SKIPPED: no PostgreSQL in /usr/lib/postgresql; .ci/run installs it"
        );
    }
    newest.map(|(_, programs)| programs)
}

/// How long a start may take on a busy machine.
const START_MAX: Duration = Duration::from_secs(30);

const NOBODY: u32 = 65534;
