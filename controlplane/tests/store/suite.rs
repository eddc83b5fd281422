//! What holds for a store, whichever it is. `sqlite` and `postgres` make a test of each function here.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use ringfence_controlplane::store::{
    CommitError, ObjectRow, ObjectType, RevisionRow, Rows, Store, StoreError, TombstoneRow, Write,
};

use crate::model::{Model, Refusal, sorted};
use crate::scratch::{Numbers, seed};

pub(crate) type AnyStore = Arc<dyn Store>;

/// How long something that must happen may take on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Makes a test of each case, with a store of its own from `fresh`.
macro_rules! cases {
    ($fresh:path: $($case:ident)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                if let Some((_kept, store)) = $fresh().await {
                    crate::suite::$case(store).await;
                }
            }
        )*
    };
}
pub(crate) use cases;

/// All of them, for one store.
macro_rules! suite {
    ($fresh:path) => {
        crate::suite::cases! { $fresh:
            a_new_store_is_empty_at_generation_0
            what_was_committed_is_read_back
            a_commit_on_an_old_base_is_a_conflict_and_writes_nothing
            of_many_commits_on_one_base_exactly_one_wins
            a_commit_may_pass_over_generations_and_never_goes_back
            a_name_is_taken_once_a_type
            an_id_never_changes_its_type
            a_name_can_move_to_another_object_within_a_commit
            a_sandbox_goes_with_its_revisions_and_nobody_elses
            removing_what_is_not_there_is_no_error
            a_failing_write_in_the_middle_leaves_nothing
            a_revision_without_its_sandbox_is_refused
            the_stores_own_meta_cannot_be_written
            text_with_nul_is_refused
            extreme_values_are_read_back
            a_store_holds_what_a_model_says_after_any_commits
            changed_waits_for_a_commit
        }
    };
}
pub(crate) use suite;

pub(crate) fn object(object_type: ObjectType, id: &str, name: &str) -> ObjectRow {
    ObjectRow {
        object_type,
        id: id.to_owned(),
        name: name.to_owned(),
        payload: format!("payload of {id}").into_bytes(),
        created_at_ms: 1,
        updated_at_ms: 2,
    }
}

pub(crate) fn sandbox(id: &str, name: &str) -> Write {
    Write::PutObject(object(ObjectType::Sandbox, id, name))
}

pub(crate) fn provider(id: &str, name: &str) -> Write {
    Write::PutObject(object(ObjectType::Provider, id, name))
}

pub(crate) fn revision(sandbox_id: &str, version: u32) -> Write {
    Write::PutRevision(RevisionRow {
        sandbox_id: sandbox_id.to_owned(),
        version,
        policy_payload: vec![0, 1, 2, 255],
        policy_hash: "hash".to_owned(),
        status: 1,
        load_error: String::new(),
        created_at_ms: 3,
        loaded_at_ms: 0,
    })
}

pub(crate) fn tombstone(name: &str) -> Write {
    Write::PutTombstone(TombstoneRow {
        object_type: ObjectType::Provider,
        name: name.to_owned(),
        created_at_ms: 4,
    })
}

pub(crate) fn meta(key: &str, value: &str) -> Write {
    Write::PutMeta {
        key: key.to_owned(),
        value: value.to_owned(),
    }
}

fn remove(object_type: ObjectType, id: &str) -> Write {
    Write::RemoveObject {
        object_type,
        id: id.to_owned(),
    }
}

/// Commits on what is newest.
pub(crate) async fn commit(store: &AnyStore, writes: &[Write]) -> Result<u64, CommitError> {
    let base = store.load().await.unwrap().generation;
    store.commit(base, writes).await
}

/// STO-2 to STO-4
pub(crate) async fn a_new_store_is_empty_at_generation_0(store: AnyStore) {
    assert_eq!(store.load().await.unwrap(), Rows::default());
}

