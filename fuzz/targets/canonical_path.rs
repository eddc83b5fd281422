//! A path: its canonical spelling is read as itself and holds nothing that another reader would resolve.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_wire::{CanonicalPath, Slashes};

fuzz_target!(|data: &[u8]| {
    if let Ok(path) = CanonicalPath::parse(data) {
        let bytes = path.as_bytes();
        assert_eq!(
            CanonicalPath::parse(bytes)
                .map(|again| again.as_bytes().to_vec())
                .as_deref(),
            Ok(bytes)
        );
        assert!(
            bytes.starts_with(b"/")
                && bytes.iter().all(u8::is_ascii_graphic)
                && !bytes.contains(&b'?')
        );
        let inner = bytes
            .get(1..)
            .unwrap_or(&[])
            .strip_suffix(b"/")
            .unwrap_or(bytes.get(1..).unwrap_or(&[]));
        let mut segments = inner.split(|byte| *byte == b'/');
        assert!(bytes == b"/" || segments.all(|segment| !matches!(segment, b"" | b"." | b"..")));
        assert!(
            path.slashes() == Slashes::Escaped || !bytes.windows(3).any(|escape| escape == b"%2F")
        );
    }
});
