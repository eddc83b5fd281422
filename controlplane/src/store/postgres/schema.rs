//! The tables: made and migrated under a lock, because gateways start at the same time.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Transaction};

use super::super::{SCHEMA_VERSION, StoreError};
use super::rows::PUT_META;
use super::server::store_error;

/// What leads from each version of the schema to the next; an empty database is version 0.
const MIGRATIONS: [&str; 1] = [include_str!("1.sql")];

/// Brings the tables to this version's, in one transaction.
pub(super) async fn migrate(client: &mut Client) -> Result<(), StoreError> {
    let transaction = client.transaction().await.map_err(store_error)?;
    // A migration may take longer than a call, and so may waiting for another gateway's.
    transaction
        .batch_execute("SET LOCAL statement_timeout = 0")
        .await
        .map_err(store_error)?;
    transaction
        .execute_typed("SELECT pg_advisory_xact_lock($1)", &[(&LOCK, Type::INT8)])
        .await
        .map_err(store_error)?;
    let found = version(&transaction).await?;
    let steps = MIGRATIONS.get(found..).ok_or_else(|| {
        StoreError::Unusable(format!(
            "the PostgreSQL schema has version {found} and this ringfence knows {} at most; \
             use the newer one",
            MIGRATIONS.len()
        ))
    })?;
    for step in steps {
        transaction.batch_execute(step).await.map_err(store_error)?;
    }
    if !steps.is_empty() {
        let version = MIGRATIONS.len().to_string();
        transaction
            .execute_typed(
                PUT_META,
                &[(&SCHEMA_VERSION, Type::TEXT), (&version, Type::TEXT)],
            )
            .await
            .map_err(store_error)?;
    }
    transaction.commit().await.map_err(store_error)
}

async fn version(transaction: &Transaction<'_>) -> Result<usize, StoreError> {
    let row = transaction
        .query_typed_one("SELECT to_regclass('meta') IS NOT NULL", &[])
        .await
        .map_err(store_error)?;
    if !row.try_get::<_, bool>(0).map_err(store_error)? {
        return Ok(0);
    }
    let rows = transaction
        .query_typed(
            "SELECT value FROM meta WHERE key = $1",
            &[(&SCHEMA_VERSION, Type::TEXT)],
        )
        .await
        .map_err(store_error)?;
    let text: Option<String> = match rows.first() {
        Some(row) => Some(row.try_get(0).map_err(store_error)?),
        None => None,
    };
    text.and_then(|text| text.parse().ok()).ok_or_else(|| {
        StoreError::Unusable(
            "the PostgreSQL database has a table `meta` of another program; give ringfence a \
             database of its own"
                .to_owned(),
        )
    })
}

/// The key of the lock: "ringfenc" as a number.
const LOCK: i64 = i64::from_be_bytes(*b"ringfenc");