/// STO-5
pub(crate) async fn what_was_committed_is_read_back(store: AnyStore) {
    let mut model = Model::default();
    let all = [
        sandbox("sb-1", "demo"),
        provider("pr-1", "demo"),
        Write::PutObject(object(
            ObjectType::InferenceRoute,
            "route",
            "inference.local",
        )),
        revision("sb-1", 1),
        revision("sb-1", 2),
        tombstone("gone"),
        meta("route_version", "7"),
    ];
    assert_eq!(store.commit(0, &all).await.unwrap(), 1);
    model.commit(&all).unwrap();
    assert_eq!(sorted(store.load().await.unwrap()), model.rows());

    let mut replaced = object(ObjectType::Provider, "pr-1", "renamed");
    replaced.payload = vec![9; 100_000];
    let next = [
        Write::PutObject(replaced),
        meta("route_version", "8"),
        tombstone("gone"),
    ];
    assert_eq!(store.commit(1, &next).await.unwrap(), 2);
    model.commit(&next).unwrap();
    assert_eq!(sorted(store.load().await.unwrap()), model.rows());
}

/// STO-5
pub(crate) async fn a_commit_on_an_old_base_is_a_conflict_and_writes_nothing(store: AnyStore) {
    commit(&store, &[provider("pr-1", "one")]).await.unwrap();
    let before = store.load().await.unwrap();
    for base in [0, 2, u64::MAX - 1] {
        let late = store.commit(base, &[provider("pr-2", "two")]).await;
        assert!(
            matches!(late, Err(CommitError::Conflict)),
            "{base}: {late:?}"
        );
    }
    assert_eq!(store.load().await.unwrap(), before);
}

/// STO-5
pub(crate) async fn of_many_commits_on_one_base_exactly_one_wins(store: AnyStore) {
    let mut racing = tokio::task::JoinSet::new();
    for n in 0..8 {
        let store = Arc::clone(&store);
        racing.spawn(async move { store.commit(0, &[meta("winner", &n.to_string())]).await });
    }
    let ended = racing.join_all().await;
    assert_eq!(ended.iter().filter(|done| matches!(done, Ok(1))).count(), 1);
    let lost = |done: &&Result<u64, CommitError>| matches!(done, Err(CommitError::Conflict));
    assert_eq!(ended.iter().filter(lost).count(), 7, "{ended:?}");
    assert_eq!(store.load().await.unwrap().generation, 1);
}

/// DPL-3
pub(crate) async fn a_commit_may_pass_over_generations_and_never_goes_back(store: AnyStore) {
    let far = 1 << 53;
    let jump = [provider("pr-1", "one"), Write::AdvanceTo(far)];
    assert_eq!(store.commit(0, &jump).await.unwrap(), far);
    let rows = store.load().await.unwrap();
    assert_eq!((rows.generation, rows.objects.len()), (far, 1));
    // What lies behind is no step back, and the next base is what is newest.
    let late = store.commit(0, &[Write::AdvanceTo(far + 9)]).await;
    assert!(matches!(late, Err(CommitError::Conflict)), "{late:?}");
    let behind = store.commit(far, &[Write::AdvanceTo(7)]).await;
    assert_eq!(behind.unwrap(), far + 1);
    let told = tokio::time::timeout(SOON, store.changed(far)).await;
    told.expect("a jump is news").unwrap();
}

/// STO-2
pub(crate) async fn a_name_is_taken_once_a_type(store: AnyStore) {
    commit(&store, &[provider("pr-1", "one"), sandbox("sb-1", "one")])
        .await
        .unwrap();
    let taken = commit(&store, &[provider("pr-2", "one")]).await;
    assert!(
        matches!(&taken, Err(CommitError::Duplicate(what)) if what == "provider `one`"),
        "{taken:?}"
    );
}

/// STO-2
pub(crate) async fn an_id_never_changes_its_type(store: AnyStore) {
    commit(&store, &[provider("x-1", "one")]).await.unwrap();
    let other = commit(&store, &[sandbox("x-1", "other")]).await;
    assert!(
        matches!(&other, Err(CommitError::Duplicate(what)) if what.contains("x-1")),
        "{other:?}"
    );
    // Nor does it go under another type's name.
    commit(&store, &[remove(ObjectType::Sandbox, "x-1")])
        .await
        .unwrap();
    assert_eq!(store.load().await.unwrap().objects.len(), 1);
}

/// STO-2
pub(crate) async fn a_name_can_move_to_another_object_within_a_commit(store: AnyStore) {
    commit(&store, &[provider("pr-1", "one")]).await.unwrap();
    let moved = [
        remove(ObjectType::Provider, "pr-1"),
        provider("pr-2", "one"),
    ];
    commit(&store, &moved).await.unwrap();
    let objects = store.load().await.unwrap().objects;
    assert_eq!(objects, [object(ObjectType::Provider, "pr-2", "one")]);
}

