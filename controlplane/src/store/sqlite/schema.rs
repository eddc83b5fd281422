//! The tables: made, migrated, and compared with what this version makes.

use rusqlite::{Connection, OptionalExtension};

use super::super::SCHEMA_VERSION;
use super::rows;

/// What leads from each version of the schema to the next; a new file is version 0.
const MIGRATIONS: [&str; 1] = [include_str!("1.sql")];

/// Why the tables are not as this version needs them.
pub(super) enum SchemaError {
    Sqlite(rusqlite::Error),
    Unusable(String),
}

/// Brings the tables to this version's, in one transaction.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), SchemaError> {
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    let steps = MIGRATIONS.get(found..).ok_or_else(|| {
        SchemaError::Unusable(format!(
            "its schema has version {found} and this ringfence knows {} at most; use the newer one",
            MIGRATIONS.len()
        ))
    })?;
    if !steps.is_empty() {
        for step in steps {
            transaction.execute_batch(step)?;
        }
        rows::put_meta(&transaction, SCHEMA_VERSION, &MIGRATIONS.len().to_string())?;
        rows::sum_up(&transaction).map_err(SchemaError::Unusable)?;
    }
    transaction.commit()?;
    if texts(connection)? == expected()? {
        return Ok(());
    }
    Err(SchemaError::Unusable(
        "its tables are not those that ringfence makes: it is damaged or was changed by hand"
            .to_owned(),
    ))
}

fn version(connection: &Connection) -> Result<usize, SchemaError> {
    if texts(connection)?.is_empty() {
        return Ok(0);
    }
    let found: Option<String> = connection
        .query_row(
            "SELECT value FROM meta WHERE key = ?1",
            [SCHEMA_VERSION],
            |row| row.get(0),
        )
        .optional()
        .unwrap_or_default();
    found.and_then(|text| text.parse().ok()).ok_or_else(|| {
        SchemaError::Unusable("it is a database of another program, or damaged".to_owned())
    })
}

/// Every object of the schema, as it was written.
fn texts(connection: &Connection) -> rusqlite::Result<Vec<(String, String, Option<String>)>> {
    let mut statement =
        connection.prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    rows.collect()
}

fn expected() -> rusqlite::Result<Vec<(String, String, Option<String>)>> {
    let connection = Connection::open_in_memory()?;
    for step in MIGRATIONS {
        connection.execute_batch(step)?;
    }
    texts(&connection)
}

impl From<rusqlite::Error> for SchemaError {
    fn from(error: rusqlite::Error) -> SchemaError {
        SchemaError::Sqlite(error)
    }
}
