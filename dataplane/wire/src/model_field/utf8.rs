//! UTF-8 across pieces.
//!
//! Apart from the scanner because it looks at every byte alike and JSON does not. The standard check runs over whole
//! blocks, so only a character cut by the end of one is put together here.

use super::ModelError;

/// A character cut by the end of a block.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Utf8Tail {
    bytes: [u8; 4],
    len: usize,
}

impl Utf8Tail {
    /// How many bytes of the block may be scanned, and whether the byte after them breaks UTF-8.
    pub(super) fn check(&mut self, block: &[u8]) -> (usize, Result<(), ModelError>) {
        let mut at = 0;
        while self.len > 0 {
            let (Some(&byte), Some(slot)) = (block.get(at), self.bytes.get_mut(self.len)) else {
                return (at, Ok(()));
            };
            *slot = byte;
            self.len += 1;
            match std::str::from_utf8(self.bytes.get(..self.len).unwrap_or(&[])) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return (at, Err(ModelError::Utf8)),
            }
            at += 1;
        }
        let rest = block.get(at..).unwrap_or(&[]);
        let Err(error) = std::str::from_utf8(rest) else {
            return (block.len(), Ok(()));
        };
        let good = at + error.valid_up_to();
        let cut = block.get(good..).unwrap_or(&[]);
        if error.error_len().is_some() {
            // Why one more: outside a string the byte is out of place whether or not its character is whole, and the
            // scanner says so however the body was split.
            return (good + 1, Err(ModelError::Utf8));
        }
        for (slot, byte) in self.bytes.iter_mut().zip(cut) {
            *slot = *byte;
        }
        self.len = cut.len();
        (block.len(), Ok(()))
    }
}
