//! The gateway, asked without a command line in between: for what must happen a hundred times a second.

use std::path::PathBuf;

use hyper_util::rt::TokioIo;
use proto::inference::SetClusterInferenceRequest;
use proto::inference::inference_client::InferenceClient;
use proto::v1::ringfence_client::RingfenceClient;
use proto::v1::{
    GetSandboxPolicyRequest, GetSandboxRequest, Provider, SandboxPolicy, UpdateProviderRequest,
    UpdateSandboxPolicyRequest,
};
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};
use tonic::transport::{Channel, Endpoint, Uri};

/// A connection of an operator.
pub(crate) struct Operator {
    runtime: Runtime,
    inference: InferenceClient<Channel>,
    objects: RingfenceClient<Channel>,
}

impl Operator {
    /// Connects over the gateway's socket.
    pub(crate) fn connect(socket: PathBuf) -> Operator {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let connect = tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        // The address is not used: the connector knows where the gateway is.
        let endpoint = Endpoint::from_static("http://gateway.invalid");
        let channel = runtime
            .block_on(endpoint.connect_with_connector(connect))
            .expect("the gateway's socket");
        Operator {
            runtime,
            inference: InferenceClient::new(channel.clone()),
            objects: RingfenceClient::new(channel),
        }
    }

    /// Sets the cluster's route; it is in force from when this returns on.
    pub(crate) fn set(&mut self, provider: &str, model: &str) -> u64 {
        let request = SetClusterInferenceRequest {
            provider_name: provider.to_owned(),
            model_id: model.to_owned(),
            ..SetClusterInferenceRequest::default()
        };
        let answer = self.inference.set_cluster_inference(request);
        let answer = self.runtime.block_on(answer);
        answer.expect("the route is set").into_inner().version
    }

    /// Lets a sandbox use these models and no others.
    pub(crate) fn allow(&mut self, sandbox: &str, models: &[&str]) {
        self.change_policy(sandbox, |policy| {
            policy.inference.get_or_insert_default().models =
                models.iter().map(|&model| model.to_owned()).collect();
        });
    }

    /// Gives a sandbox rules of its own, unseen.
    pub(crate) fn judge_by(&mut self, sandbox: &str, rules: &str) {
        self.change_policy(sandbox, |policy| rules.clone_into(&mut policy.rego));
    }

    fn change_policy(&mut self, sandbox: &str, change: impl FnOnce(&mut SandboxPolicy)) {
        let name = sandbox.to_owned();
        let asked = self
            .objects
            .get_sandbox(GetSandboxRequest { name: name.clone() });
        let found = self.runtime.block_on(asked).expect("the sandbox is known");
        let sandbox_id = found.into_inner().sandbox.unwrap_or_default().id;
        let asked = self
            .objects
            .get_sandbox_policy(GetSandboxPolicyRequest { sandbox_id });
        let found = self.runtime.block_on(asked).expect("it has a policy");
        let mut policy = found.into_inner().policy.unwrap_or_default();
        change(&mut policy);
        let request = UpdateSandboxPolicyRequest {
            name,
            policy: Some(policy),
            ..UpdateSandboxPolicyRequest::default()
        };
        let answer = self
            .runtime
            .block_on(self.objects.update_sandbox_policy(request));
        answer.expect("the policy is stored");
    }

    /// Sets one credential of a provider.
    pub(crate) fn rotate(&mut self, provider: &str, key: &str, value: &str) {
        self.update(Provider {
            name: provider.to_owned(),
            credentials: [(key.to_owned(), value.to_owned())].into(),
            ..Provider::default()
        });
    }

    /// Sets one setting of a provider.
    pub(crate) fn configure(&mut self, provider: &str, key: &str, value: &str) {
        self.update(Provider {
            name: provider.to_owned(),
            config: [(key.to_owned(), value.to_owned())].into(),
            ..Provider::default()
        });
    }

    fn update(&mut self, provider: Provider) {
        let request = UpdateProviderRequest {
            provider: Some(provider),
        };
        let answer = self.objects.update_provider(request);
        let answer = self.runtime.block_on(answer);
        answer.expect("the provider is updated");
    }
}
