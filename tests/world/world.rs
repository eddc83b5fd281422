//! A data plane, two doors, and both ends of every connection, in one process.
//!
//! The process is the inner half of a scene: the network namespace is its own, so ports are fixed and
//! addresses of `10.99.0.0/24` are upstreams. Clients and upstreams are plain sockets that the test drives
//! by hand; a step waits for bytes with a limit and never for a time.
//!
//! **Invariant:** limits and deadlines are values handed in, so the product runs the code it always runs.

pub(crate) mod client;
pub(crate) mod names;
pub(crate) mod upstream;
pub(crate) mod zone;

use std::collections::HashMap;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dataplane::{Attachment, DataPlane, Limits, Lookup, Snapshot, Trust};
use policy::{Policy, Routes, SandboxId};
use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with};
use serde_json::Value;

/// How long a step may take before the test fails. Never what a test waits for.
pub(crate) const STEP: Duration = Duration::from_secs(30);

/// How long what has to come at once may take: the requirements say a tenth of a second or one, and the rest is for a
/// machine that is busy with something else.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(5);

/// Gives the gate time to see what nobody tells a test that it has seen: an end, or bytes that were not asked for.
pub(crate) fn settle() {
    std::thread::sleep(Duration::from_millis(300));
}

/// The credential of the routes made by [`route`].
pub(crate) const KEY: &str = "sk-route-0123456789-abcdef";
/// The model of those routes.
pub(crate) const MODEL: &str = "pinned-1";
/// Where their backend listens.
pub(crate) const BACKEND: &str = "10.99.0.80:8080";

/// What a world is opened with.
pub(crate) struct Setup {
    pub(crate) limits: Limits,
    trust: Trust,
    entries: String,
    more: String,
    routes: Option<String>,
    hosts: String,
    rules: Option<String>,
}

/// A running data plane with the doors of one sandbox, `walk`.
pub(crate) struct World {
    plane: DataPlane,
    records: PathBuf,
}

/// What a world left behind.
pub(crate) struct Ended {
    /// Every record in order.
    pub(crate) records: Vec<Value>,
}

impl Setup {
    /// The product's limits, a policy that allows nothing, and no routes.
    pub(crate) fn new() -> Setup {
        Setup {
            limits: Limits::default(),
            trust: Trust::OwnAuthority,
            entries: String::new(),
            more: String::new(),
            routes: Some("routes: []\n".to_owned()),
            hosts: "127.0.0.1 localhost\n".to_owned(),
            rules: None,
        }
    }

    /// Adds a policy entry for every program; `endpoint` is flow YAML.
    pub(crate) fn allow(self, key: &str, endpoint: &str) -> Setup {
        self.allow_program(key, endpoint, "/**")
    }

    /// As [`Setup::allow`], for one program.
    pub(crate) fn allow_program(mut self, key: &str, endpoint: &str, program: &str) -> Setup {
        self.entries += &format!(
            "  {key}:\n    endpoints: [{endpoint}]\n    binaries: [{{path: \"{program}\"}}]\n"
        );
        self
    }

    /// Adds an entry for a port of every host on the scene's private block.
    pub(crate) fn allow_port(self, port: u16) -> Setup {
        self.allow(
            &format!("port-{port}"),
            &format!("{{port: {port}, allowed_ips: [10.99.0.0/24]}}"),
        )
    }

    /// Adds top-level YAML to the policy.
    pub(crate) fn top(mut self, yaml: &str) -> Setup {
        self.more += yaml;
        self
    }

    /// The routes file.
    pub(crate) fn routes(mut self, yaml: &str) -> Setup {
        self.routes = Some(yaml.to_owned());
        self
    }

    /// Nothing was loaded yet.
    pub(crate) fn no_routes_yet(mut self) -> Setup {
        self.routes = None;
        self
    }

