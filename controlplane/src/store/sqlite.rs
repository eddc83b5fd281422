//! Rows in one SQLite file: the store of one gateway.
//!
//! SQLite blocks, so a connection lives on a thread of its own; calls reach it through a bounded channel, in their order.
//!
//! Invariants: one process at a time has the file; a commit was on the disk when its generation was told; dropping the
//! store waits for that thread, so that the file is free afterwards.

mod database;
mod file;
mod rows;
mod schema;
mod sum;

use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use tokio::sync::{mpsc, oneshot, watch};

use super::{CommitError, Rows, Store, StoreError, Write};
use database::Database;

/// A SQLite file, and the thread that has it open.
pub(super) struct SqliteStore {
    /// `None` while it is dropped.
    jobs: Option<mpsc::Sender<Job>>,
    newest: watch::Receiver<u64>,
    thread: Option<JoinHandle<()>>,
}

enum Job {
    Load(oneshot::Sender<Result<Rows, StoreError>>),
    Commit {
        base: u64,
        writes: Vec<Write>,
        reply: oneshot::Sender<Result<u64, CommitError>>,
    },
}

impl SqliteStore {
    /// Opens what follows `sqlite:` in a URL: a path, or `//` and a path.
    pub(super) async fn open(path: &str) -> Result<SqliteStore, StoreError> {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() {
            return Err(StoreError::Unusable(
                "sqlite: needs the path of a file, as in sqlite:/var/lib/ringfence/gateway.db"
                    .to_owned(),
            ));
        }
        let path = PathBuf::from(path);
        let (jobs, received) = mpsc::channel(JOBS_MAX);
        let (opened, opening) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("sqlite".to_owned())
            .spawn(move || match start(&path) {
                Ok((database, generation)) => {
                    let (newest, seen) = watch::channel(generation);
                    if opened.send(Ok(seen)).is_ok() {
                        serve(database, received, newest);
                    }
                }
                // Nobody waits any more when this cannot be told.
                Err(error) => _ = opened.send(Err(error)),
            })
            .map_err(|error| StoreError::Unavailable(format!("no thread for SQLite: {error}")))?;
        let newest = opening.await.map_err(|_| ended())??;
        Ok(SqliteStore {
            jobs: Some(jobs),
            newest,
            thread: Some(thread),
        })
    }

    async fn ask<T, E: From<StoreError>>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, E>>) -> Job,
    ) -> Result<T, E> {
        let (reply, replied) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or_else(ended)?;
        jobs.send(job(reply)).await.map_err(|_| ended())?;
        replied.await.map_err(|_| ended())?
    }
}

#[tonic::async_trait]
impl Store for SqliteStore {
    async fn load(&self) -> Result<Rows, StoreError> {
        self.ask(Job::Load).await
    }

    async fn commit(&self, base: u64, writes: &[Write]) -> Result<u64, CommitError> {
        for write in writes {
            write.check()?;
        }
        let writes = writes.to_vec();
        self.ask(|reply| Job::Commit {
            base,
            writes,
            reply,
        })
        .await
    }

    async fn changed(&self, known: u64) -> Result<(), StoreError> {
        let mut newest = self.newest.clone();
        let moved = newest.wait_for(|generation| *generation > known).await;
        moved.map(|_| ()).map_err(|_| ended())
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // It waits for one commit at most. A panic over there was told to who waited for an answer.
            _ = thread.join();
        }
    }
}

fn start(path: &std::path::Path) -> Result<(Database, u64), StoreError> {
    let mut database = Database::open(path)?;
    let generation = database.load()?.generation;
    Ok((database, generation))
}

fn serve(mut database: Database, mut jobs: mpsc::Receiver<Job>, newest: watch::Sender<u64>) {
    while let Some(job) = jobs.blocking_recv() {
        match job {
            Job::Load(reply) => {
                if !reply.is_closed() {
                    _ = reply.send(database.load());
                }
            }
            Job::Commit {
                base,
                writes,
                reply,
            } => {
                // Why: a caller that left before its turn is told nothing, so nothing is written for it either.
                if reply.is_closed() {
                    continue;
                }
                let done = database.commit(base, &writes);
                if let Ok(generation) = done {
                    newest.send_replace(generation);
                }
                _ = reply.send(done);
            }
        }
    }
}

fn ended() -> StoreError {
    StoreError::Unavailable("the thread of the SQLite file ended".to_owned())
}

/// Calls that wait for the thread; more wait for room.
const JOBS_MAX: usize = 64;
