//! A value that changes whole, and the number of its change.
//!
//! The link puts in; every worker keeps a [`Reader`] and gets the newest value for one atomic load. A reader that holds
//! an old value keeps it alive and unchanged: a request sees one snapshot from its head to its end (S5).
//!
//! Invariants: the generation grows by one with every `put` and belongs to its value: both are swapped in as one; loads
//! never block, and neither does `put`.

use std::sync::Arc;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;

/// Number of a change, counted from 1. Larger is newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Generation(u64);

impl Generation {
    /// The number.
    pub fn number(self) -> u64 {
        self.0
    }
}

/// A value with its generation.
#[derive(Debug)]
pub struct Versioned<T> {
    /// Which change brought the value.
    pub generation: Generation,
    /// The value.
    pub value: Arc<T>,
}

/// The place where the newest value lies. Clones are the same place.
pub struct Slot<T> {
    newest: Arc<ArcSwap<Versioned<T>>>,
}

impl<T> Slot<T> {
    /// A slot that holds `value` as generation 1.
    pub fn new(value: T) -> Slot<T> {
        let first = Versioned {
            generation: Generation(1),
            value: Arc::new(value),
        };
        Slot {
            newest: Arc::new(ArcSwap::from_pointee(first)),
        }
    }

    /// Puts a new value in and gives its generation.
    pub fn put(&self, value: Arc<T>) -> Generation {
        let mut generation = Generation(0);
        // `rcu` runs the closure again when another put came between, so no generation is given twice.
        self.newest.rcu(|newest| {
            generation = Generation(newest.generation.0.saturating_add(1));
            Versioned {
                generation,
                value: value.clone(),
            }
        });
        generation
    }

    /// Puts in what `change` makes of the newest value, whoever else puts at the same time; `change` may be asked
    /// again, and its last answer counts. Gives its generation.
    pub fn update(&self, mut change: impl FnMut(&T) -> T) -> Generation {
        let mut generation = Generation(0);
        self.newest.rcu(|newest| {
            generation = Generation(newest.generation.0.saturating_add(1));
            Versioned {
                generation,
                value: Arc::new(change(&newest.value)),
            }
        });
        generation
    }

    /// A reader for one worker.
    pub fn reader(&self) -> Reader<T> {
        Reader {
            cache: Cache::new(self.newest.clone()),
        }
    }

    /// The newest value, for a caller that asks seldom.
    pub fn load(&self) -> Arc<Versioned<T>> {
        self.newest.load_full()
    }
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Slot<T> {
        Slot {
            newest: self.newest.clone(),
        }
    }
}

/// A worker's view of a [`Slot`]; it keeps the last value it saw and looks whether there is a newer one.
pub struct Reader<T> {
    cache: Cache<Arc<ArcSwap<Versioned<T>>>, Arc<Versioned<T>>>,
}

impl<T> Reader<T> {
    /// The newest value. Costs one atomic load when nothing changed.
    pub fn load(&mut self) -> &Arc<Versioned<T>> {
        self.cache.load()
    }
}

impl<T> Clone for Reader<T> {
    fn clone(&self) -> Reader<T> {
        Reader {
            cache: self.cache.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
