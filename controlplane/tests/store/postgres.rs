//! The suite over PostgreSQL, and what is its own: several gateways, and a server that goes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringfence_controlplane::engine::Engine;
use ringfence_controlplane::model::{Change, Provider, State};
use ringfence_controlplane::store::{self, CommitError, StoreError};

use crate::model::sorted;
use crate::scratch::Scratch;
use crate::server::{self, Server};
use crate::suite::{self, AnyStore, SOON, commit, meta, provider};

async fn fresh() -> Option<(Arc<Server>, AnyStore)> {
    let server = server::shared()?;
    let url = server.url(&server.database().await);
    let store = store::open(&url).await.unwrap();
    Some((server, store))
}

suite::suite!(fresh);

/// SECURITY 56: 2 s, and what a busy machine adds.
const AWAY_MAX: Duration = Duration::from_secs(10);

async fn refusal(url: &str) -> String {
    match store::open(url).await {
        Err(StoreError::Unusable(why)) => why,
        Err(error @ StoreError::Unavailable(_)) => panic!("not Unusable: {error}"),
        Ok(_) => panic!("it was opened"),
    }
}

/// STO-1
#[tokio::test]
async fn a_url_that_cannot_be_used_is_refused_without_repeating_it() {
    for (url, words) in [
        ("postgres://me:hunter2@127.0.0.1:port/db", "cannot be read"),
        ("postgres://me@host/db?hunter2=1", "cannot be read"),
        ("postgresql:hunter2", "cannot be read"),
        (
            "postgres://me:hunter2@127.0.0.1/db?sslrootcert=/nowhere",
            "/nowhere",
        ),
    ] {
        let why = refusal(url).await;
        assert!(
            why.contains(words) && !why.contains("hunter2"),
            "{url}: {why}"
        );
    }
}

/// STO-1
#[tokio::test]
async fn gateways_that_start_at_once_make_the_tables_once() {
    let Some(server) = server::shared() else {
        return;
    };
    let url = server.url(&server.database().await);
    let mut starting = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let url = url.clone();
        starting.spawn(async move { store::open(&url).await.unwrap() });
    }
    for store in starting.join_all().await {
        assert_eq!(store.load().await.unwrap().generation, 0);
    }
}

/// STO-1
#[tokio::test]
async fn a_newer_schema_and_another_programs_tables_are_refused() {
    let Some(server) = server::shared() else {
        return;
    };
    let newer = server.database().await;
    drop(store::open(&server.url(&newer)).await.unwrap());
    let by_hand = server.client(&newer).await;
    by_hand
        .batch_execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
        .await
        .unwrap();
    assert!(refusal(&server.url(&newer)).await.contains("version 99"));

    let other = server.database().await;
    let by_hand = server.client(&other).await;
    by_hand
        .batch_execute("CREATE TABLE meta (key text, value text)")
        .await
        .unwrap();
    assert!(
        refusal(&server.url(&other))
            .await
            .contains("another program")
    );
    assert!(refusal(&server.url("nowhere")).await.contains("nowhere"));
}

/// STO-5
#[tokio::test]
async fn a_session_that_would_not_wait_for_the_disk_is_made_to() {
    let Some(server) = server::shared() else {
        return;
    };
    let database = server.database().await;
    let by_hand = server.client(&database).await;
    by_hand
        .batch_execute(&format!(
            "ALTER DATABASE {database} SET synchronous_commit = off"
        ))
        .await
        .unwrap();
    let store = store::open(&server.url(&database)).await.unwrap();
    // A trigger tells what holds in the session that commits.
    by_hand
        .batch_execute(
            "CREATE TABLE told (value text);
             CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO told VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
             CREATE TRIGGER tell AFTER UPDATE ON meta EXECUTE FUNCTION tell()",
        )
        .await
        .unwrap();
    commit(&store, &[meta("key", "1")]).await.unwrap();
    let told = by_hand.query_one("SELECT DISTINCT value FROM told", &[]);
    assert_eq!(told.await.unwrap().get::<_, String>(0), "on");
}

fn counter(state: &State) -> u32 {
    let provider = state.providers.get("counter");
    provider.map_or(0, |provider| provider.config["n"].parse().unwrap())
}

fn increment(state: &State, _now_ms: i64) -> Result<(Vec<Change>, ()), ()> {
    let provider = Provider {
        id: "pr-1".to_owned(),
        name: "counter".to_owned(),
        kind: "openai".to_owned(),
        credentials: [].into(),
        config: [("n".to_owned(), (counter(state) + 1).to_string())].into(),
        allow_private_endpoint: false,
        created_at_ms: 1,
    };
    Ok((vec![Change::PutProvider(Arc::new(provider))], ()))
}

async fn engine(url: &str) -> Arc<Engine> {
    let store = store::open(url).await.unwrap();
    Arc::new(Engine::start(store).await.unwrap())
}

/// STO-5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_that_write_at_once_lose_no_update_and_refuse_nobody() {
    let Some(server) = server::shared() else {
        return;
    };
    let url = server.url(&server.database().await);
    let mut writing = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let engine = engine(&url).await;
        writing.spawn(async move {
            for _ in 0..100 {
                engine.change(increment).await.unwrap();
            }
        });
    }
    writing.join_all().await;
    let engine = engine(&url).await;
    assert_eq!(counter(&engine.state()), 200);
    assert_eq!(engine.state().generation, 200);
}

