//! A channel to a gateway: over its Unix socket, or over TCP with certificates on both sides (RPC-1).
//!
//! Apart from `subscribe` because commands of people open one as well. It is the one place of this crate whose API names
//! a type of tonic, which no worker can use: all of it waits on tokio.
//!
//! Invariants: certificates and key are read again for every channel (RPC-2); a gateway is believed by its certificate
//! under the given authority, and no other root counts; HTTP/2 keep-alive ends a channel whose other end is gone.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

/// Where a gateway listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket of this machine; who calls is told by the kernel.
    Unix(PathBuf),
    /// A host and port; who calls is told by a certificate.
    Tls {
        /// A name or an address, as its certificate has it.
        host: String,
        /// The port.
        port: u16,
    },
}

/// A text that is no address of a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressError;

impl Address {
    /// Reads `unix:PATH` or `https://HOST:PORT` (CLI-1a).
    ///
    /// # Errors
    /// It is neither.
    pub fn parse(text: &str) -> Result<Address, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = Path::new(path);
            return match path.is_absolute() {
                true => Ok(Address::Unix(path.to_owned())),
                false => Err(AddressError),
            };
        }
        let rest = text.strip_prefix("https://").ok_or(AddressError)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let field = wire::HostField::parse(rest.as_bytes()).map_err(|_| AddressError)?;
        let port = field.port.ok_or(AddressError)?.number();
        let host = match field.host.literal() {
            Some(literal) => literal.to_string(),
            None => field.host.as_str().to_owned(),
        };
        Ok(Address::Tls { host, port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Tls { host, port } if host.contains(':') => {
                write!(f, "https://[{host}]:{port}")
            }
            Address::Tls { host, port } => write!(f, "https://{host}:{port}"),
        }
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected `unix:PATH`, the path from `/` on, or `https://HOST:PORT`")
    }
}

impl Error for AddressError {}

/// The files of one side of mutual TLS, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificates {
    /// The authority that the gateway's certificate must come from.
    pub ca: PathBuf,
    /// This side's certificate, with what leads to its authority.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Certificates {
    /// `ca.crt`, `tls.crt` and `tls.key` of a directory.
    pub fn of_directory(directory: &Path) -> Certificates {
        Certificates {
            ca: directory.join("ca.crt"),
            cert: directory.join("tls.crt"),
            key: directory.join("tls.key"),
        }
    }
}

/// A gateway and how to be believed by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it listens.
    pub address: Address,
    /// Who calls; not looked at over a Unix socket.
    pub certificates: Option<Certificates>,
}

/// Why there is no channel.
#[derive(Debug)]
pub enum ChannelError {
    /// A certificate or key cannot be used.
    Certificates {
        /// The file, or the directory where none is named.
        path: PathBuf,
        /// What is wrong with it; never what it holds.
        why: String,
    },
    /// `https` without certificates.
    NoCertificates,
    /// Nobody listens there: the kernel of that machine says so.
    NobodyListens(String),
    /// Nobody answers, or who answers is not the gateway.
    Unreachable(String),
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChannelError::Certificates { path, why } => write!(f, "{}: {why}", path.display()),
            ChannelError::NoCertificates => f.write_str(
                "an https gateway needs a certificate authority, a client certificate and its key",
            ),
            ChannelError::NobodyListens(why) | ChannelError::Unreachable(why) => f.write_str(why),
        }
    }
}

impl Error for ChannelError {}

/// Opens a channel and waits until it stands.
///
/// # Errors
/// [`ChannelError`], which names the file or says what the other end did.
pub async fn open(peer: &Peer) -> Result<Channel, ChannelError> {
    let opened = match &peer.address {
        Address::Unix(path) => {
            let path = path.clone();
            let connector = tower::service_fn(move |_| {
                let path = path.clone();
                async move { UnixStream::connect(path).await.map(TokioIo::new) }
            });
            endpoint("http://localhost")?
                .connect_with_connector(connector)
                .await
        }
        Address::Tls { host, port } => {
            let files = peer
                .certificates
                .clone()
                .ok_or(ChannelError::NoCertificates)?;
            // Files block, and this thread also resolves names.
            let config = tokio::task::spawn_blocking(move || tls(&files))
                .await
                .map_err(|error| ChannelError::Unreachable(error.to_string()))??;
            let tls = TlsConnector::from(Arc::new(config));
            let name = ServerName::try_from(host.clone())
                .map_err(|error| ChannelError::Unreachable(error.to_string()))?;
            let (host, port) = (host.clone(), *port);
            let connector = tower::service_fn(move |_| {
                let (tls, name, host) = (tls.clone(), name.clone(), host.clone());
                async move {
                    let stream = TcpStream::connect((host.as_str(), port)).await?;
                    stream.set_nodelay(true)?;
                    tls.connect(name, stream).await.map(TokioIo::new)
                }
            });
            endpoint("http://gateway")?
                .connect_with_connector(connector)
                .await
        }
    };
    opened.map_err(|error| match io_kind(&error) {
        Some(io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {
            ChannelError::NobodyListens(causes(&error))
        }
        Some(_) | None => ChannelError::Unreachable(causes(&error)),
    })
}

/// What the socket below said, when it was the socket.
fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let causes = std::iter::successors(Some(error), |&cause| cause.source());
    let io = causes.filter_map(|cause| cause.downcast_ref::<io::Error>());
    io.last().map(io::Error::kind)
}

fn endpoint(uri: &'static str) -> Result<Endpoint, ChannelError> {
    // The scheme is for tonic alone: whether there is TLS is the connector's to say.
    Ok(Endpoint::from_static(uri)
        .connect_timeout(CONNECT_TIME)
        .http2_keep_alive_interval(KEEP_ALIVE_EVERY)
        .keep_alive_timeout(KEEP_ALIVE_TIME)
        .keep_alive_while_idle(true))
}

fn tls(files: &Certificates) -> Result<ClientConfig, ChannelError> {
    let unusable = |path: &Path, why: String| ChannelError::Certificates {
        path: path.to_owned(),
        why,
    };
    let certificates = |path: &Path| {
        CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| unusable(path, error.to_string()))
    };
    let mut roots = RootCertStore::empty();
    for root in certificates(&files.ca)? {
        roots
            .add(root)
            .map_err(|error| unusable(&files.ca, error.to_string()))?;
    }
    let chain = certificates(&files.cert)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| unusable(&files.key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ChannelError::Unreachable(error.to_string()))?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|error| unusable(&files.cert, error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// An error with what caused it: tonic's own words are "transport error".
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        next = cause.source();
    }
    text
}

/// The socket as it was made: another one at the same path means that a gateway came.
pub(crate) fn socket_seen(path: &Path) -> Option<(u64, i64, i64)> {
    use std::os::unix::fs::MetadataExt;
    let about: io::Result<_> = std::fs::metadata(path);
    let about = about.ok()?;
    Some((about.ino(), about.ctime(), about.ctime_nsec()))
}

/// To an answer of the kernel or of the handshake.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// RPC-1
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(10);
/// RPC-1
const KEEP_ALIVE_TIME: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests;
