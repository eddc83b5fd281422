//! Names to addresses for the workers (DST-10): the hosts file, then the host's name servers, with one cache.
//!
//! It exists apart from its parts because it owns the questions: who waits for which name, until when, and what was
//! answered before. `hosts.rs` reads a file, `dns.rs` asks name servers, `cache.rs` remembers.
//!
//! Invariants: one look-up per name is under way, however many ask, and all get its answer; an answer comes within the
//! deadline; what waits, runs and is remembered is bounded, and beyond the bound the answer is `Failure`. Names are
//! absolute; there is no search list, no multicast, no look-up of a literal.
//! It must never judge an address: answers are classified at every use, by `policy`.

mod cache;
mod dns;
mod hosts;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinSet};
use wire::Host;

use cache::Cache;
use dns::{Answer, Servers};
use hosts::HostsFile;

/// Where names come from and how long they may take. The defaults are those of the host.
#[derive(Debug, Clone)]
pub struct ResolveConfig {
    /// Asked first.
    pub hosts_file: PathBuf,
    /// Names the name servers. Read again when it changes.
    pub resolv_conf: PathBuf,
    /// Port of the name servers.
    pub port: u16,
    /// From the question to the answer.
    pub deadline: Duration,
    /// When the next name server is asked because the one before has not answered.
    pub next_server_after: Duration,
    /// Names remembered.
    pub cached_names_max: usize,
    /// Addresses remembered, all names together.
    pub cached_addresses_max: usize,
    /// No answer is remembered longer.
    pub ttl_max: Duration,
    /// No "there is no such name" is remembered longer.
    pub negative_ttl_max: Duration,
    /// Names looked up at a time.
    pub lookups_max: usize,
    /// Questions waiting at a time.
    pub questions_max: usize,
}

impl Default for ResolveConfig {
    fn default() -> ResolveConfig {
        ResolveConfig {
            hosts_file: PathBuf::from("/etc/hosts"),
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            port: 53,
            deadline: Duration::from_secs(5),
            next_server_after: Duration::from_secs(1),
            // 4,096 names of at most 253 bytes and 65,536 addresses of 17 bytes: below 3 MiB.
            cached_names_max: 4_096,
            cached_addresses_max: 65_536,
            ttl_max: Duration::from_secs(3_600),
            negative_ttl_max: Duration::from_secs(60),
            // Two sockets and two messages of at most 64 KiB each: below 64 MiB at the worst, 3 MiB as a rule.
            lookups_max: 256,
            questions_max: 4_096,
        }
    }
}

/// A handle to the resolver; cheap to clone, and usable on any thread and executor.
#[derive(Clone)]
pub struct Resolver {
    questions: mpsc::Sender<Question>,
}

impl Resolver {
    /// Asks for the addresses of `host`. A literal is answered at once and asks nobody.
    ///
    /// # Errors
    /// The future gives [`ResolveError`].
    pub fn resolve(&self, host: &Host) -> Resolving {
        if let Some(literal) = host.literal() {
            return Resolving {
                state: State::Known(Ok(Addresses::from(vec![literal]))),
            };
        }
        let (reply, answer) = oneshot::channel();
        match self.questions.try_send(Question {
            host: host.clone(),
            reply,
        }) {
            Ok(()) => Resolving {
                state: State::Asked(answer),
            },
            Err(_) => Resolving {
                state: State::Known(Err(ResolveError::Failure)),
            },
        }
    }
}

/// An answer that may be on its way. Dropping it gives the answer up, not the look-up.
#[must_use = "a future does nothing unless awaited"]
pub struct Resolving {
    state: State,
}

enum State {
    Known(Result<Addresses, ResolveError>),
    Asked(oneshot::Receiver<Result<Addresses, ResolveError>>),
}

impl Future for Resolving {
    type Output = Result<Addresses, ResolveError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            State::Known(answer) => Poll::Ready(answer.clone()),
            // A dropped sender means that the link has ended or could not take the question.
            State::Asked(answer) => Pin::new(answer)
                .poll(context)
                .map(|answer| answer.unwrap_or(Err(ResolveError::Failure))),
        }
    }
}

