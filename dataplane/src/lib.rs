//! The data plane of ringfence.
