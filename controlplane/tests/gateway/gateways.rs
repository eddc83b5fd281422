//! Two gateways over one PostgreSQL: what is done at one holds at the other (STO-1, STO-5).

use std::fs;
use std::os::unix::fs::DirBuilderExt;

use proto::v1;

use crate::postgres;
use crate::world::{Operator, Scratch, Stream, World, policy};

/// STO-1, STO-5, RPC-2: the same authority and the same key, and no other word between them than the database.
#[tokio::test]
async fn a_host_that_one_gateway_enrolled_is_served_by_the_other() {
    let Some(database) = postgres::shared() else {
        return;
    };
    let url = database.url(&database.database().await);
    let one = World::start_with(|config| config.db = Some(url.clone())).await;
    let dir = Scratch::new();
    fs::DirBuilder::new()
        .mode(0o700)
        .create(dir.path())
        .unwrap();
    for file in ["ca.crt", "ca.key", "secrets.key"] {
        fs::copy(one.config.state_dir.join(file), dir.path().join(file)).unwrap();
    }
    let two = World::start_in(dir, |config| config.db = Some(url)).await;

    let mut operator = Operator::new(&one.local().await);
    operator.provider("p", "sk-1").await;
    operator.route("p", "m").await;
    let id = operator.sandbox("demo").await;
    let identity = one.host("node-1");
    let channel = two.remote(&identity).await;
    let mut stream = Stream::open(&channel, "node-1", &[&id]).await;
    let first = stream.next().await;
    assert_eq!(first.routes[0].api_key, "sk-1");
    assert_eq!(first.sandboxes[0].policy_version, 1);

    // A change at one reaches the host that is connected to the other.
    assert_eq!(operator.policy("demo", policy("newer.example")).await, 2);
    let changed = stream.next().await;
    assert_eq!(changed.sandboxes[0].policy_version, 2);
    assert!(changed.generation > first.generation);
    operator.rotate("p", "sk-2").await;
    assert_eq!(stream.next().await.routes[0].api_key, "sk-2");

    // Whether it has taken a key back, the gateway it is not connected to cannot know, and says so (PRV-8).
    let delete = v1::DeleteProviderRequest {
        name: "p".to_owned(),
        force: true,
    };
    let deleted = operator.ringfence.delete_provider(delete).await.unwrap();
    assert_eq!(deleted.into_inner().unconfirmed_hosts, ["node-1"]);
    assert!(stream.next().await.routes[0].api_key.is_empty());
}
