//! Read and write buffers of one worker.
//!
//! A plain pool, because one core owns it. An idle connection holds none: a buffer is taken when the
//! socket has something to say and given back when it runs dry. Buffers travel as `Vec<u8>` whose
//! length is what was written, so bytes of an earlier owner beyond the length cannot be read in safe
//! code. What the pool keeps is bounded in bytes.

use std::cell::{Cell, RefCell};

/// Free buffers by size class.
pub(crate) struct Buffers {
    classes: [RefCell<Vec<Vec<u8>>>; CLASSES],
    kept_bytes: Cell<usize>,
    kept_bytes_max: usize,
}

const SMALLEST: usize = 4 * 1024;
const CLASSES: usize = 7; // 4, 8, 16, 32, 64, 128, 256 KiB

impl Buffers {
    pub(crate) fn new(kept_bytes_max: usize) -> Self {
        Buffers {
            classes: Default::default(),
            kept_bytes: Cell::new(0),
            kept_bytes_max,
        }
    }

    /// An empty buffer with room for at least `size` bytes.
    pub(crate) fn take(&self, size: usize) -> Vec<u8> {
        let Some(class) = class_of(size) else {
            return Vec::with_capacity(size);
        };
        match self.classes[class].borrow_mut().pop() {
            Some(buffer) => {
                self.kept_bytes
                    .set(self.kept_bytes.get() - buffer.capacity());
                buffer
            }
            None => Vec::with_capacity(SMALLEST << class),
        }
    }

    /// Gives a buffer back; one of an unusual size, or beyond the bound, is freed.
    pub(crate) fn give(&self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        let Some(class) = class_of(capacity) else {
            return;
        };
        if SMALLEST << class != capacity || self.kept_bytes.get() + capacity > self.kept_bytes_max {
            return;
        }
        buffer.clear();
        self.kept_bytes.set(self.kept_bytes.get() + capacity);
        self.classes[class].borrow_mut().push(buffer);
    }
}

fn class_of(size: usize) -> Option<usize> {
    (0..CLASSES).find(|class| SMALLEST << class >= size)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SECURITY 49: what a buffer held is not visible to its next owner.
    #[test]
    fn a_returned_buffer_comes_back_empty() {
        let buffers = Buffers::new(1 << 20);
        let mut buffer = buffers.take(100);
        buffer.extend_from_slice(b"canary");
        buffers.give(buffer);
        let again = buffers.take(4096);
        assert!(again.is_empty());
        assert_eq!(again.capacity(), 4096);
    }

    #[test]
    fn the_pool_keeps_no_more_than_its_bound() {
        let buffers = Buffers::new(8192);
        let many: Vec<_> = (0..10).map(|_| buffers.take(4096)).collect();
        many.into_iter().for_each(|buffer| buffers.give(buffer));
        assert_eq!(buffers.kept_bytes.get(), 8192);
    }
}
