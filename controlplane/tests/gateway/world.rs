//! One gateway in this process, and ways to reach it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use proto::inference::SetClusterInferenceRequest;
use proto::inference::inference_client::InferenceClient;
use proto::v1;
use proto::v1::data_plane_client::DataPlaneClient;
use proto::v1::ringfence_client::RingfenceClient;
use ringfence_controlplane::api::auth::HostId;
use ringfence_controlplane::config::Config;
use ringfence_controlplane::pki;
use ringfence_controlplane::server::Server;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running gateway; it ends, and its files go, when this is dropped.
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) tcp: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<()>>,
    dir: Option<Scratch>,
}

impl World {
    pub(crate) async fn start() -> World {
        World::start_with(|_| ()).await
    }

    pub(crate) async fn start_with(settings: impl FnOnce(&mut Config)) -> World {
        World::start_in(Scratch::new(), settings).await
    }

    pub(crate) async fn start_in(dir: Scratch, settings: impl FnOnce(&mut Config)) -> World {
        let mut config = Config::new(dir.path());
        config.listen = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        config.notice = |_| ();
        settings(&mut config);
        let server = Server::start(config.clone()).await.unwrap();
        let tcp = server.tcp_address().unwrap();
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(server.serve(async {
            _ = stopped.await;
        }));
        World {
            config,
            tcp,
            stop: Some(stop),
            served: Some(served),
            dir: Some(dir),
        }
    }

    /// Asks the gateway to end, and gives what is left of it: whether it has, and its directory.
    pub(crate) fn stop(mut self) -> (JoinHandle<()>, Scratch) {
        self.stop.take().unwrap().send(()).unwrap();
        (self.served.take().unwrap(), self.dir.take().unwrap())
    }

    /// Another gateway on the same files.
    pub(crate) async fn restart(self) -> World {
        let (served, dir) = self.stop();
        served.await.unwrap();
        World::start_in(dir, |_| ()).await
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.config.socket()
    }

    /// The client certificate of a role.
    pub(crate) fn role(&self, role: &str) -> PathBuf {
        self.config.state_dir.join("clients").join(role)
    }

    /// Enrolls a host.
    pub(crate) fn host(&self, host_id: &str) -> PathBuf {
        let out = self.config.state_dir.join("hosts").join(host_id);
        pki::enroll(
            &self.config.state_dir,
            &HostId::parse(host_id).unwrap(),
            &out,
        )
        .unwrap();
        out
    }

    /// A channel over the Unix socket.
    pub(crate) async fn local(&self) -> Channel {
        let socket = self.socket();
        let connect = move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        };
        endpoint()
            .connect_with_connector(service_fn(connect))
            .await
            .unwrap()
    }

    /// A channel that takes no more than 64 KiB that nobody reads.
    pub(crate) async fn narrow(&self) -> Channel {
        let socket = self.socket();
        let connect = move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        };
        endpoint()
            .initial_stream_window_size(65_535)
            .initial_connection_window_size(65_535)
            .connect_with_connector(service_fn(connect))
            .await
            .unwrap()
    }

    /// A channel over TCP with the identity of a directory.
    pub(crate) async fn remote(&self, identity: &Path) -> Channel {
        let (tcp, identity) = (self.tcp, identity.to_owned());
        let connect = move |_| {
            let identity = identity.clone();
            async move { tls(tcp, &identity).await.map(TokioIo::new) }
        };
        endpoint()
            .connect_with_connector(service_fn(connect))
            .await
            .unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(served) = &self.served {
            served.abort();
        }
    }
}

fn endpoint() -> Endpoint {
    Endpoint::from_static("http://localhost")
}

