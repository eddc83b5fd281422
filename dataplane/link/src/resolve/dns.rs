//! Questions to the host's name servers: A and AAAA of one absolute name, over unicast UDP and TCP.
//!
//! It exists apart from `resolve.rs` because it is the only file that knows the DNS library. Of that library only the
//! transport is used (sockets, identifiers, retransmission, TCP after truncation). Its resolver on top is not: it takes
//! every address of an answer whoever's it is, counts CNAME links only across messages, knows search lists and a cache
//! of its own, and gives up when the first name server answers with an error.
//!
//! Invariants: an address counts only if the chain of CNAMEs that starts at the name asked ends at its owner; at most
//! `CNAME_LINKS_MAX` links and `ANSWER_BYTES_MAX` bytes a family; name servers are asked in their order.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{NameServerConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequestOptions, DnsResponse, Message, Query, ResponseCode};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, RecordType};
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig};
use tokio::task::JoinSet;
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use wire::Host;

use super::hosts::{Seen, read_bounded};
use super::{Addresses, ResolveConfig, ResolveError};

/// What came of a look-up, and how long that holds.
pub(super) struct Answer {
    pub(super) result: Result<Addresses, ResolveError>,
    pub(super) ttl: Duration,
}

impl Answer {
    /// Something broke; nothing to remember.
    pub(super) fn failure() -> Answer {
        Answer {
            result: Err(ResolveError::Failure),
            ttl: Duration::ZERO,
        }
    }
}

/// The name servers of `resolv.conf`.
pub(super) struct Servers {
    resolv_conf: PathBuf,
    seen: Option<Seen>,
    asking: Arc<Asking>,
}

/// What one look-up needs of them.
struct Asking {
    servers: Vec<NameServerPool<TokioRuntimeProvider>>,
    next_server_after: Duration,
}

impl Servers {
    pub(super) fn new(config: &ResolveConfig) -> Servers {
        let none = Asking {
            servers: Vec::new(),
            next_server_after: config.next_server_after,
        };
        Servers {
            resolv_conf: config.resolv_conf.clone(),
            seen: None,
            asking: Arc::new(none),
        }
    }

    /// The look-up of a name, to be run as a task. It ends within the deadline.
    pub(super) fn look_up(
        &mut self,
        host: &Host,
        config: &ResolveConfig,
    ) -> impl Future<Output = Answer> + 'static {
        let now = Seen::now(&self.resolv_conf);
        if now != self.seen || self.asking.servers.is_empty() {
            self.seen = now;
            self.asking = Arc::new(Asking {
                servers: name_servers(&read_bounded(&self.resolv_conf))
                    .into_iter()
                    .filter_map(|ip| pool(ip, config))
                    .collect(),
                next_server_after: config.next_server_after,
            });
        }
        let asking = self.asking.clone();
        let name = absolute(host);
        let deadline = config.deadline;
        async move {
            let Some(name) = name else {
                return Answer::failure();
            };
            both(
                timeout(
                    deadline,
                    family(asking.clone(), name.clone(), RecordType::A),
                ),
                timeout(deadline, family(asking, name, RecordType::AAAA)),
            )
            .await
        }
    }
}

