//! Where everything lies: rows, written whole or not at all, numbered by generations (STO-1 to STO-5).
//!
//! Apart from `model` because a store knows rows and not what they mean. One trait, two bodies: `sqlite` (one gateway, the
//! default) and `postgres` (several gateways).
//!
//! Invariants: a commit that returned is durable; it took effect only if no other commit came between its base and it, and
//! then the generation is the base's plus one, or the later one that the commit names; a reader sees the rows of one
//! generation; what one body refuses, the other refuses too.

mod postgres;
mod sqlite;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Opens the store that a URL names, and makes or migrates its schema (STO-1).
///
/// `sqlite:PATH` is a file of one gateway, made when it is not there; `postgres://…` or `postgresql://…` a server of several.
///
/// # Errors
/// Another scheme; a store that cannot be reached, or is not as this version needs it. No error repeats the URL, which
/// may hold a password.
pub async fn open(url: &str) -> Result<Arc<dyn Store>, StoreError> {
    match url.split_once(':') {
        Some(("sqlite", path)) => Ok(Arc::new(sqlite::SqliteStore::open(path).await?)),
        Some(("postgres" | "postgresql", _)) => {
            Ok(Arc::new(postgres::PostgresStore::open(url).await?))
        }
        Some(_) | None => Err(StoreError::Unusable(
            "the database URL must be sqlite:PATH, postgres://… or postgresql://…".to_owned(),
        )),
    }
}

/// What a row of `objects` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectType {
    /// A sandbox.
    Sandbox,
    /// A provider, its credentials sealed.
    Provider,
    /// The cluster's inference route.
    InferenceRoute,
}

impl ObjectType {
    /// How it is written in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            ObjectType::Sandbox => "sandbox",
            ObjectType::Provider => "provider",
            ObjectType::InferenceRoute => "inference_route",
        }
    }

    /// Reads what `as_str` wrote.
    pub fn parse(text: &str) -> Option<ObjectType> {
        [
            ObjectType::Sandbox,
            ObjectType::Provider,
            ObjectType::InferenceRoute,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == text)
    }
}

/// A row of `objects` (STO-2). Unique by id and by (type, name).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectRow {
    /// Its type; an id never changes its type.
    pub object_type: ObjectType,
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The message, encoded.
    pub payload: Vec<u8>,
    /// Milliseconds since 1970.
    pub created_at_ms: i64,
    /// Milliseconds since 1970.
    pub updated_at_ms: i64,
}

/// A row of `sandbox_policies` (STO-3). Unique by (sandbox, version).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionRow {
    /// Whose.
    pub sandbox_id: String,
    /// From 1.
    pub version: u32,
    /// The policy, encoded.
    pub policy_payload: Vec<u8>,
    /// LIV-5.
    pub policy_hash: String,
    /// A number of `PolicyStatus`.
    pub status: i32,
    /// Why it failed.
    pub load_error: String,
    /// Milliseconds since 1970.
    pub created_at_ms: i64,
    /// Milliseconds since 1970; 0 until it was loaded.
    pub loaded_at_ms: i64,
}

/// A row of `tombstones` (STO-4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TombstoneRow {
    /// What was deleted by force.
    pub object_type: ObjectType,
    /// Its name.
    pub name: String,
    /// Milliseconds since 1970.
    pub created_at_ms: i64,
}

/// All rows, as of one generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// The number of the last commit; 0 in a new store.
    pub generation: u64,
    /// In no order.
    pub objects: Vec<ObjectRow>,
    /// In no order.
    pub revisions: Vec<RevisionRow>,
    /// In no order.
    pub tombstones: Vec<TombstoneRow>,
    /// Small values by name, the store's own (schema version, generation) left out.
    pub meta: BTreeMap<String, String>,
}

/// One step of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Inserts, or replaces the row of that id. Another row of the same (type, name) is an error.
    PutObject(ObjectRow),
    /// Removes the row, and with a sandbox its revisions. A row that is not there is no error.
    RemoveObject {
        /// Its type.
        object_type: ObjectType,
        /// Its id.
        id: String,
    },
    /// Inserts, or replaces the row of that (sandbox, version).
    PutRevision(RevisionRow),
    /// Removes one.
    RemoveRevision {
        /// Whose.
        sandbox_id: String,
        /// Which.
        version: u32,
    },
    /// Inserts or replaces.
    PutTombstone(TombstoneRow),
    /// Removes one. A row that is not there is no error.
    RemoveTombstone {
        /// Of what.
        object_type: ObjectType,
        /// Whose.
        name: String,
    },
    /// Inserts or replaces.
    PutMeta {
        /// Its name.
        key: String,
        /// Its value.
        value: String,
    },
    /// No row changes; the generation that the commit makes is at least this one (DPL-3).
    AdvanceTo(u64),
}

