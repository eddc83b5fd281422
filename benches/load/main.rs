//! What the whole data plane costs.

fn main() {}