/// TLS to a gateway, as a client of `identity`, which need not have a certificate.
pub(crate) async fn tls(tcp: SocketAddr, identity: &Path) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(identity.join("ca.crt")).unwrap();
    roots.add(ca).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match CertificateDer::from_pem_file(identity.join("tls.crt")) {
        Ok(cert) => {
            let key = PrivateKeyDer::from_pem_file(identity.join("tls.key")).unwrap();
            builder.with_client_auth_cert(vec![cert], key).unwrap()
        }
        Err(_) => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(tcp).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

/// An operator's calls.
pub(crate) struct Operator {
    pub(crate) ringfence: RingfenceClient<Channel>,
    pub(crate) inference: InferenceClient<Channel>,
}

impl Operator {
    pub(crate) fn new(channel: &Channel) -> Operator {
        Operator {
            ringfence: RingfenceClient::new(channel.clone()),
            inference: InferenceClient::new(channel.clone()),
        }
    }

    /// A provider of type openai with one key.
    pub(crate) async fn provider(&mut self, name: &str, key: &str) {
        let provider = v1::Provider {
            name: name.to_owned(),
            r#type: "openai".to_owned(),
            credentials: [("OPENAI_API_KEY".to_owned(), key.to_owned())].into(),
            ..v1::Provider::default()
        };
        let asked = v1::CreateProviderRequest {
            provider: Some(provider),
        };
        self.ringfence.create_provider(asked).await.unwrap();
    }

    /// Another key for a provider.
    pub(crate) async fn rotate(&mut self, name: &str, key: &str) {
        let provider = v1::Provider {
            name: name.to_owned(),
            credentials: [("OPENAI_API_KEY".to_owned(), key.to_owned())].into(),
            ..v1::Provider::default()
        };
        let asked = v1::UpdateProviderRequest {
            provider: Some(provider),
        };
        self.ringfence.update_provider(asked).await.unwrap();
    }

    /// Points the route at a provider.
    pub(crate) async fn route(&mut self, provider_name: &str, model_id: &str) {
        let asked = SetClusterInferenceRequest {
            provider_name: provider_name.to_owned(),
            model_id: model_id.to_owned(),
            ..SetClusterInferenceRequest::default()
        };
        self.inference.set_cluster_inference(asked).await.unwrap();
    }

    /// A sandbox with a policy that admits one host; gives its id.
    pub(crate) async fn sandbox(&mut self, name: &str) -> String {
        let asked = v1::CreateSandboxRequest {
            name: name.to_owned(),
            spec: Some(v1::SandboxSpec {
                policy: Some(policy("example.com")),
                ..v1::SandboxSpec::default()
            }),
        };
        let made = self.ringfence.create_sandbox(asked).await.unwrap();
        made.into_inner().sandbox.unwrap().id
    }

    /// A new version of a sandbox's policy.
    pub(crate) async fn policy(&mut self, name: &str, policy: v1::SandboxPolicy) -> u32 {
        let asked = v1::UpdateSandboxPolicyRequest {
            name: name.to_owned(),
            policy: Some(policy),
            completes: false,
        };
        let stored = self.ringfence.update_sandbox_policy(asked).await.unwrap();
        stored.into_inner().version
    }
}

/// A policy that lets curl speak to one host.
pub(crate) fn policy(host: &str) -> v1::SandboxPolicy {
    let endpoint = v1::NetworkEndpoint {
        host: host.to_owned(),
        port: 443,
        ..v1::NetworkEndpoint::default()
    };
    let binary = v1::NetworkBinary {
        path: "/usr/bin/curl".to_owned(),
    };
    let rule = v1::NetworkPolicyRule {
        name: "web".to_owned(),
        endpoints: vec![endpoint],
        binaries: vec![binary],
    };
    v1::SandboxPolicy {
        version: 1,
        network_policies: [("web".to_owned(), rule)].into(),
        ..v1::SandboxPolicy::default()
    }
}

/// One host's stream.
pub(crate) struct Stream {
    messages: tonic::Streaming<v1::Snapshot>,
}

impl Stream {
    pub(crate) async fn open(channel: &Channel, host_id: &str, sandbox_ids: &[&str]) -> Stream {
        Stream::try_open(channel, host_id, sandbox_ids)
            .await
            .unwrap()
    }

    pub(crate) async fn try_open(
        channel: &Channel,
        host_id: &str,
        sandbox_ids: &[&str],
    ) -> Result<Stream, tonic::Status> {
        let asked = v1::SubscribeRequest {
            host_id: host_id.to_owned(),
            sandbox_ids: sandbox_ids.iter().map(|id| (*id).to_owned()).collect(),
            ..v1::SubscribeRequest::default()
        };
        let messages = DataPlaneClient::new(channel.clone())
            .subscribe(asked)
            .await?;
        Ok(Stream {
            messages: messages.into_inner(),
        })
    }

    /// The next message, a heartbeat or not.
    pub(crate) async fn any(&mut self) -> Result<Option<v1::Snapshot>, tonic::Status> {
        tokio::time::timeout(PATIENCE, self.messages.message())
            .await
            .expect("a message in time")
    }

    /// The next message with something in it.
    pub(crate) async fn next(&mut self) -> v1::Snapshot {
        loop {
            let message = self.any().await.unwrap().expect("the stream goes on");
            if !is_beat(&message) {
                return message;
            }
        }
    }
}

/// Whether a message says only that the gateway lives.
pub(crate) fn is_beat(message: &v1::Snapshot) -> bool {
    message.base_generation != 0
        && !message.routes_changed
        && message.sandboxes.is_empty()
        && message.removed_sandbox_ids.is_empty()
}

/// A directory that goes with its owner.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringfence-gateway-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        _ = std::fs::remove_dir_all(&path);
        Scratch(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}