/// The generation that a commit makes; none after the last one.
fn next(base: u64, writes: &[Write]) -> Option<u64> {
    let mut generation = base.checked_add(1)?;
    for write in writes {
        if let Write::AdvanceTo(least) = write {
            generation = generation.max(*least);
        }
    }
    Some(generation)
}

/// A place for rows.
#[tonic::async_trait]
pub trait Store: Send + Sync + 'static {
    /// All rows as of the newest generation.
    ///
    /// # Errors
    /// The store cannot be read.
    async fn load(&self) -> Result<Rows, StoreError>;

    /// Writes all or nothing, if the newest generation is still `base`, and gives the next one. Durable when it returns.
    ///
    /// # Errors
    /// `Conflict` when another commit came first; what the rows forbid; the store cannot be written.
    async fn commit(&self, base: u64, writes: &[Write]) -> Result<u64, CommitError>;

    /// Waits until the newest generation may be another than `known`. It may return early, and returns at once when it is.
    ///
    /// # Errors
    /// The store cannot be asked.
    async fn changed(&self, known: u64) -> Result<(), StoreError>;
}

impl Write {
    /// What no body takes: the store's own names in `meta`, and NUL in text, which PostgreSQL cannot hold.
    fn check(&self) -> Result<(), CommitError> {
        let texts: &[&str] = match self {
            Write::PutObject(row) => &[&row.id, &row.name],
            Write::RemoveObject { id, .. } => &[id],
            Write::PutRevision(row) => &[&row.sandbox_id, &row.policy_hash, &row.load_error],
            Write::RemoveRevision { sandbox_id, .. } => &[sandbox_id],
            Write::PutTombstone(TombstoneRow { name, .. })
            | Write::RemoveTombstone { name, .. } => &[name],
            Write::PutMeta { key, .. } if OWN_META.contains(&key.as_str()) => {
                return Err(refused(format!("`{key}` in `meta` is the store's own")));
            }
            Write::PutMeta { key, value } => &[key, value],
            Write::AdvanceTo(_) => &[],
        };
        if texts.iter().any(|text| text.contains('\0')) {
            return Err(refused("a text with NUL in it".to_owned()));
        }
        Ok(())
    }
}

fn refused(what: String) -> CommitError {
    CommitError::Store(StoreError::Unusable(format!("not written: {what}")))
}

/// A revision of a sandbox that is not there, found at the end of a transaction.
fn orphan() -> CommitError {
    refused("a policy without its sandbox".to_owned())
}

/// Names in `meta` that are the store's.
const OWN_META: [&str; 3] = [GENERATION, SCHEMA_VERSION, ROWS_SUM];
const GENERATION: &str = "generation";
const SCHEMA_VERSION: &str = "schema_version";
/// SQLite only: what all rows add up to, see `sqlite::sum`.
const ROWS_SUM: &str = "rows_sum";

/// Why a commit took no effect.
#[derive(Debug)]
pub enum CommitError {
    /// Another commit came between the base and this one; work it out again.
    Conflict,
    /// A row with that (type, name) exists, or an id with another type.
    Duplicate(String),
    /// The store failed. Whether the commit took effect is not known when the connection was lost meanwhile.
    Store(StoreError),
}

impl From<StoreError> for CommitError {
    fn from(error: StoreError) -> CommitError {
        CommitError::Store(error)
    }
}

/// Why a store does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// It is away, or too busy, for now.
    Unavailable(String),
    /// Its file or schema cannot be used; names the file and what was expected.
    Unusable(String),
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommitError::Conflict => f.write_str("another change came first"),
            CommitError::Duplicate(what) => write!(f, "{what} exists already"),
            CommitError::Store(error) => write!(f, "{error}"),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Unavailable(why) => write!(f, "the store does not answer: {why}"),
            StoreError::Unusable(why) => write!(f, "the store cannot be used: {why}"),
        }
    }
}

impl std::error::Error for CommitError {}
impl std::error::Error for StoreError {}
