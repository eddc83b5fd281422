//! Servers on loopback that keep what they are sent and answer what they are told.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// An authority of one test.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
}

impl Authority {
    /// An authority that is told from others by its name.
    pub(super) fn new(name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let der = params.self_signed(&key).unwrap().der().clone();
        Authority {
            issuer: Issuer::new(params, key),
            der,
        }
    }

    pub(super) fn der(&self) -> CertificateDer<'static> {
        self.der.clone()
    }

    fn server(&self, names: &[&str], until_year: i32) -> TlsAcceptor {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_after = date_time_ymd(until_year, 1, 1);
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// An answer with a JSON body, after which the server closes.
pub(super) fn json((status, body): (u16, &str)) -> Vec<u8> {
    let length = body.len();
    let location = if (300..400).contains(&status) {
        "location: http://127.0.0.1:1/elsewhere\r\n"
    } else {
        ""
    };
    format!(
        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\n{location}content-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A server with one answer a connection, in order; it ends with its last answer or with the test.
pub(super) struct Server {
    addr: SocketAddr,
    seen: Arc<Seen>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: Mutex<Vec<String>>,
}

impl Server {
    /// Speaks TLS with a certificate that was good once.
    pub(super) async fn expired(authority: &Authority, answers: Vec<Vec<u8>>) -> Server {
        let tls = authority.server(&["127.0.0.1"], 2020);
        Server::start(Some(tls), answers).await
    }

    /// Speaks TLS as these names.
    pub(super) async fn tls(
        authority: &Authority,
        names: &[&str],
        answers: Vec<Vec<u8>>,
    ) -> Server {
        Server::start(Some(authority.server(names, 4096)), answers).await
    }

    /// Speaks plain text.
    pub(super) async fn plain(answers: Vec<Vec<u8>>) -> Server {
        Server::start(None, answers).await
    }

    /// Takes connections and says nothing.
    pub(super) async fn silent() -> Server {
        // Connections are complete in the kernel, whether somebody accepts them or not.
        Server::start(None, Vec::new()).await
    }

    async fn start(tls: Option<TlsAcceptor>, answers: Vec<Vec<u8>>) -> Server {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let serving = tokio::spawn(serve(listener, tls, answers, Arc::clone(&seen)));
        Server {
            addr,
            seen,
            serving,
        }
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(super) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::Relaxed)
    }

    /// Every request that arrived whole, head and body.
    pub(super) async fn requests(self) -> Vec<String> {
        self.serving.abort();
        // A task that was told to stop is not joined well, which is what was wanted.
        _ = self.serving.await;
        std::mem::take(&mut self.seen.requests.lock().unwrap())
    }
}

async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    answers: Vec<Vec<u8>>,
    seen: Arc<Seen>,
) {
    for answer in answers {
        let (socket, _) = listener.accept().await.unwrap();
        seen.connections.fetch_add(1, Ordering::Relaxed);
        match &tls {
            None => converse(socket, &answer, &seen).await,
            Some(tls) => {
                if let Ok(stream) = tls.accept(socket).await {
                    converse(stream, &answer, &seen).await;
                }
            }
        }
    }
    // Keeps the port open, so that who comes again waits and is not refused.
    std::future::pending::<()>().await;
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, answer: &[u8], seen: &Seen) {
    let mut read = Vec::new();
    while !is_whole(&read) {
        match stream.read_buf(&mut read).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    let request = String::from_utf8_lossy(&read).into_owned();
    seen.requests.lock().unwrap().push(request);
    // The probe may have read enough and be gone.
    _ = stream.write_all(answer).await;
    _ = stream.shutdown().await;
}

fn is_whole(read: &[u8]) -> bool {
    let text = String::from_utf8_lossy(read);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        // What is no HTTP, such as a ClientHello, is kept as it is.
        return !read.is_empty() && !read[0].is_ascii_alphabetic();
    };
    let length = head
        .split("\r\n")
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    body.len() >= length
}
