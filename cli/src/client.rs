//! The channel to the gateway.
//!
//! Apart from the verbs because it is the only file that is asynchronous: it owns the one runtime, and every call is made
//! to an end. What a gateway answers is lifted here into the codes of CLI-2: refused, not reachable or not trusted, late.
//!
//! Invariant: no text of an error holds what a request held; a gateway's words are shown as printable text.

#[cfg(test)]
mod tests;

use std::error::Error;
use std::future::Future;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use proto::inference::inference_client::InferenceClient;
use proto::v1::ringfence_client::RingfenceClient;
use tokio::runtime::{Builder, Runtime};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Response, Status};

use crate::print::{self, FAILED, Stop, TIMED_OUT, UNREACHABLE};
use crate::settings::{Address, Settings};

/// A connected gateway.
pub(crate) struct Client {
    runtime: Runtime,
    channel: Channel,
    address: Address,
}

impl Client {
    /// Connects to the gateway that is meant.
    pub(crate) fn connect(settings: &Settings) -> Result<Client, Stop> {
        Client::within(settings, CONNECT_MAX, CALL_MAX)
    }

    /// The same for who cannot wait: completions while somebody types.
    pub(crate) fn hurried(settings: &Settings, max: Duration) -> Result<Client, Stop> {
        Client::within(settings, max, max)
    }

    fn within(settings: &Settings, connect: Duration, call: Duration) -> Result<Client, Stop> {
        let address = settings.gateway()?.address.clone();
        if settings.verbose > 0 {
            print::message(format_args!("asking {address}"));
        }
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Stop::failed)?;
        let endpoint = endpoint(&address)?.connect_timeout(connect).timeout(call);
        // Why twice: the one time-out is for a socket, this one for TLS and HTTP/2 behind it.
        let connecting = async { tokio::time::timeout(connect, endpoint.connect()).await };
        let channel = match runtime.block_on(connecting) {
            Ok(Ok(channel)) => channel,
            Ok(Err(error)) => return Err(not_reached(&address, &error)),
            Err(_) => {
                let why =
                    format!("the gateway at {address} does not answer; see whether it still runs");
                return Err(Stop::new(UNREACHABLE, why));
            }
        };
        Ok(Client {
            runtime,
            channel,
            address,
        })
    }

    /// Where it is.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// What operators ask.
    pub(crate) fn ringfence(&self) -> RingfenceClient<Channel> {
        RingfenceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The cluster's route.
    pub(crate) fn inference(&self) -> InferenceClient<Channel> {
        InferenceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Makes a call to its end.
    pub(crate) fn call<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Refusal> {
        let answer = self.runtime.block_on(call);
        answer
            .map(Response::into_inner)
            .map_err(|status| Refusal::of(&status, &self.address))
    }

    /// Waits.
    pub(crate) fn pause(&self, time: Duration) {
        // Made inside: a timer looks for its runtime when it is made.
        self.runtime
            .block_on(async { tokio::time::sleep(time).await });
    }
}

/// What a gateway did not do.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) kind: Kind,
    why: String,
}

/// What kinds of refusal a verb may treat in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// There is no such object.
    NotFound,
    /// Somebody else was faster.
    Conflict,
    /// Refused for another reason; the words say which.
    Refused,
    /// The gateway went away, or is not trusted.
    Unreachable,
    /// The time was up.
    Late,
}

impl Refusal {
    fn of(status: &Status, address: &Address) -> Refusal {
        // A status with a source was made on this side: the connection failed.
        let ours = status.source().is_some();
        let kind = match status.code() {
            Code::Cancelled | Code::DeadlineExceeded => Kind::Late,
            _ if ours => Kind::Unreachable,
            Code::Unavailable => Kind::Unreachable,
            Code::NotFound => Kind::NotFound,
            Code::Aborted => Kind::Conflict,
            Code::Ok
            | Code::Unknown
            | Code::InvalidArgument
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss
            | Code::Unauthenticated => Kind::Refused,
        };
        let why = match (kind, status.code()) {
            (Kind::Unreachable, _) => lost(status, address),
            (Kind::Late, _) => format!(
                "the gateway at {address} did not answer in time; whether it did what was asked is not known"
            ),
            (_, Code::Unimplemented) => format!(
                "the gateway at {address} does not know this call; it may be older than this command line"
            ),
            (_, code) if status.message().is_empty() => format!("refused: {code}"),
            (_, _) => status.message().to_owned(),
        };
        Refusal {
            kind,
            why: print::lines(why.lines()),
        }
    }

    /// Whether it is no use to ask this gateway for the next thing.
    pub(crate) fn is_final(&self) -> bool {
        match self.kind {
            Kind::Unreachable | Kind::Late => true,
            Kind::NotFound | Kind::Conflict | Kind::Refused => false,
        }
    }

