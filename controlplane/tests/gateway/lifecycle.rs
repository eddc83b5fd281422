//! Start and end: one gateway a directory, and an end that loses no call.

use std::os::unix::fs::PermissionsExt;

use proto::v1;
use proto::v1::ringfence_client::RingfenceClient;
use ringfence_controlplane::server::{Server, StartError};
use tonic::Code;

use crate::world::{Operator, PATIENCE, Scratch, Stream, World};

#[tokio::test]
async fn one_gateway_runs_on_a_state_directory() {
    let world = World::start().await;
    let second = Server::start(world.config.clone()).await;
    let Err(error @ StartError::Running { .. }) = second.map(|_| ()) else {
        panic!("a second gateway started");
    };
    assert!(error.to_string().contains("--state-dir"), "{error}");
    // And the first has lost nothing by it.
    let channel = world.local().await;
    RingfenceClient::new(channel)
        .health(v1::HealthRequest {})
        .await
        .unwrap();
}

/// TR-086.
#[tokio::test]
async fn every_file_is_its_owners_alone() {
    let world = World::start().await;
    let mut dirs = vec![world.config.state_dir.clone()];
    let mut files = 0;
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            if entry.file_type().unwrap().is_dir() {
                assert_eq!(mode, 0o700, "{:?}", entry.path());
                dirs.push(entry.path());
            } else {
                assert_eq!(mode, 0o600, "{:?}", entry.path());
                files += 1;
            }
        }
    }
    assert!(files >= 12, "{files}");
}

#[tokio::test]
async fn a_socket_that_a_crash_left_is_replaced() {
    let dir = Scratch::new();
    std::fs::create_dir_all(dir.path()).unwrap();
    drop(std::os::unix::net::UnixListener::bind(dir.path().join("gateway.sock")).unwrap());
    let world = World::start_in(dir, |_| ()).await;
    world.local().await;
}

#[tokio::test]
async fn a_directory_that_others_write_is_refused() {
    let dir = Scratch::new();
    std::fs::create_dir_all(dir.path()).unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o770)).unwrap();
    let config = ringfence_controlplane::config::Config::new(dir.path());
    let started = Server::start(config).await.map(|_| ());
    assert!(matches!(started, Err(StartError::Exposed { .. })));
}

/// TR-103: a stream's end tells its host to come back, at once.
#[tokio::test]
async fn a_gateway_that_ends_tells_its_hosts_to_subscribe_again() {
    let world = World::start().await;
    let channel = world.local().await;
    let mut stream = Stream::open(&channel, "h", &[]).await;
    stream.next().await;
    let socket = world.socket();
    let (served, _dir) = world.stop();
    let ended = stream.any().await.unwrap_err();
    assert_eq!(ended.code(), Code::Unavailable);
    assert!(ended.message().contains("subscribe again"), "{ended}");
    tokio::time::timeout(PATIENCE, served)
        .await
        .expect("an end in time")
        .unwrap();
    assert!(!socket.exists());
}

/// STO-5: what was acknowledged is there after a restart, and generations go on from there.
#[tokio::test]
async fn a_restart_loses_nothing_that_was_acknowledged() {
    let world = World::start().await;
    let channel = world.local().await;
    let mut operator = Operator::new(&channel);
    operator.provider("openai-prod", "sk-restart").await;
    operator.route("openai-prod", "gpt-4o").await;
    let id = operator.sandbox("demo").await;
    let mut stream = Stream::open(&channel, "h", &[&id]).await;
    let before = stream.next().await;
    drop((channel, operator, stream));

    let world = world.restart().await;
    let channel = world.local().await;
    let mut stream = Stream::open(&channel, "h", &[&id]).await;
    let after = stream.next().await;
    assert_eq!(after.routes, before.routes);
    assert_eq!(after.routes[0].api_key, "sk-restart");
    assert_eq!(after.sandboxes, before.sandboxes);
    assert!(after.generation >= before.generation);
}
