//! What a host may read and say: what belongs to its own sandboxes (RPC-2, TR-108, TR-110, DPL-8).

use proto::inference::GetInferenceBundleRequest;
use proto::inference::inference_client::InferenceClient;
use proto::v1;
use proto::v1::data_plane_client::DataPlaneClient;
use proto::v1::ringfence_client::RingfenceClient;
use tonic::Code;

use crate::world::{Operator, PATIENCE, Stream, World, policy};

#[tokio::test]
async fn a_host_names_itself_and_nobody_else() {
    let world = World::start().await;
    let channel = world.remote(&world.host("node-1")).await;
    for own in ["node-1", "node-1/demo"] {
        Stream::open(&channel, own, &[]).await.next().await;
    }
    for other in ["node-2", "node-10", "node", "node-2/demo"] {
        let refused = Stream::try_open(&channel, other, &[])
            .await
            .map(|_| ())
            .unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{other}");
        let report = v1::ReportRequest {
            host_id: other.to_owned(),
            ..Default::default()
        };
        let refused = DataPlaneClient::new(channel.clone())
            .report(report)
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{other}");
    }
    for nonsense in ["", " ", "node-1/\n", &format!("node-1/{}", "x".repeat(600))] {
        let refused = Stream::try_open(&channel, nonsense, &[])
            .await
            .map(|_| ())
            .unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{nonsense}");
    }
}

