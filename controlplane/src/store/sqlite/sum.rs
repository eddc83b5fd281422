//! What all rows add up to: tells content that was not written by a commit.
//!
//! SQLite checks the shape of a file and not what lies in its cells: a byte that flips in a payload passes
//! `PRAGMA integrity_check`. So each row is hashed and `meta` keeps the sum of the hashes; a commit takes away what it
//! replaces and adds what it writes, and a reader adds everything up again. A sum and not a hash of all rows, because it
//! costs a commit only the rows it touches. It is made against accidents; who can write the file can write the sum.

use aws_lc_rs::digest::{Context, SHA256};

use super::super::{ObjectRow, ROWS_SUM, RevisionRow, Rows, TombstoneRow};

/// A sum of rows, in whatever order they came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum(u128);

/// A row, as it is hashed.
#[derive(Clone, Copy)]
pub(super) enum Row<'a> {
    Object(&'a ObjectRow),
    Revision(&'a RevisionRow),
    Tombstone(&'a TombstoneRow),
    Meta(&'a str, &'a str),
}

impl Sum {
    /// Of everything that was read; `meta` with the store's own names, but for the sum itself.
    pub(super) fn of<'a>(rows: &'a Rows, meta: impl Iterator<Item = (&'a str, &'a str)>) -> Sum {
        let mut sum = Sum::default();
        let meta = meta.filter(|(key, _)| *key != ROWS_SUM);
        rows.objects
            .iter()
            .map(Row::Object)
            .chain(rows.revisions.iter().map(Row::Revision))
            .chain(rows.tombstones.iter().map(Row::Tombstone))
            .chain(meta.map(|(key, value)| Row::Meta(key, value)))
            .for_each(|row| sum.add(row));
        sum
    }

    pub(super) fn add(&mut self, row: Row<'_>) {
        self.0 = self.0.wrapping_add(hash(row));
    }

    pub(super) fn take(&mut self, row: Row<'_>) {
        self.0 = self.0.wrapping_sub(hash(row));
    }

    /// Reads what `to_text` wrote.
    pub(super) fn parse(text: &str) -> Option<Sum> {
        u128::from_str_radix(text, 16).ok().map(Sum)
    }

    pub(super) fn to_text(self) -> String {
        format!("{:032x}", self.0)
    }
}

/// Half of a SHA-256 over the table and every field with its length.
fn hash(row: Row<'_>) -> u128 {
    let mut context = Context::new(&SHA256);
    let mut field = |bytes: &[u8]| {
        context.update(&(bytes.len() as u64).to_le_bytes());
        context.update(bytes);
    };
    match row {
        Row::Object(row) => {
            field(b"objects");
            field(row.object_type.as_str().as_bytes());
            field(row.id.as_bytes());
            field(row.name.as_bytes());
            field(&row.payload);
            field(&row.created_at_ms.to_le_bytes());
            field(&row.updated_at_ms.to_le_bytes());
        }
        Row::Revision(row) => {
            field(b"sandbox_policies");
            field(row.sandbox_id.as_bytes());
            field(&row.version.to_le_bytes());
            field(&row.policy_payload);
            field(row.policy_hash.as_bytes());
            field(&row.status.to_le_bytes());
            field(row.load_error.as_bytes());
            field(&row.created_at_ms.to_le_bytes());
            field(&row.loaded_at_ms.to_le_bytes());
        }
        Row::Tombstone(row) => {
            field(b"tombstones");
            field(row.object_type.as_str().as_bytes());
            field(row.name.as_bytes());
            field(&row.created_at_ms.to_le_bytes());
        }
        Row::Meta(key, value) => {
            field(b"meta");
            field(key.as_bytes());
            field(value.as_bytes());
        }
    }
    let digest = context.finish();
    let half = digest.as_ref().first_chunk().copied();
    u128::from_le_bytes(half.expect("SHA-256 gives 32 bytes"))
}
