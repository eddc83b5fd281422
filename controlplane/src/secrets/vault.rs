//! The keys as the domain sees them.
//!
//! Apart from the domain's trait because only this side knows keys.

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::{Keyring, OpenError, Place};
use crate::model::Sealed;
use crate::provider::vault::{self, SealError, Vault};

impl Vault for Keyring {
    fn seal(&self, provider_id: &str, key: &str, plain: &str) -> Result<Sealed, SealError> {
        Keyring::seal(self, place(provider_id, key), plain).map_err(|_| SealError)
    }

    fn open(
        &self,
        provider_id: &str,
        key: &str,
        sealed: &Sealed,
    ) -> Result<Zeroizing<String>, vault::OpenError> {
        Keyring::open(self, place(provider_id, key), sealed).map_err(|error| match error {
            OpenError::UnknownKey => vault::OpenError::UnknownKey,
            OpenError::Malformed | OpenError::Altered => vault::OpenError::Damaged,
        })
    }

    fn tag(&self, message: &[u8]) -> [u8; 32] {
        let mut tag = [0; 32];
        if let Some(key) = self.keys.first() {
            let signed = hmac::sign(&key.tag, message);
            // Both are as long as SHA-256.
            tag.copy_from_slice(signed.as_ref());
        }
        tag
    }
}

fn place<'a>(provider_id: &'a str, credential: &'a str) -> Place<'a> {
    Place {
        provider_id,
        credential,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RPC-12: gateways that share a key agree, and others cannot tell.
    #[test]
    fn a_tag_is_its_keys_and_its_messages() {
        let (one, other) = ("A".repeat(43) + "=", "B".repeat(42) + "A=");
        let keyring = |text: &str| Keyring::from_env_text(text).unwrap();
        let tag = keyring(&one).tag(b"message");
        assert_eq!(tag, keyring(&one).tag(b"message"));
        assert_ne!(tag, keyring(&one).tag(b"another"));
        assert_ne!(tag, keyring(&other).tag(b"message"));
    }
}
