//! The launcher's side: start the fence process, take its listeners, let it go, wait for its end.
//!
//! Invariants: dropping a [`Fence`] ends every process of the sandbox before it returns; the fence process has a
//! parent thread of its own, because the kernel ties its life to that thread and not to the process.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::fence::VERB;
use crate::handover;
use crate::report::{Exit, Failure, Order, Outcome, Report, Started};
use crate::spec::Spec;
use crate::sys;

/// How the fence process is started. [`Default`] is what a launcher wants.
#[derive(Debug)]
pub struct LaunchOptions {
    /// The binary that has the hidden verb. Default: the running one.
    pub executable: PathBuf,
    /// Standard input, output and error of the command. Default: those of the launcher.
    pub stdio: [Stdio; 3],
    /// How long the fence may take to make the listeners.
    pub ready_within: Duration,
}

impl Default for LaunchOptions {
    fn default() -> Self {
        Self {
            executable: PathBuf::from("/proc/self/exe"),
            stdio: [Stdio::inherit(), Stdio::inherit(), Stdio::inherit()],
            ready_within: Duration::from_secs(10),
        }
    }
}

/// A sandbox that was not started, and why.
#[derive(Debug)]
#[non_exhaustive]
pub enum LaunchError {
    /// The fence process could not be started.
    Spawn(io::Error),
    /// The fence said which step failed.
    Step(Failure),
    /// The fence process ended or spoke out of turn.
    Channel(io::Error),
}

impl LaunchError {
    /// The exit code of `run` (CLI-6): 126, 127 or 125.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Step(failure) => failure.step.exit_code(),
            Self::Spawn(_) | Self::Channel(_) => 125,
        }
    }
}

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spawn(error) => write!(f, "the fence process could not be started: {error}"),
            Self::Step(failure) => write!(f, "the sandbox could not be started: {failure}"),
            Self::Channel(error) => write!(f, "the fence process ended during the start: {error}"),
        }
    }
}

impl std::error::Error for LaunchError {}

impl From<Failure> for LaunchError {
    fn from(failure: Failure) -> Self {
        Self::Step(failure)
    }
}

/// The sockets that are this sandbox, for the data plane. The launcher keeps copies of the first two for as long as
/// the sandbox lives (GEN-6).
#[derive(Debug)]
pub struct Listeners {
    /// Listening at 127.0.0.1:3128 inside.
    pub proxy: OwnedFd,
    /// Listening at 127.0.0.1:443 inside.
    pub direct: OwnedFd,
    /// A NETLINK_SOCK_DIAG socket of the sandbox's network namespace.
    pub diag: OwnedFd,
    /// The sandbox's own `/proc`, an open directory: its process numbers are those the sandbox sees.
    pub proc: OwnedFd,
    /// Tells every connect(2) in the sandbox, which waits for an answer; absent where that could not be had.
    pub calls: Option<OwnedFd>,
}

impl Listeners {
    /// Copies of the first four, for a data plane of their own, and the descriptor of the calls itself: nobody else may
    /// keep it, or calls would wait for ever when the data plane is gone.
    ///
    /// # Errors
    /// When no descriptor is free.
    pub fn hand_over(&mut self) -> io::Result<Self> {
        Ok(Self {
            proxy: self.proxy.try_clone()?,
            direct: self.direct.try_clone()?,
            diag: self.diag.try_clone()?,
            proc: self.proc.try_clone()?,
            calls: self.calls.take(),
        })
    }
}

/// A sandbox whose listeners exist and whose command runs once [`Fence::go`] is called.
#[derive(Debug)]
pub struct Fence {
    /// What the data plane needs.
    pub listeners: Listeners,
    remote: Remote,
    /// Ends when the fence process, and with it the tree, has ended.
    parent: Option<JoinHandle<()>>,
}

/// Signals and stops a sandbox from any thread.
#[derive(Clone, Debug)]
pub struct Remote {
    channel: Arc<UnixStream>,
}

/// Makes a sandbox up to its listeners. Blocks until they are here.
///
/// # Errors
/// [`LaunchError`], with the failing step where the fence got that far. Nothing is left behind.
pub fn launch(spec: &Spec) -> Result<Fence, LaunchError> {
    launch_with(spec, LaunchOptions::default())
}

/// [`launch`] with another executable, standard streams or patience.
///
/// # Errors
/// As [`launch`].
pub fn launch_with(spec: &Spec, options: LaunchOptions) -> Result<Fence, LaunchError> {
    let (ours, theirs) = UnixStream::pair().map_err(LaunchError::Spawn)?;
    let mut command = Command::new(&options.executable);
    let [stdin, stdout, stderr] = options.stdio;
    command
        .arg0("ringfence")
        .arg(VERB)
        .env_clear()
        .stdin(stdin)
        .stdout(stdout)
        .stderr(stderr);
    sys::give_channel(&mut command, theirs.into());
    let parent = spawn(command)?;
    let remote = Remote {
        channel: Arc::new(ours),
    };
    let starting = Starting {
        remote,
        parent: Some(parent),
    };
    starting
        .remote
        .order(&Order::Launch(Box::new(spec.clone())))
        .map_err(LaunchError::Channel)?;
    starting
        .remote
        .channel
        .set_read_timeout(Some(options.ready_within))
        .map_err(LaunchError::Channel)?;
    let listeners = ready(&starting.remote.channel)?;
    starting
        .remote
        .channel
        .set_read_timeout(None)
        .map_err(LaunchError::Channel)?;
    Ok(starting.finish(listeners))
}

