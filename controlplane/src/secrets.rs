//! Credentials at rest: sealed under a key that is not in the database, opened only on their way out (STO-6).
//!
//! AES-256-GCM with a random nonce. What is sealed belongs to one credential of one provider: moved elsewhere in the
//! database it does not open. The text is `v1:KEY ID:BASE64`, where the key id is told from the key by HMAC and tells
//! nothing of it. Several keys may be there, the newest first: it seals, all of them open, which is what a rotation needs.
//!
//! Invariants: no error and no Debug holds a key or a plain credential; plain text and keys are wiped when they are dropped.

mod file;
mod rotation;
#[cfg(test)]
mod tests;
mod vault;

use std::fmt;
use std::path::PathBuf;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::{Zeroize, Zeroizing};

use crate::model::Sealed;

pub use rotation::{Rotated, Unopened};

/// The keys that seal and open credentials.
pub struct Keyring {
    /// Newest first, never empty, no id twice.
    keys: Vec<Key>,
}

struct Key {
    id: String,
    aead: RandomizedNonceKey,
    /// For tags, and for nothing else.
    tag: hmac::Key,
}

/// Which credential of which provider a sealed value is.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The provider's id, which stays when everything else of it changes.
    pub provider_id: &'a str,
    /// The key in its credentials.
    pub credential: &'a str,
}

/// Why a sealed credential does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// It is no text that was sealed.
    Malformed,
    /// It was sealed with a key that is not here.
    UnknownKey,
    /// It was changed, or belongs to another credential.
    Altered,
}

/// Why there are no keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The text of the keys is wrong; says where.
    Malformed(String),
    /// The file is not as it must be; names it.
    File(String),
    /// There is no key file, and there are credentials that were sealed with its keys.
    Lost {
        /// Where it was looked for.
        path: PathBuf,
        /// How many providers have such credentials.
        providers: usize,
    },
    /// A step of a rotation that would lose credentials.
    InUse(String),
    /// The system gave no random bytes, or the cipher failed.
    Cipher,
}

impl Keyring {
    /// Keys as `RINGFENCE_KEY` has them: each the base64 of 32 bytes, newest first, with space or commas between.
    ///
    /// # Errors
    /// No key, one that is none, or one twice.
    pub fn from_env_text(text: &str) -> Result<Keyring, KeyError> {
        let mut keys: Vec<Key> = Vec::new();
        let words = text.split(|c: char| c == ',' || c.is_whitespace());
        for word in words.filter(|word| !word.is_empty()) {
            let nth = keys.len() + 1;
            let malformed = |why: &str| KeyError::Malformed(format!("key {nth} {why}"));
            if nth > KEYS_MAX {
                return Err(malformed("is one too many; drop old ones"));
            }
            let bytes = STANDARD.decode(word).map(Zeroizing::new);
            let bytes = bytes.map_err(|_| malformed("is not base64"))?;
            let bytes = bytes.as_slice().try_into();
            let bytes = bytes.map_err(|_| malformed("is not 32 bytes long"))?;
            let key = Key::of(bytes)?;
            if keys.iter().any(|other| other.id == key.id) {
                return Err(malformed("is there twice"));
            }
            keys.push(key);
        }
        if keys.is_empty() {
            return Err(KeyError::Malformed(
                "there is no key; expected the base64 of 32 random bytes".to_owned(),
            ));
        }
        Ok(Keyring { keys })
    }

    /// Seals a credential with the newest key.
    ///
    /// # Errors
    /// The cipher fails, which it has no reason to.
    pub fn seal(&self, place: Place<'_>, plain: &str) -> Result<Sealed, KeyError> {
        let key = self.keys.first().ok_or(KeyError::Cipher)?;
        // Room for the tag, so that no copy of the plain text is left behind by growing.
        let mut bytes = Vec::with_capacity(plain.len() + AES_256_GCM.tag_len());
        bytes.extend_from_slice(plain.as_bytes());
        let nonce = key
            .aead
            .seal_in_place_append_tag(Aad::from(place.bytes(&key.id)), &mut bytes);
        let Ok(nonce) = nonce else {
            bytes.zeroize();
            return Err(KeyError::Cipher);
        };
        let sealed = [nonce.as_ref().as_slice(), &bytes].concat();
        Ok(Sealed(format!(
            "{FORMAT}:{}:{}",
            key.id,
            STANDARD.encode(sealed)
        )))
    }

