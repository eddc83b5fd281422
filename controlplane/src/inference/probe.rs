//! One small request to a provider, and in words what came of it (RPC-10, `provider test`).
//!
//! Apart from `inference`, which is pure: this resolves, dials and waits. It goes the way of a data plane: the same route,
//! the same judgement of addresses, certificates always verified, no redirect followed, no proxy variable read (TR-038,
//! TR-039).
//!
//! Invariants: a name is resolved once, and only addresses of that answer that were all judged are dialled; everything
//! ends with one deadline; the key is in one header field and in nothing that is returned.

mod failure;
mod outcome;
mod question;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use policy::route::{Reach, Scheme};
use policy::{Class as AddressClass, Route, Site, VerifiedAddr};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::backend::Backend;
use failure::Failure;
use outcome::Answer;
pub use outcome::{Class, Outcome};
use question::Question;

/// How long a probe may take, from the first look-up to the last byte.
pub const TIME_MAX: Duration = Duration::from_secs(15);

/// What a certificate of a provider may lead to.
pub struct Roots(RootCertStore);

impl Roots {
    /// The bundled roots and the host's (TLS-6; `SSL_CERT_FILE` names others). Reads files: call it at start.
    pub fn of_host() -> Roots {
        let mut store = RootCertStore::empty();
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        // A certificate that cannot be read is one root less; `doctor` counts them.
        let native = rustls_native_certs::load_native_certs();
        store.add_parsable_certificates(native.certs);
        Roots(store)
    }

    /// Adds one more.
    ///
    /// # Errors
    /// It is no certificate of an authority.
    pub fn trust(&mut self, authority: CertificateDer<'_>) -> Result<(), rustls::Error> {
        self.0.add(authority.into_owned())
    }
}

/// Asks providers.
pub struct Prober {
    tls: TlsConnector,
    site: Site,
    time_max: Duration,
}

impl Prober {
    /// A prober at a place of the network; `time_max` is `TIME_MAX` but for tests.
    ///
    /// # Errors
    /// A crypto provider without the protocol versions; does not happen with the one linked here.
    pub fn new(roots: Roots, site: Site, time_max: Duration) -> Result<Prober, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots.0)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Prober {
            tls: TlsConnector::from(Arc::new(config)),
            site,
            time_max,
        })
    }

    /// Sends one request: for a model the smallest completion there is, without one the list of models.
    pub async fn ask(&self, backend: &Backend, model: Option<&str>) -> Outcome {
        let ends = Instant::now() + self.time_max;
        match self.exchange(backend, model, ends).await {
            Ok(outcome) => outcome,
            Err(failure) => Outcome::of_failure(&failure),
        }
    }

    async fn exchange(
        &self,
        backend: &Backend,
        model: Option<&str>,
        ends: Instant,
    ) -> Result<Outcome, Failure> {
        // A key that cannot be a credential makes no backend, so this is the last look and never the first.
        let route = backend
            .route(model.unwrap_or_default())
            .map_err(|_| Failure::Request)?;
        if route.base.scheme == Scheme::Mock {
            return Ok(Outcome::mock());
        }
        let verified = self.verified(&route, ends).await?;
        let mut answer = None;
        for question in Question::of(backend.profile(), model) {
            let request = question
                .request(backend, &route)
                .map_err(|_| Failure::Request)?;
            let given = self.send(&route, &verified, request, ends).await?;
            let is_final = !given.asks_for_another_limit();
            answer = Some(given);
            if is_final {
                break;
            }
        }
        let answer = answer.ok_or(Failure::Request)?;
        Ok(Outcome::of_answer(&answer, model, backend))
    }

    /// Resolves the backend's name, once, and judges the whole answer (RTE-8).
    async fn verified(&self, route: &Route, ends: Instant) -> Result<Vec<VerifiedAddr>, Failure> {
        let host = &route.base.authority.host;
        let answer: Vec<IpAddr> = match host.literal() {
            Some(addr) => vec![addr],
            None => {
                let lookup = lookup_host((host.as_str(), route.base.authority.port.number()));
                let found = timeout_at(ends, lookup).await;
                let found = found
                    .map_err(|_| Failure::NameTime(host.clone()))?
                    .map_err(|_| Failure::Name(host.clone()))?;
                found.map(|addr| addr.ip()).take(ADDRESSES_MAX).collect()
            }
        };
        if answer.is_empty() {
            return Err(Failure::Name(host.clone()));
        }
        policy::verify_backend_at(&self.site, route, &answer).map_err(|_| {
            let reach = Reach::Private;
            let by_word = |addr: &IpAddr| self.site.admits_backend(&route.base, reach, *addr);
            let outside = |addr: &IpAddr| self.site.classify(*addr) == AddressClass::Public;
            if answer.iter().all(by_word) {
                Failure::Inside(host.clone())
            } else if route.base.scheme == Scheme::Http && answer.iter().any(outside) {
                Failure::PlainOutside(host.clone())
            } else {
                Failure::Never(host.clone())
            }
        })
    }

    async fn send(
        &self,
        route: &Route,
        verified: &[VerifiedAddr],
        request: http::Request<Full<Bytes>>,
        ends: Instant,
    ) -> Result<Answer, Failure> {
        let host = &route.base.authority.host;
        let socket = dial(verified, ends).await?;
        if route.base.scheme != Scheme::Https {
            return speak(socket, request, ends).await;
        }
        let name = match host.literal() {
            Some(addr) => ServerName::from(addr),
            None => ServerName::try_from(host.as_str().to_owned())
                .map_err(|_| Failure::Name(host.clone()))?,
        };
        let secured = timeout_at(ends, self.tls.connect(name, socket)).await;
        let secured = secured
            .map_err(|_| Failure::ConnectTime)?
            .map_err(|error| Failure::of_handshake(&error))?;
        speak(secured, request, ends).await
    }
}

