//! The hash of the decision table: words multiplied and folded.
//!
//! Apart from `table` because it needs its excuse: the standard hasher resists chosen keys, and
//! costs more than the rest of a decision. Invariant: keys are inserted when a policy is compiled
//! and never because of a connection, so whoever connects cannot make them collide.

use std::hash::{BuildHasherDefault, Hasher};

/// A map whose keys an operator chose.
pub(crate) type PolicyMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<Folding>>;

/// Folds eight bytes at a time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Folding(u64);

impl Folding {
    fn fold(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * u128::from(MULTIPLIER);
        // Both halves of the product carry what the word was; the low one alone loses high bits.
        let [high, low] = [(product >> 64) as u64, product as u64];
        self.0 = high ^ low;
    }
}

impl Hasher for Folding {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words
            .iter()
            .for_each(|word| self.fold(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        // The length keeps a short rest and one that ends in zeros apart.
        self.fold(u64::from_le_bytes(last) ^ (bytes.len() as u64) << 56);
    }

    fn write_u8(&mut self, value: u8) {
        self.fold(u64::from(value));
    }

    fn write_u16(&mut self, value: u16) {
        self.fold(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.fold(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.fold(value as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// 2^64 divided by the golden ratio, odd: its bits have no pattern.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
