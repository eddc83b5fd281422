//! An absolute-form target: put together from its parts it reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_wire::{Scheme, target};

fuzz_target!(|data: &[u8]| {
    if let Ok(read) = target::absolute(data) {
        let scheme = match read.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        let mut again = format!("{scheme}://{}", read.authority).into_bytes();
        again.extend_from_slice(read.path_and_query);
        let second = target::absolute(&again).expect("its parts are acceptable");
        assert_eq!(
            (second.scheme, &second.authority, second.path_and_query),
            (read.scheme, &read.authority, read.path_and_query)
        );
        assert!(read.path().starts_with(b"/") && !read.path().contains(&b'?'));
        assert!(data.ends_with(read.path_and_query));
        assert!(read.origin_form().concat().iter().all(u8::is_ascii_graphic));
    }
});