#[tokio::test]
async fn a_host_reads_only_what_its_sandboxes_use() {
    let world = World::start().await;
    let mut operator = Operator::new(&world.local().await);
    operator.provider("p", "sk-hosts").await;
    operator.route("p", "m").await;
    let spec = v1::SandboxSpec {
        providers: vec!["p".to_owned()],
        ..Default::default()
    };
    let asked = v1::CreateSandboxRequest {
        name: "mine".to_owned(),
        spec: Some(spec),
    };
    let made = operator
        .ringfence
        .create_sandbox(asked)
        .await
        .unwrap()
        .into_inner();
    let mine = made.sandbox.unwrap().id;
    let one = world.remote(&world.host("node-1")).await;
    let two = world.remote(&world.host("node-2")).await;

    let bundle = |channel: &tonic::transport::Channel| {
        let mut client = InferenceClient::new(channel.clone());
        async move {
            client
                .get_inference_bundle(GetInferenceBundleRequest {})
                .await
                .unwrap()
                .into_inner()
        }
    };
    // Nobody has claimed it: no host has a use for a key.
    assert!(bundle(&one).await.routes.is_empty());
    let mut stream = Stream::open(&one, "node-1", &[&mine]).await;
    assert_eq!(stream.next().await.routes[0].api_key, "sk-hosts");
    assert_eq!(bundle(&one).await.routes[0].api_key, "sk-hosts");
    assert!(bundle(&two).await.routes.is_empty());
    assert_ne!(bundle(&one).await.revision, bundle(&two).await.revision);

    // The other host is told that it does not get it, and gets nothing of it.
    let first = Stream::open(&two, "node-2", &[&mine, "sb-none"])
        .await
        .next()
        .await;
    let codes: Vec<(&str, &str)> = first
        .sandboxes
        .iter()
        .map(|it| (it.sandbox_id.as_str(), it.error_code.as_str()))
        .collect();
    assert_eq!(
        codes,
        [
            (mine.as_str(), "sandbox_elsewhere"),
            ("sb-none", "sandbox_unknown")
        ]
    );
    assert!(first.routes.is_empty() && first.sandboxes.iter().all(|it| it.policy.is_none()));

    let environment = |channel: &tonic::transport::Channel| {
        let mut client = RingfenceClient::new(channel.clone());
        let asked = v1::GetSandboxProviderEnvironmentRequest {
            sandbox_id: mine.clone(),
        };
        async move { client.get_sandbox_provider_environment(asked).await }
    };
    let variables = environment(&one).await.unwrap().into_inner().environment;
    assert_eq!(variables["OPENAI_API_KEY"], "sk-hosts");
    assert_eq!(
        environment(&two).await.unwrap_err().code(),
        Code::PermissionDenied
    );

    let mut two = RingfenceClient::new(two);
    let asked = v1::GetSandboxPolicyRequest {
        sandbox_id: mine.clone(),
    };
    assert_eq!(
        two.get_sandbox_policy(asked).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    let asked = v1::ReportPolicyStatusRequest {
        sandbox_id: mine,
        version: 1,
        status: 2,
        ..Default::default()
    };
    assert_eq!(
        two.report_policy_status(asked).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    for name in ["mine", "none"] {
        let asked = v1::UpdateSandboxPolicyRequest {
            name: name.to_owned(),
            policy: Some(policy("example.com")),
            completes: false,
        };
        let refused = two.update_sandbox_policy(asked).await.unwrap_err();
        assert!(
            matches!(refused.code(), Code::PermissionDenied | Code::NotFound),
            "{refused:?}"
        );
    }
}

/// A host completes a policy and does not change it (TR-110).
#[tokio::test]
async fn a_host_writes_back_only_the_policy_in_force() {
    let world = World::start().await;
    let mut operator = Operator::new(&world.local().await);
    let id = operator.sandbox("demo").await;
    let channel = world.remote(&world.host("node-1")).await;
    let mut stream = Stream::open(&channel, "node-1", &[&id]).await;
    let served = stream.next().await.sandboxes.remove(0);
    let mut host = RingfenceClient::new(channel);
    let write_back = |policy| v1::UpdateSandboxPolicyRequest {
        name: "demo".to_owned(),
        policy: Some(policy),
        completes: false,
    };
    let same = host
        .update_sandbox_policy(write_back(served.policy.unwrap()))
        .await
        .unwrap();
    assert_eq!(same.into_inner().version, 1);
    let refused = host
        .update_sandbox_policy(write_back(policy("evil.example")))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}

/// BAS-3, LIV-1: over the Unix socket a data plane is the operator as well.
#[tokio::test]
async fn a_late_write_back_does_not_replace_what_an_operator_set() {
    let world = World::start().await;
    let channel = world.local().await;
    let mut operator = Operator::new(&channel);
    operator.sandbox("demo").await;
    assert_eq!(operator.policy("demo", policy("newer.example")).await, 2);
    let completed = |policy| v1::UpdateSandboxPolicyRequest {
        name: "demo".to_owned(),
        policy: Some(policy),
        completes: true,
    };
    let admin = world.remote(&world.role("admin")).await;
    for channel in [channel, admin] {
        let mut data_plane = RingfenceClient::new(channel);
        let late = data_plane.update_sandbox_policy(completed(policy("example.com")));
        assert_eq!(late.await.unwrap_err().code(), Code::PermissionDenied);
        let in_force = data_plane.update_sandbox_policy(completed(policy("newer.example")));
        assert_eq!(in_force.await.unwrap().into_inner().version, 2);
    }
}

#[tokio::test]
async fn a_report_moves_the_state_of_its_own_sandboxes_and_of_no_others() {
    let world = World::start().await;
    let mut operator = Operator::new(&world.local().await);
    let (mine, theirs) = (
        operator.sandbox("mine").await,
        operator.sandbox("theirs").await,
    );
    let one = world.remote(&world.host("node-1")).await;
    let two = world.remote(&world.host("node-2")).await;
    let mut stream = Stream::open(&one, "node-1", &[&mine]).await;
    let applied = stream.next().await.generation;
    let mut other = Stream::open(&two, "node-2", &[&theirs]).await;
    other.next().await;

    let loaded = |id: &str| v1::PolicyReport {
        sandbox_id: id.to_owned(),
        version: 1,
        status: 2,
        ..Default::default()
    };
    let ready = |id: &str| v1::SandboxReport {
        sandbox_id: id.to_owned(),
        phase: 2,
        landlock: 2,
        ..Default::default()
    };
    let line = |id: &str| v1::SandboxLogLine {
        sandbox_id: id.to_owned(),
        level: "info".to_owned(),
        message: "CONNECT".to_owned(),
        source: "gateway".to_owned(),
        timestamp_ms: i64::MAX,
        ..Default::default()
    };
    let report = v1::ReportRequest {
        host_id: "node-1".to_owned(),
        applied_generation: u64::MAX,
        policies: vec![loaded(&mine), loaded(&theirs), loaded("sb-none")],
        sandboxes: vec![ready(&mine), ready(&theirs)],
        records: vec![line(&mine), line(&theirs), line("sb-none")],
        ..Default::default()
    };
    let mut host = DataPlaneClient::new(one);
    host.report(report).await.unwrap();
    // Late, and ignored.
    let late = v1::ReportRequest {
        host_id: "node-1".to_owned(),
        applied_generation: 1,
        ..Default::default()
    };
    host.report(late).await.unwrap();

    for (name, id, version, phase, records) in [
        ("mine", &mine, 1, v1::SandboxPhase::Ready, 1),
        ("theirs", &theirs, 0, v1::SandboxPhase::Provisioning, 0),
    ] {
        let asked = v1::GetSandboxPolicyStatusRequest {
            name: name.to_owned(),
            version: 0,
        };
        let status = operator
            .ringfence
            .get_sandbox_policy_status(asked)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(status.active_version, version, "{name}");
        let asked = v1::GetSandboxRequest {
            name: name.to_owned(),
        };
        let sandbox = operator
            .ringfence
            .get_sandbox(asked)
            .await
            .unwrap()
            .into_inner()
            .sandbox
            .unwrap();
        assert_eq!(sandbox.phase(), phase, "{name}");
        let asked = v1::GetSandboxLogsRequest {
            sandbox_id: id.clone(),
            ..Default::default()
        };
        let logs = operator
            .ringfence
            .get_sandbox_logs(asked)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(logs.logs.len(), records, "{name}");
        assert!(
            logs.logs
                .iter()
                .all(|line| line.source == "sandbox" && line.timestamp_ms < i64::MAX)
        );
    }
    let asked = v1::GetSandboxLogsRequest {
        sandbox_id: "sb-none".to_owned(),
        ..Default::default()
    };
    assert_eq!(
        operator
            .ringfence
            .get_sandbox_logs(asked)
            .await
            .unwrap_err()
            .code(),
        Code::NotFound
    );

    let status = operator
        .ringfence
        .get_cluster_status(v1::GetClusterStatusRequest {})
        .await
        .unwrap()
        .into_inner();
    let node = status
        .data_planes
        .iter()
        .find(|host| host.host_id == "node-1")
        .unwrap();
    assert!(node.connected && node.sandboxes == 1);
    assert!(
        (applied..=status.generation).contains(&node.applied_generation),
        "{node:?}"
    );
}

/// CLI-22.
#[tokio::test]
async fn a_host_that_went_is_shown_while_it_has_sandboxes() {
    let world = World::start().await;
    let mut operator = Operator::new(&world.local().await);
    let id = operator.sandbox("demo").await;
    let (with, without) = (world.local().await, world.local().await);
    let mut stream = Stream::open(&with, "with", &[&id]).await;
    stream.next().await;
    Stream::open(&without, "without", &[]).await.next().await;
    drop((stream, with, without));
    let gone = async {
        loop {
            let status = operator
                .ringfence
                .get_cluster_status(v1::GetClusterStatusRequest {})
                .await;
            let hosts = status.unwrap().into_inner().data_planes;
            if hosts.iter().all(|host| !host.connected) {
                return hosts;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let hosts = tokio::time::timeout(PATIENCE, gone)
        .await
        .expect("both gone in time");
    let ids: Vec<&str> = hosts.iter().map(|host| host.host_id.as_str()).collect();
    assert_eq!(ids, ["with"]);
    assert!(hosts[0].last_seen_ms > 0);
}
