//! The stream to a host: everything first, what changed later, and nobody held up (DPL-1 to DPL-4).

use std::collections::BTreeMap;
use std::time::Duration;

use proto::inference::RouteStatus;
use proto::v1;
use proto::v1::data_plane_client::DataPlaneClient;

use crate::world::{Operator, Stream, World, is_beat, policy};

/// DPL-2, PRV-9.
#[tokio::test]
async fn a_host_gets_everything_and_then_what_changed() {
    let world = World::start().await;
    let channel = world.local().await;
    let mut operator = Operator::new(&channel);
    operator.provider("p", "sk-1").await;
    operator.route("p", "m-1").await;
    let (a, b) = (operator.sandbox("a").await, operator.sandbox("b").await);
    let mut stream = Stream::open(&channel, "h", &[&a, &b]).await;
    let first = stream.next().await;
    assert_eq!(first.base_generation, 0);
    assert!(first.sent_at_ms > 0 && !first.more);
    assert_eq!(first.routes[0].api_key, "sk-1");
    let mut ids: Vec<&str> = first
        .sandboxes
        .iter()
        .map(|it| it.sandbox_id.as_str())
        .collect();
    ids.sort_unstable();
    let mut both = [a.as_str(), b.as_str()];
    both.sort_unstable();
    assert_eq!(ids, both);

    operator.policy("b", policy("example.org")).await;
    let second = stream.next().await;
    assert_eq!(second.base_generation, first.generation);
    assert!(second.generation > first.generation);
    assert!(!second.routes_changed && second.routes.is_empty());
    assert_eq!(
        (second.sandboxes.len(), second.sandboxes[0].policy_version),
        (1, 2)
    );

    operator.rotate("p", "sk-2").await;
    let third = stream.next().await;
    assert_eq!(third.base_generation, second.generation);
    assert!(third.routes_changed && third.sandboxes.is_empty());
    assert_eq!(third.routes[0].api_key, "sk-2");

    let delete = v1::DeleteSandboxRequest {
        name: "a".to_owned(),
    };
    operator.ringfence.delete_sandbox(delete).await.unwrap();
    let fourth = stream.next().await;
    assert_eq!(fourth.removed_sandbox_ids, [a]);
    assert!(fourth.sandboxes.is_empty() && !fourth.routes_changed);
}

/// TR-105: what is committed while a host subscribes is in the first message or in a later one.
#[tokio::test]
async fn no_change_falls_between_the_first_message_and_the_second() {
    const CHANGES: u32 = 60;
    let world = World::start().await;
    let channel = world.local().await;
    let mut operator = Operator::new(&channel);
    let id = operator.sandbox("demo").await;
    Stream::open(&channel, "h", &[&id]).await.next().await;
    let writer = tokio::spawn(async move {
        for number in 0..CHANGES {
            operator
                .policy("demo", policy(&format!("host-{number}.example.com")))
                .await;
        }
    });
    let mut readers = Vec::new();
    while !writer.is_finished() {
        let (channel, id) = (channel.clone(), id.clone());
        let mut stream = Stream::open(&channel, "h", &[&id]).await;
        let first = stream.next().await;
        readers.push(tokio::spawn(async move {
            let mut last = first;
            while last.sandboxes[0].policy_version < CHANGES + 1 {
                let next = stream.next().await;
                assert_eq!(next.base_generation, last.generation);
                assert!(next.sandboxes[0].policy_version > last.sandboxes[0].policy_version);
                last = next;
            }
        }));
    }
    writer.await.unwrap();
    assert!(!readers.is_empty());
    for reader in readers {
        reader.await.unwrap();
    }
}

/// DPL-4.
#[tokio::test]
async fn an_idle_stream_shows_that_it_lives() {
    let world =
        World::start_with(|config| config.limits.heartbeat = Duration::from_millis(20)).await;
    let channel = world.local().await;
    let mut operator = Operator::new(&channel);
    let id = operator.sandbox("demo").await;
    let mut stream = Stream::open(&channel, "h", &[&id]).await;
    let first = stream.next().await;
    for _ in 0..3 {
        let beat = stream.any().await.unwrap().unwrap();
        assert!(is_beat(&beat), "{beat:?}");
        assert_eq!(
            (beat.generation, beat.base_generation),
            (first.generation, first.generation)
        );
    }
    // A generation that does not concern the host comes with a sign of life, and the next change builds upon it.
    operator.sandbox("elsewhere").await;
    let moved = loop {
        let beat = stream.any().await.unwrap().unwrap();
        assert!(is_beat(&beat), "{beat:?}");
        if beat.generation > first.generation {
            break beat;
        }
    };
    assert_eq!(moved.base_generation, first.generation);
    operator.policy("demo", policy("example.org")).await;
    assert_eq!(stream.next().await.base_generation, moved.generation);
}

