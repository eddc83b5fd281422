//! The words the two planes share: the messages and services of `ringfence/**/*.proto`.
//!
//! Apart from both planes because neither may change a word alone. Generated at build without a protoc; no logic.
//! Invariant: no field number, name or type of a message ever changes: `tests/compatibility` holds the sources against
//! what was released. What may hold a secret prints itself without it (`redact`).

#![forbid(unsafe_code)]

mod redact;

/// Package `ringfence`.
pub mod ringfence {
    /// Sandboxes, policies, providers, and the push to hosts.
    #[expect(
        missing_docs,
        unused_qualifications,
        clippy::allow_attributes_without_reason,
        reason = "generated; the .proto files have the words"
    )]
    pub mod v1 {
        tonic::include_proto!("ringfence.v1");
    }

    /// Package `ringfence.inference`.
    pub mod inference {
        /// The cluster's inference route.
        #[expect(
            missing_docs,
            unused_qualifications,
            clippy::allow_attributes_without_reason,
            reason = "generated; the .proto files have the words"
        )]
        pub mod v1 {
            tonic::include_proto!("ringfence.inference.v1");
        }
    }
}

pub use ringfence::inference::v1 as inference;
pub use ringfence::v1;

/// The descriptors of all of it, for reflection and for the test of compatibility.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