    /// Opens what was sealed for this place.
    ///
    /// # Errors
    /// It was sealed for another place or by another key, or any byte of it is another.
    pub fn open(
        &self,
        place: Place<'_>,
        Sealed(text): &Sealed,
    ) -> Result<Zeroizing<String>, OpenError> {
        let (key_id, body) = parts(text).ok_or(OpenError::Malformed)?;
        let key = self.keys.iter().find(|key| key.id == key_id);
        let key = key.ok_or(OpenError::UnknownKey)?;
        let body = STANDARD.decode(body).map_err(|_| OpenError::Malformed)?;
        let (nonce, rest) = body
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(OpenError::Malformed)?;
        let mut bytes = Zeroizing::new(rest.to_vec());
        let plain = key
            .aead
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(place.bytes(&key.id)),
                &mut bytes,
            )
            .map_err(|_| OpenError::Altered)?;
        let plain = str::from_utf8(plain).map_err(|_| OpenError::Altered)?;
        Ok(Zeroizing::new(plain.to_owned()))
    }

    /// The id of the key that seals.
    pub fn newest_id(&self) -> &str {
        self.keys.first().map_or("", |key| &key.id)
    }
}

impl Key {
    fn of(bytes: &[u8; KEY_LEN]) -> Result<Key, KeyError> {
        let aead = RandomizedNonceKey::new(&AES_256_GCM, bytes).map_err(|_| KeyError::Cipher)?;
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, bytes), ID_LABEL);
        let id = tag.as_ref().iter().take(ID_BYTES);
        let own = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, bytes), TAG_LABEL);
        Ok(Key {
            id: id.map(|byte| format!("{byte:02x}")).collect(),
            aead,
            tag: hmac::Key::new(hmac::HMAC_SHA256, own.as_ref()),
        })
    }
}

impl Place<'_> {
    /// What is authenticated beside the credential.
    fn bytes(self, key_id: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in [FORMAT, key_id, self.provider_id, self.credential] {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }
}

/// Key id and body of a sealed text.
fn parts(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix(FORMAT)?
        .strip_prefix(':')?
        .split_once(':')
}

/// A new key, as text.
fn generate() -> Result<Zeroizing<String>, KeyError> {
    let mut bytes = Zeroizing::new([0; KEY_LEN]);
    rand::fill(bytes.as_mut_slice()).map_err(|_| KeyError::Cipher)?;
    Ok(Zeroizing::new(STANDARD.encode(bytes.as_slice())))
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = self.keys.iter().map(|key| &key.id);
        f.debug_list().entries(ids).finish()
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OpenError::Malformed => "it is not a sealed credential",
            OpenError::UnknownKey => "it was sealed with a key that this gateway does not have",
            OpenError::Altered => "it was altered, or sealed for another credential",
        })
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyError::Malformed(why) => write!(f, "the keys cannot be read: {why}"),
            KeyError::File(why) | KeyError::InUse(why) => f.write_str(why),
            KeyError::Lost { path, providers } => write!(
                f,
                "{}: there is no key file, and the store holds credentials of {providers} provider(s) that were sealed with its key; put the file back (another gateway of this store has it, or a backup), or set RINGFENCE_KEY. If the key is lost, put any 32 random bytes there as base64, mode 600, and set the credentials again",
                path.display()
            ),
            KeyError::Cipher => f.write_str("the system's cipher or random source failed"),
        }
    }
}

impl std::error::Error for OpenError {}
impl std::error::Error for KeyError {}

const FORMAT: &str = "v1";

const KEY_LEN: usize = 32;

const ID_LABEL: &[u8] = b"ringfence key id";
const ID_BYTES: usize = 4;

const TAG_LABEL: &[u8] = b"ringfence tag key";

/// Keys at a time: one that seals, and some that a rotation has not done away with.
const KEYS_MAX: usize = 16;
