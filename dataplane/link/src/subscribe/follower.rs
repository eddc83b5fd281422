//! One gateway, followed: a stream after the other, and what is done with each message (DPL-3 to DPL-5, DPL-8, DPL-9).
//!
//! Apart from `subscribe`, which says what following is and begins it. Invariants: what waits for the gateway is a branch of
//! one select, and none of them loses anything when another comes first; the table is in one place at a time, here or with
//! a helper thread.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use proto::v1::data_plane_client::DataPlaneClient;
use proto::v1::{ReportRequest, Snapshot, SubscribeRequest};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::merge::{Merge, Next};
use super::table::Table;
use super::{Claim, Freshness, Order, Said, Shared, Standing, Stream, Timing};
use crate::backoff::{Backoff, full_jitter};
use crate::channel::{self, Address, ChannelError, Peer};
use crate::report::{Reports, Shelf};

/// One gateway, followed.
pub(super) struct Follower {
    peer: Peer,
    host_id: String,
    claims: Vec<Claim>,
    max_stale: Option<Duration>,
    timing: Timing,
    shared: Shared,
    says: mpsc::Receiver<Said>,
    /// Who waits until the gateway has heard a sandbox's last word.
    last_word: Option<SyncSender<()>>,
    shelf: Shelf,
    merge: Merge,
    reports: Reports,
    /// Away while a helper thread has it.
    table: Option<Table>,
    /// When routes stop to count.
    stale_at: Option<Instant>,
}

/// Why a stream ended.
#[derive(Debug)]
enum Ended {
    /// There was none, and nobody listens.
    NobodyListens(String),
    /// There was none, or it broke, or it was silent.
    Lost(String),
    /// It could not be followed (DPL-3).
    NotFollowed(&'static str),
    /// The helper thread is gone, and what it had with it.
    NoTable,
}

impl From<ChannelError> for Ended {
    fn from(error: ChannelError) -> Ended {
        match error {
            ChannelError::NobodyListens(why) => Ended::NobodyListens(why),
            ChannelError::Certificates { .. }
            | ChannelError::NoCertificates
            | ChannelError::Unreachable(_) => Ended::Lost(error.to_string()),
        }
    }
}

impl From<Status> for Ended {
    fn from(status: Status) -> Ended {
        Ended::Lost(match status.message() {
            "" => status.code().to_string(),
            words => words.to_owned(),
        })
    }
}

impl Follower {
    pub(super) fn new(order: Order, shelf: Shelf) -> Follower {
        let Order {
            gateway,
            shared,
            says,
        } = order;
        Follower {
            peer: gateway.peer,
            host_id: gateway.host_id,
            claims: gateway.claims,
            max_stale: gateway.max_stale,
            timing: gateway.timing,
            shared,
            says,
            last_word: None,
            shelf,
            merge: Merge::default(),
            reports: Reports::default(),
            table: Some(Table::new(gateway.site)),
            stale_at: None,
        }
    }

    /// Follows for ever.
    pub(super) async fn run(mut self) {
        let Timing {
            retry_first,
            retry_longest,
            ..
        } = self.timing;
        let mut backoff = Backoff::new(retry_first, retry_longest, full_jitter);
        // Every first attempt counts as the end of a stream.
        let mut is_news = true;
        loop {
            let socket = Socket::look(&self.peer.address);
            let ended = self.stream().await;
            if self.shared.get().stream == Stream::Up {
                // It lived. One that brought nothing is no reason to hurry.
                backoff.reset();
                is_news = true;
            }
            let (wait, why) = match ended {
                Ended::NobodyListens(why) => (backoff.wait_for_a_listener(), why),
                Ended::Lost(why) => (backoff.wait(), why),
                Ended::NotFollowed(why) => (backoff.wait(), why.to_owned()),
                Ended::NoTable => return,
            };
            if std::mem::take(&mut is_news) && self.say_lost(why, wait).await.is_err() {
                return;
            }
            let gone =
                self.lost().await.is_err() || self.meanwhile(socket.pause(wait)).await.is_err();
            if gone {
                return;
            }
        }
    }

    async fn say_lost(&mut self, why: String, wait: Duration) -> Result<(), Ended> {
        self.act(move |table| table.stream_lost(&why, wait)).await
    }

