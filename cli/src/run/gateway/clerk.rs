//! What goes on with the gateway beside the command: a record that could not be made yet, and a policy that is written
//! back.
//!
//! Apart from the stream, which the link thread keeps, because these are calls that wait. One thread; its jobs are few and
//! bounded. Invariant: a gateway that is away is asked again for ever, less and less often (DPL-5, TR-103), and a refusal
//! is said once.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use link::Subscription;
use proto::v1::{SandboxPhase, SandboxPolicy, SandboxReport};

use super::Follow;
use super::calls::{CallError, Calls, Claimed, Wanted};
use crate::print;

/// What a clerk is told.
pub(super) enum Job {
    /// The command runs, and this is how.
    Started(Box<SandboxReport>),
    /// BAS-3
    WriteBack(Box<SandboxPolicy>),
    /// The command has ended, or its start has.
    End(Last),
}

/// What is said of a sandbox at last.
pub(super) enum Last {
    Ended,
    /// The command never ran, and this is why.
    NotStarted(String),
}

/// Who does it.
pub(super) struct Clerk {
    pub(super) calls: Calls,
    pub(super) wanted: Wanted,
    /// Absent while there is no record.
    pub(super) claimed: Option<Claimed>,
    pub(super) subscription: Option<Subscription>,
    /// What a stream needs, until there is one.
    pub(super) waiting: Option<Follow>,
    /// How the command fares, for a gateway that is not there yet.
    pub(super) said: Option<SandboxReport>,
}

/// A clerk at work.
pub(super) struct Running {
    jobs: SyncSender<Job>,
    thread: JoinHandle<()>,
}

/// The clerk's inbox, and the way into it.
pub(super) fn inbox() -> (SyncSender<Job>, Receiver<Job>) {
    sync_channel(JOBS_MAX)
}

/// Starts to work.
pub(super) fn start(
    clerk: Clerk,
    jobs: SyncSender<Job>,
    inbox: Receiver<Job>,
) -> std::io::Result<Running> {
    let thread = std::thread::Builder::new()
        .name("gateway".to_owned())
        .spawn(move || clerk.run(&inbox))?;
    Ok(Running { jobs, thread })
}

impl Running {
    pub(super) fn tell(&self, job: Job) {
        // A clerk that is gone has nothing to do it for.
        drop(self.jobs.send(job));
    }

    pub(super) fn end(self, last: Last) {
        drop(self.jobs.send(Job::End(last)));
        drop(self.thread.join());
    }
}