/// The addresses of a name, at least one, without repetition, IPv4 before IPv6. Cloning shares them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses(Arc<[IpAddr]>);

impl Deref for Addresses {
    type Target = [IpAddr];

    fn deref(&self) -> &[IpAddr] {
        &self.0
    }
}

impl From<Vec<IpAddr>> for Addresses {
    fn from(addresses: Vec<IpAddr>) -> Addresses {
        Addresses(addresses.into())
    }
}

/// Why there is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolveError {
    /// No such name, no address, a loop, an answer beyond the bounds, a broken name server, or no room to ask.
    Failure,
    /// No answer within the deadline.
    Timeout,
}

impl ResolveError {
    /// The code of the refusal (ERR-5).
    pub fn code(self) -> &'static str {
        match self {
            ResolveError::Failure => "dns_failure",
            ResolveError::Timeout => "dns_timeout",
        }
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl std::error::Error for ResolveError {}

struct Question {
    host: Host,
    reply: oneshot::Sender<Result<Addresses, ResolveError>>,
}

/// The resolver's side on the link thread.
pub(crate) struct Desk {
    questions: mpsc::Receiver<Question>,
    config: ResolveConfig,
    hosts: HostsFile,
    servers: Servers,
    cache: Cache,
    waiting: HashMap<Host, Vec<oneshot::Sender<Result<Addresses, ResolveError>>>>,
    waiting_count: usize,
    lookups: JoinSet<Answer>,
    /// Which name a look-up is for; kept outside the task so that a task that panicked still answers.
    names: HashMap<Id, Host>,
}

/// A resolver and its desk.
pub(crate) fn desk(config: ResolveConfig) -> (Resolver, Desk) {
    let (sender, questions) = mpsc::channel(config.questions_max);
    let desk = Desk {
        questions,
        hosts: HostsFile::new(config.hosts_file.clone()),
        servers: Servers::new(&config),
        cache: Cache::new(&config),
        config,
        waiting: HashMap::new(),
        waiting_count: 0,
        lookups: JoinSet::new(),
        names: HashMap::new(),
    };
    (Resolver { questions: sender }, desk)
}

impl Desk {
    /// Runs until every [`Resolver`] is gone.
    pub(crate) async fn run(mut self) {
        loop {
            // Why a select: taking a question and taking an answer both lose nothing when dropped.
            tokio::select! {
                question = self.questions.recv() => match question {
                    Some(question) => self.take(question),
                    None => return,
                },
                Some(ended) = self.lookups.join_next_with_id() => match ended {
                    Ok((id, answer)) => self.settle(id, answer),
                    Err(failed) => self.settle(failed.id(), Answer::failure()),
                },
            }
        }
    }

    fn take(&mut self, Question { host, reply }: Question) {
        if let Some(addresses) = self.hosts.find(&host) {
            return answer(reply, Ok(addresses));
        }
        if let Some(known) = self.cache.find(&host, Instant::now()) {
            return answer(reply, known);
        }
        let is_new = !self.waiting.contains_key(&host);
        if self.waiting_count >= self.config.questions_max
            || (is_new && self.names.len() >= self.config.lookups_max)
        {
            return answer(reply, Err(ResolveError::Failure));
        }
        if is_new {
            let lookup = self.servers.look_up(&host, &self.config);
            let id = self.lookups.spawn(lookup).id();
            self.names.insert(id, host.clone());
        }
        self.waiting_count += 1;
        self.waiting.entry(host).or_default().push(reply);
    }

    fn settle(&mut self, id: Id, found: Answer) {
        let Some(host) = self.names.remove(&id) else {
            return;
        };
        let waiting = self.waiting.remove(&host).unwrap_or_default();
        self.waiting_count = self.waiting_count.saturating_sub(waiting.len());
        for reply in waiting {
            answer(reply, found.result.clone());
        }
        self.cache.keep(host, found, Instant::now());
    }
}

fn answer(
    reply: oneshot::Sender<Result<Addresses, ResolveError>>,
    result: Result<Addresses, ResolveError>,
) {
    // Why ignored: who asked has gone away.
    _ = reply.send(result);
}

#[cfg(test)]
mod tests;
