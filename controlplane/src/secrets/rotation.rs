//! Credentials of a whole state: which do not open, and sealing them anew with the newest key.
//!
//! A rotation is: a new key into the file, `rotate` as one change, and then the old keys out of it. It can be repeated
//! after every step.

use std::fmt;
use std::sync::Arc;

use super::{KeyError, Keyring, OpenError, Place, parts};
use crate::model::{Change, Provider, Sealed, State};

/// A credential that does not open: its provider is broken until it is set again (STO-6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unopened {
    /// The provider's name.
    pub provider: String,
    /// The key in its credentials.
    pub credential: String,
    /// Why.
    pub why: OpenError,
}

/// What a rotation did, beside its changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Credentials that were sealed anew.
    pub resealed: usize,
    /// Those that were left as they are, because they do not open.
    pub unopened: Vec<Unopened>,
}

impl Keyring {
    /// Seals every credential anew that an older key sealed. Fits `Engine::change`.
    ///
    /// # Errors
    /// The cipher fails, which it has no reason to.
    pub fn rotate(&self, state: &State) -> Result<(Vec<Change>, Rotated), KeyError> {
        let mut changes = Vec::new();
        let mut rotated = Rotated::default();
        for provider in state.providers.values() {
            let mut next = Provider::clone(provider);
            for (credential, sealed) in &mut next.credentials {
                let place = Place {
                    provider_id: &provider.id,
                    credential,
                };
                match self.open(place, sealed) {
                    Ok(_) if self.is_newest(sealed) => {}
                    Ok(plain) => {
                        *sealed = self.seal(place, &plain)?;
                        rotated.resealed += 1;
                    }
                    Err(why) => rotated.unopened.push(Unopened {
                        provider: provider.name.clone(),
                        credential: credential.clone(),
                        why,
                    }),
                }
            }
            if next != **provider {
                changes.push(Change::PutProvider(Arc::new(next)));
            }
        }
        Ok((changes, rotated))
    }

    /// The credentials that do not open with any of these keys.
    pub fn unopened(&self, state: &State) -> Vec<Unopened> {
        let mut unopened = Vec::new();
        for provider in state.providers.values() {
            for (credential, sealed) in &provider.credentials {
                let place = Place {
                    provider_id: &provider.id,
                    credential,
                };
                if let Err(why) = self.open(place, sealed) {
                    unopened.push(Unopened {
                        provider: provider.name.clone(),
                        credential: credential.clone(),
                        why,
                    });
                }
            }
        }
        unopened
    }

    fn is_newest(&self, Sealed(text): &Sealed) -> bool {
        parts(text).is_some_and(|(key_id, _)| key_id == self.newest_id())
    }
}

impl fmt::Display for Unopened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "credential `{}` of provider `{}` does not open: {}",
            self.credential, self.provider, self.why
        )
    }
}
