//! Where PostgreSQL is, how a connection to it begins, and what its errors mean.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Socket};

use super::super::{CommitError, StoreError};
use super::tls::{Encrypted, Tls};

/// A server as a URL names it.
pub(super) struct Server {
    config: Config,
    tls: Tls,
}

/// One end of a connection: must be polled for the other to get answers.
pub(super) type Connection = tokio_postgres::Connection<Socket, Encrypted>;

impl Server {
    pub(super) fn of(url: &str) -> Result<Server, StoreError> {
        let (url, roots) = without_roots(url);
        // Why no cause: it may quote a password that was not percent-encoded.
        let mut config: Config = url.parse().map_err(|_| {
            StoreError::Unusable(
                "the PostgreSQL URL cannot be read; expected \
                 postgres://USER:PASSWORD@HOST:PORT/DATABASE, special characters percent-encoded"
                    .to_owned(),
            )
        })?;
        config
            .ssl_mode(protection(&config))
            .application_name("ringfence gateway")
            .connect_timeout(CONNECT_MAX)
            .keepalives_idle(KEEPALIVE_AFTER)
            .keepalives_interval(KEEPALIVE_EVERY)
            .keepalives_retries(KEEPALIVES_MAX)
            .target_session_attrs(TargetSessionAttrs::ReadWrite);
        let tls = Tls::trusting(roots.as_deref())?;
        Ok(Server { config, tls })
    }

    /// A connection that is driven by a task until its client is dropped or the server goes.
    pub(super) async fn connect(&self) -> Result<Client, StoreError> {
        let (client, connection) = self.open().await?;
        tokio::spawn(async {
            // Its end is seen by the client, call by call.
            _ = connection.await;
        });
        client.batch_execute(SESSION).await.map_err(store_error)?;
        Ok(client)
    }

    /// A connection that the caller drives.
    pub(super) async fn open(&self) -> Result<(Client, Connection), StoreError> {
        self.config
            .connect(self.tls.clone())
            .await
            .map_err(store_error)
    }
}

/// The URL without libpq's `sslrootcert`, which the driver does not know, and what it said: a path as it is, not
/// percent-encoded.
fn without_roots(url: &str) -> (String, Option<PathBuf>) {
    let Some((front, query)) = url.split_once('?') else {
        return (url.to_owned(), None);
    };
    let mut roots = None;
    let rest: Vec<&str> = query
        .split('&')
        .filter(|param| match param.strip_prefix("sslrootcert=") {
            Some(path) => {
                roots = Some(PathBuf::from(path));
                false
            }
            None => true,
        })
        .collect();
    (format!("{front}?{}", rest.join("&")), roots)
}

/// TLS or not, never whichever the server likes: this machine needs none, and everybody else must have it unless the
/// operator said `sslmode=disable`.
fn protection(config: &Config) -> SslMode {
    let mut hosts = config.get_hosts().iter();
    let local = hosts.all(|host| match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|addr: IpAddr| addr.is_loopback())
        }
        Host::Unix(_) => true,
    });
    match config.get_ssl_mode() {
        SslMode::Disable => SslMode::Disable,
        SslMode::Prefer if local => SslMode::Disable,
        SslMode::Prefer | SslMode::Require | _ => SslMode::Require,
    }
}

/// Away for now, or not to be used.
pub(super) fn store_error(error: tokio_postgres::Error) -> StoreError {
    let Some(refusal) = error.as_db_error() else {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
        return StoreError::Unavailable(format!("PostgreSQL: {error}{cause}"));
    };
    // Why not the details: they quote rows.
    let text = format!(
        "PostgreSQL: {} ({})",
        refusal.message(),
        refusal.code().code()
    );
    let away = [
        "08", // connection
        "25", // read-only, as a standby is; a transaction that was ended for being idle
        "40", // deadlock
        "53", // no memory, disk or connection left
        "55", // lock not to be had in time
        "57", // being shut down or started; statement cancelled
        "58", // I/O
    ];
    if away
        .iter()
        .any(|class| refusal.code().code().starts_with(class))
    {
        StoreError::Unavailable(text)
    } else {
        StoreError::Unusable(text)
    }
}

/// The same of a commit, whose rows may be refused.
pub(super) fn commit_error(error: tokio_postgres::Error) -> CommitError {
    if error.code() == Some(&SqlState::FOREIGN_KEY_VIOLATION) {
        return super::super::orphan();
    }
    store_error(error).into()
}

/// What a session begins with: no statement outlives its caller by much, a gateway that was stopped in a transaction
/// does not hold the generation's lock for ever, and acknowledged means on the disk.
const SESSION: &str = "
    SET statement_timeout = '2s';
    SET idle_in_transaction_session_timeout = '5s';
    SELECT set_config('synchronous_commit', 'on', false)
     WHERE current_setting('synchronous_commit') = 'off'";

const CONNECT_MAX: Duration = Duration::from_millis(1_500);

/// A server that vanished is noticed after 5 + 3 × 1 s.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(5);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(1);
const KEEPALIVES_MAX: u32 = 3;