    /// One route to [`BACKEND`]; `more` are further lines of the entry.
    pub(crate) fn backend(self, more: &str) -> Setup {
        let text = route(&format!("http://{BACKEND}/v1"), more);
        self.routes(&text)
    }

    /// Adds a line to the hosts file.
    pub(crate) fn host(mut self, line: &str) -> Setup {
        self.hosts += &format!("{line}\n");
        self
    }

    /// No TLS of sandboxes can be ended.
    pub(crate) fn without_authority(mut self) -> Setup {
        self.trust = Trust::NoAuthority;
        self
    }

    /// Changes limits.
    pub(crate) fn limit(mut self, change: impl FnOnce(&mut Limits)) -> Setup {
        change(&mut self.limits);
        self
    }

    /// Rego that judges the sandbox `walk` in place of its policy; the others keep theirs.
    pub(crate) fn rules(mut self, body: &str) -> Setup {
        self.rules = Some(format!(
            "package ringfence.sandbox\n\nimport rego.v1\n\n{body}\n"
        ));
        self
    }

    fn policy(&self) -> Policy {
        let entries = if self.entries.is_empty() {
            " {}\n".to_owned()
        } else {
            format!("\n{}", self.entries)
        };
        let text = format!("version: 1\nnetwork_policies:{entries}{}", self.more);
        let loaded = policy::source::parse(&text, "policy.yaml")
            .unwrap_or_else(|problems| panic!("{problems}\n{text}"));
        Policy::compile(loaded.document)
    }

    fn ruled(&self, text: &str) -> Policy {
        let policy = self.policy();
        let data = policy::rego::data(policy.document());
        policy.with_rules(policy::custom::Rules::new(text, "own.rego", &data).unwrap())
    }

    /// Starts the data plane and serves `127.0.0.1:3128` and `127.0.0.1:443`.
    pub(crate) fn open(self) -> World {
        let records = PathBuf::from("/mnt/private/records.jsonl");
        let hosts = Path::new("/mnt/private/hosts");
        std::fs::write(hosts, &self.hosts).unwrap();
        let policy = Arc::new(self.policy());
        let mut policies: HashMap<_, _> = ["walk", "other", "blind"]
            .into_iter()
            .map(|name| (id(name), Arc::clone(&policy)))
            .collect();
        let mut rules_program = PathBuf::from("/proc/self/exe");
        if let Some(text) = &self.rules {
            rules_program = harness::binary::ringfence();
            policies.insert(id("walk"), Arc::new(self.ruled(text)));
        }
        let mut link = link::Config {
            record_file: Some(records.clone()),
            ..link::Config::default()
        };
        link.resolve.hosts_file = hosts.to_owned();
        link.resolve.deadline = Duration::from_secs(3);
        let plane = dataplane::start(dataplane::Config {
            limits: self.limits,
            workers: 1,
            helpers: 2,
            rules_program,
            link,
            snapshot: Snapshot {
                policies,
                routes: self.routes.as_deref().map(|text| Arc::new(parsed(text))),
            },
            site: policy::Site::default(),
            trust: self.trust,
        })
        .unwrap();
        let world = World { plane, records };
        world.attach("walk", "127.0.0.1", "/proc");
        world
    }
}

