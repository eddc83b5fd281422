//! The process under test: `dataplane::start` as the launcher does it, with one worker.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use dataplane::{Attachment, Lookup, Snapshot};
use policy::{Policy, Routes, SandboxId};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::chat::{KEY, MODEL};
use crate::{Outcome, client, origin, stage, sys};

/// This process.
pub(crate) const ROLE: &str = "__gate";

/// Where it listens for the load whose calls are told.
pub(crate) const PORT: u16 = 3128;

/// Where it listens for the other.
pub(crate) const UNSEEN_PORT: u16 = 3150;

/// The file, in the directory of the run, with its authority's certificate.
pub(crate) const CA_FILE: &str = "gate.pem";

/// Serves until its standard input ends. The loads are named as `first:load:descriptor`: the first process of its pid
/// namespace, itself, and the descriptor by which its calls are told, where they are.
pub(crate) fn run(seen: &str, unseen: &str, directory: &str) -> Outcome<()> {
    sys::pin(stage::MIDDLE_CORE)?;
    let name = |name| SandboxId::new(name).ok_or("a sandbox's name");
    let sandboxes = [
        (name("seen")?, seen, PORT),
        (name("unseen")?, unseen, UNSEEN_PORT),
    ];
    let document = policy::parse(&policy_text(), "bench policy")
        .map_err(|problems| problems.to_string())?
        .document;
    let policy = Arc::new(Policy::compile(document));
    let routes = Routes::parse(&routes_text(), "bench routes", &|_| None)
        .map_err(|problems| problems.to_string())?;
    let data_plane = dataplane::start(dataplane::Config {
        limits: dataplane::Limits::default(),
        workers: 1,
        helpers: 2,
        rules_program: "/proc/self/exe".into(),
        link: link::Config {
            // Records are made and written; what a disk adds is not ours.
            record_file: Some("/dev/null".into()),
            ..link::Config::default()
        },
        snapshot: Snapshot {
            policies: sandboxes
                .iter()
                .map(|(id, _, _)| (id.clone(), Arc::clone(&policy)))
                .collect(),
            routes: Some(Arc::new(routes)),
        },
        site: policy::Site::default(),
        trust: dataplane::Trust::OwnAuthority,
    })?;
    let ca_pem = data_plane.ca_pem().map_err(ToString::to_string)?;
    fs::write(format!("{directory}/{CA_FILE}"), ca_pem)?;
    for (id, load, port) in sandboxes {
        let mut words = load.split(':');
        let first = words.next().ok_or("the first process")?;
        let process = words.next().ok_or("the load")?.parse()?;
        let calls = words
            .next()
            .map(|number| calls_of(process, number))
            .transpose()?;
        data_plane.attach(Attachment {
            id,
            proxy: OwnedFd::from(TcpListener::bind(stage::middle(port))?),
            direct: None,
            lookup: Lookup::new(diag()?, proc_of(first)?),
            calls,
        })?;
    }
    client::say("ready")?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    drop(data_plane.close());
    Ok(())
}

fn diag() -> Outcome<OwnedFd> {
    Ok(socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?)
}

/// A copy of the descriptor by which the load's calls are told.
fn calls_of(process: i32, number: &str) -> Outcome<OwnedFd> {
    let process = Pid::from_raw(process).ok_or("a process")?;
    let process = pidfd_open(process, PidfdFlags::empty())?;
    let none = PidfdGetfdFlags::empty();
    Ok(pidfd_getfd(process, number.parse()?, none)?)
}

/// The `/proc` that the sandbox sees.
fn proc_of(process: &str) -> Outcome<OwnedFd> {
    Ok(rustix::fs::open(
        format!("/proc/{process}/root/proc"),
        OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// The origin's services, and two dozen policies beside it that a look-up has to pass by.
fn policy_text() -> String {
    let mut text = String::from("version: 1\nnetwork_policies:\n");
    for index in 0..24 {
        text.push_str(&format!(
            "  other{index}: {{endpoints: [{{host: api{index}.example.com, port: 443}}], binaries: [{{path: /usr/bin/git}}]}}\n"
        ));
    }
    for (name, port) in [("echo", origin::ECHO), ("source", origin::SOURCE)] {
        text.push_str(&format!(
            "  {name}: {{endpoints: [{{host: {}, port: {port}, allowed_ips: [10.99.0.0/24]}}], binaries: [{{path: '/**'}}]}}\n",
            stage::ORIGIN
        ));
    }
    text
}

/// One protocol goes to the plain service, the other to the one in TLS.
fn routes_text() -> String {
    let route = |scheme: &str, port: u16, protocol: &str| {
        format!(
            "  - {{endpoint: '{scheme}://{}:{port}/v1', model: {MODEL}, protocols: [{protocol}], api_key: {KEY}, allow_private_endpoint: true}}\n",
            stage::ORIGIN
        )
    };
    format!(
        "routes:\n{}{}",
        route("http", origin::CHAT, "openai_chat_completions"),
        route("https", origin::CHAT_TLS, "anthropic_messages")
    )
}
