//! Hosts that went, and gateways that started again: what is said of the ones by the others (CLI-18, CLI-22, PRV-8, DPL-3).

use std::time::Duration;

use proto::v1;
use proto::v1::SandboxPhase;
use proto::v1::data_plane_client::DataPlaneClient;
use tonic::Code;
use tonic::transport::Channel;

use crate::world::{Operator, PATIENCE, Stream, World, policy};

async fn tell(channel: &Channel, host_id: &str, sandbox_id: &str, phase: SandboxPhase) {
    let sandbox = v1::SandboxReport {
        sandbox_id: sandbox_id.to_owned(),
        phase: phase.into(),
        ..Default::default()
    };
    let report = v1::ReportRequest {
        host_id: host_id.to_owned(),
        sandboxes: vec![sandbox],
        ..Default::default()
    };
    let mut host = DataPlaneClient::new(channel.clone());
    host.report(report).await.unwrap();
}

async fn phase(operator: &mut Operator, name: &str) -> SandboxPhase {
    let asked = v1::GetSandboxRequest {
        name: name.to_owned(),
    };
    let got = operator.ringfence.get_sandbox(asked).await.unwrap();
    let listed = v1::ListSandboxesRequest::default();
    let listed = operator.ringfence.list_sandboxes(listed).await.unwrap();
    let mut listed = listed.into_inner().sandboxes.into_iter();
    let listed = listed.find(|sandbox| sandbox.name == name).unwrap();
    let got = got.into_inner().sandbox.unwrap();
    // Time passes between the two, in one direction.
    assert!(got.phase == listed.phase || listed.phase() == SandboxPhase::Unknown);
    listed.phase()
}

