//! The gateway's services: a message comes in, the domain works the change out, a message goes out.
//!
//! Reading order: `auth` (who may call what), then one file a noun. Apart from `server`, which knows connections and no
//! message. Invariants: every change goes through `Engine::change`; a refusal has the words of the domain (`status`); what
//! a caller may reach beyond its role is asked before anything is read.

pub mod auth;
mod hosts;
mod inference;
mod policies;
mod providers;
mod sandboxes;
mod status;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use proto::inference as wire;
use proto::inference::inference_server::InferenceServer;
use proto::v1;
use proto::v1::data_plane_server::DataPlaneServer;
use proto::v1::ringfence_server::RingfenceServer;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::config::{Config, Limits, MESSAGE_BYTES_MAX};
use crate::engine::{ChangeError, Engine};
use crate::fleet::Fleet;
use crate::inference::Settings;
use crate::inference::probe::{Prober, Roots, TIME_MAX};
use crate::logs::Logs;
use crate::model::{Change, State};
use crate::provider::vault::Vault;
use crate::refused::Refused;
use crate::secrets::KeyError;
use crate::server::{Draining, StartError};
use crate::store;
use auth::Caller;

/// What the services share.
pub(crate) struct Api {
    engine: Arc<Engine>,
    fleet: Arc<Fleet>,
    vault: Arc<dyn Vault>,
    prober: Prober,
    logs: Logs,
    settings: Settings,
    limits: Limits,
    notice: fn(&str),
    draining: watch::Receiver<Draining>,
}

impl Api {
    /// Opens the store and the key, and reads the state.
    pub(crate) async fn start(
        config: &Config,
        draining: watch::Receiver<Draining>,
    ) -> Result<Arc<Api>, StartError> {
        let store = store::open(&config.db_url())
            .await
            .map_err(StartError::Store)?;
        let engine = Arc::new(Engine::start(store).await.map_err(StartError::Store)?);
        let vault = vault(config, &engine.state()).map_err(StartError::Key)?;
        let settings = config.inference.clone();
        let fleet = {
            let (vault, settings) = (Arc::clone(&vault), settings.clone());
            let resolve = move |state: &State| crate::inference::resolve(state, &*vault, &settings);
            Fleet::new(Arc::clone(&engine), Box::new(resolve))
        };
        let roots = tokio::task::spawn_blocking(Roots::of_host).await;
        let roots = roots.map_err(|_| StartError::Tls("the roots cannot be read".to_owned()))?;
        let prober = Prober::new(roots, config.site(), TIME_MAX);
        let prober = prober.map_err(|error| StartError::Tls(error.to_string()))?;
        Ok(Arc::new(Api {
            engine,
            fleet,
            vault,
            prober,
            logs: Logs::default(),
            settings,
            limits: config.limits.clone(),
            notice: config.notice,
            draining,
        }))
    }

    /// Starts what goes on beside the calls: other gateways' commits, the hosts' shares, records of what is gone.
    pub(crate) fn follow(self: Arc<Self>, tasks: &mut JoinSet<()>) {
        let api = Arc::clone(&self);
        tasks.spawn(async move { api.engine.follow().await });
        let api = Arc::clone(&self);
        tasks.spawn(async move { api.fleet.follow().await });
        tasks.spawn(async move {
            loop {
                tokio::time::sleep(FORGET_EVERY).await;
                self.forget_records();
            }
        });
    }

    /// A change, for a caller: what a store says of its failure goes to the operator's log, and to nobody else.
    async fn change<T>(
        &self,
        act: impl Fn(&State, i64) -> Result<(Vec<Change>, T), Refused>,
    ) -> Result<(T, u64), Status> {
        self.engine.change(act).await.map_err(|error| {
            if let ChangeError::Store(why) = &error {
                (self.notice)(&format!("a change was not confirmed: {why}"));
            }
            error.into()
        })
    }

    /// Drops the records of sandboxes that are gone.
    fn forget_records(&self) {
        let state = self.engine.state();
        let sandboxes = state.sandboxes.values();
        let ids: BTreeSet<&str> = sandboxes.map(|sandbox| sandbox.id.as_str()).collect();
        self.logs.retain(|id| ids.contains(id));
    }
}

/// The keys, and a word for each provider whose credentials they do not open: it is broken until they are set again, and
/// the others are served (STO-6).
fn vault(config: &Config, state: &State) -> Result<Arc<dyn Vault>, KeyError> {
    let keys = config.keys_for(state)?;
    let unopened = keys.unopened(state);
    let mut named = BTreeSet::new();
    for first in unopened {
        if named.insert(first.provider.clone()) {
            (config.notice)(&format!("{first}; set it again, or give its key back"));
        }
    }
    Ok(keys)
}

