//! The wire crate of ringfence.
