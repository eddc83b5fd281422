//! A gateway's process that dies at any moment, and a disk that takes no more (SECURITY 56).
//!
//! The child is this test program again: it commits for ever, and says each generation on standard error after the commit
//! returned. Two rows of a commit say its number, so that half a commit would be seen.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ringfence_controlplane::store::{
    self, CommitError, ObjectRow, ObjectType, Rows, StoreError, Write,
};

use crate::scratch::{Numbers, Scratch, seed, url};
use crate::suite::object;

/// What a child commits in this database; unset in a parent.
const DATABASE: &str = "RINGFENCE_TEST_KILL_DATABASE";

/// How often `acknowledged_commits_outlive_sigkill` kills; 1,000 when it is unset.
const KILL_POINTS: &str = "RINGFENCE_KILL_POINTS";

/// Not a test of its own: the child of the others. Without its variable it ends at once.
#[tokio::test]
async fn commits_until_it_is_killed_when_it_is_a_child() {
    let Some(path) = std::env::var_os(DATABASE) else {
        return;
    };
    let store = store::open(&url(Path::new(&path))).await.unwrap();
    let mut generation = store.load().await.unwrap().generation;
    loop {
        match store.commit(generation, &both(generation + 1)).await {
            Ok(next) => generation = next,
            Err(CommitError::Store(StoreError::Unavailable(_))) => break,
            Err(error) => panic!("{error}"),
        }
        // In one write, past what the test harness keeps.
        let line = format!("{generation}\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    // Refused, and nothing of it is there.
    verify(&store.load().await.unwrap());
    assert_eq!(store.load().await.unwrap().generation, generation);
}

/// Two rows of different tables' pages; their size differs from commit to commit.
fn both(number: u64) -> [Write; 3] {
    let size = usize::try_from(Numbers(number).below(20_000)).unwrap();
    let row = |object_type, id: &str| {
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(8 + size, 0xa5);
        Write::PutObject(ObjectRow {
            payload,
            updated_at_ms: i64::try_from(number).unwrap(),
            ..object(object_type, id, id)
        })
    };
    [
        row(ObjectType::Sandbox, "left"),
        row(ObjectType::Provider, "right"),
        Write::PutMeta {
            key: "number".to_owned(),
            value: number.to_string(),
        },
    ]
}

/// Both rows and the value are of the newest generation.
fn verify(rows: &Rows) {
    if rows.generation == 0 {
        assert_eq!(*rows, Rows::default());
        return;
    }
    let mut expected = both(rows.generation).map(|write| match write {
        Write::PutObject(row) => Some(row),
        Write::PutMeta { .. }
        | Write::RemoveObject { .. }
        | Write::PutRevision(_)
        | Write::RemoveRevision { .. }
        | Write::PutTombstone(_)
        | Write::RemoveTombstone { .. }
        | Write::AdvanceTo(_) => None,
    });
    let mut expected: Vec<_> = expected.iter_mut().filter_map(Option::take).collect();
    let mut found = rows.objects.clone();
    found.sort_by(|one, other| one.id.cmp(&other.id));
    expected.sort_by(|one, other| one.id.cmp(&other.id));
    assert!(
        found == expected,
        "generation {} is not whole",
        rows.generation
    );
    assert_eq!(rows.meta["number"], rows.generation.to_string());
}

/// The child, through a shell that may limit it first.
fn child(database: &Path, limit: &str) -> Child {
    Command::new("/bin/sh")
        .args(["-c", &format!("{limit} exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "kill::commits_until_it_is_killed_when_it_is_a_child",
        ])
        .env(DATABASE, database)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// STO-5, SECURITY 56. `RINGFENCE_KILL_POINTS=n` kills another number of times.
#[tokio::test]
async fn acknowledged_commits_outlive_sigkill() {
    let rounds: u64 =
        std::env::var(KILL_POINTS).map_or(1_000, |text| text.parse().expect("a number of kills"));
    let scratch = Scratch::new();
    let database = scratch.path("gateway.db");
    let mut numbers = Numbers(seed());
    let (mut acknowledged, mut unacknowledged) = (0, 0);
    let started = Instant::now();
    let mut generation = 0;
    for round in 0..rounds {
        let mut child = child(&database, "");
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut last = generation;
        let mut listen = |line: String| {
            last = line
                .parse()
                .unwrap_or_else(|_| panic!("the child said {line}"));
        };
        for _ in 0..numbers.below(12) {
            listen(said.next().expect("the child goes on").unwrap());
        }
        // Busy, not asleep: a sleep would end when the scheduler likes, which is between commits more often than not.
        let until = Instant::now() + Duration::from_micros(numbers.below(2_000));
        while Instant::now() < until {}
        child.kill().unwrap();
        for line in said {
            listen(line.unwrap());
        }
        child.wait().unwrap();

        let store = store::open(&url(&database)).await.unwrap();
        let rows = store.load().await.unwrap();
        let context = format!("SEED={}, kill {round}: {last} was acknowledged", seed());
        assert!(
            rows.generation == last || rows.generation == last + 1,
            "{context}, {} is there",
            rows.generation
        );
        verify(&rows);
        acknowledged += last - generation;
        unacknowledged += rows.generation - last;
        generation = rows.generation;
    }
    println!(
        "{rounds} kills in {:.1} s: {acknowledged} commits acknowledged, 0 lost, 0 partial; {unacknowledged} more had \
         become durable before their acknowledgement",
        started.elapsed().as_secs_f64()
    );
}

/// SECURITY 56: a limit on the size of files stands for a full disk, and the next write fails in its middle.
#[tokio::test]
async fn a_disk_that_takes_no_more_refuses_commits_and_loses_none() {
    for blocks in [300, 340, 400, 512, 777] {
        let scratch = Scratch::new();
        let database = scratch.path("gateway.db");
        // With the signal ignored, a write beyond the limit is an error as ENOSPC is.
        let limit = format!("trap '' XFSZ; ulimit -f {blocks};");
        let mut child = child(&database, &limit);
        let said = BufReader::new(child.stderr.take().unwrap()).lines();
        let last = said.map(|line| line.unwrap()).last();
        assert!(child.wait().unwrap().success(), "{blocks}: {last:?}");
        let last: u64 = last.expect("some fitted").parse().unwrap();
        let store = store::open(&url(&database)).await.unwrap();
        let rows = store.load().await.unwrap();
        assert_eq!(rows.generation, last, "{blocks}");
        verify(&rows);
    }
}
