//! A ClientHello: what is found does not depend on what follows, and nothing is found too early.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_wire::{Parse, client_hello};

fuzz_target!(|data: &[u8]| {
    match client_hello(data) {
        Parse::Done(hello, used) => {
            assert_eq!(
                client_hello(&data[..used]),
                Parse::Done(hello.clone(), used)
            );
            assert_eq!(client_hello(&data[..used - 1]), Parse::More);
            let mut longer = data.to_vec();
            longer.extend_from_slice(b"\x16\x03\x01\0\0");
            assert_eq!(client_hello(&longer), Parse::Done(hello, used));
        }
        Parse::More => assert!(data.len() < 64 * 1_024),
        Parse::Bad(_) => {}
    }
});
