//! A vault for tests: one key, a nonce that counts, and everything to be seen from outside.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::{OpenError, SealError, Vault};
use crate::model::Sealed;

/// Seals as hexadecimal digits behind place and nonce, so that plain text never shows and no two results are equal.
#[derive(Default)]
pub(crate) struct GlassVault {
    nonce: AtomicU64,
}

impl Vault for GlassVault {
    fn seal(&self, provider_id: &str, key: &str, plain: &str) -> Result<Sealed, SealError> {
        let nonce = self.nonce.fetch_add(1, Ordering::Relaxed);
        let digits: String = plain.bytes().map(|byte| format!("{byte:02x}")).collect();
        Ok(Sealed(format!("{provider_id}/{key}/{nonce}/{digits}")))
    }

    fn open(
        &self,
        provider_id: &str,
        key: &str,
        Sealed(sealed): &Sealed,
    ) -> Result<Zeroizing<String>, OpenError> {
        let place = format!("{provider_id}/{key}/");
        let rest = sealed.strip_prefix(&place).ok_or(OpenError::Damaged)?;
        let (_, digits) = rest.split_once('/').ok_or(OpenError::Damaged)?;
        let byte = |at: usize| {
            let pair = digits.get(at..at + 2)?;
            u8::from_str_radix(pair, 16).ok()
        };
        let bytes: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(byte).collect();
        let text = String::from_utf8(bytes.ok_or(OpenError::Damaged)?);
        text.map(Zeroizing::new).map_err(|_| OpenError::Damaged)
    }

    fn tag(&self, message: &[u8]) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"glass");
        hmac::sign(&key, message).as_ref().try_into().unwrap()
    }
}
