//! Rows in PostgreSQL: the store of several gateways.
//!
//! One row of `meta`, the generation, is what every commit updates first: that row's lock puts commits in line, and its
//! value tells one that came too late. A commit notifies in its own transaction; one connection a store listens.
//!
//! Invariants: no call takes longer than `CALL_MAX`; a connection is used again only if its last call answered, so that a
//! transaction nobody waits for ends with its connection; no error repeats the URL or a row.

mod listener;
mod rows;
mod schema;
mod server;
mod tls;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::{CommitError, Rows, Store, StoreError, Write};
use listener::Seen;
use server::Server;

/// A PostgreSQL database, and the connections to it.
pub(super) struct PostgresStore {
    server: Arc<Server>,
    /// A connection that is in nobody's hands.
    idle: Mutex<Option<Client>>,
    seen: watch::Receiver<Seen>,
    /// The listener; it ends with the store.
    _listener: JoinSet<()>,
}

impl PostgresStore {
    pub(super) async fn open(url: &str) -> Result<PostgresStore, StoreError> {
        let server = Arc::new(Server::of(url)?);
        let mut client = within(CALL_MAX, server.connect()).await?;
        within(MIGRATION_MAX, schema::migrate(&mut client)).await?;
        let (told, mut seen) = watch::channel(Seen::Away);
        let mut listener = JoinSet::new();
        listener.spawn(listener::listen(Arc::clone(&server), told));
        within(CALL_MAX, async {
            let listening = seen.wait_for(|seen| *seen != Seen::Away).await;
            listening.map(|_| ()).map_err(|_| away())
        })
        .await?;
        Ok(PostgresStore {
            server,
            idle: Mutex::new(Some(client)),
            seen,
            _listener: listener,
        })
    }

    async fn client(&self) -> Result<Client, StoreError> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match idle.filter(|client| !client.is_closed()) {
            Some(client) => Ok(client),
            None => self.server.connect().await,
        }
    }

    fn give_back(&self, client: Client) {
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(client);
    }
}

#[tonic::async_trait]
impl Store for PostgresStore {
    async fn load(&self) -> Result<Rows, StoreError> {
        within(CALL_MAX, async {
            let mut client = self.client().await?;
            let rows = rows::load(&mut client).await?;
            self.give_back(client);
            Ok(rows)
        })
        .await
    }

    async fn commit(&self, base: u64, writes: &[Write]) -> Result<u64, CommitError> {
        for write in writes {
            write.check()?;
        }
        within(CALL_MAX, async {
            let mut client = self.client().await?;
            let done = rows::commit(&mut client, base, writes).await;
            match &done {
                Ok(_) | Err(CommitError::Conflict | CommitError::Duplicate(_)) => {
                    self.give_back(client);
                }
                Err(CommitError::Store(_)) => drop(client),
            }
            done
        })
        .await
    }

    async fn changed(&self, known: u64) -> Result<(), StoreError> {
        let mut seen = self.seen.clone();
        // A notification of this store's own commit may still be on its way, so what is older than `known` is no news.
        let news = |seen: &Seen| match seen {
            Seen::Away => true,
            Seen::Newest(generation) => *generation > known,
        };
        let moved = seen.wait_for(news).await;
        match moved.as_deref() {
            Ok(Seen::Newest(_)) => Ok(()),
            Ok(Seen::Away) | Err(_) => Err(away()),
        }
    }
}

/// What `work` gives, or that it took too long.
async fn within<T, E: From<StoreError>>(
    max: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let done = tokio::time::timeout(max, work).await;
    done.unwrap_or_else(|_| Err(away().into()))
}

fn away() -> StoreError {
    StoreError::Unavailable("PostgreSQL is not reachable or too slow".to_owned())
}

/// A call answers within 2 s (SECURITY 56); what is left is for the caller.
const CALL_MAX: Duration = Duration::from_millis(1_800);

/// How long a start waits for the tables, another gateway's migration included.
const MIGRATION_MAX: Duration = Duration::from_secs(60);