/// Starts the fence process from a thread that lives as long as it does.
fn spawn(mut command: Command) -> Result<JoinHandle<()>, LaunchError> {
    let (tell, told) = mpsc::sync_channel(1);
    let thread = thread::Builder::new()
        .name("fence-parent".to_owned())
        .spawn(move || {
            let spawned = command.spawn();
            // Why: the closure in it holds the fence's end of the channel, whose end must be seen.
            drop(command);
            match spawned {
                Ok(mut child) => {
                    drop(tell.send(Ok(())));
                    drop(child.wait());
                }
                Err(error) => drop(tell.send(Err(error))),
            }
        });
    let thread = thread.map_err(LaunchError::Spawn)?;
    match told.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(error)) => Err(LaunchError::Spawn(error)),
        Err(_) => Err(LaunchError::Spawn(io::Error::other(
            "the thread that starts it ended",
        ))),
    }
}

fn ready(channel: &UnixStream) -> Result<Listeners, LaunchError> {
    match handover::receive(channel).map_err(LaunchError::Channel)? {
        (Report::Ready, descriptors) => {
            let mut descriptors = descriptors.into_iter();
            let mut next = || {
                descriptors
                    .next()
                    .ok_or_else(|| out_of_turn("ready without four descriptors"))
            };
            Ok(Listeners {
                proxy: next()?,
                direct: next()?,
                diag: next()?,
                proc: next()?,
                calls: descriptors.next(),
            })
        }
        (Report::Failed(failure), _) => Err(failure.into()),
        (Report::Started(_) | Report::Ended(_), _) => Err(out_of_turn("not ready")),
    }
}

fn out_of_turn(what: &'static str) -> LaunchError {
    LaunchError::Channel(io::Error::new(io::ErrorKind::InvalidData, what))
}

/// A fence that is not ready yet; dropped, it ends.
struct Starting {
    remote: Remote,
    parent: Option<JoinHandle<()>>,
}

impl Starting {
    fn finish(mut self, listeners: Listeners) -> Fence {
        Fence {
            listeners,
            remote: self.remote.clone(),
            parent: self.parent.take(),
        }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        // Why: `finish` took the parent along, and the fence lives on.
        if let Some(parent) = self.parent.take() {
            end(&self.remote, parent);
        }
    }
}

impl Fence {
    /// Executes the command: call it when the data plane has confirmed (GEN-5). Blocks until the exec succeeded.
    ///
    /// # Errors
    /// [`LaunchError::Step`] names the failing step; the command never ran, and its exit code is in the error.
    pub fn go(&mut self) -> Result<Started, LaunchError> {
        self.remote
            .order(&Order::Go)
            .map_err(LaunchError::Channel)?;
        match handover::receive(&self.remote.channel)
            .map_err(LaunchError::Channel)?
            .0
        {
            Report::Started(started) => Ok(started),
            Report::Failed(failure) => Err(failure.into()),
            Report::Ready | Report::Ended(_) => Err(out_of_turn("not started")),
        }
    }

    /// A handle that signals and stops from any thread.
    #[must_use]
    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }

    /// Sends a signal to the command; see [`Remote::signal`].
    pub fn signal(&self, signal: i32) {
        self.remote.signal(signal);
    }

    /// Waits until the command has ended and no process of the sandbox is left.
    #[must_use]
    pub fn wait(self) -> Outcome {
        self.outcome()
    }

    /// As [`Fence::wait`], for at most `limit`; then the tree is ended and the answer is [`Outcome::TimedOut`], about
    /// five seconds later when processes ignore SIGTERM.
    #[must_use]
    pub fn wait_timeout(self, limit: Duration) -> Outcome {
        // Why at least a millisecond: a zero time-out means none to the kernel.
        let limit = limit.max(Duration::from_millis(1));
        if self.remote.channel.set_read_timeout(Some(limit)).is_err() {
            return Outcome::Lost;
        }
        match handover::receive::<Report>(&self.remote.channel) {
            Ok((Report::Ended(exit), _)) => exit.into(),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                self.remote.stop();
                drop(self.remote.channel.set_read_timeout(None));
                let _ended: Outcome = self.outcome();
                Outcome::TimedOut
            }
            Ok((Report::Ready | Report::Started(_) | Report::Failed(_), _)) | Err(_) => {
                Outcome::Lost
            }
        }
    }

    fn outcome(&self) -> Outcome {
        match handover::receive::<Report>(&self.remote.channel) {
            Ok((Report::Ended(exit), _)) => exit.into(),
            Ok((Report::Ready | Report::Started(_) | Report::Failed(_), _)) | Err(_) => {
                Outcome::Lost
            }
        }
    }
}

impl Drop for Fence {
    fn drop(&mut self) {
        if let Some(parent) = self.parent.take() {
            end(&self.remote, parent);
        }
    }
}

/// Lets the fence see the end of the channel, and waits until it is gone.
fn end(remote: &Remote, parent: JoinHandle<()>) {
    // Why ignored: both fail only when the other end or the thread is gone already.
    drop(remote.channel.shutdown(std::net::Shutdown::Both));
    drop(parent.join());
}

impl Remote {
    /// Sends a signal to the command: to its process group, or in the foreground to the command alone. In the
    /// foreground SIGINT, SIGQUIT, SIGTSTP and SIGWINCH are left to the terminal, which tells the whole group. A
    /// sandbox that has ended ignores it.
    pub fn signal(&self, signal: i32) {
        drop(self.order(&Order::Signal(signal)));
    }

    /// Ends the whole tree: SIGTERM, and SIGKILL after five seconds. [`Fence::wait`] then returns.
    pub fn stop(&self) {
        drop(self.order(&Order::Stop));
    }

    fn order(&self, order: &Order) -> io::Result<()> {
        handover::send(&self.channel, order, &[])
    }
}

impl From<Exit> for Outcome {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Exited(code) => Self::Exited(code),
            Exit::Signalled(signal) => Self::Signalled(signal),
        }
    }
}