/// STO-5. Twenty changes in the time of four looks: it was notified, it did not look.
#[tokio::test]
async fn a_change_by_one_gateway_reaches_the_watch_of_the_other() {
    let Some(server) = server::shared() else {
        return;
    };
    let url = server.url(&server.database().await);
    let (one, other) = (engine(&url).await, engine(&url).await);
    let following = Arc::clone(&other);
    let following = tokio::spawn(async move { following.follow().await });
    let mut watch = other.watch();
    let all = async {
        for nth in 1..=20 {
            one.change(increment).await.unwrap();
            watch.wait_for(|state| counter(state) == nth).await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all)
        .await
        .expect("every change arrives");
    following.abort();
}

/// SECURITY 56, STO-5
#[tokio::test]
async fn a_server_that_was_killed_is_unavailable_soon_and_used_again_after_its_restart() {
    let Some(server) = server::start() else {
        return;
    };
    let store = store::open(&server.url("postgres")).await.unwrap();
    commit(&store, &[provider("pr-1", "one")]).await.unwrap();
    let before = sorted(store.load().await.unwrap());
    server.kill();
    // Its processes end by themselves; the one behind an open connection may answer once more.
    let gone = async { while store.load().await.is_ok() {} };
    tokio::time::timeout(AWAY_MAX, gone)
        .await
        .expect("it is gone");

    for _ in 0..3 {
        let at = Instant::now();
        let load = store.load().await;
        assert!(matches!(load, Err(StoreError::Unavailable(_))), "{load:?}");
        let commit = store.commit(1, &[meta("key", "1")]).await;
        assert!(
            matches!(commit, Err(CommitError::Store(StoreError::Unavailable(_)))),
            "{commit:?}"
        );
        assert!(at.elapsed() < 2 * AWAY_MAX);
    }
    let told = tokio::time::timeout(AWAY_MAX, store.changed(1)).await;
    let told = told.expect("who waits is told that it is gone");
    assert!(matches!(told, Err(StoreError::Unavailable(_))), "{told:?}");

    server.restart();
    let again = async {
        while store.load().await.is_err() || store.changed(0).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, again)
        .await
        .expect("it connects again");
    assert!(sorted(store.load().await.unwrap()) == before);
    let waits = store.changed(1);
    assert_eq!(commit(&store, &[meta("key", "1")]).await.unwrap(), 2);
    tokio::time::timeout(SOON, waits)
        .await
        .expect("it listens again")
        .unwrap();
}

/// SECURITY 56
#[tokio::test]
async fn a_server_that_does_not_answer_is_unavailable_soon() {
    let Some(server) = server::shared() else {
        return;
    };
    let database = server.database().await;
    let store = store::open(&server.url(&database)).await.unwrap();
    let mut other = server.client(&database).await;
    let lock = other.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE meta IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let at = Instant::now();
    let load = store.load().await;
    assert!(matches!(load, Err(StoreError::Unavailable(_))), "{load:?}");
    let late = store.commit(0, &[meta("key", "1")]).await;
    assert!(
        matches!(late, Err(CommitError::Store(StoreError::Unavailable(_)))),
        "{late:?}"
    );
    assert!(at.elapsed() < 2 * AWAY_MAX);
    lock.rollback().await.unwrap();
    // The one that was given up took no effect and is in nobody's way.
    let again = tokio::time::timeout(SOON, async {
        loop {
            match store.commit(0, &[meta("key", "2")]).await {
                Err(CommitError::Store(StoreError::Unavailable(_))) => {}
                done => return done,
            }
        }
    });
    assert_eq!(again.await.expect("it answers again").unwrap(), 1);
}

/// STO-1. Over TLS with a certificate that the named roots vouch for, or not at all.
#[tokio::test]
async fn a_url_that_requires_tls_gets_it_and_a_checked_certificate() {
    let issuer = || {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new([]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        (
            params.self_signed(&key).unwrap().pem(),
            rcgen::Issuer::new(params, key),
        )
    };
    let ((trusted, issuer), (stranger, _)) = (issuer(), issuer());
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap().pem();

    let scratch = Scratch::new();
    let (trusted_path, stranger_path) = (scratch.path("trusted.pem"), scratch.path("stranger.pem"));
    std::fs::write(&trusted_path, trusted).unwrap();
    std::fs::write(&stranger_path, stranger).unwrap();
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let server = server::start_with(|dir| {
        server::private_file(&dir.join("server.crt"), &certificate);
        server::private_file(&dir.join("server.key"), &key.serialize_pem());
        let dir = dir.display();
        [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={port}"),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={dir}/server.crt"),
            format!("ssl_key_file={dir}/server.key"),
        ]
        .into_iter()
        .flat_map(|setting| ["-c".to_owned(), setting])
        .collect()
    });
    let Some(_server) = server else {
        return;
    };
    let url = |roots: &std::path::Path| {
        format!(
            "postgres://ringfence@127.0.0.1:{port}/postgres?sslmode=require&sslrootcert={}",
            roots.display()
        )
    };
    match store::open(&url(&stranger_path)).await {
        Err(StoreError::Unavailable(why)) => assert!(why.contains("certificate"), "{why}"),
        Err(error @ StoreError::Unusable(_)) => panic!("{error}"),
        Ok(_) => panic!("a stranger's certificate was taken"),
    }
    let store = store::open(&url(&trusted_path)).await.unwrap();
    assert_eq!(commit(&store, &[provider("pr-1", "one")]).await.unwrap(), 1);
    let plain = format!("postgres://ringfence@127.0.0.1:{port}/postgres");
    let (client, connection) = tokio_postgres::connect(&plain, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    let encrypted = client
        .query_one(
            "SELECT count(*), bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
              WHERE application_name = 'ringfence gateway'",
            &[],
        )
        .await
        .unwrap();
    assert_eq!((encrypted.get(0), encrypted.get(1)), (2_i64, true));
}
