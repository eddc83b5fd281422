//! The sandbox crate of ringfence.
