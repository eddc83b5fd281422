//! The suite over SQLite, and what is its own: the file.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ringfence_controlplane::engine::Engine;
use ringfence_controlplane::model::{Change, Provider};
use ringfence_controlplane::secrets::{Keyring, Place};
use ringfence_controlplane::store::{self, StoreError};
use rusqlite::Connection;

use crate::scratch::{Scratch, url};
use crate::suite::{self, AnyStore, commit, meta, provider, sandbox};

async fn fresh() -> Option<(Scratch, AnyStore)> {
    let scratch = Scratch::new();
    let store = store::open(&scratch.url()).await.unwrap();
    Some((scratch, store))
}

suite::suite!(fresh);

async fn refusal(url: &str) -> String {
    match store::open(url).await {
        Err(StoreError::Unusable(why)) => why,
        Err(error @ StoreError::Unavailable(_)) => panic!("not Unusable: {error}"),
        Ok(_) => panic!("it was opened"),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// STO-1
#[tokio::test]
async fn another_scheme_is_refused_and_the_accepted_ones_are_named() {
    for url in ["mysql://user:hunter2@host/db", "gateway.db", "", "SQLITE:x"] {
        let why = refusal(url).await;
        assert!(
            why.contains("sqlite:PATH") && why.contains("postgres://"),
            "{why}"
        );
        assert!(!why.contains("hunter2"), "{why}");
    }
    assert!(refusal("sqlite:").await.contains("needs the path"));
    assert!(
        refusal("sqlite:/nowhere/at/all.db")
            .await
            .contains("directory must exist")
    );
}

/// STO-5
#[tokio::test]
async fn a_restart_loses_nothing() {
    let scratch = Scratch::new();
    let store = store::open(&scratch.url()).await.unwrap();
    commit(&store, &[provider("pr-1", "one")]).await.unwrap();
    let before = store.load().await.unwrap();
    drop(store);
    let store = store::open(&scratch.url()).await.unwrap();
    assert_eq!(store.load().await.unwrap(), before);
}

/// STO-1, TR-086
#[tokio::test]
async fn the_file_and_its_sidecars_are_their_owners_alone() {
    let scratch = Scratch::new();
    // Left open to others by somebody: mended.
    let path = scratch.path("gateway.db");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let store = store::open(&scratch.url()).await.unwrap();
    commit(&store, &[provider("pr-1", "one")]).await.unwrap();
    let files = scratch.files();
    assert_eq!(files.len(), 4, "the file, -wal, -shm and .lock");
    for (path, _) in files {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

/// STO-1
#[tokio::test]
async fn a_second_gateway_is_refused_until_the_first_is_gone() {
    let scratch = Scratch::new();
    let store = store::open(&scratch.url()).await.unwrap();
    commit(&store, &[provider("pr-1", "one")]).await.unwrap();
    let link = scratch.path("link.db");
    symlink(scratch.path("gateway.db"), &link).unwrap();
    for second in [scratch.url(), url(&link)] {
        let why = refusal(&second).await;
        assert!(why.contains("another gateway"), "{why}");
    }
    // The refused ones left the first one's locks alone.
    commit(&store, &[provider("pr-2", "two")]).await.unwrap();
    drop(store);
    store::open(&url(&link)).await.unwrap();
}

/// STO-1
#[tokio::test]
async fn a_newer_schema_is_refused() {
    let scratch = Scratch::new();
    drop(store::open(&scratch.url()).await.unwrap());
    let by_hand = Connection::open(scratch.path("gateway.db")).unwrap();
    by_hand
        .execute(
            "UPDATE meta SET value = '99' WHERE key = 'schema_version'",
            [],
        )
        .unwrap();
    drop(by_hand);
    let why = refusal(&scratch.url()).await;
    assert!(
        why.contains("gateway.db") && why.contains("version 99"),
        "{why}"
    );
}

/// STO-1
#[tokio::test]
async fn a_database_of_another_program_is_refused_and_left_as_it_is() {
    let scratch = Scratch::new();
    let other = Connection::open(scratch.path("gateway.db")).unwrap();
    other
        .execute_batch("CREATE TABLE bookmarks (url TEXT)")
        .unwrap();
    drop(other);
    assert!(refusal(&scratch.url()).await.contains("another program"));
    let other = Connection::open(scratch.path("gateway.db")).unwrap();
    let tables = other.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0));
    assert_eq!(tables, Ok(1));
}

/// SECURITY 56
#[tokio::test]
async fn content_or_tables_changed_by_hand_are_noticed() {
    for change in [
        "UPDATE objects SET payload = x'00'",
        "UPDATE objects SET name = 'other'",
        "DELETE FROM objects",
        "UPDATE meta SET value = '7' WHERE key = 'generation'",
        "INSERT INTO tombstones VALUES ('provider', 'x', 1)",
        "CREATE INDEX one_more ON objects (name)",
    ] {
        let scratch = Scratch::new();
        let store = store::open(&scratch.url()).await.unwrap();
        commit(&store, &[sandbox("sb-1", "one"), meta("key", "1")])
            .await
            .unwrap();
        drop(store);
        let by_hand = Connection::open(scratch.path("gateway.db")).unwrap();
        by_hand.execute_batch(change).unwrap();
        drop(by_hand);
        let why = refusal(&scratch.url()).await;
        assert!(why.contains("changed by hand"), "{change}: {why}");
    }
}

/// SECURITY 30 and 37, TR-087
#[tokio::test]
async fn a_sealed_credential_is_nowhere_in_the_files() {
    const CANARY: &str = "sk-canary-0123456789abcdef";
    let scratch = Scratch::new();
    let keys = Keyring::from_file_or_create(&scratch.path("key")).unwrap();
    let engine = Engine::start(store::open(&scratch.url()).await.unwrap())
        .await
        .unwrap();
    for round in 0..20 {
        let sealed = keys.seal(
            Place {
                provider_id: "pr-1",
                credential: "KEY",
            },
            CANARY,
        );
        let provider = Arc::new(Provider {
            id: "pr-1".to_owned(),
            name: format!("name {round}"),
            kind: "openai".to_owned(),
            credentials: [("KEY".to_owned(), sealed.unwrap())].into(),
            config: [("FILLER".to_owned(), "x".repeat(round * 500))].into(),
            allow_private_endpoint: false,
            created_at_ms: 1,
        });
        let put = |_: &_, _| Ok::<_, ()>((vec![Change::PutProvider(Arc::clone(&provider))], ()));
        engine.change(put).await.unwrap();
    }
    let assert_clean = || {
        for (path, bytes) in scratch.files() {
            for needle in forms(CANARY) {
                let found = bytes.windows(needle.len()).any(|window| window == needle);
                assert!(!found, "{needle:?} in {}", path.display());
            }
        }
    };
    // As it is while the gateway runs, the WAL included, and after it.
    assert_clean();
    drop(engine);
    assert_clean();
}

/// Plain, hex, and base64 at every alignment.
fn forms(text: &str) -> Vec<Vec<u8>> {
    let hex = |upper: bool| -> String {
        let bytes = text.bytes();
        bytes
            .map(|byte| {
                if upper {
                    format!("{byte:02X}")
                } else {
                    format!("{byte:02x}")
                }
            })
            .collect()
    };
    let base64 = (0..3).map(|skip| {
        let whole = (text.len() - skip) / 3 * 3;
        STANDARD.encode(&text[skip..skip + whole]).into_bytes()
    });
    [
        text.as_bytes().to_vec(),
        hex(true).into(),
        hex(false).into(),
    ]
    .into_iter()
    .chain(base64)
    .collect()
}
