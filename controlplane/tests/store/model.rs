//! What a store should say: the rules of `Write` over plain maps, written a second time.

use std::collections::BTreeMap;

use ringfence_controlplane::store::{
    ObjectRow, ObjectType, RevisionRow, Rows, TombstoneRow, Write,
};

/// Why a commit should be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Duplicate,
    Orphan,
}

/// Rows by what they are unique by.
#[derive(Clone, Default)]
pub(crate) struct Model {
    generation: u64,
    /// What `AdvanceTo` asked for.
    least: u64,
    objects: BTreeMap<String, ObjectRow>,
    revisions: BTreeMap<(String, u32), RevisionRow>,
    tombstones: BTreeMap<(ObjectType, String), TombstoneRow>,
    meta: BTreeMap<String, String>,
}

impl Model {
    pub(crate) fn commit(&mut self, writes: &[Write]) -> Result<u64, Refusal> {
        let mut next = self.clone();
        for write in writes {
            next.apply(write)?;
        }
        let sandboxes = next.revisions.keys().map(|(sandbox_id, _)| sandbox_id);
        if !sandboxes
            .into_iter()
            .all(|id| next.objects.contains_key(id))
        {
            return Err(Refusal::Orphan);
        }
        next.generation = (next.generation + 1).max(next.least);
        *self = next;
        Ok(self.generation)
    }

    fn apply(&mut self, write: &Write) -> Result<(), Refusal> {
        match write.clone() {
            Write::PutObject(row) => {
                let forbids = |other: &ObjectRow| {
                    if other.id == row.id {
                        other.object_type != row.object_type
                    } else {
                        (other.object_type, &other.name) == (row.object_type, &row.name)
                    }
                };
                if self.objects.values().any(forbids) {
                    return Err(Refusal::Duplicate);
                }
                self.objects.insert(row.id.clone(), row);
            }
            Write::RemoveObject { object_type, id } => {
                if self.objects.get(&id).map(|row| row.object_type) == Some(object_type) {
                    self.objects.remove(&id);
                    if object_type == ObjectType::Sandbox {
                        self.revisions
                            .retain(|(sandbox_id, _), _| *sandbox_id != id);
                    }
                }
            }
            Write::PutRevision(row) => {
                self.revisions
                    .insert((row.sandbox_id.clone(), row.version), row);
            }
            Write::RemoveRevision {
                sandbox_id,
                version,
            } => {
                self.revisions.remove(&(sandbox_id, version));
            }
            Write::PutTombstone(row) => {
                self.tombstones
                    .insert((row.object_type, row.name.clone()), row);
            }
            Write::RemoveTombstone { object_type, name } => {
                self.tombstones.remove(&(object_type, name));
            }
            Write::PutMeta { key, value } => {
                self.meta.insert(key, value);
            }
            Write::AdvanceTo(least) => self.least = self.least.max(least),
        }
        Ok(())
    }

    pub(crate) fn rows(&self) -> Rows {
        Rows {
            generation: self.generation,
            objects: self.objects.values().cloned().collect(),
            revisions: self.revisions.values().cloned().collect(),
            tombstones: self.tombstones.values().cloned().collect(),
            meta: self.meta.clone(),
        }
    }
}

/// The same rows in the order of the model: a store has none.
pub(crate) fn sorted(mut rows: Rows) -> Rows {
    rows.objects.sort_by(|one, other| one.id.cmp(&other.id));
    rows.revisions
        .sort_by_key(|row| (row.sandbox_id.clone(), row.version));
    rows.tombstones
        .sort_by_key(|row| (row.object_type, row.name.clone()));
    rows
}
