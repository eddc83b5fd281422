//! Statements: rows out of tables and into them. The rules of `Write` are in here, and the sum is kept.

use std::collections::BTreeMap;

use rusqlite::{Connection, ErrorCode, OptionalExtension, Row as SqlRow, params};

use super::super::{
    CommitError, GENERATION, OWN_META, ObjectRow, ObjectType, ROWS_SUM, RevisionRow, Rows,
    TombstoneRow, Write, next,
};
use super::sum::{Row, Sum};

/// What was read, before it is known to be what was written.
pub(super) struct Content {
    rows: Rows,
    meta: BTreeMap<String, String>,
}

/// Why rows were not written.
pub(super) enum WriteError {
    Commit(CommitError),
    Sqlite(rusqlite::Error),
    Unusable(String),
}

impl Content {
    fn sum(&self) -> Sum {
        let meta = self.meta.iter();
        Sum::of(
            &self.rows,
            meta.map(|(key, value)| (key.as_str(), value.as_str())),
        )
    }

    /// The rows, when they add up.
    pub(super) fn verified(mut self) -> Result<Rows, String> {
        if self.meta.get(ROWS_SUM) != Some(&self.sum().to_text()) {
            return Err(
                "its content is not what was committed: it is damaged or was changed by hand; \
                 restore a backup"
                    .to_owned(),
            );
        }
        let generation = self.meta.get(GENERATION);
        self.rows.generation = generation
            .and_then(|text| text.parse().ok())
            .ok_or("it has no generation")?;
        self.meta.retain(|key, _| !OWN_META.contains(&key.as_str()));
        self.rows.meta = self.meta;
        Ok(self.rows)
    }
}

/// Reads every row.
pub(super) fn load(connection: &Connection) -> rusqlite::Result<Content> {
    let rows = Rows {
        objects: all(connection, &select_objects(""), object)?,
        revisions: all(connection, &select_revisions(""), revision)?,
        tombstones: all(
            connection,
            "SELECT object_type, name, created_at_ms FROM tombstones",
            tombstone,
        )?,
        ..Rows::default()
    };
    let meta = all(connection, "SELECT key, value FROM meta", |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    Ok(Content {
        rows,
        meta: meta.into_iter().collect(),
    })
}

/// Adds up what is there and takes it for what was written: at the end of a migration only.
pub(super) fn sum_up(connection: &Connection) -> Result<(), String> {
    let content = load(connection).map_err(|error| error.to_string())?;
    put_meta(connection, ROWS_SUM, &content.sum().to_text()).map_err(|error| error.to_string())
}

/// Applies a commit within a transaction, and gives the generation it makes.
pub(super) fn write(
    connection: &Connection,
    base: u64,
    writes: &[Write],
) -> Result<u64, WriteError> {
    let newest = own(connection, GENERATION)?;
    if newest != base.to_string() {
        return Err(WriteError::Commit(CommitError::Conflict));
    }
    let generation = next(base, writes)
        .ok_or_else(|| WriteError::Unusable("it has had the last generation".to_owned()))?;
    let mut table = Table {
        connection,
        sum: Sum::parse(&own(connection, ROWS_SUM)?)
            .ok_or_else(|| WriteError::Unusable("its sum cannot be read".to_owned()))?,
    };
    for write in writes {
        table.apply(write)?;
    }
    table.put_meta(GENERATION, &generation.to_string())?;
    put_meta(connection, ROWS_SUM, &table.sum.to_text())?;
    Ok(generation)
}

/// The tables within a transaction, and what their rows add up to.
struct Table<'a> {
    connection: &'a Connection,
    sum: Sum,
}