    /// In its own words.
    pub(crate) fn why(&self) -> &str {
        &self.why
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.kind {
            Kind::NotFound | Kind::Conflict | Kind::Refused => FAILED,
            Kind::Unreachable => UNREACHABLE,
            Kind::Late => TIMED_OUT,
        };
        Stop::new(code, refusal.why)
    }
}

fn endpoint(address: &Address) -> Result<Endpoint, Stop> {
    match address {
        Address::Unix(path) => {
            let path = path.to_str().ok_or_else(|| {
                Stop::usage(format_args!(
                    "{address}: the path of a gateway's socket is UTF-8"
                ))
            })?;
            Endpoint::from_shared(format!("unix:{path}")).map_err(Stop::usage)
        }
        Address::Https { url, certificates } => {
            let identity = Identity::from_pem(
                pem(&certificates.join("tls.crt"))?,
                pem(&certificates.join("tls.key"))?,
            );
            let tls = ClientTlsConfig::new()
                .ca_certificate(Certificate::from_pem(pem(&certificates.join("ca.crt"))?))
                .identity(identity);
            let endpoint = Endpoint::from_shared(url.clone()).map_err(Stop::usage)?;
            let endpoint = endpoint.tcp_nodelay(true).tls_config(tls);
            endpoint.map_err(|error| {
                let directory = certificates.display();
                let why = root(&error).unwrap_or_else(|| error.to_string());
                Stop::usage(format_args!(
                    "{directory}: not a usable certificate and key: {why}"
                ))
            })
        }
    }
}

fn pem(path: &Path) -> Result<Vec<u8>, Stop> {
    std::fs::read(path).map_err(|error| {
        Stop::usage(format_args!(
            "{}: {error}; a gateway's first start writes ca.crt, tls.crt and tls.key, copy those of your role there",
            path.display()
        ))
    })
}

/// A connection that ended under a call. In TLS 1.3 that is also how a gateway says that it does not know a client.
fn lost(status: &Status, address: &Address) -> String {
    let why = root(status).unwrap_or_else(|| status.message().to_owned());
    match (address, io_kind(status)) {
        (Address::Https { url, certificates }, Some(ErrorKind::InvalidData)) => format!(
            "the gateway at {url} does not admit the certificate in {}: {why}",
            certificates.display()
        ),
        (Address::Https { .. } | Address::Unix(_), _) => {
            format!("the gateway at {address} went away: {why}")
        }
    }
}

/// CLI-3: what to do next is said where it is known.
fn not_reached(address: &Address, error: &(dyn Error + 'static)) -> Stop {
    let why = root(error).unwrap_or_else(|| error.to_string());
    let text = match (address, io_kind(error)) {
        (Address::Unix(path), Some(ErrorKind::NotFound)) => format!(
            "no gateway at {}; start one with `ringfence gateway`, or name one with --gateway",
            path.display()
        ),
        (Address::Unix(path), Some(ErrorKind::ConnectionRefused)) => format!(
            "no gateway at {}: the socket is left from one that has ended; start one with `ringfence gateway`",
            path.display()
        ),
        (Address::Unix(path), Some(ErrorKind::PermissionDenied)) => format!(
            "the gateway at {} is another user's; use its certificates with --gateway https://HOST:PORT",
            path.display()
        ),
        (Address::Unix(path), _) => format!("no gateway at {}: {why}", path.display()),
        (Address::Https { url, .. }, Some(ErrorKind::ConnectionRefused)) => {
            format!("no gateway at {url}: {why}; was it started with --listen?")
        }
        (Address::Https { url, certificates }, Some(ErrorKind::InvalidData)) => format!(
            "the gateway at {url} is not trusted: {why}; see {}/ca.crt",
            certificates.display()
        ),
        (Address::Https { url, .. }, _) => format!("no gateway at {url}: {why}"),
    };
    Stop::new(UNREACHABLE, print::printable(&text))
}

/// The last cause: the others say that there is one.
fn root(error: &(dyn Error + 'static)) -> Option<String> {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.last().map(ToString::to_string)
}

/// Of what kind a failure of the socket below was.
fn io_kind(error: &(dyn Error + 'static)) -> Option<ErrorKind> {
    let causes = std::iter::successors(Some(error), |&cause| cause.source());
    let io = causes.filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.last().map(std::io::Error::kind)
}

/// Longest answer: a thousand objects in one list, with their texts at their longest, stay below it.
pub(crate) const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Until a gateway is there; on one machine it takes a millisecond.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Until it has answered. A verification asks a provider, which may take its time.
const CALL_MAX: Duration = Duration::from_secs(60);
