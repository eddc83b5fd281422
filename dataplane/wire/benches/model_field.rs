//! Question: how many bytes a second does one core scan for the model (SECURITY 34 wants 1 GB/s of chat bodies)?
//!
//! Each body is 8 MiB, pushed in reads of 64 KiB, as a relay would. The figure is the median of 21 runs, the spread
//! is between the fastest and the slowest. Nothing is asserted: machine and neighbours decide the rest.

use std::{
    hint::black_box,
    io::Write,
    time::{Duration, Instant},
};

use ringfence_wire::ModelScanner;

fn main() -> std::io::Result<()> {
    let prose = "The quick brown fox jumps over the lazy dog, and nothing in this sentence needs an escape. ";
    let code = "    let x = y;\\n\\tif (a \\\"b\\\") { c(); }\\n";
    let bodies = [
        (
            "long ASCII strings",
            body(|out| message(out, &prose.repeat(700))),
        ),
        (
            "strings with escapes",
            body(|out| message(out, &code.repeat(1_500))),
        ),
        (
            "Chinese text",
            body(|out| message(out, &"模型的名字在哪里".repeat(3_000))),
        ),
        (
            "many small members",
            body(|out| {
                out.extend_from_slice(br#"{"id":12345,"name":"abc","on":true,"v":[1,2.5,null]},"#)
            }),
        ),
        ("short messages", body(|out| message(out, prose))),
    ];
    for (name, body) in &bodies {
        let mut runs: Vec<Duration> = (0..21).map(|_| run(body)).collect();
        runs.sort_unstable();
        let rate = |time: &Duration| body.len() as f64 / time.as_secs_f64() / 1e9;
        let (slow, median, fast) = (rate(&runs[20]), rate(&runs[10]), rate(&runs[0]));
        writeln!(
            std::io::stdout(),
            "{name:22} {median:6.2} GB/s  ({slow:.2} to {fast:.2})"
        )?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a measurement reads the time")]
fn run(body: &[u8]) -> Duration {
    let start = Instant::now();
    let mut scanner = ModelScanner::new();
    for read in body.chunks(65_536) {
        scanner
            .push(black_box(read))
            .expect("the body is well-formed");
    }
    black_box(scanner.finish()).expect("the body is whole");
    start.elapsed()
}

fn body(item: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = br#"{"model":"a","messages":["#.to_vec();
    while out.len() < 8 << 20 {
        item(&mut out);
    }
    out.pop();
    out.extend_from_slice(b"]}");
    out
}

fn message(out: &mut Vec<u8>, content: &str) {
    out.extend_from_slice(br#"{"role":"user","content":""#);
    out.extend_from_slice(content.as_bytes());
    out.extend_from_slice(br#""},"#);
}
