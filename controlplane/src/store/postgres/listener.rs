//! The connection that listens: tells the newest generation, or that PostgreSQL is away.
//!
//! Notifications are lost while nobody listens, so the generation is also asked for: after each (re)connection, and now and
//! then, which finds dead connections too.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_postgres::AsyncMessage;

use super::super::StoreError;
use super::server::{Connection, Server, store_error};
use super::{CALL_MAX, away, rows, within};

/// What is known of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing: there is no connection.
    Away,
    /// The newest generation.
    Newest(u64),
}

/// Listens for ever, and connects again after pauses that grow.
pub(super) async fn listen(server: Arc<Server>, told: watch::Sender<Seen>) {
    let mut pause = FIRST_PAUSE;
    loop {
        // Always an error in the end; calls say which one.
        _ = until_lost(&server, &told).await;
        let listened = told.send_replace(Seen::Away) != Seen::Away;
        pause = if listened {
            FIRST_PAUSE
        } else {
            (pause * 2).min(LAST_PAUSE)
        };
        tokio::time::sleep(pause).await;
    }
}

async fn until_lost(server: &Server, told: &watch::Sender<Seen>) -> Result<(), StoreError> {
    let (client, connection) = within(CALL_MAX, server.open()).await?;
    // Ends with this function.
    let mut driver = JoinSet::new();
    driver.spawn(drive(connection, told.clone()));
    let listening = async { client.batch_execute(LISTEN).await.map_err(store_error) };
    within(CALL_MAX, listening).await?;
    loop {
        let generation = within(CALL_MAX, rows::generation(&client)).await?;
        told.send_if_modified(|seen| newer(seen, generation));
        if tokio::time::timeout(ASK_EVERY, driver.join_next())
            .await
            .is_ok()
        {
            return Err(away());
        }
    }
}

/// Answers the client and tells notifications, until the connection ends.
async fn drive(mut connection: Connection, told: watch::Sender<Seen>) {
    while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
        let AsyncMessage::Notification(notification) = message else {
            continue;
        };
        if let Ok(generation) = notification.payload().parse() {
            told.send_if_modified(|seen| newer(seen, generation));
        }
    }
}

/// Moves forward only: a question may be answered after the notification of what came after it.
fn newer(seen: &mut Seen, generation: u64) -> bool {
    let newer = match seen {
        Seen::Away => true,
        Seen::Newest(known) => generation > *known,
    };
    if newer {
        *seen = Seen::Newest(generation);
    }
    newer
}

/// The channel on which commits notify.
const LISTEN: &str = "LISTEN ringfence";

/// What lies between two questions for the generation.
const ASK_EVERY: Duration = Duration::from_secs(15);

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);