/// STO-3
pub(crate) async fn a_sandbox_goes_with_its_revisions_and_nobody_elses(store: AnyStore) {
    let all = [
        sandbox("sb-1", "one"),
        sandbox("sb-2", "two"),
        revision("sb-1", 1),
        revision("sb-1", 2),
        revision("sb-2", 1),
        revision("sb-2", 2),
    ];
    commit(&store, &all).await.unwrap();
    let gone = [
        remove(ObjectType::Sandbox, "sb-1"),
        Write::RemoveRevision {
            sandbox_id: "sb-2".to_owned(),
            version: 1,
        },
    ];
    commit(&store, &gone).await.unwrap();
    let rows = store.load().await.unwrap();
    let left: Vec<_> = rows.revisions.iter().collect();
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].sandbox_id.as_str(), left[0].version), ("sb-2", 2));
}

/// STO-5
pub(crate) async fn removing_what_is_not_there_is_no_error(store: AnyStore) {
    let nothing = [
        remove(ObjectType::Sandbox, "sb-1"),
        Write::RemoveRevision {
            sandbox_id: "sb-1".to_owned(),
            version: 1,
        },
        Write::RemoveTombstone {
            object_type: ObjectType::Provider,
            name: "one".to_owned(),
        },
    ];
    assert_eq!(store.commit(0, &nothing).await.unwrap(), 1);
    commit(&store, &[tombstone("one")]).await.unwrap();
    commit(&store, &nothing).await.unwrap();
    assert_eq!(store.load().await.unwrap().tombstones, []);
}

/// STO-5, SECURITY 56
pub(crate) async fn a_failing_write_in_the_middle_leaves_nothing(store: AnyStore) {
    commit(&store, &[provider("pr-1", "one"), sandbox("sb-1", "one")])
        .await
        .unwrap();
    let before = sorted(store.load().await.unwrap());
    let halfway = [
        provider("pr-2", "two"),
        revision("sb-1", 1),
        meta("route_version", "1"),
        remove(ObjectType::Provider, "pr-1"),
        provider("sb-1", "three"),
        tombstone("four"),
    ];
    let refused = commit(&store, &halfway).await;
    assert!(
        matches!(refused, Err(CommitError::Duplicate(_))),
        "{refused:?}"
    );
    assert_eq!(sorted(store.load().await.unwrap()), before);
}

/// STO-3
pub(crate) async fn a_revision_without_its_sandbox_is_refused(store: AnyStore) {
    let orphan = commit(&store, &[revision("sb-1", 1), provider("pr-1", "one")]).await;
    assert!(
        matches!(&orphan, Err(CommitError::Store(StoreError::Unusable(why))) if why.contains("sandbox")),
        "{orphan:?}"
    );
    assert_eq!(store.load().await.unwrap(), Rows::default());
    // In any order within a commit.
    commit(&store, &[revision("sb-1", 1), sandbox("sb-1", "one")])
        .await
        .unwrap();
}

/// STO-4
pub(crate) async fn the_stores_own_meta_cannot_be_written(store: AnyStore) {
    for key in ["generation", "schema_version", "rows_sum"] {
        let refused = commit(&store, &[meta(key, "1")]).await;
        assert!(
            matches!(&refused, Err(CommitError::Store(StoreError::Unusable(why))) if why.contains(key)),
            "{refused:?}"
        );
    }
}

/// STO-1: what one body cannot hold, neither takes.
pub(crate) async fn text_with_nul_is_refused(store: AnyStore) {
    for write in [sandbox("sb\0", "one"), tombstone("a\0b"), meta("k", "\0")] {
        assert!(commit(&store, &[write]).await.is_err());
    }
    assert_eq!(store.load().await.unwrap(), Rows::default());
}

