//! Whole connections on both surfaces: no split changes which requests are read, what they hold and where it ends.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../dataplane/wire/tests/corpora/conversation.rs"]
mod conversation;

use conversation::{Surface, read};

fuzz_target!(|data: &[u8]| {
    for surface in [Surface::Forward, Surface::Inference] {
        let whole = read(surface, &[data]);
        let single: Vec<&[u8]> = data.chunks(1).collect();
        assert_eq!(read(surface, &single), whole);
        let after_cr: Vec<&[u8]> = data.split_inclusive(|byte| *byte == b'\r').collect();
        assert_eq!(read(surface, &after_cr), whole);
        let cut = data.iter().map(|byte| usize::from(*byte)).sum::<usize>() % (data.len() + 1);
        assert_eq!(read(surface, &[&data[..cut], &data[cut..]]), whole);
    }
});