/// The name servers that resolv.conf(5) lists, in its order. Everything else in it is of no use here: names are
/// absolute. Without a line the local host is asked, as the C library does.
fn name_servers(resolv_conf: &[u8]) -> Vec<IpAddr> {
    let mut servers = Vec::new();
    for line in resolv_conf.split(|byte| *byte == b'\n') {
        let mut words = line
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        if words.next() != Some(b"nameserver") {
            continue;
        }
        let address = words
            .next()
            .and_then(|word| str::from_utf8(word).ok())
            .and_then(|word| word.parse().ok());
        if let Some(address) = address.filter(|address| !servers.contains(address)) {
            servers.push(address);
        }
    }
    servers.truncate(SERVERS_MAX);
    if servers.is_empty() {
        servers.push(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    servers
}

fn pool(ip: IpAddr, config: &ResolveConfig) -> Option<NameServerPool<TokioRuntimeProvider>> {
    let mut options = ResolverOpts::default();
    options.timeout = config.deadline;
    options.try_tcp_on_error = false;
    options.num_concurrent_reqs = 1;
    options.max_active_requests = config.lookups_max.saturating_mul(2);
    let mut server = NameServerConfig::udp_and_tcp(ip);
    for connection in &mut server.connections {
        connection.port = config.port;
    }
    let context = Arc::new(PoolContext::new(options, TlsConfig::new().ok()?));
    Some(NameServerPool::from_config(
        [server],
        context,
        TokioRuntimeProvider::default(),
    ))
}

fn absolute(host: &Host) -> Option<Name> {
    let mut name = Name::from_ascii(host.as_str()).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// The addresses of one family, the chain followed.
async fn family(asking: Arc<Asking>, mut name: Name, kind: RecordType) -> Result<Found, Missing> {
    let mut links = 0;
    let mut bytes = 0;
    let mut ttl = u32::MAX;
    loop {
        let response = ask_servers(&asking, &name, kind).await?;
        bytes += response.as_buffer().len();
        if bytes > ANSWER_BYTES_MAX {
            return Err(Missing::Failure);
        }
        let step = follow(&response, name, kind, &mut links)?;
        ttl = ttl.min(step.ttl);
        if !step.addresses.is_empty() {
            return Ok(Found {
                addresses: step.addresses,
                ttl,
            });
        }
        if step.links == 0 || response.response_code == ResponseCode::NXDomain {
            return Err(Missing::Nothing {
                ttl: response.negative_ttl().unwrap_or(0).min(ttl),
            });
        }
        name = step.name;
    }
}

struct Found {
    addresses: Vec<IpAddr>,
    ttl: u32,
}

enum Missing {
    /// The name servers say that there is none, and for how many seconds that holds.
    Nothing {
        ttl: u32,
    },
    Failure,
    Timeout,
}

/// Where the CNAMEs of one message lead.
struct Step {
    name: Name,
    links: usize,
    addresses: Vec<IpAddr>,
    /// Seconds, the least of all records used.
    ttl: u32,
}

/// Follows the chain through one message, in whatever order its records are.
fn follow(
    message: &Message,
    name: Name,
    kind: RecordType,
    links: &mut usize,
) -> Result<Step, Missing> {
    let mut step = Step {
        name,
        links: 0,
        addresses: Vec::new(),
        ttl: u32::MAX,
    };
    loop {
        let mut next = None;
        for record in message
            .answers
            .iter()
            .filter(|record| record.dns_class == DNSClass::IN)
        {
            if record.name != step.name {
                continue;
            }
            // RFC 2181 §8: a time to live with the highest bit set is zero.
            let ttl = if record.ttl > i32::MAX.unsigned_abs() {
                0
            } else {
                record.ttl
            };
            if let Some(address) = record.data.ip_addr() {
                let is_asked = if kind == RecordType::A {
                    address.is_ipv4()
                } else {
                    address.is_ipv6()
                };
                if is_asked && !step.addresses.contains(&address) {
                    step.addresses.push(address);
                    step.ttl = step.ttl.min(ttl);
                }
            } else if let RData::CNAME(target) = &record.data {
                next = Some((target.0.clone(), ttl));
            }
        }
        let Some((target, ttl)) = next.filter(|_| step.addresses.is_empty()) else {
            return Ok(step);
        };
        *links += 1;
        if *links > CNAME_LINKS_MAX {
            return Err(Missing::Failure);
        }
        step.links += 1;
        step.ttl = step.ttl.min(ttl);
        step.name = target;
        step.name.set_fqdn(true);
    }
}

/// Asks one name server after the other: the next when the one before failed, or has been silent for a while. The first
/// that knows, or knows that there is nothing, is believed.
async fn ask_servers(
    asking: &Asking,
    name: &Name,
    kind: RecordType,
) -> Result<DnsResponse, Missing> {
    let mut asked = JoinSet::new();
    let mut left = asking.servers.iter();
    let mut worst = Missing::Failure;
    loop {
        let next = left.next();
        let is_last = next.is_none();
        if let Some(server) = next {
            asked.spawn(ask(server.clone(), name.clone(), kind));
        }
        let answered = if is_last {
            asked.join_next().await
        } else {
            match timeout(asking.next_server_after, asked.join_next()).await {
                Ok(answered) => answered,
                Err(_) => continue,
            }
        };
        match answered {
            Some(Ok(Ok(response))) => return Ok(response),
            Some(Ok(Err(Missing::Nothing { ttl }))) => return Err(Missing::Nothing { ttl }),
            Some(Ok(Err(Missing::Timeout))) => worst = Missing::Timeout,
            Some(Ok(Err(Missing::Failure)) | Err(_)) => {}
            None if is_last => return Err(worst),
            None => {}
        }
    }
}

async fn ask(
    server: NameServerPool<TokioRuntimeProvider>,
    name: Name,
    kind: RecordType,
) -> Result<DnsResponse, Missing> {
    let query = Query::query(name, kind);
    let mut options = DnsRequestOptions::default();
    options.use_edns = true;
    let first = server.lookup(query.clone(), options).first_answer().await;
    let answered = match first {
        // A name server from before EDNS (RFC 6891 §7).
        Err(NetError::Dns(DnsError::ResponseCode(
            ResponseCode::FormErr | ResponseCode::NotImp,
        ))) => {
            options.use_edns = false;
            server.lookup(query, options).first_answer().await
        }
        other => other,
    };
    match answered {
        Ok(response) => Ok(response),
        Err(NetError::Timeout) => Err(Missing::Timeout),
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => Err(Missing::Nothing {
            ttl: none.negative_ttl.unwrap_or(0),
        }),
        Err(_) => Err(Missing::Failure),
    }
}

/// Both families at once. When one has addresses, the other gets `FAMILY_GRACE` more: a network where one kind of
/// question is never answered must not cost the whole deadline.
async fn both(
    four: impl Future<Output = Result<Result<Found, Missing>, Elapsed>>,
    six: impl Future<Output = Result<Result<Found, Missing>, Elapsed>>,
) -> Answer {
    let (mut four, mut six) = (pin!(four), pin!(six));
    // Why a select: the slower future is kept and awaited on.
    let (four, six) = tokio::select! {
        four = &mut four => {
            let six = if matches!(four, Ok(Ok(_))) { timeout(FAMILY_GRACE, six).await.unwrap_or(Ok(Err(Missing::Timeout))) } else { six.await };
            (four, six)
        }
        six = &mut six => {
            let four = if matches!(six, Ok(Ok(_))) { timeout(FAMILY_GRACE, four).await.unwrap_or(Ok(Err(Missing::Timeout))) } else { four.await };
            (four, six)
        }
    };
    join(
        four.unwrap_or(Err(Missing::Timeout)),
        six.unwrap_or(Err(Missing::Timeout)),
    )
}

/// One answer of two. Addresses of one family are enough; without any, "there is none" needs both to say so.
fn join(four: Result<Found, Missing>, six: Result<Found, Missing>) -> Answer {
    let of = |mut addresses: Vec<IpAddr>, more: Vec<IpAddr>, ttl: u32| {
        addresses.extend(more);
        Answer {
            result: Ok(Addresses::from(addresses)),
            ttl: Duration::from_secs(ttl.into()),
        }
    };
    match (four, six) {
        (Ok(four), Ok(six)) => of(four.addresses, six.addresses, four.ttl.min(six.ttl)),
        (Ok(four), Err(Missing::Nothing { .. })) => of(four.addresses, Vec::new(), four.ttl),
        (Err(Missing::Nothing { .. }), Ok(six)) => of(Vec::new(), six.addresses, six.ttl),
        // The other family may be there the next time.
        (Ok(found), Err(Missing::Failure | Missing::Timeout))
        | (Err(Missing::Failure | Missing::Timeout), Ok(found)) => {
            of(found.addresses, Vec::new(), found.ttl.min(PARTIAL_TTL_S))
        }
        (Err(Missing::Nothing { ttl: four }), Err(Missing::Nothing { ttl: six })) => Answer {
            result: Err(ResolveError::Failure),
            ttl: Duration::from_secs(four.min(six).into()),
        },
        (Err(Missing::Timeout), Err(_)) | (Err(_), Err(Missing::Timeout)) => Answer {
            result: Err(ResolveError::Timeout),
            ttl: Duration::ZERO,
        },
        (Err(Missing::Failure), Err(_)) | (Err(_), Err(Missing::Failure)) => Answer::failure(),
    }
}

const SERVERS_MAX: usize = 3;
const CNAME_LINKS_MAX: usize = 8;
const ANSWER_BYTES_MAX: usize = 64 << 10;
const FAMILY_GRACE: Duration = Duration::from_secs(1);
/// How long an answer is remembered when one family did not answer.
const PARTIAL_TTL_S: u32 = 5;

#[cfg(test)]
mod tests;
