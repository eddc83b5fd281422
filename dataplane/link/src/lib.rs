//! The link crate of ringfence.
