//! Sealing, opening, and the key file.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::model::{Change, Provider, State};

const ONE: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const TWO: &str = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";

const PLACE: Place<'_> = Place {
    provider_id: "pr-1",
    credential: "OPENAI_API_KEY",
};

fn keys(text: &str) -> Keyring {
    Keyring::from_env_text(text).unwrap()
}

/// A key file of this test's own.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "ringfence-secrets-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let dir = std::env::temp_dir().join(name);
        fs::create_dir(&dir).unwrap();
        Scratch(dir)
    }

    fn key(&self) -> PathBuf {
        self.0.join("key")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

fn state(keys: &Keyring, credentials: &[(&str, &str)]) -> State {
    let sealed = credentials.iter().map(|(credential, plain)| {
        let place = Place {
            provider_id: "pr-1",
            credential,
        };
        ((*credential).to_owned(), keys.seal(place, plain).unwrap())
    });
    let provider = Arc::new(Provider {
        id: "pr-1".to_owned(),
        name: "one".to_owned(),
        kind: "openai".to_owned(),
        credentials: sealed.collect(),
        config: BTreeMap::new(),
        allow_private_endpoint: false,
        created_at_ms: 1,
    });
    State::default().after(&[Change::PutProvider(provider)], 1)
}

/// STO-6
#[test]
fn what_was_sealed_opens_in_its_place() {
    let keys = keys(ONE);
    for plain in ["", "sk-1", "ключ 🦀", &"x".repeat(64 << 10)] {
        let sealed = keys.seal(PLACE, plain).unwrap();
        assert_eq!(*keys.open(PLACE, &sealed).unwrap(), plain);
    }
}

/// STO-6
#[test]
fn a_credential_sealed_twice_is_two_texts() {
    let keys = keys(ONE);
    assert_ne!(
        keys.seal(PLACE, "a").unwrap(),
        keys.seal(PLACE, "a").unwrap()
    );
}

/// SECURITY 37
#[test]
fn a_sealed_credential_opens_nowhere_else() {
    let keys = keys(ONE);
    let sealed = keys.seal(PLACE, "sk-1").unwrap();
    let elsewhere = [
        ("pr-2", "OPENAI_API_KEY"),
        ("pr-1", "OTHER"),
        ("pr-1O", "PENAI_API_KEY"),
    ];
    for (provider_id, credential) in elsewhere {
        let place = Place {
            provider_id,
            credential,
        };
        assert_eq!(keys.open(place, &sealed), Err(OpenError::Altered));
    }
}

/// SECURITY 37: 1,000 of 1,000, each byte several times.
#[test]
fn any_flipped_byte_fails_the_opening() {
    let keys = keys(ONE);
    let mut seed = 0x5eed_u64;
    for nth in 0..1_000 {
        let Sealed(text) = keys.seal(PLACE, "sk-0123456789").unwrap();
        let mut bytes = text.into_bytes();
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let at = nth % bytes.len();
        bytes[at] ^= u8::try_from(1 + (seed >> 33) % 255).unwrap();
        // What is not even text does not come out of a database as text.
        if let Ok(text) = String::from_utf8(bytes) {
            assert!(keys.open(PLACE, &Sealed(text.clone())).is_err(), "{text}");
        }
    }
}

/// SECURITY 37
#[test]
fn what_is_cut_off_or_was_never_sealed_is_malformed_or_altered() {
    let keys = keys(ONE);
    let Sealed(text) = keys.seal(PLACE, "sk-1").unwrap();
    for length in 0..text.len() {
        assert!(
            keys.open(PLACE, &Sealed(text[..length].to_owned()))
                .is_err()
        );
    }
    for text in [
        "",
        "v1",
        "v1:",
        "v1::",
        "v2:aaaaaaaa:AAAA",
        "sk-plain",
        &format!("{text}="),
    ] {
        assert!(
            keys.open(PLACE, &Sealed(text.to_owned())).is_err(),
            "{text}"
        );
    }
}

/// STO-6
#[test]
fn an_older_key_opens_and_the_newest_seals() {
    let sealed = keys(ONE).seal(PLACE, "sk-1").unwrap();
    let both = keys(&format!("{TWO} {ONE}"));
    assert_eq!(*both.open(PLACE, &sealed).unwrap(), "sk-1");
    let anew = both.seal(PLACE, "sk-1").unwrap();
    assert!(keys(TWO).open(PLACE, &anew).is_ok());
    assert_eq!(keys(ONE).open(PLACE, &anew), Err(OpenError::UnknownKey));
}

/// ENV, STO-6
#[test]
fn keys_are_base64_of_32_bytes_with_space_or_commas_between() {
    for text in [
        format!(" {ONE}\n"),
        format!("{ONE},{TWO}"),
        format!("{ONE}\n\n{TWO} , "),
    ] {
        assert_eq!(keys(&text).newest_id(), keys(ONE).newest_id());
    }
    for (text, why) in [
        ("", "no key"),
        (" , ", "no key"),
        ("hunter2", "key 1 is not base64"),
        ("aHVudGVyMg==", "key 1 is not 32 bytes"),
        (&format!("{ONE},{ONE}"), "key 2 is there twice"),
        (&vec![ONE; 40].join(","), "twice"),
    ] {
        let error = Keyring::from_env_text(text).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        assert!(
            !error.contains("hunter2") && !error.contains(ONE),
            "{error}"
        );
    }
}

/// TR-087
#[test]
fn no_debug_shows_a_key_or_a_credential() {
    let keys = keys(&format!("{ONE} {TWO}"));
    let shown = format!("{keys:?} {:?}", keys.seal(PLACE, "sk-canary").unwrap());
    assert!(!shown.contains("sk-canary") && !shown.contains("0123456789abcdef"));
    assert!(!shown.contains(ONE) && !shown.contains(TWO));
    assert_eq!(keys.newest_id().len(), 8);
}

/// STO-6, TR-086
#[test]
fn a_key_file_is_made_once_and_for_its_owner_alone() {
    let scratch = Scratch::new();
    let made = Keyring::from_file_or_create(&scratch.key()).unwrap();
    let mode = fs::metadata(scratch.key()).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let sealed = made.seal(PLACE, "sk-1").unwrap();
    let read = Keyring::from_file_or_create(&scratch.key()).unwrap();
    assert_eq!(*read.open(PLACE, &sealed).unwrap(), "sk-1");
    let names: Vec<_> = fs::read_dir(&scratch.0).unwrap().collect();
    assert_eq!(names.len(), 1, "no draft is left: {names:?}");
}

/// STO-6
#[test]
fn gateways_that_make_a_key_file_at_once_have_one_key() {
    let scratch = Scratch::new();
    let ids: Vec<String> = std::thread::scope(|scope| {
        let making: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| Keyring::from_file_or_create(&scratch.key()).unwrap()))
            .collect();
        let made = making.into_iter().map(|one| one.join().unwrap());
        made.map(|keys| keys.newest_id().to_owned()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

/// TR-086
#[test]
fn a_key_file_that_is_open_to_others_or_no_file_is_refused() {
    let scratch = Scratch::new();
    Keyring::from_file_or_create(&scratch.key()).unwrap();
    for mode in [0o640, 0o604, 0o660, 0o601] {
        fs::set_permissions(scratch.key(), Permissions::from_mode(mode)).unwrap();
        let error = Keyring::from_file_or_create(&scratch.key()).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("open to others") && error.contains("chmod 600"),
            "{error}"
        );
    }
    let error = Keyring::from_file_or_create(&scratch.0).unwrap_err();
    assert!(matches!(error, KeyError::File(_)), "{error}");
    let missing = scratch.0.join("not/there");
    assert!(Keyring::from_file_or_create(&missing).is_err());
}

/// STO-6
#[test]
fn a_damaged_key_file_is_refused_and_not_replaced() {
    let scratch = Scratch::new();
    for text in ["", "# nothing\n", "not a key\n"] {
        fs::write(scratch.key(), text).unwrap();
        fs::set_permissions(scratch.key(), Permissions::from_mode(0o600)).unwrap();
        let error = Keyring::from_file_or_create(&scratch.key()).unwrap_err();
        assert!(error.to_string().contains("key"), "{error}");
        assert_eq!(fs::read_to_string(scratch.key()).unwrap(), text);
    }
}

/// The key rotation: new key, reseal, drop the old one.
#[test]
fn a_rotation_reseals_every_credential_and_then_drops_the_old_key() {
    let scratch = Scratch::new();
    let old = Keyring::from_file_or_create(&scratch.key()).unwrap();
    let before = state(&old, &[("A", "sk-a"), ("B", "sk-b")]);

    let both = Keyring::add_new_key(&scratch.key()).unwrap();
    assert_ne!(both.newest_id(), old.newest_id());
    let early = Keyring::drop_old_keys(&scratch.key(), &before).unwrap_err();
    assert!(matches!(early, KeyError::InUse(_)), "{early}");
    assert_eq!(both.unopened(&before), []);

    let (changes, rotated) = both.rotate(&before).unwrap();
    assert_eq!((changes.len(), rotated.resealed), (1, 2));
    assert_eq!(rotated.unopened, []);
    let after = before.after(&changes, 2);
    let (again, rotated) = both.rotate(&after).unwrap();
    assert!(again.is_empty() && rotated.resealed == 0);

    let newest = Keyring::drop_old_keys(&scratch.key(), &after).unwrap();
    assert_eq!(newest.unopened(&after), []);
    assert_eq!(newest.unopened(&before).len(), 2);
    let read = Keyring::from_file_or_create(&scratch.key()).unwrap();
    assert_eq!(read.keys.len(), 1);
    let sealed = &after.providers["one"].credentials["B"];
    let place = Place {
        provider_id: "pr-1",
        credential: "B",
    };
    assert_eq!(*read.open(place, sealed).unwrap(), "sk-b");
}

/// STO-6: one broken credential keeps no other from being rotated.
#[test]
fn a_rotation_leaves_what_does_not_open_and_names_it() {
    let (one, other) = (keys(ONE), keys(TWO));
    let mut provider = Provider::clone(&state(&one, &[("A", "sk-a")]).providers["one"]);
    let lost = other.seal(PLACE, "sk-lost").unwrap();
    provider.credentials.insert("LOST".to_owned(), lost.clone());
    let before = State::default().after(&[Change::PutProvider(Arc::new(provider))], 1);

    let three = keys(&format!("{} {ONE}", *generate().unwrap()));
    let (changes, rotated) = three.rotate(&before).unwrap();
    assert_eq!(rotated.resealed, 1);
    let unopened = [Unopened {
        provider: "one".to_owned(),
        credential: "LOST".to_owned(),
        why: OpenError::UnknownKey,
    }];
    assert_eq!(rotated.unopened, unopened);
    let after = before.after(&changes, 2);
    assert_eq!(after.providers["one"].credentials["LOST"], lost);
}
