//! The process under test: `dataplane::start` as the launcher does it, with one worker.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use dataplane::{Attachment, Lookup, Snapshot};
use policy::{Policy, Routes, SandboxId};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with};

use crate::chat::{KEY, MODEL};
use crate::{Outcome, client, origin, stage, sys};

/// This process.
pub(crate) const ROLE: &str = "__gate";

/// Where it listens.
pub(crate) const PORT: u16 = 3128;

/// The file, in the directory of the run, with its authority's certificate.
pub(crate) const CA_FILE: &str = "gate.pem";

/// Serves until its standard input ends. `process` is the first process of the load's pid namespace.
pub(crate) fn run(process: &str, directory: &str) -> Outcome<()> {
    sys::pin(stage::MIDDLE_CORE)?;
    let sandbox = SandboxId::new("bench").ok_or("a sandbox's name")?;
    let document = policy::parse(&policy_text(), "bench policy")
        .map_err(|problems| problems.to_string())?
        .document;
    let routes = Routes::parse(&routes_text(), "bench routes", &|_| None)
        .map_err(|problems| problems.to_string())?;
    let data_plane = dataplane::start(dataplane::Config {
        limits: dataplane::Limits::default(),
        workers: 1,
        helpers: 2,
        link: link::Config {
            // Records are made and written; what a disk adds is not ours.
            record_file: Some("/dev/null".into()),
            ..link::Config::default()
        },
        snapshot: Snapshot {
            policies: HashMap::from([(sandbox.clone(), Arc::new(Policy::compile(document)))]),
            routes: Some(Arc::new(routes)),
        },
        site: policy::Site::default(),
    })?;
    let ca_pem = data_plane.ca_pem().map_err(ToString::to_string)?;
    fs::write(format!("{directory}/{CA_FILE}"), ca_pem)?;
    data_plane.attach(Attachment {
        id: sandbox,
        proxy: OwnedFd::from(TcpListener::bind(stage::middle(PORT))?),
        direct: None,
        lookup: Lookup::new(diag()?, proc_of(process)?),
        calls: None,
    })?;
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
