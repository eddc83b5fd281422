//! How the state changes: work it out, commit it if nobody else was faster, publish it.
//!
//! Apart from `store` because it knows what rows mean, and from the domain because it waits. Invariants: what is published
//! was committed; generations are published in their order; a change is worked out again from the newest state when
//! another gateway's commit came first, so no update is lost (STO-5).

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Mutex, watch};

use crate::model::{Change, State, UnreadableRow};
use crate::store::{CommitError, Store, StoreError, Write};

/// The newest state, and the one door through which it changes.
pub struct Engine {
    store: Arc<dyn Store>,
    newest: watch::Sender<Arc<State>>,
    /// One commit or reload at a time in this process; others are told apart by their generations.
    turn: Mutex<()>,
}

/// Why a change took no effect.
#[derive(Debug)]
pub enum ChangeError<R> {
    /// The domain refused it.
    Refused(R),
    /// Others were faster every time.
    Contended,
    /// The store failed.
    Store(StoreError),
}

impl Engine {
    /// Reads the state of a store.
    ///
    /// # Errors
    /// The store cannot be read, or holds a row that cannot be understood.
    pub async fn start(store: Arc<dyn Store>) -> Result<Engine, StoreError> {
        let state = read(&*store).await?;
        let (newest, _) = watch::channel(Arc::new(state));
        Ok(Engine {
            store,
            newest,
            turn: Mutex::new(()),
        })
    }

    /// The newest state.
    pub fn state(&self) -> Arc<State> {
        Arc::clone(&self.newest.borrow())
    }

    /// The newest state, and every later one; a slow reader skips some.
    pub fn watch(&self) -> watch::Receiver<Arc<State>> {
        self.newest.subscribe()
    }

    /// Works a change out and commits it. `act` may be called again, with a newer state; without changes nothing is
    /// written. Gives what `act` gave, and the generation in which it holds.
    ///
    /// # Errors
    /// `act` refused; the store failed; others were faster each time.
    pub async fn change<T, R>(
        &self,
        act: impl Fn(&State, i64) -> Result<(Vec<Change>, T), R>,
    ) -> Result<(T, u64), ChangeError<R>> {
        // Why bounded: a store that is away takes its time with each commit, and those who wait would add theirs up.
        let turn = tokio::time::timeout(TURN_MAX, self.turn.lock()).await;
        let turn = turn.map_err(|_| {
            ChangeError::Store(StoreError::Unavailable(
                "the changes before this one take too long".to_owned(),
            ))
        })?;
        for attempt in 0..ATTEMPTS_MAX {
            if attempt > 0 {
                tokio::time::sleep(apart(attempt)).await;
            }
            let state = self.state();
            let now = now_ms();
            let (changes, out) = act(&state, now).map_err(ChangeError::Refused)?;
            if changes.is_empty() {
                return Ok((out, state.generation));
            }
            let writes: Vec<Write> = changes
                .iter()
                .flat_map(|change| change.writes(now))
                .collect();
            match self.store.commit(state.generation, &writes).await {
                Ok(generation) => {
                    self.publish(state.after(&changes, generation));
                    return Ok((out, generation));
                }
                // A name that another gateway took is seen when the state is read again.
                Err(CommitError::Conflict | CommitError::Duplicate(_)) => {
                    self.reload(&turn).await.map_err(ChangeError::Store)?
                }
                // It may have taken effect all the same; `follow` sees that when the store is back.
                Err(CommitError::Store(error)) => return Err(ChangeError::Store(error)),
            }
        }
        Err(ChangeError::Contended)
    }

    /// Reads the state again: what another gateway committed a moment ago may not have been told here yet.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let turn = self.turn.lock().await;
        self.reload(&turn).await
    }

    /// Follows what other gateways commit, for ever.
    pub async fn follow(&self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let followed = async {
                self.store.changed(self.state().generation).await?;
                let turn = self.turn.lock().await;
                // Why again: most often it was a commit of this process, and that has been published meanwhile.
                let news = self.store.changed(self.state().generation);
                match tokio::time::timeout(Duration::ZERO, news).await {
                    Ok(changed) => {
                        changed?;
                        self.reload(&turn).await
                    }
                    Err(_) => Ok(()),
                }
            };
            match followed.await {
                Ok(()) => pause = FIRST_PAUSE,
                Err(_) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LAST_PAUSE);
                }
            }
        }
    }

    async fn reload(&self, _turn: &tokio::sync::MutexGuard<'_, ()>) -> Result<(), StoreError> {
        let state = read(&*self.store).await?;
        self.publish(state);
        Ok(())
    }

    fn publish(&self, state: State) {
        self.newest.send_if_modified(|newest| {
            let newer = state.generation > newest.generation;
            if newer {
                *newest = Arc::new(state);
            }
            newer
        });
    }
}

/// What lies before another attempt: a random part of a time that grows, so that gateways that write at once do not lose
/// to the same one again and again.
fn apart(attempt: u32) -> Duration {
    let most_us = 1_000u64 << attempt.min(6);
    Duration::from_micros(RandomState::new().hash_one(attempt) % most_us)
}

async fn read(store: &dyn Store) -> Result<State, StoreError> {
    let rows = store.load().await?;
    State::of(&rows).map_err(|error: UnreadableRow| StoreError::Unusable(error.to_string()))
}

/// Milliseconds since 1970; 0 for a clock before that.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

impl<R: fmt::Display> fmt::Display for ChangeError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChangeError::Refused(why) => write!(f, "{why}"),
            ChangeError::Contended => f.write_str("other changes came first each time; try again"),
            ChangeError::Store(error) => write!(f, "{error}"),
        }
    }
}

/// How long a change waits for those before it.
const TURN_MAX: Duration = Duration::from_millis(1_900);

/// How often a change is worked out again before it is given up.
const ATTEMPTS_MAX: u32 = 32;

/// What lies between two looks at a store that failed.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);
