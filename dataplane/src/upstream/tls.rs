//! TLS toward upstreams: one configuration a worker, sessions resumed, certificates always verified.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};

use super::UpstreamError;
use crate::deadline::Ends;
use crate::stream::Stream;
use crate::tls::Session;
use crate::worker::Worker;

/// The roots that upstream certificates are verified against, and how many could not be used (TR-028).
pub(crate) struct Roots {
    /// Bundled and host roots.
    pub(crate) store: Arc<RootCertStore>,
    /// Certificates of the host's bundle that are not usable as roots.
    pub(crate) unusable: usize,
}

/// Reads the host's roots and adds the bundled ones (TLS-6). Blocks on files: called at boot only.
pub(crate) fn load_roots() -> Roots {
    let mut store = RootCertStore::empty();
    store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let native = rustls_native_certs::load_native_certs();
    let unreadable = native.errors.len();
    let (_, ignored) = store.add_parsable_certificates(native.certs);
    Roots {
        store: Arc::new(store),
        unusable: unreadable + ignored,
    }
}

/// A configuration for HTTP/1.1 upstreams. Each worker has its own: the session cache inside is not
/// shared between cores.
///
/// # Errors
/// A crypto provider without the protocol versions; does not happen with the one linked here.
pub(crate) fn client_config(roots: &Roots) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(Arc::clone(&roots.store))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The same for one sandbox: what a server remembers of one is not offered by another.
pub(crate) fn config_apart(shared: &ClientConfig) -> Arc<ClientConfig> {
    let mut config = shared.clone();
    config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
    Arc::new(config)
}

/// Continues a dialled connection inside TLS for `host`.
///
/// # Errors
/// `Tls` for a certificate or handshake that fails, or one that takes too long.
pub(crate) async fn secure(
    worker: &Worker,
    config: &Arc<ClientConfig>,
    stream: Stream,
    host: &wire::Host,
) -> Result<Stream, UpstreamError> {
    let name = match host.literal() {
        Some(address) => ServerName::from(address),
        None => ServerName::try_from(host.as_str().to_owned()).map_err(|_| UpstreamError::Tls)?,
    };
    let session = Session::client(Arc::clone(config), name).map_err(|_| UpstreamError::Tls)?;
    let mut stream = stream.into_tls(session);
    stream
        .socket
        .alarm
        .arm(worker.limits.handshake_time, Ends::Connection);
    stream.handshake().await.map_err(|_| UpstreamError::Tls)?;
    stream.socket.alarm.rest();
    Ok(stream)
}

/// Servers whose sessions are remembered for one sandbox.
const SESSIONS_MAX: usize = 64;
