//! A CONNECT target: what is accepted has one spelling, and that spelling reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_wire::target;

fuzz_target!(|data: &[u8]| {
    if let Ok(authority) = target::connect(data) {
        let text = authority.to_string();
        assert_eq!(target::connect(text.as_bytes()), Ok(authority.clone()));
        assert_eq!(text, text.to_ascii_lowercase());
        let host = authority.host.as_str();
        assert_eq!(
            authority.host.literal(),
            host.parse().ok(),
            "an address is one to every reader"
        );
        assert!(
            host.len() <= 253 && !host.ends_with('.') && !host.contains(['%', '@', '/', '*', ' '])
        );
    }
});
