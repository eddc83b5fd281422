//! What seals and opens credentials, as the domain sees it.
//!
//! Apart from `secrets`, which has the keys: the domain must work with any of them and hold none. Invariant: what was
//! sealed for one place (provider and key) opens at that place alone.

use std::fmt;

use zeroize::Zeroizing;

use crate::model::Sealed;

/// Seals credentials, opens them, and makes tags that nobody without the keys can guess from.
pub trait Vault: Send + Sync {
    /// Seals a value for its place.
    ///
    /// # Errors
    /// The system's cipher or random source failed.
    fn seal(&self, provider_id: &str, key: &str, plain: &str) -> Result<Sealed, SealError>;

    /// Opens what `seal` made for the same place.
    ///
    /// # Errors
    /// As listed at `OpenError`.
    fn open(
        &self,
        provider_id: &str,
        key: &str,
        sealed: &Sealed,
    ) -> Result<Zeroizing<String>, OpenError>;

    /// A tag over a message: a keyed hash such as HMAC-SHA256, under a key of its own that is derived from the vault's.
    /// Gateways that share a vault make the same tag.
    fn tag(&self, message: &[u8]) -> [u8; 32];
}

/// A value could not be sealed, and so cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealError;

/// Why a credential cannot be opened. It says nothing of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// It was sealed under a key that is not here.
    UnknownKey,
    /// It was changed, or sealed for another place (STO-6).
    Damaged,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the system's cipher or random source failed")
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OpenError::UnknownKey => "it was sealed under a key that this gateway does not have",
            OpenError::Damaged => "it was changed since it was sealed",
        })
    }
}

impl std::error::Error for SealError {}
impl std::error::Error for OpenError {}

#[cfg(test)]
pub(crate) mod glass;
