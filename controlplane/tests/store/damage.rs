//! Files that were damaged while no gateway had them: noticed at the start, or harmless.

use std::fs;
use std::path::Path;

use ringfence_controlplane::store::{self, Rows, StoreError, Write};

use crate::model::sorted;
use crate::scratch::{Numbers, Scratch, seed, url};
use crate::suite::{AnyStore, commit, meta, provider, revision, sandbox, tombstone};

/// A file of some dozens of pages, free ones among them, closed; and what is in it.
async fn content(path: &Path) -> (Vec<u8>, Rows) {
    let store: AnyStore = store::open(&url(path)).await.unwrap();
    for nth in 0..30 {
        let id = format!("sb-{nth}");
        let writes = [
            sandbox(&id, &id),
            revision(&id, 1),
            provider(&format!("pr-{nth}"), "one"),
            tombstone(&format!("gone {nth}")),
            meta(&format!("key {nth}"), MARK),
        ];
        let big = |write: &Write| match write.clone() {
            Write::PutObject(mut row) => {
                row.payload = MARK.repeat(120).into_bytes();
                row.name.clone_from(&row.id);
                Write::PutObject(row)
            }
            Write::RemoveObject { .. }
            | Write::PutRevision(_)
            | Write::RemoveRevision { .. }
            | Write::PutTombstone(_)
            | Write::RemoveTombstone { .. }
            | Write::PutMeta { .. }
            | Write::AdvanceTo(_) => write.clone(),
        };
        commit(&store, &writes.iter().map(big).collect::<Vec<_>>())
            .await
            .unwrap();
    }
    for nth in 10..15 {
        let gone = Write::RemoveObject {
            object_type: store::ObjectType::Sandbox,
            id: format!("sb-{nth}"),
        };
        commit(&store, &[gone]).await.unwrap();
    }
    let rows = sorted(store.load().await.unwrap());
    drop(store);
    (fs::read(path).unwrap(), rows)
}

/// Whether it was noticed; content that was given is what was committed.
async fn noticed(scratch: &Scratch, damaged: &[u8], rows: &Rows, what: &str) -> bool {
    // A new name each time, lest a sidecar of the one before tell anything.
    let path = scratch.path("damaged.db");
    fs::write(&path, damaged).unwrap();
    let opened = store::open(&url(&path)).await;
    let noticed = match &opened {
        Ok(store) => {
            // Not printed: it is long.
            assert!(sorted(store.load().await.unwrap()) == *rows, "{what}");
            false
        }
        Err(StoreError::Unusable(why)) => {
            assert!(why.contains("damaged.db"), "{what}: {why}");
            true
        }
        Err(error @ StoreError::Unavailable(_)) => panic!("{what}: {error}"),
    };
    drop(opened);
    for sidecar in ["damaged.db-wal", "damaged.db-shm", "damaged.db-journal"] {
        _ = fs::remove_file(scratch.path(sidecar));
    }
    noticed
}

/// SECURITY 56. A byte of a free page, or of room between cells, changes nothing and is not noticed; every other one is.
#[tokio::test]
async fn a_flipped_byte_is_noticed_or_changes_nothing() {
    let scratch = Scratch::new();
    let (bytes, rows) = content(&scratch.path("gateway.db")).await;
    let mut numbers = Numbers(seed());
    let pages = bytes.len() / PAGE;
    assert!(pages > 20, "{pages} pages");
    let mut found = 0;
    let total = 300.max(pages);
    for nth in 0..total {
        // Every page at least once, and the first, which has the header and the schema, more often.
        let page = if nth < pages {
            nth
        } else {
            nth % 8 * (pages / 8)
        };
        let at = page * PAGE + usize::try_from(numbers.below(PAGE as u64)).unwrap();
        let mut damaged = bytes.clone();
        damaged[at] ^= u8::try_from(1 + numbers.below(255)).unwrap();
        let what = format!("SEED={}, byte {at}", seed());
        found += usize::from(noticed(&scratch, &damaged, &rows, &what).await);
    }
    println!("{found} of {total} flipped bytes noticed, the others harmless");
    assert!(found > total / 4, "{found} of {total}");
}

/// SECURITY 56. What SQLite's own check passes over.
#[tokio::test]
async fn a_flipped_byte_in_content_is_always_noticed() {
    let scratch = Scratch::new();
    let (bytes, rows) = content(&scratch.path("gateway.db")).await;
    let places = bytes.windows(MARK.len()).enumerate();
    let places: Vec<_> = places
        .filter(|(_, window)| *window == MARK.as_bytes())
        .map(|(at, _)| at)
        .collect();
    // `secure_delete`: what was removed is not in the file, so each of these is a row's.
    for at in places.iter().step_by(places.len() / 60) {
        let mut damaged = bytes.clone();
        damaged[at + 3] ^= 0x20;
        assert!(noticed(&scratch, &damaged, &rows, &format!("byte {at}")).await);
    }
}

/// SECURITY 56. An empty file is not among them: it is how a new one begins.
#[tokio::test]
async fn a_file_that_was_cut_off_is_noticed() {
    let scratch = Scratch::new();
    let (bytes, rows) = content(&scratch.path("gateway.db")).await;
    let pages = bytes.len() / PAGE;
    let cuts = [
        1,
        99,
        100,
        512,
        PAGE,
        pages / 2 * PAGE,
        (pages - 1) * PAGE,
        bytes.len() - 7,
    ];
    for length in cuts {
        let what = format!("cut to {length} of {}", bytes.len());
        assert!(
            noticed(&scratch, &bytes[..length], &rows, &what).await,
            "{what}"
        );
    }
}

const PAGE: usize = 4096;

const MARK: &str = "a mark to be found again ";
