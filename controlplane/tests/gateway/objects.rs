//! Providers, the route, sandboxes and policies over the wire: answers and their codes (RPC-3).

use proto::inference::{
    GetClusterInferenceRequest, RouteStatus, SetClusterInferenceRequest,
    UnsetClusterInferenceRequest,
};
use proto::v1;
use tonic::{Code, Status};

use crate::world::{Operator, World, policy};

#[tokio::test]
async fn a_provider_is_made_read_changed_and_deleted() {
    let world = World::start().await;
    let mut operator = Operator::new(&world.remote(&world.role("admin")).await);
    operator.provider("openai-prod", "sk-canary-1").await;
    let named = || v1::GetProviderRequest {
        name: "openai-prod".to_owned(),
    };
    let read = operator
        .ringfence
        .get_provider(named())
        .await
        .unwrap()
        .into_inner();
    let provider = read.provider.unwrap();
    assert_eq!(provider.credentials["OPENAI_API_KEY"], "<redacted>");

    let again = v1::CreateProviderRequest {
        provider: Some(v1::Provider {
            credentials: [("OPENAI_API_KEY".to_owned(), "sk-canary-2".to_owned())].into(),
            ..provider.clone()
        }),
    };
    let refused = operator.ringfence.create_provider(again).await.unwrap_err();
    assert_code(&refused, Code::AlreadyExists);
    // What was read cannot be written back.
    let back = v1::UpdateProviderRequest {
        provider: Some(provider),
    };
    assert_code(
        &operator.ringfence.update_provider(back).await.unwrap_err(),
        Code::InvalidArgument,
    );
    let nothing = v1::CreateProviderRequest { provider: None };
    assert_code(
        &operator
            .ringfence
            .create_provider(nothing)
            .await
            .unwrap_err(),
        Code::InvalidArgument,
    );

    let list = operator
        .ringfence
        .list_providers(v1::ListProvidersRequest::default())
        .await;
    assert_eq!(list.unwrap().into_inner().providers.len(), 1);
    operator.route("openai-prod", "gpt-4o").await;
    let delete = |force| v1::DeleteProviderRequest {
        name: "openai-prod".to_owned(),
        force,
    };
    let refused = operator
        .ringfence
        .delete_provider(delete(false))
        .await
        .unwrap_err();
    assert_code(&refused, Code::FailedPrecondition);
    let deleted = operator
        .ringfence
        .delete_provider(delete(true))
        .await
        .unwrap()
        .into_inner();
    assert!(deleted.deleted && deleted.unconfirmed_hosts.is_empty());
    let deleted = operator
        .ringfence
        .delete_provider(delete(true))
        .await
        .unwrap()
        .into_inner();
    assert!(!deleted.deleted);
    assert_code(
        &operator.ringfence.get_provider(named()).await.unwrap_err(),
        Code::NotFound,
    );

    let route = operator
        .inference
        .get_cluster_inference(GetClusterInferenceRequest {})
        .await;
    let route = route.unwrap().into_inner();
    assert_eq!(route.status(), RouteStatus::Broken);
    assert_eq!(route.error_code, "provider_missing");
}

#[tokio::test]
async fn the_route_counts_its_versions_and_refuses_a_lost_race() {
    let world = World::start().await;
    let mut operator = Operator::new(&world.local().await);
    let get = GetClusterInferenceRequest {};
    assert_code(
        &operator
            .inference
            .get_cluster_inference(get)
            .await
            .unwrap_err(),
        Code::NotFound,
    );
    operator.provider("p", "sk-1").await;
    let set = |version, provider: &str| SetClusterInferenceRequest {
        provider_name: provider.to_owned(),
        model_id: "m".to_owned(),
        expected_version: version,
        ..SetClusterInferenceRequest::default()
    };
    let mut version = 0;
    for expected in 1..=3 {
        let answer = operator
            .inference
            .set_cluster_inference(set(version, "p"))
            .await
            .unwrap();
        version = answer.into_inner().version;
        assert_eq!(version, expected);
    }
    let lost = operator
        .inference
        .set_cluster_inference(set(2, "p"))
        .await
        .unwrap_err();
    assert_code(&lost, Code::Aborted);
    let unknown = operator
        .inference
        .set_cluster_inference(set(0, "q"))
        .await
        .unwrap_err();
    assert_code(&unknown, Code::FailedPrecondition);
    let blank = operator
        .inference
        .set_cluster_inference(set(0, " "))
        .await
        .unwrap_err();
    assert_code(&blank, Code::InvalidArgument);
    let unset = UnsetClusterInferenceRequest {
        expected_version: 3,
    };
    assert!(
        operator
            .inference
            .unset_cluster_inference(unset)
            .await
            .unwrap()
            .into_inner()
            .removed
    );
    let answer = operator
        .inference
        .set_cluster_inference(set(0, "p"))
        .await
        .unwrap();
    assert_eq!(answer.into_inner().version, 4);
}

