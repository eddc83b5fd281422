//! What the pure modules cost.

fn main() {}