/// DPL-2.
#[tokio::test]
async fn a_large_first_message_comes_in_parts() {
    let world = World::start_with(|config| config.limits.push_bytes_max = 2_000).await;
    let channel = world.local().await;
    let mut operator = Operator::new(&channel);
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(operator.sandbox(&format!("s{number}")).await);
    }
    let asked: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut stream = Stream::open(&channel, "h", &asked).await;
    let mut sandboxes = BTreeMap::new();
    let mut parts = 0;
    loop {
        let part = stream.any().await.unwrap().unwrap();
        assert_eq!(part.base_generation, 0);
        parts += 1;
        for sandbox in part.sandboxes {
            sandboxes.insert(sandbox.sandbox_id.clone(), sandbox);
        }
        if !part.more {
            break;
        }
    }
    assert!(parts > 1, "{parts}");
    ids.sort_unstable();
    assert_eq!(sandboxes.into_keys().collect::<Vec<_>>(), ids);
}

/// TR-106.
#[tokio::test]
async fn a_host_that_does_not_read_delays_nobody_and_then_finds_the_newest() {
    const CHANGES: u32 = 60;
    let world = World::start().await;
    let channel = world.local().await;
    let mut operator = Operator::new(&channel);
    let (slow, quick) = (
        operator.sandbox("slow").await,
        operator.sandbox("quick").await,
    );
    let narrow = world.narrow().await;
    let mut sleeper = Stream::open(&narrow, "sleeper", &[&slow]).await;
    let first = sleeper.next().await;
    let mut reader = Stream::open(&channel, "reader", &[&quick]).await;
    reader.next().await;
    for number in 0..CHANGES {
        operator.policy("slow", large(number)).await;
        operator
            .policy("quick", policy(&format!("host-{number}.example.com")))
            .await;
        assert_eq!(reader.next().await.sandboxes[0].policy_version, number + 2);
    }
    let (mut messages, mut last) = (0, first);
    while last.sandboxes[0].policy_version < CHANGES + 1 {
        let next = sleeper.next().await;
        assert_eq!(next.base_generation, last.generation);
        messages += 1;
        last = next;
    }
    assert!(
        messages < CHANGES / 2,
        "{messages} messages were kept for it"
    );
}

/// PRV-8.
#[tokio::test]
async fn a_forced_delete_revokes_and_names_who_has_not_confirmed() {
    let world = World::start().await;
    let channel = world.local().await;
    let mut operator = Operator::new(&channel);
    operator.provider("p", "sk-1").await;
    operator.route("p", "m").await;
    let (a, b) = (operator.sandbox("a").await, operator.sandbox("b").await);
    let mut confirms = Stream::open(&channel, "confirms", &[&a]).await;
    let mut silent = Stream::open(&channel, "silent", &[&b]).await;
    // A host without sandboxes has no key, and nothing to confirm.
    let mut idle = Stream::open(&channel, "idle", &[]).await;
    for stream in [&mut confirms, &mut silent, &mut idle] {
        let first = stream.next().await;
        report(&channel, "confirms", first.generation).await;
    }
    for (host_id, generation) in [("silent", 1), ("idle", u64::MAX)] {
        report(&channel, host_id, generation).await;
    }
    let acknowledging = tokio::spawn({
        let channel = channel.clone();
        async move {
            let revoked = confirms.next().await;
            report(&channel, "confirms", revoked.generation).await;
            revoked
        }
    });
    let delete = v1::DeleteProviderRequest {
        name: "p".to_owned(),
        force: true,
    };
    let deleted = operator
        .ringfence
        .delete_provider(delete)
        .await
        .unwrap()
        .into_inner();
    assert!(deleted.deleted);
    assert_eq!(deleted.unconfirmed_hosts, ["silent"]);
    let revoked = acknowledging.await.unwrap();
    assert_eq!(revoked.routes[0].status(), RouteStatus::Broken);
    assert_eq!(revoked.routes[0].error_code, "provider_missing");
    assert!(revoked.routes[0].api_key.is_empty());
}

async fn report(channel: &tonic::transport::Channel, host_id: &str, applied_generation: u64) {
    let report = v1::ReportRequest {
        host_id: host_id.to_owned(),
        applied_generation,
        ..v1::ReportRequest::default()
    };
    DataPlaneClient::new(channel.clone())
        .report(report)
        .await
        .unwrap();
}

/// A policy of some 10 KiB.
fn large(number: u32) -> v1::SandboxPolicy {
    let mut policy = policy("example.com");
    let rule = policy.network_policies.get_mut("web").unwrap();
    let endpoint = rule.endpoints[0].clone();
    let label = "x".repeat(60);
    rule.endpoints = (0..50)
        .map(|at| v1::NetworkEndpoint {
            host: format!("h{number}-{at}.{label}.{label}.{label}.example.com"),
            ..endpoint.clone()
        })
        .collect();
    policy
}