async fn until(operator: &mut Operator, name: &str, expected: SandboxPhase) {
    let reached = async {
        while phase(operator, name).await != expected {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let reached = tokio::time::timeout(PATIENCE, reached).await;
    reached.expect("the phase in time");
}

async fn hosts(operator: &mut Operator) -> Vec<v1::DataPlaneStatus> {
    let asked = v1::GetClusterStatusRequest {};
    let status = operator.ringfence.get_cluster_status(asked).await.unwrap();
    status.into_inner().data_planes
}

/// CLI-18: what was said last says nothing when nobody is there to say otherwise.
#[tokio::test]
async fn a_sandbox_of_a_silent_host_is_unknown_until_the_host_is_back() {
    let quick = |config: &mut ringfence_controlplane::config::Config| {
        config.limits.silent = Duration::from_millis(50);
        config.limits.heartbeat = Duration::from_millis(60);
    };
    let world = World::start_with(quick).await;
    let mut operator = Operator::new(&world.local().await);
    let id = operator.sandbox("demo").await;
    let channel = world.local().await;
    let mut stream = Stream::open(&channel, "node-1", &[&id]).await;
    tell(&channel, "node-1", &id, SandboxPhase::Ready).await;
    // Longer than silence would last; a stream is no silence.
    for _ in 0..3 {
        stream.any().await.unwrap().unwrap();
    }
    operator.sandbox("nobodys").await;
    assert_eq!(phase(&mut operator, "demo").await, SandboxPhase::Ready);
    assert_eq!(
        phase(&mut operator, "nobodys").await,
        SandboxPhase::Provisioning
    );
    drop((stream, channel));
    until(&mut operator, "demo", SandboxPhase::Unknown).await;
    // It was not stored: the host need not say it again.
    let channel = world.local().await;
    let stream = Stream::open(&channel, "node-1", &[&id]).await;
    assert_eq!(phase(&mut operator, "demo").await, SandboxPhase::Ready);
    drop((stream, channel));

    // A gateway that started again has not heard it either.
    let (served, dir) = world.stop();
    served.await.unwrap();
    let world = World::start_in(dir, quick).await;
    let mut operator = Operator::new(&world.local().await);
    until(&mut operator, "demo", SandboxPhase::Unknown).await;
    assert_eq!(
        phase(&mut operator, "nobodys").await,
        SandboxPhase::Provisioning
    );
}

/// CLI-22, DPL-8, TR-110
#[tokio::test]
async fn status_shows_who_serves_and_what_each_said_of_its_routes() {
    let world = World::start().await;
    let mut operator = Operator::new(&world.local().await);
    operator.provider("p", "sk-1").await;
    operator.route("p", "m").await;
    let (a, b) = (operator.sandbox("a").await, operator.sandbox("b").await);
    let (one, two) = (world.local().await, world.local().await);
    let mut ended = Stream::open(&one, "ended", &[&a]).await;
    let mut lost = Stream::open(&two, "lost", &[&b]).await;
    let name = ended.next().await.routes[0].name.clone();
    lost.next().await;
    tell(&one, "ended", &a, SandboxPhase::Unknown).await;
    tell(&two, "lost", &b, SandboxPhase::Ready).await;
    let route = |name: &str, version| v1::RouteReport {
        name: name.to_owned(),
        version,
        status: 2,
        error_code: "x".repeat(1_000),
    };
    let mut routes: Vec<_> = (0..100).map(|it| route(&format!("r{it}"), 1)).collect();
    routes.extend([route(&name, 1), route(&name, 2)]);
    let report = v1::ReportRequest {
        host_id: "lost".to_owned(),
        routes,
        ..Default::default()
    };
    DataPlaneClient::new(two.clone())
        .report(report)
        .await
        .unwrap();
    let shown = hosts(&mut operator).await;
    let ids: Vec<&str> = shown.iter().map(|host| host.host_id.as_str()).collect();
    assert_eq!(ids, ["ended", "lost"]);
    // The newest, cut, and none of a route that nobody serves.
    let expected = v1::RouteReport {
        error_code: "x".repeat(64),
        ..route(&name, 2)
    };
    assert_eq!(shown[1].routes, [expected]);

    drop((ended, lost, one, two));
    let gone = async {
        loop {
            let shown = hosts(&mut operator).await;
            if shown.iter().all(|host| !host.connected) {
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let shown = tokio::time::timeout(PATIENCE, gone).await;
    let shown = shown.expect("both gone in time");
    let ids: Vec<&str> = shown.iter().map(|host| host.host_id.as_str()).collect();
    assert_eq!(ids, ["lost"]);
}

/// PRV-8: who has the key was told by a gateway that is gone.
#[tokio::test]
async fn a_forced_delete_after_a_restart_names_the_hosts_that_did_not_come_back() {
    let world = World::start().await;
    let channel = world.local().await;
    let mut operator = Operator::new(&channel);
    operator.provider("p", "sk-1").await;
    operator.route("p", "m").await;
    let (a, b) = (operator.sandbox("a").await, operator.sandbox("b").await);
    operator.sandbox("nobodys").await;
    let mut streams = Vec::new();
    for (host_id, id, phase) in [
        ("serves", &a, SandboxPhase::Ready),
        ("ended", &b, SandboxPhase::Unknown),
    ] {
        let mut stream = Stream::open(&channel, host_id, &[id]).await;
        stream.next().await;
        tell(&channel, host_id, id, phase).await;
        streams.push(stream);
    }
    drop(streams);
    drop((operator, channel));
    let world = world.restart().await;
    let mut operator = Operator::new(&world.local().await);
    let delete = v1::DeleteProviderRequest {
        name: "p".to_owned(),
        force: true,
    };
    let deleted = operator.ringfence.delete_provider(delete).await.unwrap();
    assert_eq!(deleted.into_inner().unconfirmed_hosts, ["serves"]);
}

/// DPL-3: what a restored store says is newer than what its hosts have.
#[tokio::test]
async fn a_host_that_is_ahead_of_a_restored_store_gets_a_generation_above_its_own() {
    let world = World::start().await;
    let channel = world.local().await;
    let mut operator = Operator::new(&channel);
    let id = operator.sandbox("demo").await;
    let asked = |applied_generation| v1::SubscribeRequest {
        host_id: "node-1".to_owned(),
        applied_generation,
        sandbox_ids: vec![id.clone()],
        ..Default::default()
    };
    let mut host = DataPlaneClient::new(channel.clone());
    let absurd = host.subscribe(asked(u64::MAX)).await.map(|_| ());
    assert_eq!(absurd.unwrap_err().code(), Code::InvalidArgument);
    let mut ahead = 0;
    for applied in [1_000, 1 << 53] {
        let mut messages = host.subscribe(asked(applied)).await.unwrap().into_inner();
        let first = tokio::time::timeout(PATIENCE, messages.message()).await;
        let first = first.expect("in time").unwrap().unwrap();
        assert_eq!(first.base_generation, 0);
        assert_eq!(first.generation, applied + 1);
        assert_eq!(first.sandboxes[0].policy_version, 1);
        ahead = first.generation;
    }
    // It goes on from there, for everybody and over a restart, and who is not ahead moves nothing.
    let mut other = Stream::open(&channel, "node-2", &[]).await;
    assert_eq!(other.any().await.unwrap().unwrap().generation, ahead);
    host.subscribe(asked(ahead)).await.unwrap();
    operator.policy("demo", policy("newer.example")).await;
    drop((other, host, operator, channel));
    let world = world.restart().await;
    let mut operator = Operator::new(&world.local().await);
    let status = operator
        .ringfence
        .get_cluster_status(v1::GetClusterStatusRequest {})
        .await
        .unwrap();
    assert_eq!(status.into_inner().generation, ahead + 1);
}
