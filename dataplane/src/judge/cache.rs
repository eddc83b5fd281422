//! Answers of an operator's rules, kept by the question.
//!
//! Two halves: what is asked goes to the young one, and when that is full the old one is forgotten and the young one
//! grows old. What is asked again in time stays. Invariants: never more bytes than it was made for; a question that
//! fills a half by itself is not kept.

use std::collections::HashMap;

use policy::custom::Ruling;

/// The answers of one version of one sandbox's rules.
pub(super) struct Cache {
    young: HashMap<Box<[u8]>, Ruling>,
    old: HashMap<Box<[u8]>, Ruling>,
    young_bytes: usize,
    half_bytes_max: usize,
}

impl Cache {
    pub(super) fn new(bytes_max: usize) -> Cache {
        Cache {
            young: HashMap::new(),
            old: HashMap::new(),
            young_bytes: 0,
            half_bytes_max: bytes_max / 2,
        }
    }

    pub(super) fn get(&mut self, question: &[u8]) -> Option<Ruling> {
        if let Some(ruling) = self.young.get(question) {
            return Some(ruling.clone());
        }
        let (question, ruling) = self.old.remove_entry(question)?;
        self.put(question, ruling.clone());
        Some(ruling)
    }

    /// How many answers are kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    pub(super) fn put(&mut self, question: Box<[u8]>, ruling: Ruling) {
        let bytes = question.len() + ENTRY_BYTES;
        if bytes > self.half_bytes_max {
            return;
        }
        if self.young_bytes + bytes > self.half_bytes_max {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        if self.young.insert(question, ruling).is_none() {
            self.young_bytes += bytes;
        }
    }
}

/// What an entry costs beside its question: places in the map, and an answer with a name, a reason and an endpoint.
const ENTRY_BYTES: usize = 1024;