/// All services, with their bounds.
pub(crate) fn routes(api: &Arc<Api>) -> Routes {
    let ours = || Services(Arc::clone(api));
    let ringfence = RingfenceServer::new(ours()).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let inference = InferenceServer::new(ours()).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let data_plane = DataPlaneServer::new(ours()).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let (_, health) = tonic_health::server::health_reporter();
    let mut routes = Routes::builder();
    routes
        .add_service(ringfence)
        .add_service(inference)
        .add_service(data_plane)
        .add_service(health);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // Why: the descriptors are built in; a test shows that they are served. Without them all else works.
    if let (Ok(v1), Ok(v1alpha)) = (reflection().build_v1(), reflection().build_v1alpha()) {
        routes.add_service(v1).add_service(v1alpha);
    }
    routes.routes().prepare()
}

/// The services' bodies are in the files of their nouns.
#[derive(Clone)]
struct Services(Arc<Api>);

#[tonic::async_trait]
impl v1::ringfence_server::Ringfence for Services {
    async fn health(
        &self,
        _: Request<v1::HealthRequest>,
    ) -> Result<Response<v1::HealthResponse>, Status> {
        Ok(Response::new(v1::HealthResponse {
            status: "ready".to_owned(),
            version: VERSION.to_owned(),
        }))
    }

    async fn get_cluster_status(
        &self,
        _: Request<v1::GetClusterStatusRequest>,
    ) -> Result<Response<v1::GetClusterStatusResponse>, Status> {
        Ok(Response::new(v1::GetClusterStatusResponse {
            version: VERSION.to_owned(),
            generation: self.0.engine.state().generation,
            data_planes: self.0.fleet.hosts_shown(),
        }))
    }

    async fn create_sandbox(
        &self,
        request: Request<v1::CreateSandboxRequest>,
    ) -> Result<Response<v1::SandboxResponse>, Status> {
        answer(sandboxes::create(&self.0, request.into_inner()).await)
    }

    async fn get_sandbox(
        &self,
        request: Request<v1::GetSandboxRequest>,
    ) -> Result<Response<v1::SandboxResponse>, Status> {
        answer(sandboxes::get(&self.0, &request.into_inner()))
    }

    async fn delete_sandbox(
        &self,
        request: Request<v1::DeleteSandboxRequest>,
    ) -> Result<Response<v1::DeleteSandboxResponse>, Status> {
        answer(sandboxes::delete(&self.0, &request.into_inner()).await)
    }

    async fn list_sandboxes(
        &self,
        request: Request<v1::ListSandboxesRequest>,
    ) -> Result<Response<v1::ListSandboxesResponse>, Status> {
        answer(sandboxes::list(&self.0, &request.into_inner()))
    }

    async fn get_sandbox_policy(
        &self,
        request: Request<v1::GetSandboxPolicyRequest>,
    ) -> Result<Response<v1::GetSandboxPolicyResponse>, Status> {
        let caller = Caller::of(&request);
        answer(policies::get(&self.0, &caller, &request.into_inner()))
    }

    async fn update_sandbox_policy(
        &self,
        request: Request<v1::UpdateSandboxPolicyRequest>,
    ) -> Result<Response<v1::UpdateSandboxPolicyResponse>, Status> {
        let caller = Caller::of(&request);
        answer(policies::update(&self.0, &caller, request.into_inner()).await)
    }

    async fn get_sandbox_policy_status(
        &self,
        request: Request<v1::GetSandboxPolicyStatusRequest>,
    ) -> Result<Response<v1::GetSandboxPolicyStatusResponse>, Status> {
        answer(policies::status(&self.0, &request.into_inner()))
    }

    async fn list_sandbox_policies(
        &self,
        request: Request<v1::ListSandboxPoliciesRequest>,
    ) -> Result<Response<v1::ListSandboxPoliciesResponse>, Status> {
        answer(policies::list(&self.0, &request.into_inner()))
    }

    async fn report_policy_status(
        &self,
        request: Request<v1::ReportPolicyStatusRequest>,
    ) -> Result<Response<v1::ReportPolicyStatusResponse>, Status> {
        let caller = Caller::of(&request);
        answer(policies::report(&self.0, &caller, request.into_inner()).await)
    }

    async fn get_sandbox_logs(
        &self,
        request: Request<v1::GetSandboxLogsRequest>,
    ) -> Result<Response<v1::GetSandboxLogsResponse>, Status> {
        answer(sandboxes::logs(&self.0, &request.into_inner()))
    }