impl Clerk {
    fn run(mut self, inbox: &Receiver<Job>) {
        let mut retry = Retry::new();
        let mut unwritten: Option<Box<SandboxPolicy>> = None;
        let last = loop {
            let is_owed = self.waiting.is_some() || unwritten.is_some();
            let job = match is_owed {
                true => inbox.recv_timeout(retry.left()),
                false => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match job {
                Ok(Job::Started(report)) => {
                    self.said = Some(*report);
                    self.say();
                }
                Ok(Job::WriteBack(policy)) => {
                    unwritten = self.write_back(policy, &mut retry);
                }
                Ok(Job::End(last)) => break last,
                Err(RecvTimeoutError::Disconnected) => break Last::Ended,
                Err(RecvTimeoutError::Timeout) => {
                    retry.again();
                    if self.waiting.is_some() {
                        self.claim(&mut retry);
                    }
                    unwritten = unwritten.and_then(|policy| self.write_back(policy, &mut retry));
                }
            }
        };
        match self.wanted.stays {
            true => self.say_last(last),
            false => forget(&self.calls, &self.wanted, self.claimed.as_ref()),
        }
    }

    /// The gateway may be there now (DL-1).
    fn claim(&mut self, retry: &mut Retry) {
        let claimed = match self.calls.claim(&self.wanted) {
            Ok(claimed) => claimed,
            Err(CallError::Away(_)) => return,
            Err(CallError::Refused(why)) => {
                retry.say_once(&format!("the gateway does not take this sandbox: {why}"));
                return;
            }
        };
        let Some(follow) = self.waiting.take() else {
            return;
        };
        // The command runs by the files' word, and what was fixed at its start cannot be another one's now.
        if let Err(why) = follow.site.fits(claimed.policy.as_ref()) {
            follow.site.unfit(&why);
            return;
        }
        match follow.begin(&claimed.id, &self.wanted.name) {
            Ok(subscription) => self.subscription = Some(subscription),
            Err(stop) => print::message(format_args!("warning: {}", stop.why)),
        }
        self.claimed = Some(claimed);
        retry.reset();
        self.say();
    }

    fn say(&self) {
        let (Some(claimed), Some(subscription), Some(report)) =
            (&self.claimed, &self.subscription, &self.said)
        else {
            return;
        };
        subscription.say(SandboxReport {
            sandbox_id: claimed.id.clone(),
            ..report.clone()
        });
    }

    /// Nothing is known of a sandbox from now on, or it never began. A gateway that is away does not hear it.
    fn say_last(self, last: Last) {
        let (Some(claimed), Some(subscription)) = (self.claimed, self.subscription) else {
            return;
        };
        let (phase, message) = match last {
            Last::Ended => (SandboxPhase::Unknown, "the command has ended".to_owned()),
            Last::NotStarted(why) => (SandboxPhase::Error, why),
        };
        let report = SandboxReport {
            sandbox_id: claimed.id,
            phase: phase.into(),
            message,
            ..self.said.unwrap_or_default()
        };
        subscription.say_last(report, LAST_WORD_TIME);
    }

    /// Gives the policy back when it is to be tried again.
    fn write_back(
        &self,
        policy: Box<SandboxPolicy>,
        retry: &mut Retry,
    ) -> Option<Box<SandboxPolicy>> {
        match self
            .calls
            .write_back(&self.wanted.name, SandboxPolicy::clone(&policy))
        {
            Ok(()) => {
                retry.reset();
                None
            }
            Err(error) => {
                retry.say_once(&format!(
                    "the completed policy could not be stored at the gateway: {error}"
                ));
                match error {
                    CallError::Away(_) => Some(policy),
                    CallError::Refused(_) => None,
                }
            }
        }
    }
}

/// Deletes the record of a run without a name. Where none is known of, one may be all the same: an answer was lost.
pub(super) fn forget(calls: &Calls, wanted: &Wanted, claimed: Option<&Claimed>) {
    if !wanted.stays
        && let Err(error) = calls.delete(&wanted.name)
        && claimed.is_some()
    {
        print::message(format_args!(
            "warning: the sandbox {} is still known to the gateway: {error}",
            wanted.name
        ));
    }
}

/// When something is tried again, and what was said of it.
struct Retry {
    wait: Duration,
    at: Instant,
    said: String,
}

impl Retry {
    fn new() -> Retry {
        Retry {
            wait: RETRY_FIRST,
            at: Instant::now() + RETRY_FIRST,
            said: String::new(),
        }
    }

    fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    fn again(&mut self) {
        self.wait = (self.wait * 2).min(RETRY_LONGEST);
        self.at = Instant::now() + self.wait;
    }

    fn reset(&mut self) {
        *self = Retry::new();
    }

    fn say_once(&mut self, text: &str) {
        if self.said != text {
            print::message(format_args!("warning: {text}"));
            text.clone_into(&mut self.said);
        }
    }
}

/// How long the end of a run waits for the gateway to hear of it.
const LAST_WORD_TIME: Duration = Duration::from_secs(1);
/// Jobs that may wait.
const JOBS_MAX: usize = 8;
/// DPL-5. A gateway of this machine is asked by one launcher a sandbox, so there is no herd to break up, and the longest
/// wait is what an operator sees as "at once".
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LONGEST: Duration = Duration::from_secs(2);
