//! Statements: rows out of tables and into them. Each goes with the types of its parameters, which saves the round trip
//! that would ask for them, and works through a pooler.

use std::collections::BTreeMap;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, GenericClient, IsolationLevel, Row, Transaction};

use super::super::{
    CommitError, GENERATION, OWN_META, ObjectRow, ObjectType, RevisionRow, Rows, StoreError,
    TombstoneRow, Write, next,
};
use super::server::{commit_error, store_error};

/// Reads every row, as of one moment.
pub(super) async fn load(client: &mut Client) -> Result<Rows, StoreError> {
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
        .map_err(store_error)?;
    let meta = all(&transaction, "SELECT key, value FROM meta", |row| {
        Ok((column(row, 0)?, column(row, 1)?))
    });
    // All on their way at once: a gateway whose commit lost reads everything again, and should not fall behind further.
    let (generation, objects, revisions, tombstones, meta) = tokio::try_join!(
        generation(&transaction),
        all(&transaction, OBJECTS, object),
        all(&transaction, REVISIONS, revision),
        all(&transaction, TOMBSTONES, tombstone),
        meta,
    )?;
    let mut meta: BTreeMap<String, String> = meta.into_iter().collect();
    meta.retain(|key, _| !OWN_META.contains(&key.as_str()));
    let rows = Rows {
        generation,
        objects,
        revisions,
        tombstones,
        meta,
    };
    transaction.commit().await.map_err(store_error)?;
    Ok(rows)
}

/// The newest generation.
pub(super) async fn generation(client: &impl GenericClient) -> Result<u64, StoreError> {
    let params: &[(&(dyn ToSql + Sync), Type)] = &[(&GENERATION, Type::TEXT)];
    let row = client
        .query_typed_one("SELECT value FROM meta WHERE key = $1", params)
        .await
        .map_err(store_error)?;
    let text: String = column(&row, 0)?;
    text.parse()
        .map_err(|_| StoreError::Unusable("PostgreSQL: the generation is no number".to_owned()))
}

/// Writes all or nothing and notifies, if the newest generation is still `base`.
pub(super) async fn commit(
    client: &mut Client,
    base: u64,
    writes: &[Write],
) -> Result<u64, CommitError> {
    let generation = next(base, writes)
        .ok_or_else(|| StoreError::Unusable("PostgreSQL: it has had the last generation".into()))?;
    // Rolled back when it is dropped before its commit.
    let transaction = client.transaction().await.map_err(commit_error)?;
    let next = generation.to_string();
    // Waits for a commit that is ahead, and then finds that the generation is another one.
    let taken = execute(
        &transaction,
        "UPDATE meta SET value = $1 WHERE key = $2 AND value = $3",
        &[
            (&next, Type::TEXT),
            (&GENERATION, Type::TEXT),
            (&base.to_string(), Type::TEXT),
        ],
    )
    .await?;
    if taken == 0 {
        return Err(CommitError::Conflict);
    }
    for write in writes {
        apply(&transaction, write).await?;
    }
    execute(
        &transaction,
        "SELECT pg_notify('ringfence', $1)",
        &[(&next, Type::TEXT)],
    )
    .await?;
    transaction.commit().await.map_err(commit_error)?;
    Ok(generation)
}