#[tokio::test]
async fn a_sandbox_has_versions_of_its_policy() {
    let world = World::start().await;
    let mut operator = Operator::new(&world.local().await);
    let id = operator.sandbox("demo").await;
    assert_eq!(operator.policy("demo", policy("example.org")).await, 2);
    // LIV-6.
    assert_eq!(operator.policy("demo", policy("example.org")).await, 2);
    let asked = v1::GetSandboxPolicyRequest { sandbox_id: id };
    let served = operator
        .ringfence
        .get_sandbox_policy(asked)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(served.version, 2);
    let asked = v1::ListSandboxPoliciesRequest {
        name: "demo".to_owned(),
        ..Default::default()
    };
    let listed = operator
        .ringfence
        .list_sandbox_policies(asked)
        .await
        .unwrap()
        .into_inner();
    let versions: Vec<u32> = listed
        .revisions
        .iter()
        .map(|revision| revision.version)
        .collect();
    assert_eq!(versions, [2, 1]);
    assert!(
        listed
            .revisions
            .iter()
            .all(|revision| revision.policy.is_none())
    );
    let asked = v1::GetSandboxPolicyStatusRequest {
        name: "demo".to_owned(),
        version: 0,
    };
    let status = operator
        .ringfence
        .get_sandbox_policy_status(asked)
        .await
        .unwrap()
        .into_inner();
    let revision = status.revision.unwrap();
    assert_eq!(
        (revision.version, revision.status()),
        (2, v1::PolicyStatus::Pending)
    );
    assert_eq!(revision.policy_hash, served.policy_hash);
    assert_eq!(status.active_version, 0);

    for (name, code) in [("nobody", Code::NotFound), ("demo", Code::InvalidArgument)] {
        let asked = v1::UpdateSandboxPolicyRequest {
            name: name.to_owned(),
            policy: None,
            completes: false,
        };
        let refused = operator
            .ringfence
            .update_sandbox_policy(asked)
            .await
            .unwrap_err();
        // Without a policy nothing is looked up.
        assert_code(
            &refused,
            if name == "nobody" {
                Code::InvalidArgument
            } else {
                code
            },
        );
        let asked = v1::UpdateSandboxPolicyRequest {
            name: "nobody".to_owned(),
            policy: Some(policy("example.com")),
            completes: false,
        };
        assert_code(
            &operator
                .ringfence
                .update_sandbox_policy(asked)
                .await
                .unwrap_err(),
            Code::NotFound,
        );
    }
    let asked = v1::CreateSandboxRequest {
        name: "demo".to_owned(),
        spec: None,
    };
    assert_code(
        &operator.ringfence.create_sandbox(asked).await.unwrap_err(),
        Code::AlreadyExists,
    );
    let delete = v1::DeleteSandboxRequest {
        name: "demo".to_owned(),
    };
    assert!(
        operator
            .ringfence
            .delete_sandbox(delete.clone())
            .await
            .unwrap()
            .into_inner()
            .deleted
    );
    assert!(
        !operator
            .ringfence
            .delete_sandbox(delete)
            .await
            .unwrap()
            .into_inner()
            .deleted
    );
    let get = v1::GetSandboxRequest {
        name: "demo".to_owned(),
    };
    assert_code(
        &operator.ringfence.get_sandbox(get).await.unwrap_err(),
        Code::NotFound,
    );
}

/// RPC-1: 1 MiB.
#[tokio::test]
async fn a_message_above_the_bound_is_not_read() {
    let world = World::start().await;
    let mut operator = Operator::new(&world.local().await);
    let asked = v1::GetProviderRequest {
        name: "x".repeat(1024 * 1024 + 1),
    };
    let refused = operator.ringfence.get_provider(asked).await.unwrap_err();
    assert!(
        matches!(refused.code(), Code::OutOfRange | Code::ResourceExhausted),
        "{refused:?}"
    );
    let asked = v1::GetProviderRequest {
        name: "x".repeat(1024 * 1024 - 16),
    };
    assert_code(
        &operator.ringfence.get_provider(asked).await.unwrap_err(),
        Code::InvalidArgument,
    );
}

/// LIV-1, STO-5: both see consecutive versions, and neither is told of an internal error.
#[tokio::test]
async fn changes_at_once_each_take_effect_once() {
    let world = World::start().await;
    let channel = world.local().await;
    Operator::new(&channel).sandbox("demo").await;
    let writer = |number: usize| {
        let mut operator = Operator::new(&channel);
        async move {
            operator
                .policy("demo", policy(&format!("host-{number}.example.com")))
                .await
        }
    };
    let writers: Vec<_> = (0..16).map(|number| tokio::spawn(writer(number))).collect();
    let mut versions = Vec::new();
    for writer in writers {
        versions.push(writer.await.unwrap());
    }
    versions.sort_unstable();
    assert_eq!(versions, (2..=17).collect::<Vec<u32>>());
}

fn assert_code(refused: &Status, code: Code) {
    assert_eq!(refused.code(), code, "{refused:?}");
    assert!(!refused.message().contains("sk-canary"), "{refused:?}");
    assert!(!refused.message().is_empty());
}
