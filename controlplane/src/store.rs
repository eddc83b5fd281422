//! Where everything lies: rows, written whole or not at all, numbered by generations (STO-1 to STO-5).
//!
//! Apart from `model` because a store knows rows and not what they mean. One trait, two bodies: `sqlite` (one gateway, the
//! default) and `postgres` (several gateways).
//!
//! Invariants: a commit that returned is durable; it took effect only if no other commit came between its base and it, and
//! then the generation is the base's plus one; a reader sees the rows of one generation.

use std::collections::BTreeMap;
use std::fmt;

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