impl Table<'_> {
    fn apply(&mut self, write: &Write) -> Result<(), WriteError> {
        match write {
            Write::PutObject(row) => self.put_object(row),
            Write::RemoveObject { object_type, id } => self.remove_object(*object_type, id),
            Write::PutRevision(row) => self.put_revision(row),
            Write::RemoveRevision {
                sandbox_id,
                version,
            } => self.remove_revision(sandbox_id, *version),
            Write::PutTombstone(row) => self.put_tombstone(row),
            Write::RemoveTombstone { object_type, name } => {
                self.remove_tombstone(*object_type, name)
            }
            Write::PutMeta { key, value } => self.put_meta(key, value),
            Write::AdvanceTo(_) => Ok(()),
        }
    }

    fn put_object(&mut self, row: &ObjectRow) -> Result<(), WriteError> {
        if let Some(old) = self.object(&row.id)? {
            if old.object_type != row.object_type {
                return Err(duplicate(format!("an object of id `{}`", row.id)));
            }
            self.sum.take(Row::Object(&old));
        }
        let put = self.execute(
            "INSERT INTO objects (object_type, id, name, payload, created_at_ms, updated_at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, payload = excluded.payload,
                 created_at_ms = excluded.created_at_ms, updated_at_ms = excluded.updated_at_ms",
            params![
                row.object_type.as_str(),
                row.id,
                row.name,
                row.payload,
                row.created_at_ms,
                row.updated_at_ms
            ],
        );
        put.map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::ConstraintViolation) => {
                duplicate(format!("{} `{}`", row.object_type.as_str(), row.name))
            }
            Some(_) | None => WriteError::Sqlite(error),
        })?;
        self.sum.add(Row::Object(row));
        Ok(())
    }

    fn remove_object(&mut self, object_type: ObjectType, id: &str) -> Result<(), WriteError> {
        let Some(old) = self
            .object(id)?
            .filter(|old| old.object_type == object_type)
        else {
            return Ok(());
        };
        if object_type == ObjectType::Sandbox {
            let sql = select_revisions("WHERE sandbox_id = ?1");
            let mut statement = self.connection.prepare_cached(&sql)?;
            for row in statement.query_map([id], revision)? {
                self.sum.take(Row::Revision(&row?));
            }
            self.execute("DELETE FROM sandbox_policies WHERE sandbox_id = ?1", [id])?;
        }
        self.execute("DELETE FROM objects WHERE id = ?1", [id])?;
        self.sum.take(Row::Object(&old));
        Ok(())
    }

    fn put_revision(&mut self, row: &RevisionRow) -> Result<(), WriteError> {
        if let Some(old) = self.revision(&row.sandbox_id, row.version)? {
            self.sum.take(Row::Revision(&old));
        }
        self.execute(
            "INSERT INTO sandbox_policies (sandbox_id, version, policy_payload, policy_hash, status,
                 load_error, created_at_ms, loaded_at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (sandbox_id, version) DO UPDATE SET policy_payload = excluded.policy_payload,
                 policy_hash = excluded.policy_hash, status = excluded.status,
                 load_error = excluded.load_error, created_at_ms = excluded.created_at_ms,
                 loaded_at_ms = excluded.loaded_at_ms",
            params![
                row.sandbox_id,
                row.version,
                row.policy_payload,
                row.policy_hash,
                row.status,
                row.load_error,
                row.created_at_ms,
                row.loaded_at_ms
            ],
        )?;
        self.sum.add(Row::Revision(row));
        Ok(())
    }

    fn remove_revision(&mut self, sandbox_id: &str, version: u32) -> Result<(), WriteError> {
        let Some(old) = self.revision(sandbox_id, version)? else {
            return Ok(());
        };
        self.execute(
            "DELETE FROM sandbox_policies WHERE sandbox_id = ?1 AND version = ?2",
            params![sandbox_id, version],
        )?;
        self.sum.take(Row::Revision(&old));
        Ok(())
    }

    fn put_tombstone(&mut self, row: &TombstoneRow) -> Result<(), WriteError> {
        self.remove_tombstone(row.object_type, &row.name)?;
        self.execute(
            "INSERT INTO tombstones (object_type, name, created_at_ms) VALUES (?1, ?2, ?3)",
            params![row.object_type.as_str(), row.name, row.created_at_ms],
        )?;
        self.sum.add(Row::Tombstone(row));
        Ok(())
    }

    fn remove_tombstone(&mut self, object_type: ObjectType, name: &str) -> Result<(), WriteError> {
        let old = self
            .connection
            .prepare_cached(
                "DELETE FROM tombstones WHERE object_type = ?1 AND name = ?2
                 RETURNING object_type, name, created_at_ms",
            )?
            .query_row([object_type.as_str(), name], tombstone)
            .optional()?;
        if let Some(old) = old {
            self.sum.take(Row::Tombstone(&old));
        }
        Ok(())
    }

    fn put_meta(&mut self, key: &str, value: &str) -> Result<(), WriteError> {
        if let Some(old) = meta(self.connection, key)? {
            self.sum.take(Row::Meta(key, &old));
        }
        put_meta(self.connection, key, value)?;
        self.sum.add(Row::Meta(key, value));
        Ok(())
    }

    fn object(&self, id: &str) -> rusqlite::Result<Option<ObjectRow>> {
        let mut statement = self
            .connection
            .prepare_cached(&select_objects("WHERE id = ?1"))?;
        statement.query_row([id], object).optional()
    }

    fn revision(&self, sandbox_id: &str, version: u32) -> rusqlite::Result<Option<RevisionRow>> {
        let sql = select_revisions("WHERE sandbox_id = ?1 AND version = ?2");
        let mut statement = self.connection.prepare_cached(&sql)?;
        statement
            .query_row(params![sandbox_id, version], revision)
            .optional()
    }

    fn execute(&self, sql: &str, params: impl rusqlite::Params) -> rusqlite::Result<usize> {
        self.connection.prepare_cached(sql)?.execute(params)
    }
}

