//! The sandboxed side of a raw conversation: see [`harness::inside`].

fn main() {
    harness::inside::serve();
}