impl World {
    /// Serves the two doors of a further sandbox at `address`; its processes are looked for in `proc`.
    pub(crate) fn attach(&self, name: &str, address: &str, proc: &str) {
        let diag = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(netlink::SOCK_DIAG),
        )
        .unwrap();
        let proc = OwnedFd::from(std::fs::File::open(proc).unwrap());
        let door = |port: u16| OwnedFd::from(TcpListener::bind((address, port)).unwrap());
        self.plane
            .attach(Attachment {
                id: id(name),
                proxy: door(3128),
                direct: Some(door(443)),
                lookup: Lookup::new(diag, proc),
                calls: None,
            })
            .unwrap();
    }

    /// A connection to the proxy door.
    pub(crate) fn proxy(&self) -> TcpStream {
        client::connect("127.0.0.1:3128")
    }

    /// A connection to the direct door, before TLS.
    pub(crate) fn direct(&self) -> TcpStream {
        client::connect("127.0.0.1:443")
    }

    /// The authority's certificate.
    pub(crate) fn ca_pem(&self) -> &str {
        self.plane.ca_pem().unwrap()
    }

    /// Puts other routes in force; what runs keeps its own.
    pub(crate) fn put_routes(&self, yaml: &str) {
        self.change_routes(|_| parsed(yaml));
    }

    /// Puts in force what is made of the routes there are.
    pub(crate) fn change_routes(&self, change: impl FnOnce(&Routes) -> Routes) {
        let slot = self.plane.snapshots();
        let mut snapshot = slot.load().value.as_ref().clone();
        let before = snapshot.routes.take().unwrap_or_default();
        snapshot.routes = Some(Arc::new(change(&before)));
        slot.put(Arc::new(snapshot));
    }

    /// Puts the policy of a setup in force for every sandbox.
    pub(crate) fn put_policy(&self, setup: &Setup) {
        let policy = Arc::new(setup.policy());
        let slot = self.plane.snapshots();
        let mut snapshot = slot.load().value.as_ref().clone();
        for in_force in snapshot.policies.values_mut() {
            *in_force = Arc::clone(&policy);
        }
        slot.put(Arc::new(snapshot));
    }

    /// Puts the rules of a setup in force for `walk`.
    pub(crate) fn put_rules(&self, setup: &Setup) {
        let text = setup.rules.as_ref().unwrap();
        let slot = self.plane.snapshots();
        let mut snapshot = slot.load().value.as_ref().clone();
        snapshot
            .policies
            .insert(id("walk"), Arc::new(setup.ruled(text)));
        slot.put(Arc::new(snapshot));
    }

    /// Takes the policies of all sandboxes away.
    pub(crate) fn drop_policies(&self) {
        let slot = self.plane.snapshots();
        let mut snapshot = slot.load().value.as_ref().clone();
        snapshot.policies.clear();
        slot.put(Arc::new(snapshot));
    }

    /// Ends the data plane and reads its records.
    pub(crate) fn end(self) -> Ended {
        drop(self.plane.close());
        let text = std::fs::read_to_string(&self.records).unwrap();
        let records = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        Ended { records }
    }
}

impl Ended {
    /// The records of one kind.
    pub(crate) fn of(&self, msg: &str) -> Vec<&Value> {
        self.records
            .iter()
            .filter(|record| record["msg"] == msg)
            .collect()
    }

    /// The one record of a kind.
    pub(crate) fn one(&self, msg: &str) -> &Value {
        let [record] = self.of(msg)[..] else {
            panic!("not one {msg} in {:#?}", self.records);
        };
        record
    }

    /// One line a record: kind, stage, action, code, reason; `-` for what is absent.
    pub(crate) fn outline(&self) -> Vec<String> {
        let word = |record: &Value, key: &str| record[key].as_str().unwrap_or("-").to_owned();
        self.records
            .iter()
            .map(|record| {
                ["msg", "stage", "action", "code", "reason"]
                    .map(|key| word(record, key))
                    .join(" ")
            })
            .collect()
    }
}

/// A routes file with one route that speaks everything.
pub(crate) fn route(endpoint: &str, more: &str) -> String {
    let mut text = format!(
        "routes:\n- endpoint: {endpoint}\n  model: {MODEL}\n  api_key: {KEY}\n  protocols: [openai_chat_completions, openai_completions, openai_responses, anthropic_messages, model_discovery]\n"
    );
    for line in more.lines() {
        text += &format!("  {line}\n");
    }
    text
}

fn parsed(text: &str) -> Routes {
    Routes::parse(text, "routes.yaml", &|_| None).unwrap_or_else(|problems| panic!("{problems}"))
}

fn id(name: &str) -> SandboxId {
    SandboxId::new(name).unwrap()
}
