//! The clients of a soak: see [`harness::soak::inside`].

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    harness::soak::inside::play(&words);
}