/// The first address that answers.
async fn dial(verified: &[VerifiedAddr], ends: Instant) -> Result<TcpStream, Failure> {
    let mut last = Failure::ConnectTime;
    for addr in verified {
        let until = ends.min(Instant::now() + CONNECT_TIME_MAX);
        match timeout_at(until, TcpStream::connect(addr.socket_addr())).await {
            Ok(Ok(socket)) => {
                // TR-093; a socket that refuses it is slower and not wrong.
                _ = socket.set_nodelay(true);
                return Ok(socket);
            }
            Ok(Err(error)) => last = Failure::Connect(error.kind()),
            Err(_) => last = Failure::ConnectTime,
        }
    }
    Err(last)
}

/// One request and its answer over an open connection, of which no more is read than `ANSWER_BYTES_MAX`.
async fn speak<S>(
    stream: S,
    request: http::Request<Full<Bytes>>,
    ends: Instant,
) -> Result<Answer, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let exchange = async {
        let (mut sender, conn) = http1::Builder::new()
            .max_buf_size(ANSWER_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Failure::of_exchange(&error))?;
        let asked = async {
            let response = sender
                .send_request(request)
                .await
                .map_err(|error| Failure::of_exchange(&error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
            Ok(Answer::new(status, read(body).await))
        };
        let (mut asked, mut conn) = (pin!(asked), pin!(conn));
        // Why not spawned: it ends with this future, whoever gives up on it.
        tokio::select! {
            biased;
            answer = &mut asked => answer,
            _ = &mut conn => asked.await,
        }
    };
    timeout_at(ends, exchange)
        .await
        .unwrap_or(Err(Failure::AnswerTime))
}

/// What there is of a body, until its end, its limit or a fault: a status says enough without the rest.
async fn read(body: Limited<hyper::body::Incoming>) -> Vec<u8> {
    let mut body = pin!(body);
    let mut read = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(data) = frame.data_ref() {
            read.extend_from_slice(data);
        }
    }
    read
}

/// Addresses of one answer that are looked at.
const ADDRESSES_MAX: usize = 64;

/// For one address, so that the next one gets its turn.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// Head and body of an answer, each.
const ANSWER_BYTES_MAX: usize = 64 * 1_024;