/// Writes a value without adding it to the sum.
pub(super) fn put_meta(connection: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO meta (key, value) VALUES (?1, ?2)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        )?
        .execute([key, value])?;
    Ok(())
}

fn meta(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()
}

fn own(connection: &Connection, key: &str) -> Result<String, WriteError> {
    meta(connection, key)?.ok_or_else(|| WriteError::Unusable(format!("it has no `{key}`")))
}

fn all<T>(
    connection: &Connection,
    sql: &str,
    read: fn(&SqlRow<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection
        .prepare_cached(sql)?
        .query_map([], read)?
        .collect()
}

fn select_objects(which: &str) -> String {
    format!(
        "SELECT object_type, id, name, payload, created_at_ms, updated_at_ms FROM objects {which}"
    )
}

fn select_revisions(which: &str) -> String {
    format!(
        "SELECT sandbox_id, version, policy_payload, policy_hash, status, load_error, created_at_ms,
             loaded_at_ms FROM sandbox_policies {which}"
    )
}

fn object(row: &SqlRow<'_>) -> rusqlite::Result<ObjectRow> {
    Ok(ObjectRow {
        object_type: object_type(row)?,
        id: row.get(1)?,
        name: row.get(2)?,
        payload: row.get(3)?,
        created_at_ms: row.get(4)?,
        updated_at_ms: row.get(5)?,
    })
}

fn revision(row: &SqlRow<'_>) -> rusqlite::Result<RevisionRow> {
    Ok(RevisionRow {
        sandbox_id: row.get(0)?,
        version: row.get(1)?,
        policy_payload: row.get(2)?,
        policy_hash: row.get(3)?,
        status: row.get(4)?,
        load_error: row.get(5)?,
        created_at_ms: row.get(6)?,
        loaded_at_ms: row.get(7)?,
    })
}

fn tombstone(row: &SqlRow<'_>) -> rusqlite::Result<TombstoneRow> {
    Ok(TombstoneRow {
        object_type: object_type(row)?,
        name: row.get(1)?,
        created_at_ms: row.get(2)?,
    })
}

/// The first column.
fn object_type(row: &SqlRow<'_>) -> rusqlite::Result<ObjectType> {
    let text: String = row.get(0)?;
    ObjectType::parse(&text).ok_or_else(|| {
        let why = format!("`{text}` is no type of object");
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, why.into())
    })
}

fn duplicate(what: String) -> WriteError {
    WriteError::Commit(CommitError::Duplicate(what))
}

impl From<rusqlite::Error> for WriteError {
    fn from(error: rusqlite::Error) -> WriteError {
        WriteError::Sqlite(error)
    }
}
