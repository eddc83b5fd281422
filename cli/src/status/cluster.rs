//! What a gateway says of itself, its hosts, its route and its sandboxes.
//!
//! Apart from `status` because it comes over the wire. Invariant: a degradation is listed in words, so that nobody has to
//! know which of the other keys is a bad sign.

use std::collections::BTreeMap;

use proto::v1::{self, LandlockState, SandboxPhase};
use serde_json::{Value, json};

use crate::client::{Client, Kind};
use crate::inference;
use crate::print::{self, Stop};
use crate::sandbox;

/// The key `gateway` of `status --output json`.
pub(super) fn ask(client: &Client) -> Result<Value, Stop> {
    let request = v1::GetClusterStatusRequest {};
    let cluster = client.call(client.ringfence().get_cluster_status(request))?;
    let route = match inference::current(client) {
        Ok(route) => Some(inference::view(&route)),
        Err(refusal) if refusal.kind == Kind::NotFound => None,
        Err(refusal) => return Err(refusal.into()),
    };
    let sandboxes = sandbox::all(client)?;
    let mut value = view(&cluster, route, &sandboxes);
    value["address"] = client.address().to_string().into();
    Ok(value)
}

/// All but the address, from what was answered.
pub(super) fn view(
    cluster: &v1::GetClusterStatusResponse,
    route: Option<Value>,
    sandboxes: &[v1::Sandbox],
) -> Value {
    let mut phases: BTreeMap<&str, u64> = BTreeMap::new();
    for sandbox in sandboxes {
        *phases.entry(sandbox::phase(sandbox.phase())).or_default() += 1;
    }
    let degradations: Vec<String> =
        [planes(cluster), broken(route.as_ref()), degraded(sandboxes)].concat();
    let data_planes = cluster.data_planes.iter().map(|plane| {
        json!({
            "host_id": plane.host_id,
            "connected": plane.connected,
            "applied_generation": plane.applied_generation,
            "stale": is_stale(plane, cluster.generation),
            "last_seen": print::time(plane.last_seen_ms),
            "sandboxes": plane.sandboxes,
        })
    });
    json!({
        "version": cluster.version,
        "generation": cluster.generation,
        "data_planes": data_planes.collect::<Vec<_>>(),
        "inference": route,
        "sandboxes": phases,
        "degradations": degradations,
    })
}

/// For people.
pub(super) fn people(value: &Value) -> String {
    let route = &value["inference"];
    let inference = match route.is_null() {
        true => json!("not configured"),
        false => ["model", "provider", "version", "status"]
            .map(|key| route[key].clone())
            .into_iter()
            .collect(),
    };
    let mut parts = vec![print::facts([
        ("gateway", &value["address"]),
        ("version", &value["version"]),
        ("generation", &value["generation"]),
        ("inference", &inference),
        ("sandboxes", &value["sandboxes"]),
    ])];
    let planes: Vec<&Value> = value["data_planes"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    if !planes.is_empty() {
        let keys = [
            "host_id",
            "connected",
            "applied_generation",
            "stale",
            "sandboxes",
            "last_seen",
        ];
        let rows = planes
            .iter()
            .map(|plane| keys.map(|key| print::words(&plane[key])).to_vec());
        let head = [
            "HOST",
            "CONNECTED",
            "GENERATION",
            "STALE",
            "SANDBOXES",
            "LAST SEEN",
        ];
        parts.push(print::table(&head, rows));
    }
    let degradations = value["degradations"].as_array().into_iter().flatten();
    let degradations: Vec<String> = degradations
        .map(|what| format!("degraded: {}", print::words(what)))
        .collect();
    if !degradations.is_empty() {
        parts.push(degradations.join("\n"));
    }
    parts.join("\n\n")
}

/// DPL-9: it serves what it had.
fn is_stale(plane: &v1::DataPlaneStatus, generation: u64) -> bool {
    !plane.connected || plane.applied_generation < generation
}

fn planes(cluster: &v1::GetClusterStatusResponse) -> Vec<String> {
    let away = cluster.data_planes.iter().filter(|plane| !plane.connected);
    away.map(|plane| {
        format!(
            "data plane {} is away and serves generation {}",
            plane.host_id, plane.applied_generation
        )
    })
    .collect()
}

fn broken(route: Option<&Value>) -> Vec<String> {
    let broken = route.filter(|route| route["status"] == "broken");
    broken
        .map(|route| {
            format!(
                "the inference route is broken: {}",
                print::words(&route["error_code"])
            )
        })
        .into_iter()
        .collect()
}

fn degraded(sandboxes: &[v1::Sandbox]) -> Vec<String> {
    let mut found = Vec::new();
    for sandbox in sandboxes {
        let status = sandbox.status.clone().unwrap_or_default();
        let phase = sandbox.phase();
        if matches!(phase, SandboxPhase::Error) {
            found.push(format!(
                "sandbox {}: {}",
                sandbox.name,
                said(&status.message)
            ));
        }
        if matches!(
            status.landlock(),
            LandlockState::Partial | LandlockState::None
        ) {
            let state = sandbox::landlock(status.landlock()).unwrap_or_default();
            let skipped = match status.skipped_paths.is_empty() {
                true => String::new(),
                false => format!(", without {}", status.skipped_paths.join(", ")),
            };
            found.push(format!(
                "sandbox {}: Landlock is {state}{skipped}",
                sandbox.name
            ));
        }
    }
    found
}

fn said(message: &str) -> &str {
    match message {
        "" => "error",
        message => message,
    }
}
