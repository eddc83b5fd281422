//! Address classes (DST-2, DST-3) and the receipt that an address was judged.
//!
//! One table serves every dial: tunnels, forwards, backends, probes (DST-1). Addresses are numbers
//! here and never text. Invariant: a `VerifiedAddr` is made by `verify` and `verify_backend` alone,
//! from an answer of which every address was judged (DST-5, DST-9).
//! It must never know how a name was resolved.

mod block;
mod class;
mod nat64;
mod verify;

#[cfg(test)]
mod tests;

pub use block::{AllowedIps, Block, BlockError, BlockWarning};
pub use class::{Class, classify};
pub use nat64::{Nat64Prefix, Nat64PrefixError};
pub(crate) use verify::SPECIAL_NAME;
pub use verify::{
    Site, VerifiedAddr, require_private, special_name, verify, verify_at, verify_backend,
    verify_backend_at,
};
