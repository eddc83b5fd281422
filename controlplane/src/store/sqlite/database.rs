//! One open file: checked when it is opened, then read whole and written in transactions.
//!
//! Apart from `rows`, which has the statements, because this decides what an error of SQLite means for a caller.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags, TransactionBehavior};

use super::super::{CommitError, Rows, StoreError, Write, orphan};
use super::file::{self, Held};
use super::rows::{self, WriteError};
use super::schema::{self, SchemaError};

/// An open file that this process alone uses.
pub(super) struct Database {
    // Invariant: closed before the lock in `held` is released, hence first.
    connection: Connection,
    held: Held,
}

impl Database {
    pub(super) fn open(path: &Path) -> Result<Database, StoreError> {
        let held = file::hold(path)?;
        let failed = |error: rusqlite::Error| meaning(&held.path, &error);
        // NO_MUTEX: one thread has it. No CREATE: the file is there, with its mode.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW
            | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let mut connection = Connection::open_with_flags(&held.path, flags).map_err(failed)?;
        connection.busy_timeout(BUSY_MAX).map_err(failed)?;
        check(&connection, &held.path)?;
        if set_up(&connection).map_err(failed)? != "wal" {
            return Err(unusable(
                &held.path,
                "its file system has no shared memory for WAL",
            ));
        }
        if connection.is_readonly(MAIN_DB).map_err(failed)? {
            return Err(unusable(&held.path, "it cannot be written"));
        }
        schema::migrate(&mut connection).map_err(|error| match error {
            SchemaError::Sqlite(error) => meaning(&held.path, &error),
            SchemaError::Unusable(why) => unusable(&held.path, &why),
        })?;
        Ok(Database { connection, held })
    }

    /// Everything, and a look whether it is what the commits wrote.
    pub(super) fn load(&mut self) -> Result<Rows, StoreError> {
        let path = &self.held.path;
        let transaction = self.connection.transaction();
        let transaction = transaction.map_err(|error| meaning(path, &error))?;
        let content = rows::load(&transaction).map_err(|error| meaning(path, &error))?;
        content.verified().map_err(|why| unusable(path, &why))
    }

    pub(super) fn commit(&mut self, base: u64, writes: &[Write]) -> Result<u64, CommitError> {
        let path = self.held.path.clone();
        let failed = |error: WriteError| match error {
            WriteError::Commit(error) => error,
            WriteError::Sqlite(error) if is_orphan(&error) => orphan(),
            WriteError::Sqlite(error) => meaning(&path, &error).into(),
            WriteError::Unusable(why) => unusable(&path, &why).into(),
        };
        self.write(base, writes).map_err(failed)
    }

    fn write(&mut self, base: u64, writes: &[Write]) -> Result<u64, WriteError> {
        // Rolled back when it is dropped before its commit.
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let generation = rows::write(&transaction, base, writes)?;
        transaction.commit()?;
        Ok(generation)
    }
}

/// `quick_check` would not compare the indexes with their tables.
fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| meaning(path, &error);
    let found: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(failed)?;
    if found == "ok" {
        return Ok(());
    }
    Err(unusable(path, &format!("it is damaged: {found}")))
}

/// Gives the journal mode that the file has now.
fn set_up(connection: &Connection) -> rusqlite::Result<String> {
    let mode = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    // FULL: a commit waits for the disk; in WAL mode NORMAL would lose the last ones with the power.
    // secure_delete: what was replaced, a sealed credential say, does not stay in free pages.
    connection.execute_batch(
        "PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA secure_delete = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON;",
    )?;
    Ok(mode)
}

/// Away for now, or not to be used: decided by the kind of the error.
fn meaning(path: &Path, error: &rusqlite::Error) -> StoreError {
    let busy_or_disk = matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::OutOfMemory
                | ErrorCode::CannotOpen
        )
    );
    let text = format!("{}: {error}", path.display());
    if busy_or_disk {
        StoreError::Unavailable(text)
    } else {
        StoreError::Unusable(text)
    }
}

fn unusable(path: &Path, why: &str) -> StoreError {
    StoreError::Unusable(format!("{}: {why}", path.display()))
}

fn is_orphan(error: &rusqlite::Error) -> bool {
    error
        .sqlite_error()
        .is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY)
}

/// How long another program's lock is waited for: a backup with `sqlite3`, say.
const BUSY_MAX: Duration = Duration::from_secs(2);
