//! A gateway that says what a test tells it to, over a Unix socket, and a site that remembers.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use policy::PolicyDocument;
use policy::custom::Rules;
use proto::inference::{ResolvedRoute, RouteStatus};
use proto::v1::data_plane_server::{DataPlane, DataPlaneServer};
use proto::v1::{
    ReportRequest, ReportResponse, SandboxPolicy, SandboxSnapshot, Snapshot, SubscribeRequest,
};
use ringfence_link::channel::{Address, Peer};
use ringfence_link::{Claim, Gateway, Served, Site, Standing, Timing};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::{Request, Response, Status};

/// How long a step may take before the test fails. Never what a test waits for.
pub(crate) const STEP: Duration = Duration::from_secs(30);

/// A directory that goes with the test.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new(name: &str) -> Place {
        let path = std::env::temp_dir().join(format!("ringfence-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir(&path).unwrap();
        Place(path)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("gateway.sock")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// A gateway that runs.
pub(crate) struct Play {
    streams: Receiver<Stream>,
    pub(crate) reports: Receiver<ReportRequest>,
    reporting: Arc<Mutex<Reporting>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    socket: PathBuf,
}

/// What becomes of reports.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reporting {
    Taken,
    /// They are seen by the test and not confirmed.
    Refused,
}

/// A stream that a host opened.
pub(crate) struct Stream {
    pub(crate) asked: SubscribeRequest,
    say: mpsc::Sender<Result<Snapshot, Status>>,
}

impl Stream {
    pub(crate) fn say(&self, message: Snapshot) {
        self.say.blocking_send(Ok(message)).unwrap();
    }
}

struct Desk {
    streams: Sender<Stream>,
    reports: Sender<ReportRequest>,
    reporting: Arc<Mutex<Reporting>>,
}

#[tonic::async_trait]
impl DataPlane for Desk {
    type SubscribeStream = ReceiverStream<Result<Snapshot, Status>>;

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let (say, said) = mpsc::channel(64);
        let asked = request.into_inner();
        drop(self.streams.send(Stream { asked, say }));
        Ok(Response::new(ReceiverStream::new(said)))
    }

    async fn report(
        &self,
        request: Request<ReportRequest>,
    ) -> Result<Response<ReportResponse>, Status> {
        drop(self.reports.send(request.into_inner()));
        match *self.reporting.lock().unwrap() {
            Reporting::Taken => Ok(Response::new(ReportResponse {})),
            Reporting::Refused => Err(Status::unavailable("not now")),
        }
    }
}

impl Play {
    /// Listens at the socket of `place`.
    pub(crate) fn begin(place: &Place) -> Play {
        let socket = place.socket();
        drop(std::fs::remove_file(&socket));
        let (stop, stopped) = oneshot::channel();
        let (streams, opened) = channel();
        let (reports, reported) = channel();
        let reporting = Arc::new(Mutex::new(Reporting::Taken));
        let desk = Desk {
            streams,
            reports,
            reporting: Arc::clone(&reporting),
        };
        let path = socket.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::UnixListener::bind(path).unwrap();
                let serving = tonic::transport::Server::builder()
                    .add_service(DataPlaneServer::new(desk))
                    .serve_with_incoming(UnixListenerStream::new(listener));
                tokio::select! {
                    served = serving => served.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        Play {
            streams: opened,
            reports: reported,
            reporting,
            stop: Some(stop),
            thread: Some(thread),
            socket,
        }
    }

    /// The next stream that a host opens.
    pub(crate) fn stream(&self) -> Stream {
        self.streams.recv_timeout(STEP).unwrap()
    }

    pub(crate) fn reporting(&self, reporting: Reporting) {
        *self.reporting.lock().unwrap() = reporting;
    }

    /// The next report that `is_meant`.
    pub(crate) fn report(&self, is_meant: impl Fn(&ReportRequest) -> bool) -> ReportRequest {
        loop {
            let report = self.reports.recv_timeout(STEP).unwrap();
            if is_meant(&report) {
                return report;
            }
        }
    }
}

impl Drop for Play {
    /// Gone, as after a kill: connections break and the socket refuses.
    fn drop(&mut self) {
        drop(self.stop.take());
        drop(self.thread.take().map(JoinHandle::join));
        drop(std::fs::remove_file(&self.socket));
    }
}

/// Remembers what was put in force.
pub(crate) struct Memory {
    pub(crate) applied: Receiver<Served>,
    /// Streams that were lost: why, and the wait.
    pub(crate) lost: Receiver<(String, Duration)>,
}

struct Remembering {
    applied: Sender<Served>,
    lost: Sender<(String, Duration)>,
    /// Each change waits for a word, when there is somebody to say it.
    gate: Option<Receiver<()>>,
}

impl Site for Remembering {
    fn check_rules(&self, _rules: &Rules) -> Result<(), String> {
        Ok(())
    }

