//! A thousand hosts on one gateway: what one change costs to reach all of them, and what they cost when nothing changes.
//! Prints the figures; `benches/results` keeps some.

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use harness::play;
use hyper_util::rt::TokioIo;
use proto::v1::data_plane_client::DataPlaneClient;
use proto::v1::ringfence_client::RingfenceClient;
use proto::v1::{CreateSandboxRequest, Snapshot, SubscribeRequest};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::runtime::Builder;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::plane::Plane;

const HOSTS: usize = 1_000;

/// Issue: 1,000 simulated hosts; DPL-1, DPL-4, TR-104, TR-106
#[test]
fn one_change_reaches_a_thousand_hosts() {
    play(|scene| {
        let plane = Plane::start(scene);
        plane.provider("p", "openai", "OPENAI_API_KEY=key-of-p");
        plane.route("p", "before");
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let received = Arc::new(AtomicU64::new(0));
        let bytes = || received.load(Ordering::Relaxed);
        let began = Instant::now();
        let mut streams = runtime.block_on(hosts(&plane, &received));
        let connected = began.elapsed();

        let (at, spent, began) = (bytes(), cpu(plane.pid()), Instant::now());
        plane.route("p", "after");
        runtime.block_on(async {
            for stream in &mut streams {
                while next(stream)
                    .await
                    .routes
                    .iter()
                    .all(|route| route.model_id != "after")
                {}
            }
        });
        let (took, change) = (began.elapsed(), cpu(plane.pid()) - spent);
        _ = writeln!(
            io::stderr(),
            "scale: {HOSTS} hosts connected in {connected:.2?}; one change reached all in {took:.2?}, {} bytes, {change:.2?} of the gateway's processor, {} KiB resident",
            bytes() - at,
            resident_kib(plane.pid())
        );

        let (at, spent) = (bytes(), cpu(plane.pid()));
        runtime.block_on(async {
            // Heartbeats are read, as hosts read them.
            let reading = streams
                .iter_mut()
                .map(|stream| async { while stream.message().await.is_ok() {} });
            let reading: Vec<_> = reading.map(Box::pin).collect();
            let all = std::future::poll_fn({
                let mut reading = reading;
                move |cx| {
                    reading.iter_mut().for_each(|one| _ = one.as_mut().poll(cx));
                    Poll::<()>::Pending
                }
            });
            drop(tokio::time::timeout(IDLE, all).await);
        });
        let a_second = |amount: f64| amount / IDLE.as_secs_f64();
        _ = writeln!(
            io::stderr(),
            "scale: idle, {:.1} bytes a second and host, {:.1} % of a core for all",
            a_second((bytes() - at) as f64) / HOSTS as f64,
            a_second((cpu(plane.pid()) - spent).as_secs_f64()) * 100.0
        );
    });
}

/// Connects every host, each with a sandbox of its own, and reads the first message of each.
async fn hosts(plane: &Plane<'_>, received: &Arc<AtomicU64>) -> Vec<Streaming<Snapshot>> {
    let mut operator = RingfenceClient::new(connect(plane, received).await);
    let mut streams = Vec::new();
    for number in 0..HOSTS {
        let create = CreateSandboxRequest {
            name: format!("s{number}"),
            ..CreateSandboxRequest::default()
        };
        let made = operator.create_sandbox(create).await.expect("a sandbox");
        let sandbox = made.into_inner().sandbox.unwrap_or_default();
        let mut host = DataPlaneClient::new(connect(plane, received).await);
        let subscribe = SubscribeRequest {
            host_id: format!("host-{number}"),
            sandbox_ids: vec![sandbox.id],
            ..SubscribeRequest::default()
        };
        let stream = host.subscribe(subscribe).await.expect("a stream");
        let mut stream = stream.into_inner();
        assert_eq!(next(&mut stream).await.routes.len(), 1);
        streams.push(stream);
    }
    streams
}

async fn next(stream: &mut Streaming<Snapshot>) -> Snapshot {
    let within = Duration::from_secs(60);
    let message = tokio::time::timeout(within, stream.message()).await;
    let message = message
        .expect("a message in time")
        .expect("a stream that lives");
    message.expect("a stream that goes on")
}

async fn connect(plane: &Plane<'_>, received: &Arc<AtomicU64>) -> Channel {
    let socket = plane.socket();
    let received = Arc::clone(received);
    let connect = tower::service_fn(move |_: Uri| {
        let (socket, received) = (socket.clone(), Arc::clone(&received));
        async move {
            let stream = UnixStream::connect(socket).await?;
            Ok::<_, io::Error>(TokioIo::new(Counted { stream, received }))
        }
    });
    let endpoint = Endpoint::from_static("http://gateway.invalid");
    let channel = endpoint.connect_with_connector(connect).await;
    channel.expect("the gateway's socket")
}

/// A stream whose received bytes are counted.
struct Counted {
    stream: UnixStream,
    received: Arc<AtomicU64>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let read = (buf.filled().len() - before) as u64;
        self.received.fetch_add(read, Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The processor time of a process: the 14th and 15th field, counted behind the name.
fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("its stat");
    let (_, behind) = stat.rsplit_once(')').expect("a name");
    let ticks = behind.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn resident_kib(pid: u32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let size = line.and_then(|line| line.split_whitespace().nth(1));
    size.unwrap_or("-").to_owned()
}

/// Two heartbeats and a little.
const IDLE: Duration = Duration::from_secs(11);