    /// One stream, from its connection to its end.
    async fn stream(&mut self) -> Ended {
        self.merge.begin();
        let peer = self.peer.clone();
        let request = SubscribeRequest {
            host_id: self.host_id.clone(),
            applied_generation: self.merge.applied().unwrap_or(0),
            sandbox_ids: self.claims.iter().map(|claim| claim.id.clone()).collect(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let opening = async move {
            let channel = channel::open(&peer).await?;
            let mut client =
                DataPlaneClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
            let messages = client.subscribe(request).await?.into_inner();
            Ok::<_, Ended>((client, messages))
        };
        let within = self.timing.silence;
        match self.meanwhile(timeout(within, opening)).await {
            Ok(Ok(Ok((client, messages)))) => {
                self.reports.owe_all();
                match self.follow(&client, messages).await {
                    Ok(never) => match never {},
                    Err(ended) => ended,
                }
            }
            Ok(Err(_)) => Ended::Lost(SILENT.to_owned()),
            Ok(Ok(Err(ended))) | Err(ended) => ended,
        }
    }

    /// Reads messages until there is a reason to stop, and reports meanwhile.
    async fn follow(
        &mut self,
        client: &DataPlaneClient<Channel>,
        mut messages: Streaming<Snapshot>,
    ) -> Result<Infallible, Ended> {
        let mut reporting: Option<Reporting> = None;
        let mut report_at = Instant::now();
        let mut silent_at = Instant::now() + self.timing.silence;
        loop {
            if reporting.is_none() && Instant::now() >= report_at {
                reporting = self.report(client);
                report_at = Instant::now() + self.timing.report_every;
            }
            // Why a select: a message that was not read yet stays in its stream, and a report goes on.
            tokio::select! {
                message = messages.message() => {
                    let message = message?.ok_or_else(|| Ended::Lost(CLOSED.to_owned()))?;
                    if self.take(message).await? {
                        report_at = Instant::now();
                    }
                    // Behind the work: what a policy takes to compile is not the gateway's silence.
                    silent_at = Instant::now() + self.timing.silence;
                }
                arrived = sent(&mut reporting) => {
                    reporting = None;
                    if let Some(message) = arrived {
                        self.reports.heard(&message);
                        // More may be owed than one message holds.
                        match self.reports.due(&self.host_id) {
                            Some(_) => report_at = Instant::now(),
                            None => drop(self.last_word.take().map(|heard| heard.try_send(()))),
                        }
                    }
                }
                Some(said) = self.says.recv() => {
                    self.hear(said);
                    report_at = Instant::now();
                }
                () = sleep_until(report_at), if reporting.is_none() => {}
                () = sleep_until(silent_at) => return Err(Ended::Lost(SILENT.to_owned())),
                () = until(self.stale_at) => self.go_stale().await?,
            }
        }
    }

    /// Takes a message; gives whether it was a change, which is news for the gateway.
    async fn take(&mut self, message: Snapshot) -> Result<bool, Ended> {
        let change = match self.merge.take(message) {
            Next::Resubscribe(why) => return Err(Ended::NotFollowed(why)),
            Next::Wait => None,
            Next::Apply(change) => Some(change),
        };
        let is_news = change.is_some();
        if let Some(change) = change {
            let outcome = self.act(|table| table.apply(change)).await?;
            self.reports.applied(outcome.generation);
            for id in &outcome.removed {
                self.reports.forget(id);
            }
            for report in outcome.policies {
                self.reports.policy(report);
            }
            if let Some(routes) = outcome.routes {
                self.reports.routes(routes);
            }
            self.stale_at = None;
        }
        let before = self.shared.get();
        let now = Standing {
            stream: Stream::Up,
            generation: self.merge.applied(),
            freshness: match is_news {
                true => Freshness::Fresh,
                false => before.freshness,
            },
        };
        self.stand(before, now).await?;
        Ok(is_news)
    }

    /// The stream is gone: from now on routes age.
    async fn lost(&mut self) -> Result<(), Ended> {
        let before = self.shared.get();
        let ages = before.generation.is_some() && before.freshness == Freshness::Fresh;
        if ages && self.stale_at.is_none() {
            self.stale_at = self.max_stale.map(|time| Instant::now() + time);
        }
        let stream = Stream::Down;
        self.stand(before, Standing { stream, ..before }).await
    }

    async fn go_stale(&mut self) -> Result<(), Ended> {
        self.stale_at = None;
        self.act(Table::go_stale).await?;
        let before = self.shared.get();
        let freshness = Freshness::Stale;
        self.stand(
            before,
            Standing {
                freshness,
                ..before
            },
        )
        .await
    }

    /// Shows how this host stands. The generation is shown when it is in force, not before.
    async fn stand(&mut self, before: Standing, now: Standing) -> Result<(), Ended> {
        if before == now {
            return Ok(());
        }
        self.shared.set(now);
        self.act(move |table| table.link_changed(now)).await
    }

    /// Waits for `what`; meanwhile routes may go stale and sandboxes may have something to say.
    async fn meanwhile<T>(&mut self, what: impl Future<Output = T>) -> Result<T, Ended> {
        let mut what = pin!(what);
        loop {
            tokio::select! {
                done = &mut what => return Ok(done),
                () = until(self.stale_at) => self.go_stale().await?,
                Some(said) = self.says.recv() => self.hear(said),
            }
        }
    }

    /// What a sandbox has to say.
    fn hear(&mut self, said: Said) {
        self.reports.sandbox(said.report);
        self.last_word = said.heard.or(self.last_word.take());
    }

    /// Does something with the table where it may take its time.
    async fn act<T: Send + 'static>(
        &mut self,
        act: impl FnOnce(&mut Table) -> T + Send + 'static,
    ) -> Result<T, Ended> {
        let mut table = self.table.take().ok_or(Ended::NoTable)?;
        let acting = tokio::task::spawn_blocking(move || {
            let done = act(&mut table);
            (table, done)
        });
        let (table, done) = acting.await.map_err(|_| Ended::NoTable)?;
        self.table = Some(table);
        Ok(done)
    }

    /// A report on its way, if there is anything to say.
    fn report(&self, client: &DataPlaneClient<Channel>) -> Option<Reporting> {
        let local = |local: &str| {
            let claim = self.claims.iter().find(|claim| claim.local == local)?;
            Some(claim.id.clone())
        };
        let due = self.reports.due(&self.host_id);
        let records = self.shelf.take(local);
        if due.is_none() && records.is_empty() {
            return None;
        }
        let mut message = due.unwrap_or_else(|| ReportRequest {
            host_id: self.host_id.clone(),
            applied_generation: self.merge.applied().unwrap_or(0),
            ..ReportRequest::default()
        });
        message.records = records;
        let mut client = client.clone();
        let sending = async move {
            let sent = timeout(REPORT_TIME, client.report(message.clone())).await;
            sent.is_ok_and(|answer| answer.is_ok()).then_some(message)
        };
        Some(Box::pin(sending))
    }
}

/// A report on its way: itself, when it arrived.
type Reporting = Pin<Box<dyn Future<Output = Option<ReportRequest>> + Send>>;

async fn sent(reporting: &mut Option<Reporting>) -> Option<ReportRequest> {
    match reporting {
        Some(sending) => sending.await,
        None => pending().await,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

/// A gateway's socket as it was before an attempt. Over TCP nothing is known before a gateway is asked.
struct Socket {
    path: Option<PathBuf>,
    seen: Option<(u64, i64, i64)>,
}

impl Socket {
    fn look(address: &Address) -> Socket {
        let path = match address {
            Address::Unix(path) => Some(path.clone()),
            Address::Tls { .. } => None,
        };
        let seen = path.as_deref().and_then(channel::socket_seen);
        Socket { path, seen }
    }

    /// Waits, or until a gateway of this machine has made its socket anew: it is back, and whoever waits for it is few.
    async fn pause(self, wait: Duration) {
        let until = Instant::now() + wait;
        while Instant::now() < until {
            let step = until.min(Instant::now() + SOCKET_EVERY);
            sleep_until(step).await;
            let now = self.path.as_deref().and_then(channel::socket_seen);
            if now.is_some() && now != self.seen {
                return;
            }
        }
    }
}

/// Reasons that are no error of the stream's own.
const SILENT: &str = "the gateway was silent";
const CLOSED: &str = "the gateway closed the stream";
/// Longest message; a gateway's parts are smaller.
const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Until the gateway has taken a report.
const REPORT_TIME: Duration = Duration::from_secs(10);
/// How often the socket of an absent gateway is looked for.
const SOCKET_EVERY: Duration = Duration::from_millis(200);
