//! The key that seals credentials, lost or another one (STO-6).

use std::sync::Mutex;

use proto::inference::inference_client::InferenceClient;
use proto::inference::{GetClusterInferenceRequest, RouteStatus};
use ringfence_controlplane::config::Config;
use ringfence_controlplane::secrets::Keyring;
use ringfence_controlplane::server::{Server, StartError};

use crate::world::{Operator, Scratch, World};

/// STO-6
#[tokio::test]
async fn a_gateway_whose_key_file_is_lost_does_not_start_and_makes_no_other() {
    let world = World::start().await;
    Operator::new(&world.local().await)
        .provider("p", "sk-lost")
        .await;
    let key_file = world.config.key_file();
    let (served, dir) = world.stop();
    served.await.unwrap();
    let key = std::fs::read(&key_file).unwrap();
    std::fs::remove_file(&key_file).unwrap();
    let refused = Server::start(Config::new(dir.path())).await.map(|_| ());
    let refused = refused.unwrap_err();
    assert!(matches!(refused, StartError::Key(_)), "{refused}");
    let why = refused.to_string();
    assert!(why.contains(key_file.to_str().unwrap()), "{why}");
    assert!(why.contains("RINGFENCE_KEY"), "{why}");
    assert!(!key_file.exists());
    // With the file back it serves what it had.
    std::fs::write(&key_file, key).unwrap();
    set_private(&key_file);
    let world = World::start_in(dir, |_| ()).await;
    let mut operator = Operator::new(&world.local().await);
    operator.route("p", "m").await;
}

/// STO-6
#[tokio::test]
async fn a_provider_that_another_key_sealed_is_named_and_the_others_are_served() {
    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let world = World::start().await;
    let mut operator = Operator::new(&world.local().await);
    operator.provider("old", "sk-old").await;
    operator.route("old", "m").await;
    let key_file = world.config.key_file();
    let (served, dir) = world.stop();
    served.await.unwrap();
    let other = Scratch::new();
    std::fs::create_dir(other.path()).unwrap();
    Keyring::from_file_or_create(&other.path().join("key")).unwrap();
    std::fs::copy(other.path().join("key"), &key_file).unwrap();
    let world = World::start_in(dir, |config| {
        config.notice = |text| SAID.lock().unwrap().push(text.to_owned());
    })
    .await;
    let said = SAID.lock().unwrap().join("\n");
    assert!(
        said.contains("`old`") && said.contains("OPENAI_API_KEY"),
        "{said}"
    );
    assert!(!said.contains("sk-old"), "{said}");

    let channel = world.local().await;
    let route = InferenceClient::new(channel.clone())
        .get_cluster_inference(GetClusterInferenceRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(route.status(), RouteStatus::Broken);
    let mut operator = Operator::new(&channel);
    operator.provider("new", "sk-new").await;
    operator.route("new", "m").await;
}

fn set_private(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