/// STO-2, STO-3
pub(crate) async fn extreme_values_are_read_back(store: AnyStore) {
    let row = ObjectRow {
        payload: (0..=u8::MAX).cycle().take(1 << 20).collect(),
        created_at_ms: i64::MIN,
        updated_at_ms: i64::MAX,
        ..object(ObjectType::Sandbox, "sb-ü-🦀", "'; DROP TABLE objects; --")
    };
    let revision = RevisionRow {
        sandbox_id: row.id.clone(),
        version: u32::MAX,
        policy_payload: Vec::new(),
        policy_hash: String::new(),
        status: i32::MIN,
        load_error: "line\nline\u{feff}".to_owned(),
        created_at_ms: i64::MAX,
        loaded_at_ms: i64::MIN,
    };
    let writes = [
        Write::PutObject(row.clone()),
        Write::PutRevision(revision.clone()),
    ];
    commit(&store, &writes).await.unwrap();
    let rows = store.load().await.unwrap();
    assert_eq!((rows.objects, rows.revisions), (vec![row], vec![revision]));
}

/// STO-5. `SEED=n` plays another sequence.
pub(crate) async fn a_store_holds_what_a_model_says_after_any_commits(store: AnyStore) {
    let seed = seed();
    let mut numbers = Numbers(seed);
    let mut model = Model::default();
    let (mut taken, mut duplicates, mut orphans) = (0, 0, 0);
    for nth in 0..300 {
        let count = 1 + numbers.below(4);
        let writes: Vec<_> = (0..count).map(|_| any_write(&mut numbers)).collect();
        let context = || format!("SEED={seed}, commit {nth}: {writes:?}");
        let base = model.rows().generation;
        match (store.commit(base, &writes).await, model.commit(&writes)) {
            (Ok(generation), Ok(expected)) => {
                assert_eq!(generation, expected, "{}", context());
                taken += 1;
            }
            (Err(CommitError::Duplicate(_)), Err(Refusal::Duplicate)) => duplicates += 1,
            (Err(CommitError::Store(StoreError::Unusable(_))), Err(Refusal::Orphan)) => {
                orphans += 1;
            }
            (store, model) => panic!("{store:?} but {model:?}, {}", context()),
        }
        assert_eq!(
            sorted(store.load().await.unwrap()),
            model.rows(),
            "{}",
            context()
        );
    }
    // The sequence meets every kind of end.
    assert!(taken > 50 && duplicates > 10 && orphans > 10);
}

fn any_write(numbers: &mut Numbers) -> Write {
    let kinds = [
        ObjectType::Sandbox,
        ObjectType::Provider,
        ObjectType::InferenceRoute,
    ];
    // Mostly an id keeps its type.
    let kind = numbers.below(3);
    let object_type = kinds[usize::try_from(kind).unwrap()];
    let family = if numbers.below(12) == 0 { 0 } else { kind };
    let id = format!("{family}-{}", numbers.below(5));
    let name = format!("name {}", numbers.below(8));
    let number = i64::try_from(numbers.below(1000)).unwrap();
    match numbers.below(12) {
        0..4 => Write::PutObject(ObjectRow {
            object_type,
            id,
            name,
            payload: vec![7; usize::try_from(numbers.below(3000)).unwrap()],
            created_at_ms: number,
            updated_at_ms: number + 1,
        }),
        4 => remove(object_type, &id),
        5..8 => Write::PutRevision(RevisionRow {
            sandbox_id: format!("0-{}", numbers.below(5)),
            version: u32::try_from(numbers.below(4)).unwrap(),
            policy_payload: vec![1, 2, 3],
            policy_hash: name,
            status: 2,
            load_error: id,
            created_at_ms: number,
            loaded_at_ms: -number,
        }),
        8 => Write::RemoveRevision {
            sandbox_id: format!("0-{}", numbers.below(5)),
            version: u32::try_from(numbers.below(4)).unwrap(),
        },
        9 => tombstone(&name),
        10 if numbers.below(4) == 0 => Write::AdvanceTo(numbers.below(1_000)),
        10 => Write::RemoveTombstone {
            object_type: ObjectType::Provider,
            name,
        },
        _ => meta(&name, &id),
    }
}

/// STO-5
pub(crate) async fn changed_waits_for_a_commit(store: AnyStore) {
    let mut waits = pin!(store.changed(0));
    let first = std::future::poll_fn(|cx| Poll::Ready(waits.as_mut().poll(cx))).await;
    assert!(first.is_pending());
    store.commit(0, &[meta("key", "1")]).await.unwrap();
    let told = tokio::time::timeout(SOON, waits).await;
    told.expect("a commit wakes who waits").unwrap();
    // Who comes late is told at once.
    let told = tokio::time::timeout(SOON, store.changed(0)).await;
    told.expect("an old generation is answered").unwrap();
}
