//! The event scanner: no split changes where the stream stands, and the closing bytes close it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_wire::EventScanner;

fuzz_target!(|data: &[u8]| {
    let mut whole = EventScanner::new();
    whole.push(data);
    let mut bytewise = EventScanner::new();
    data.iter().for_each(|byte| bytewise.push(&[*byte]));
    assert_eq!(whole.closing(), bytewise.closing());
    let cut = data.iter().map(|byte| usize::from(*byte)).sum::<usize>() % (data.len() + 1);
    let mut halves = EventScanner::new();
    halves.push(&data[..cut]);
    halves.push(&data[cut..]);
    assert_eq!(whole.closing(), halves.closing());
    whole.push(whole.closing());
    assert_eq!(whole.closing(), b"");
});