async fn apply(transaction: &Transaction<'_>, write: &Write) -> Result<(), CommitError> {
    match write {
        Write::PutObject(row) => put_object(transaction, row).await?,
        Write::RemoveObject { object_type, id } => {
            remove_object(transaction, *object_type, id).await?;
        }
        Write::PutRevision(row) => put_revision(transaction, row).await?,
        Write::RemoveRevision {
            sandbox_id,
            version,
        } => {
            let sql = "DELETE FROM sandbox_policies WHERE sandbox_id = $1 AND version = $2";
            let version = i64::from(*version);
            let params: [Param<'_>; 2] = [(sandbox_id, Type::TEXT), (&version, Type::INT8)];
            execute(transaction, sql, &params).await?;
        }
        Write::PutTombstone(row) => {
            let sql = "INSERT INTO tombstones (object_type, name, created_at_ms) VALUES ($1, $2, $3)
                 ON CONFLICT (object_type, name) DO UPDATE SET created_at_ms = EXCLUDED.created_at_ms";
            let params: [Param<'_>; 3] = [
                (&row.object_type.as_str(), Type::TEXT),
                (&row.name, Type::TEXT),
                (&row.created_at_ms, Type::INT8),
            ];
            execute(transaction, sql, &params).await?;
        }
        Write::RemoveTombstone { object_type, name } => {
            let sql = "DELETE FROM tombstones WHERE object_type = $1 AND name = $2";
            let params: [Param<'_>; 2] = [(&object_type.as_str(), Type::TEXT), (name, Type::TEXT)];
            execute(transaction, sql, &params).await?;
        }
        Write::PutMeta { key, value } => {
            let params: [Param<'_>; 2] = [(key, Type::TEXT), (value, Type::TEXT)];
            execute(transaction, PUT_META, &params).await?;
        }
        Write::AdvanceTo(_) => {}
    }
    Ok(())
}

async fn put_object(transaction: &Transaction<'_>, row: &ObjectRow) -> Result<(), CommitError> {
    let params: [Param<'_>; 6] = [
        (&row.object_type.as_str(), Type::TEXT),
        (&row.id, Type::TEXT),
        (&row.name, Type::TEXT),
        (&row.payload, Type::BYTEA),
        (&row.created_at_ms, Type::INT8),
        (&row.updated_at_ms, Type::INT8),
    ];
    let put = transaction.execute_typed(
        "INSERT INTO objects (object_type, id, name, payload, created_at_ms, updated_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, payload = EXCLUDED.payload,
             created_at_ms = EXCLUDED.created_at_ms, updated_at_ms = EXCLUDED.updated_at_ms
         WHERE objects.object_type = EXCLUDED.object_type",
        &params,
    );
    match put.await {
        Ok(0) => Err(CommitError::Duplicate(format!(
            "an object of id `{}`",
            row.id
        ))),
        Ok(_) => Ok(()),
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => Err(
            CommitError::Duplicate(format!("{} `{}`", row.object_type.as_str(), row.name)),
        ),
        Err(error) => Err(commit_error(error)),
    }
}

async fn remove_object(
    transaction: &Transaction<'_>,
    object_type: ObjectType,
    id: &str,
) -> Result<(), CommitError> {
    if object_type == ObjectType::Sandbox {
        let sql = "DELETE FROM sandbox_policies WHERE sandbox_id =
             (SELECT id FROM objects WHERE id = $1 AND object_type = $2)";
        let params: [Param<'_>; 2] = [(&id, Type::TEXT), (&object_type.as_str(), Type::TEXT)];
        execute(transaction, sql, &params).await?;
    }
    let sql = "DELETE FROM objects WHERE id = $1 AND object_type = $2";
    let params: [Param<'_>; 2] = [(&id, Type::TEXT), (&object_type.as_str(), Type::TEXT)];
    execute(transaction, sql, &params).await?;
    Ok(())
}

async fn put_revision(transaction: &Transaction<'_>, row: &RevisionRow) -> Result<(), CommitError> {
    let version = i64::from(row.version);
    let params: [Param<'_>; 8] = [
        (&row.sandbox_id, Type::TEXT),
        (&version, Type::INT8),
        (&row.policy_payload, Type::BYTEA),
        (&row.policy_hash, Type::TEXT),
        (&row.status, Type::INT4),
        (&row.load_error, Type::TEXT),
        (&row.created_at_ms, Type::INT8),
        (&row.loaded_at_ms, Type::INT8),
    ];
    let sql =
        "INSERT INTO sandbox_policies (sandbox_id, version, policy_payload, policy_hash, status,
             load_error, created_at_ms, loaded_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (sandbox_id, version) DO UPDATE SET policy_payload = EXCLUDED.policy_payload,
             policy_hash = EXCLUDED.policy_hash, status = EXCLUDED.status,
             load_error = EXCLUDED.load_error, created_at_ms = EXCLUDED.created_at_ms,
             loaded_at_ms = EXCLUDED.loaded_at_ms";
    execute(transaction, sql, &params).await?;
    Ok(())
}

type Param<'a> = (&'a (dyn ToSql + Sync), Type);

async fn execute(
    transaction: &Transaction<'_>,
    sql: &str,
    params: &[Param<'_>],
) -> Result<u64, CommitError> {
    let done = transaction.execute_typed(sql, params).await;
    done.map_err(commit_error)
}

async fn all<T>(
    transaction: &Transaction<'_>,
    sql: &str,
    read: fn(&Row) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let rows = transaction.query_typed(sql, &[]).await;
    rows.map_err(store_error)?.iter().map(read).collect()
}

fn object(row: &Row) -> Result<ObjectRow, StoreError> {
    Ok(ObjectRow {
        object_type: object_type(row)?,
        id: column(row, 1)?,
        name: column(row, 2)?,
        payload: column(row, 3)?,
        created_at_ms: column(row, 4)?,
        updated_at_ms: column(row, 5)?,
    })
}

fn revision(row: &Row) -> Result<RevisionRow, StoreError> {
    let version: i64 = column(row, 1)?;
    let version = u32::try_from(version)
        .map_err(|_| StoreError::Unusable(format!("PostgreSQL: a policy of version {version}")))?;
    Ok(RevisionRow {
        sandbox_id: column(row, 0)?,
        version,
        policy_payload: column(row, 2)?,
        policy_hash: column(row, 3)?,
        status: column(row, 4)?,
        load_error: column(row, 5)?,
        created_at_ms: column(row, 6)?,
        loaded_at_ms: column(row, 7)?,
    })
}

fn tombstone(row: &Row) -> Result<TombstoneRow, StoreError> {
    Ok(TombstoneRow {
        object_type: object_type(row)?,
        name: column(row, 1)?,
        created_at_ms: column(row, 2)?,
    })
}

/// The first column.
fn object_type(row: &Row) -> Result<ObjectType, StoreError> {
    let text: String = column(row, 0)?;
    ObjectType::parse(&text)
        .ok_or_else(|| StoreError::Unusable(format!("PostgreSQL: `{text}` is no type of object")))
}

fn column<'a, T: tokio_postgres::types::FromSql<'a>>(
    row: &'a Row,
    at: usize,
) -> Result<T, StoreError> {
    row.try_get(at).map_err(store_error)
}

const OBJECTS: &str =
    "SELECT object_type, id, name, payload, created_at_ms, updated_at_ms FROM objects";

const REVISIONS: &str =
    "SELECT sandbox_id, version, policy_payload, policy_hash, status, load_error,
     created_at_ms, loaded_at_ms FROM sandbox_policies";

const TOMBSTONES: &str = "SELECT object_type, name, created_at_ms FROM tombstones";

pub(super) const PUT_META: &str = "INSERT INTO meta (key, value) VALUES ($1, $2)
     ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value";