    fn takes(&self, _sandbox_id: &str, written: &PolicyDocument) -> Result<(), String> {
        match written.process.run_as_user.as_str() {
            "nobody" => Err("process.run_as_user: cannot change".to_owned()),
            _ => Ok(()),
        }
    }

    fn apply(&mut self, served: &Served) {
        if let Some(gate) = &self.gate {
            _ = gate.recv_timeout(STEP);
        }
        drop(self.applied.send(served.clone()));
    }

    fn link_changed(&mut self, _standing: Standing) {}

    fn stream_lost(&mut self, why: &str, retry: Duration) {
        drop(self.lost.send((why.to_owned(), retry)));
    }
}

impl Memory {
    /// The next change that was put in force.
    pub(crate) fn next(&self) -> Served {
        self.applied.recv_timeout(STEP).unwrap()
    }
}

/// A gateway at `place` to follow, with short waits.
pub(crate) fn gateway(place: &Place) -> (Gateway, Memory) {
    with_gate(place, None)
}

pub(crate) fn with_gate(place: &Place, gate: Option<Receiver<()>>) -> (Gateway, Memory) {
    let (applied, remembered) = channel();
    let (lost, losses) = channel();
    let gateway = Gateway {
        peer: Peer {
            address: Address::Unix(place.socket()),
            certificates: None,
        },
        host_id: "host-1/demo".to_owned(),
        claims: vec![Claim {
            id: "a".to_owned(),
            local: "demo".to_owned(),
        }],
        max_stale: None,
        timing: Timing {
            retry_first: Duration::from_millis(20),
            retry_longest: Duration::from_millis(100),
            report_every: Duration::from_millis(50),
            ..Timing::default()
        },
        site: Box::new(Remembering {
            applied,
            lost,
            gate,
        }),
    };
    let (applied, lost) = (remembered, losses);
    (gateway, Memory { applied, lost })
}

pub(crate) fn complete(generation: u64) -> Snapshot {
    Snapshot {
        generation,
        routes: vec![route(1)],
        routes_changed: true,
        sandboxes: vec![sandbox("a", 1, "")],
        ..Snapshot::default()
    }
}

pub(crate) fn delta(generation: u64, base: u64) -> Snapshot {
    Snapshot {
        generation,
        base_generation: base,
        ..Snapshot::default()
    }
}

/// A sandbox that runs as `user`.
pub(crate) fn sandbox(id: &str, version: u32, user: &str) -> SandboxSnapshot {
    SandboxSnapshot {
        sandbox_id: id.to_owned(),
        name: id.to_owned(),
        policy: Some(SandboxPolicy {
            version: 1,
            process: Some(proto::v1::ProcessPolicy {
                run_as_user: user.to_owned(),
                run_as_group: String::new(),
            }),
            ..SandboxPolicy::default()
        }),
        policy_version: version,
        policy_hash: format!("hash {version}"),
        error_code: String::new(),
    }
}

pub(crate) fn route(version: u64) -> ResolvedRoute {
    ResolvedRoute {
        name: "inference.local".to_owned(),
        base_url: "https://h.test/v1".to_owned(),
        protocols: vec!["openai_chat_completions".to_owned()],
        api_key: format!("sk-{version}"),
        model_id: "m".to_owned(),
        auth_header: "authorization".to_owned(),
        status: RouteStatus::Ready.into(),
        version,
        ..ResolvedRoute::default()
    }
}