    async fn get_sandbox_provider_environment(
        &self,
        request: Request<v1::GetSandboxProviderEnvironmentRequest>,
    ) -> Result<Response<v1::GetSandboxProviderEnvironmentResponse>, Status> {
        let caller = Caller::of(&request);
        answer(hosts::environment(&self.0, &caller, &request.into_inner()))
    }

    async fn create_provider(
        &self,
        request: Request<v1::CreateProviderRequest>,
    ) -> Result<Response<v1::ProviderResponse>, Status> {
        answer(providers::create(&self.0, request.into_inner()).await)
    }

    async fn update_provider(
        &self,
        request: Request<v1::UpdateProviderRequest>,
    ) -> Result<Response<v1::ProviderResponse>, Status> {
        answer(providers::update(&self.0, request.into_inner()).await)
    }

    async fn get_provider(
        &self,
        request: Request<v1::GetProviderRequest>,
    ) -> Result<Response<v1::ProviderResponse>, Status> {
        answer(providers::get(&self.0, &request.into_inner()))
    }

    async fn list_providers(
        &self,
        request: Request<v1::ListProvidersRequest>,
    ) -> Result<Response<v1::ListProvidersResponse>, Status> {
        answer(Ok(providers::list(&self.0, &request.into_inner())))
    }

    async fn delete_provider(
        &self,
        request: Request<v1::DeleteProviderRequest>,
    ) -> Result<Response<v1::DeleteProviderResponse>, Status> {
        answer(providers::delete(&self.0, &request.into_inner()).await)
    }

    async fn test_provider(
        &self,
        request: Request<v1::TestProviderRequest>,
    ) -> Result<Response<v1::TestProviderResponse>, Status> {
        answer(providers::test(&self.0, &request.into_inner()).await)
    }
}

#[tonic::async_trait]
impl wire::inference_server::Inference for Services {
    async fn get_inference_bundle(
        &self,
        request: Request<wire::GetInferenceBundleRequest>,
    ) -> Result<Response<wire::GetInferenceBundleResponse>, Status> {
        answer(Ok(inference::bundle(&self.0, &Caller::of(&request))))
    }

    async fn set_cluster_inference(
        &self,
        request: Request<wire::SetClusterInferenceRequest>,
    ) -> Result<Response<wire::ClusterInferenceResponse>, Status> {
        answer(inference::set(&self.0, request.into_inner()).await)
    }

    async fn get_cluster_inference(
        &self,
        _: Request<wire::GetClusterInferenceRequest>,
    ) -> Result<Response<wire::ClusterInferenceResponse>, Status> {
        answer(inference::get(&self.0))
    }

    async fn unset_cluster_inference(
        &self,
        request: Request<wire::UnsetClusterInferenceRequest>,
    ) -> Result<Response<wire::UnsetClusterInferenceResponse>, Status> {
        answer(inference::unset(&self.0, &request.into_inner()).await)
    }
}

#[tonic::async_trait]
impl v1::data_plane_server::DataPlane for Services {
    type SubscribeStream = ReceiverStream<Result<v1::Snapshot, Status>>;

    async fn subscribe(
        &self,
        request: Request<v1::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let caller = Caller::of(&request);
        answer(hosts::subscribe(&self.0, &caller, request.into_inner()).await)
    }

    async fn report(
        &self,
        request: Request<v1::ReportRequest>,
    ) -> Result<Response<v1::ReportResponse>, Status> {
        let caller = Caller::of(&request);
        answer(hosts::report(&self.0, &caller, request.into_inner()).await)
    }
}

fn answer<T>(out: Result<T, Status>) -> Result<Response<T>, Status> {
    out.map(Response::new)
}

/// The sandbox of an id, if the caller may reach it.
fn reached<'a>(
    state: &'a State,
    caller: &Caller,
    sandbox_id: &str,
) -> Result<&'a Arc<v1::Sandbox>, Refused> {
    if sandbox_id.is_empty() {
        return Err(Refused::Invalid("sandbox_id: must not be blank".to_owned()));
    }
    let sandbox = state.sandbox_by_id(sandbox_id).ok_or_else(|| {
        Refused::NotFound(format!("there is no sandbox of the id {sandbox_id:?}"))
    })?;
    if caller.reaches(sandbox) {
        Ok(sandbox)
    } else {
        Err(not_bound(sandbox_id))
    }
}

fn not_bound(sandbox: &str) -> Refused {
    Refused::Forbidden(format!("sandbox {sandbox:?} is not bound to this host"))
}

/// Bytes nobody can guess.
fn random<const N: usize>() -> Result<[u8; N], Status> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| Status::internal("the system gave no random bytes"))?;
    Ok(bytes)
}

/// This gateway's version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How often records of sandboxes that are gone are dropped.
const FORGET_EVERY: Duration = Duration::from_secs(60);
