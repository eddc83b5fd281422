//! The policy crate of ringfence.
